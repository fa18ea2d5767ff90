"""Which entries of one lane are settled, when they settle in any order.

Invariant: `acked` never goes back, every entry up to it is settled, and `holes` are the settled ones beyond it.
Sequence numbers that the log does not have (trimmed, salvaged, of a kind the signal does not take) count as settled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

__all__ = ["Window"]


class Window:
    """The part of a lane that was read and may not be settled. Not thread-safe; no I/O."""

    __slots__ = ("_acked", "_holes", "_pending", "_read_to")

    def __init__(self, acked: int, holes: Iterable[int] = ()) -> None:
        self._acked = acked
        self._read_to = acked
        # Ordered by seq because entries are read in order.
        self._pending: dict[int, None] = {}
        self._holes = {seq for seq in holes if seq > acked}

    @property
    def acked(self) -> int:
        """Every entry up to this seq is settled."""
        return self._acked

    @property
    def read_to(self) -> int:
        """Highest seq seen; the next read starts after it."""
        return self._read_to

    @property
    def hole_count(self) -> int:
        """How many settled entries lie beyond `acked`."""
        return len(self._holes)

    @property
    def pending_count(self) -> int:
        """How many entries were read and are not settled."""
        return len(self._pending)

    def holes(self) -> tuple[int, ...]:
        """Settled entries beyond `acked`, ascending."""
        return tuple(sorted(self._holes))

    def settled(self) -> Collection[int]:
        """Holes as a set, for filtering entries that a restart reads again. Do not keep it."""
        return self._holes

    def admit(self, pending: Sequence[int], read_to: int) -> None:
        """Take note of a read: `pending` ascending beyond `read_to` so far, all up to the new `read_to` looked at.

        What lies between and is not in `pending` is settled. Raises ValueError when the read went backwards.
        """
        if read_to < self._read_to or (pending and (pending[0] <= self._read_to or pending[-1] > read_to)):
            raise ValueError(f"read up to {read_to} after {self._read_to} is out of order")
        self._pending.update(dict.fromkeys(pending))
        self._read_to = read_to
        self._advance()

    def settle(self, seqs: Iterable[int]) -> None:
        """Mark pending entries as settled. Raises KeyError for one that is not pending; then nothing changed."""
        done = list(seqs)
        pending = self._pending
        if not all(map(pending.__contains__, done)):
            raise KeyError(next(seq for seq in done if seq not in pending))
        for seq in done:
            del pending[seq]
        self._holes.update(done)
        self._advance()

    def _advance(self) -> None:
        acked = next(iter(self._pending)) - 1 if self._pending else self._read_to
        if acked <= self._acked:
            return
        self._acked = acked
        if self._holes:
            self._holes = {seq for seq in self._holes if seq > acked}
