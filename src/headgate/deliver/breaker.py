"""Stops asking a far side that does not answer, and bounds how much of the traffic are retries. Pure state machines.

    closed --5 failures in a row, or half of at least 20 in 30 s--> open --wait is over--> probing (one request)
      ^                                                               ^                        |
      |                                                               +--------failure---------+
      +-----------------------------------success----------------------------------------------+

All times in monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

__all__ = ["Breaker", "BreakerState", "RetryBudget"]

BreakerState = Literal["closed", "open", "probing"]

FAILURES_IN_ROW = 5
_WINDOW_SECONDS = 30.0
_WINDOW_ANSWERS = 20


class Breaker:
    """Opens on failures; lets one probe through when its wait is over."""

    __slots__ = ("_buckets", "_in_row", "_open_until", "_state")

    def __init__(self) -> None:
        self._state: BreakerState = "closed"
        self._in_row = 0
        self._open_until = 0.0
        # [second, answers, failures], oldest first.
        self._buckets: deque[list[int]] = deque()

    @property
    def state(self) -> BreakerState:
        """Where the machine is."""
        return self._state

    def wait_seconds(self, now: float) -> float | None:
        """Seconds until a request may go: 0 at once, None while a probe is out."""
        if self._state == "closed":
            return 0.0
        if self._state == "open":
            return max(0.0, self._open_until - now)
        return None

    def sent(self) -> None:
        """A request goes out; from open it is the probe."""
        if self._state == "open":
            self._state = "probing"

    def succeeded(self, now: float) -> None:
        """The far side answered; only the probe's answer, or one sent before, closes the breaker."""
        self._in_row = 0
        if self._state != "closed":
            self._state = "closed"
            self._buckets.clear()
        self._note(now, failed=0)

    def failed(self, now: float, wait: float) -> bool:
        """The far side did not take a request; `wait`: seconds to stay open if this opens it. True when it opened."""
        self._in_row += 1
        self._note(now, failed=1)
        if self._state == "open":
            self._open_until = max(self._open_until, now + wait)
            return False
        if self._state == "probing" or self._in_row >= FAILURES_IN_ROW or self._mostly_failing(now):
            opened = self._state == "closed"
            self._state = "open"
            self._open_until = now + wait
            return opened
        return False

    def abandoned(self) -> None:
        """The probe ended without an answer about the far side (canceled); another may go."""
        if self._state == "probing":
            self._state = "open"

    def _note(self, now: float, *, failed: int) -> None:
        second = int(now)
        if self._buckets and self._buckets[-1][0] == second:
            self._buckets[-1][1] += 1
            self._buckets[-1][2] += failed
        else:
            self._buckets.append([second, 1, failed])
        while self._buckets[0][0] <= now - _WINDOW_SECONDS:
            self._buckets.popleft()

    def _mostly_failing(self, now: float) -> bool:
        recent = [bucket for bucket in self._buckets if bucket[0] > now - _WINDOW_SECONDS]
        answers = sum(bucket[1] for bucket in recent)
        return answers >= _WINDOW_ANSWERS and 2 * sum(bucket[2] for bucket in recent) >= answers


class RetryBudget:
    """Retries at most a tenth of recent successes plus one a second."""

    __slots__ = ("_at", "_tokens")

    _SHARE = 0.1
    _PER_SECOND = 1.0
    # What a time without retries may save up: 100 successes' worth, and one retry at once after a start.
    _MOST = 10.0

    def __init__(self) -> None:
        self._tokens = 1.0
        self._at: float | None = None

    def _refill(self, now: float) -> None:
        if self._at is not None:
            self._tokens = min(self._MOST, self._tokens + max(0.0, now - self._at) * self._PER_SECOND)
        self._at = now

    def succeeded(self) -> None:
        """A request was accepted."""
        self._tokens = min(self._MOST, self._tokens + self._SHARE)

    def wait_seconds(self, now: float) -> float:
        """Seconds until a retry may go; 0 at once."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self._PER_SECOND)

    def spend(self, now: float) -> None:
        """A retry goes out."""
        self._refill(now)
        self._tokens -= 1.0
