"""Notices that a signal rejects too much to be right about single records: then a human must look, nothing is lost.

Invariant: what trips the guard is not dead-lettered; it stays in the log until the signal takes records again.
"""

from __future__ import annotations

from collections import deque

__all__ = ["RefusalGuard"]

_IN_ROW = 100
_AT_LEAST = 1000
_SHARE = 0.01
# Recent answers that the share is taken of: enough for the share, little enough to forget a bad hour.
_REMEMBER = 10_000


class RefusalGuard:
    """Trips at more than 1 % of at least 1,000 recent records, or at 100 in a row with none accepted between."""

    __slots__ = ("_in_row", "_recent", "_rejected", "_total")

    def __init__(self) -> None:
        self._recent: deque[tuple[int, int]] = deque()
        self._in_row = self._rejected = self._total = 0

    def would_trip(self, accepted: int, rejected: int) -> bool:
        """Whether these outcomes are too many rejections. Changes nothing."""
        if not rejected:
            return False
        in_row = 0 if accepted else self._in_row + rejected
        total, refused = self._total + accepted + rejected, self._rejected + rejected
        return in_row >= _IN_ROW or (total >= _AT_LEAST and refused > _SHARE * total)

    def note(self, accepted: int, rejected: int) -> None:
        """Take outcomes into account."""
        self._in_row = 0 if accepted else self._in_row + rejected
        self._total += accepted + rejected
        self._rejected += rejected
        if self._recent and self._recent[-1][0] + accepted + rejected <= _AT_LEAST:
            counted, refused = self._recent.pop()
            self._recent.append((counted + accepted + rejected, refused + rejected))
        else:
            self._recent.append((accepted + rejected, rejected))
        while self._total - self._recent[0][0] >= _REMEMBER:
            counted, refused = self._recent.popleft()
            self._total -= counted
            self._rejected -= refused

    def reset(self) -> None:
        """Forget everything: the signal takes records again."""
        self._recent.clear()
        self._in_row = self._rejected = self._total = 0
