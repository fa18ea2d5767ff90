"""Cuts batches out of entries by what a signal declares. Pure; the same input gives the same cut.

Invariant: every entry given comes back exactly once: to keep or rejected by `admit`; in the batch, too old or in the
rest by `cut`. A batch never holds an entry whose order key is busy, nor overtakes an earlier entry of the same key.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import attrgetter

from headgate.core.judging import Judging
from headgate.core.ports import Limits, LogEntry
from headgate.core.times import DAY_MS

__all__ = ["Admitted", "Cut", "SizeRatio", "admit", "cut", "judged", "total_bytes"]

# How many batches' worth of entries one cut looks at when most of them are busy: bounds the work of one turn.
_SCAN_BATCHES = 4
# Nobody waits longer for a record from the future: its time is wrong, or our clock is, and the cursor would stand
# still. The far side says what becomes of it.
_LONGEST_AHEAD_MS = DAY_MS

_body = attrgetter("body")
_order_key = attrgetter("order_key")
_seq = attrgetter("seq")


@dataclass(frozen=True, slots=True)
class Admitted:
    """Entries sorted by what does not depend on time. `passed`: of a kind the signal does not take."""

    keep: Sequence[LogEntry]
    too_large: Sequence[LogEntry] = ()
    passed: Sequence[LogEntry] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """One batch and what remains. `rest`: in order of seq. `next_ms`: when a future record may be sent, or None."""

    batch: Sequence[LogEntry]
    rest: list[LogEntry]
    too_old: Sequence[LogEntry] = ()
    next_ms: int | None = None


class SizeRatio:
    """Encoded bytes per byte of stored body, learnt from what was sent; errs on the large side."""

    __slots__ = ("value",)

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def learn(self, stored: int, encoded: int) -> None:
        """Take one encoded batch into account. Goes up at once, down slowly."""
        if stored <= 0:
            return
        seen = encoded / stored
        self.value = max(seen, 0.9 * self.value + 0.1 * seen, 0.01)


def total_bytes(entries: Sequence[LogEntry]) -> int:
    """Stored bytes of the bodies."""
    return sum(map(len, map(_body, entries)))


def admit(
    entries: Sequence[LogEntry], limits: Limits, kinds: Collection[str] | None, settled: Collection[int] = ()
) -> Admitted:
    """Sort freshly read entries. `settled`: seqs of earlier outcomes, passed over in silence."""
    keep = entries
    if settled:
        keep = [entry for entry in keep if entry.seq not in settled]
    passed: Sequence[LogEntry] = ()
    if kinds is not None:
        passed = [entry for entry in keep if entry.kind not in kinds]
        if passed:
            keep = [entry for entry in keep if entry.kind in kinds]
    too_large: Sequence[LogEntry] = ()
    bound = limits.max_record_bytes
    if bound is not None and keep and max(map(len, map(_body, keep))) > bound:
        too_large = [entry for entry in keep if len(entry.body) > bound]
        keep = [entry for entry in keep if len(entry.body) <= bound]
    return Admitted(keep, too_large, passed)


def _by_bytes(entries: list[LogEntry], max_bytes: int, ratio: float) -> int:
    """How many of the entries fit, at least one."""
    sizes = list(map(len, map(_body, entries)))
    room = max_bytes / ratio
    if sum(sizes) <= room:
        return len(entries)
    return max(1, bisect_right(list(accumulate(sizes)), room))


class _Cutter:
    """One cut in progress."""

    __slots__ = ("busy", "cutoff_ms", "deferred", "future_ms", "next_ms", "take", "too_old")

    def __init__(self, limits: Limits, now_ms: int, busy: AbstractSet[int]) -> None:
        self.busy = busy
        self.cutoff_ms = None if limits.max_age_ms is None else now_ms - limits.max_age_ms
        self.future_ms = None if limits.max_ahead_ms is None else now_ms + limits.max_ahead_ms
        self.take: list[LogEntry] = []
        self.deferred: list[LogEntry] = []
        self.too_old: list[LogEntry] = []
        self.next_ms: int | None = None

    def add(self, chunk: Sequence[LogEntry]) -> None:
        """Sort one chunk into taken, deferred and too old."""
        cutoff = self.cutoff_ms
        if cutoff is not None:
            old = [entry for entry in chunk if entry.occurred_ms < cutoff]
            if old:
                self.too_old += old
                chunk = [entry for entry in chunk if entry.occurred_ms >= cutoff]
        if self.future_ms is not None and any(self._waits(entry, self.future_ms) for entry in chunk):
            self._add_slowly(chunk, self.future_ms)
            return
        busy = self.busy
        if not busy or busy.isdisjoint(map(_order_key, chunk)):
            self.take += chunk
            return
        self.deferred += [entry for entry in chunk if entry.order_key in busy]
        self.take += [entry for entry in chunk if entry.order_key not in busy]

    @staticmethod
    def _waits(entry: LogEntry, until_ms: int) -> bool:
        return until_ms < entry.occurred_ms <= until_ms + _LONGEST_AHEAD_MS

    def _add_slowly(self, chunk: Sequence[LogEntry], until_ms: int) -> None:
        """Entry by entry: a future record makes its key busy for the rest of this cut."""
        busy = set(self.busy)
        for entry in chunk:
            if self._waits(entry, until_ms):
                busy.add(entry.order_key)
                if self.next_ms is None or entry.occurred_ms < self.next_ms:
                    self.next_ms = entry.occurred_ms
            (self.deferred if entry.order_key in busy else self.take).append(entry)
        self.busy = busy


def cut(
    queue: Sequence[LogEntry],
    limits: Limits,
    *,
    now_ms: int,
    busy: AbstractSet[int] = frozenset(),
    ratio: float = 1.0,
    max_records: int | None = None,
) -> Cut:
    """Cut one batch from the front of `queue` (ascending seq), passing by entries whose key is `busy`.

    `ratio`: encoded bytes per stored byte. `max_records`: fewer than the limits allow, for a probe. A record that alone
    exceeds the bytes makes a batch of one: only the encoded size decides whether it is too large. Records too old
    are found only as far as the cut looks.
    """
    most = limits.max_records if max_records is None else min(max_records, limits.max_records)
    cutter = _Cutter(limits, now_ms, busy)
    looked, end = 0, min(len(queue), most * _SCAN_BATCHES)
    while looked < end and len(cutter.take) < most:
        upto = min(end, looked + most - len(cutter.take))
        cutter.add(queue[looked:upto])
        looked = upto
    taken = cutter.take
    rest = cutter.deferred
    fit = _by_bytes(taken, limits.max_bytes, ratio) if taken else 0
    if fit < len(taken):
        rest = sorted(rest + taken[fit:], key=_seq)
        taken = taken[:fit]
    next_ms = cutter.next_ms
    if next_ms is not None and limits.max_ahead_ms is not None:
        next_ms -= limits.max_ahead_ms
    return Cut(taken, [*rest, *queue[looked:]], cutter.too_old, next_ms)


def judged(made: Cut, judge: Judging, now_ms: int) -> Cut:
    """The cut without what a signal itself finds too old, or wants to see later."""
    verdicts = judge.judge(made.batch, now_ms) if made.batch else {}
    if not verdicts:
        return made
    found = [(entry, verdicts.get(index)) for index, entry in enumerate(made.batch)]
    return replace(
        made,
        batch=[entry for entry, verdict in found if verdict is None],
        rest=sorted([*made.rest, *(entry for entry, verdict in found if verdict == "later")], key=_seq),
        too_old=[*made.too_old, *(entry for entry, verdict in found if verdict == "too_old")],
    )
