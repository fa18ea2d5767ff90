"""Batches on their way: in flight, or to be sent again. Pure bookkeeping.

Invariant: no two parts in flight share an order key, and a part never overtakes an earlier one of the same key.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from headgate.core.ports import LogEntry
from headgate.deliver.lane import LaneQueue
from headgate.deliver.limits import total_bytes
from headgate.deliver.transport import Wire

__all__ = ["Part", "Parts", "make_part"]


@dataclass(slots=True, eq=False)
class Part:
    """Entries of one lane that travel together. `size`: stored bytes. `attempts`: ended ones. `wire`: to send again.

    `not_before`: monotonic seconds. `probe`: it went out as the probe of a hold. `rest`: what a partly taken batch left
    over; if the far side wants it again that says nothing about the signal.
    """

    entries: Sequence[LogEntry]
    lane: LaneQueue
    size: int
    keys: frozenset[int]
    attempts: int = 0
    wire: Wire | None = None
    not_before: float = 0.0
    probe: bool = False
    rest: bool = False

    @property
    def first_seq(self) -> int:
        """For order among the parts of a lane."""
        return self.entries[0].seq


def make_part(entries: Sequence[LogEntry], lane: LaneQueue, *, attempts: int = 0) -> Part:
    """A part that was not sent yet."""
    keys = frozenset(entry.order_key for entry in entries)
    return Part(entries, lane, total_bytes(entries), keys, attempts)


class Parts:
    """All parts of one signal."""

    __slots__ = ("_busy", "flying", "later")

    def __init__(self) -> None:
        self.flying: dict[Part, None] = {}
        # To be sent again; in order of lane and seq within the lane.
        self.later: list[Part] = []
        self._busy: set[int] = set()

    @property
    def busy(self) -> AbstractSet[int]:
        """Order keys of every part. Do not keep it."""
        return self._busy

    def start(self, part: Part) -> None:
        """A part goes out."""
        if part in self.later:
            self.later.remove(part)
        self.flying[part] = None
        self._busy |= part.keys

    def finish(self, part: Part) -> None:
        """A part came back; what is left of it comes again by `postpone` or the queue."""
        del self.flying[part]
        self._free(part.keys)

    def postpone(self, parts: Sequence[Part]) -> None:
        """Send these again. Parts of one lane that share a key go in order of seq."""
        self.later = sorted([*self.later, *parts], key=lambda part: part.first_seq)
        for part in parts:
            self._busy |= part.keys

    def ready(self, lane: LaneQueue, now: float) -> tuple[Part | None, float]:
        """The first part of a lane that may go out, and seconds until one of its others may by its own wait."""
        wait = float("inf")
        blocked: set[int] = set()
        for part in self.flying:
            blocked |= part.keys
        for part in self.later:
            if part.lane is lane and blocked.isdisjoint(part.keys):
                if part.not_before <= now:
                    return part, wait
                wait = min(wait, part.not_before - now)
            blocked |= part.keys
        return None, wait

    def give_up(self) -> Sequence[Part]:
        """Remove and return everything that was to be sent again; its entries go back to their queues."""
        parts, self.later = self.later, []
        for part in parts:
            self._free(part.keys)
        return parts

    def _free(self, keys: frozenset[int]) -> None:
        self._busy -= keys
        if self.later:
            for part in (*self.flying, *self.later):
                self._busy |= part.keys
