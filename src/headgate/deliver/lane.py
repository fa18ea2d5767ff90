"""One lane of one signal: what was read, what waits, what became of it.

Invariant: every entry read is in exactly one place: the queue, a part (in flight or to be sent again), or settled.
What is settled is told to the store by `take`, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from headgate.core.judging import Judging
from headgate.core.ports import Lane, Limits, LogEntry
from headgate.core.shaping import Shaped, ShapedEntry, filtered_words
from headgate.core.storeport import Outcomes, Replay, Skip
from headgate.core.verdicts import Reject
from headgate.deliver.bisect import bounded
from headgate.deliver.limits import Admitted, Cut, SizeRatio, admit, cut, judged, total_bytes
from headgate.deliver.window import Window

__all__ = ["MAX_HOLES", "UNNAMED", "LaneQueue"]

# Why records are skipped that the far side refused without naming them.
UNNAMED = "refused_unnamed"

# Settled entries beyond a stuck one that are remembered: the cursor row stays below 100 kB.
MAX_HOLES = 10_000
# Probes are chosen among this many, in strides prime to most counts, so that neighbours are not tried one after the
# other.
_PROBE_LOOKS = 1000
_PROBE_STRIDE = 37


class LaneQueue:
    """Entries of one lane on their way. Not thread-safe; no I/O.

    In lane `dead` the seq is the number of a dead letter: there is no cursor, each is settled by its number, and what
    would be skipped elsewhere goes back to the dead letters.
    """

    __slots__ = (
        "_accepted",
        "_dead",
        "_dirty",
        "_judge",
        "_settled_dead",
        "_signal",
        "_skipped",
        "_skips",
        "_unconfirmed",
        "bytes",
        "lane",
        "next_ms",
        "queue",
        "queue_bytes",
        "replay",
        "stale",
        "window",
    )

    def __init__(
        self,
        signal: str,
        lane: Lane,
        acked: int,
        holes: Iterable[int] = (),
        *,
        replay: Replay | None = None,
        judge: Judging | None = None,
    ) -> None:
        self._signal = signal
        self._judge = judge
        self.lane = lane
        self.replay = replay
        self.window = Window(acked, holes)
        self.queue: list[LogEntry] = []
        self.queue_bytes = 0
        # Stored bytes of everything read and not settled.
        self.bytes = 0
        # There may be entries beyond what was read.
        self.stale = True
        # When a record from the future may be sent; None where there is none.
        self.next_ms: int | None = None
        self._dirty = False
        self._unconfirmed = False
        self._forget()

    def _forget(self) -> None:
        self._accepted = 0
        self._dead: list[tuple[LogEntry, Reject, int]] = []
        self._skipped: dict[str, int] = {}
        self._skips: list[Skip] = []
        self._settled_dead: list[int] = []

    @property
    def replay_id(self) -> int | None:
        """Number of the replay that this lane reads."""
        return None if self.replay is None else self.replay.id

    @property
    def dirty(self) -> bool:
        """Something was settled that the store does not know."""
        return self._dirty

    @property
    def busy(self) -> bool:
        """Something was read and is not settled."""
        return self.window.pending_count > 0

    @property
    def room(self) -> int:
        """How many more entries may be read: all of them could become holes."""
        return MAX_HOLES - self.window.hole_count - self.window.pending_count

    def wants(self, budget_bytes: int) -> bool:
        """Whether a read is worth while."""
        if self.replay is not None and self.window.read_to >= self.replay.total:
            return False
        return self.stale and 2 * self.bytes < budget_bytes and self.room > 0

    def read(self, shaped: Shaped, read_to: int, limits: Limits, kinds: frozenset[str] | None) -> int:
        """Take in a read that ended at seq `read_to`. Returns how many were rejected at once."""
        sorted_out = admit(shaped.keep, limits, kinds, self.window.settled())
        pending = [entry.seq for entry in sorted_out.keep]
        unfit = self._unfit(shaped, sorted_out, limits)
        acked = self.window.acked
        self.window.admit(sorted([*pending, *(one.seq for one, _ in unfit)]) if unfit else pending, read_to)
        size = total_bytes(sorted_out.keep)
        self.bytes += size
        self.queue_bytes += size
        self.queue.extend(sorted_out.keep)
        for entry, why in unfit:
            self._bury(entry, why, 0)
        self._dirty = self._dirty or self.window.acked > acked
        return sum(why.reason != "not_taken" for _, why in unfit)

    def _unfit(self, shaped: Shaped, admitted: Admitted, limits: Limits) -> Sequence[tuple[LogEntry, Reject]]:
        """What becomes a dead letter at once. What is passed over elsewhere goes back there in lane `dead`."""
        found = [
            (one, Reject("too_large", None, f"{len(one.body)} bytes, at most {limits.max_record_bytes}"))
            for one in admitted.too_large
        ]
        found += [(one, Reject("invalid_record", None, "the stored bytes are no record")) for one in shaped.broken]
        if self.lane == "dead":
            sink = self._signal.partition(".")[0]
            found += [(one, _not_taken(f"the signal does not take kind {one.kind}")) for one in admitted.passed]
            found += [(one, _not_taken(filtered_words(sink, by))) for one, by in shaped.filtered]
        settled = self.window.settled()
        return [(one, why) for one, why in found if one.seq not in settled]

    def cut(
        self, limits: Limits, *, now_ms: int, busy: AbstractSet[int], ratio: SizeRatio, max_records: int | None = None
    ) -> Cut:
        """Cut the next batch; records that became too old are settled as skipped."""
        made = cut(self.queue, limits, now_ms=now_ms, busy=busy, ratio=ratio.value, max_records=max_records)
        if self._judge is not None:
            made = judged(made, self._judge, now_ms)
        self.queue = made.rest
        self.next_ms = made.next_ms
        self.queue_bytes -= total_bytes(made.batch)
        if made.too_old:
            self._skip(made.too_old, "too_old")
        return made

    def pick(self, limits: Limits, *, now_ms: int, busy: AbstractSet[int], turn: int) -> Cut:
        """One record as a probe, another one each turn: the first may be the one that nobody takes."""
        seen = set(busy)
        firsts: list[int] = []
        for index, entry in enumerate(self.queue[:_PROBE_LOOKS]):
            if entry.order_key not in seen:
                seen.add(entry.order_key)
                firsts.append(index)
        if not firsts:
            return Cut((), self.queue)
        index = firsts[turn * _PROBE_STRIDE % len(firsts)]
        chosen, others = self.queue[index], [*self.queue[:index], *self.queue[index + 1 :]]
        self.queue = [chosen]
        made = self.cut(limits, now_ms=now_ms, busy=busy, ratio=SizeRatio())
        self.queue = sorted([*self.queue, *others], key=lambda entry: entry.seq)
        return made

    def outlived(self, entries: Sequence[LogEntry], limits: Limits, now_ms: int) -> bool:
        """Whether one of these became too old since it was cut."""
        if limits.max_age_ms is not None and min(entry.occurred_ms for entry in entries) < now_ms - limits.max_age_ms:
            return True
        return self._judge is not None and "too_old" in self._judge.judge(entries, now_ms).values()

    def put_back(self, entries: Sequence[LogEntry]) -> None:
        """Return unsettled entries to the queue, in order."""
        self.queue = sorted([*entries, *self.queue], key=lambda entry: entry.seq)
        self.queue_bytes += total_bytes(entries)

    def accept(self, entries: Sequence[LogEntry], size: int) -> None:
        """The far side took them. `size`: their stored bytes."""
        seqs = [entry.seq for entry in entries]
        self.window.settle(seqs)
        self.bytes -= size
        self._accepted += len(seqs)
        if self.lane == "dead":
            self._settled_dead += seqs
        self._dirty = True

    def doubt(self, count: int) -> None:
        """So many of those just accepted were refused, and nobody knows which: they count as skipped instead."""
        self._accepted -= count
        self._skipped[UNNAMED] = self._skipped.get(UNNAMED, 0) + count

    def reject(self, entry: LogEntry, why: Reject, attempts: int) -> None:
        """The far side will never take it: a dead letter."""
        self.bytes -= len(entry.body)
        self._bury(entry, why, attempts)

    def _bury(self, entry: LogEntry, why: Reject, attempts: int) -> None:
        self.window.settle((entry.seq,))
        # As it is in the log: when it is sent again, it is shaped by the rules of then.
        stored = entry.stored if isinstance(entry, ShapedEntry) else entry
        self._dead.append((stored, bounded(why), attempts))
        self._dirty = True

    def _skip(self, entries: Sequence[LogEntry], reason: str) -> None:
        size = total_bytes(entries)
        self.queue_bytes -= size
        if self.lane == "dead":
            for entry in entries:
                self.reject(entry, Reject(reason), 0)
            return
        self.window.settle([entry.seq for entry in entries])
        self.bytes -= size
        self._skipped[reason] = self._skipped.get(reason, 0) + len(entries)
        self._skips += _stretches(sorted(entry.seq for entry in entries), reason)
        self._dirty = True

    def ended(self) -> bool:
        """Lane `replay` only: a read found nothing more, so positions up to its end that are gone count as settled.

        True when that has something to store.
        """
        if self.replay is None or self.window.read_to >= self.replay.total:
            return False
        self.window.admit((), self.replay.total)
        self._dirty = self._dirty or not self.busy
        return self._dirty

    def rewind(self) -> None:
        """Lane `dead` only: look at the dead letters from the first again, when all that were read are settled."""
        if self.lane == "dead" and not (self.busy or self._dirty or self._unconfirmed):
            self.window = Window(0)

    def stored(self) -> None:
        """What `take` gave last is in the store."""
        self._unconfirmed = False

    def take(self, at_ms: int) -> Outcomes | None:
        """What the store does not know yet, or None. The caller stores it, and again if that failed."""
        if not self._dirty:
            return None
        dead_lane = self.lane == "dead"
        made = Outcomes(
            signal=self._signal,
            lane=self.lane,
            acked=0 if dead_lane else self.window.acked,
            holes=() if dead_lane else self.window.holes(),
            accepted=self._accepted,
            dead=tuple(self._dead),
            skipped=dict(self._skipped),
            skips=tuple(self._skips),
            settled_dead=tuple(self._settled_dead),
            at_ms=at_ms,
            replay=self.replay_id,
        )
        self._dirty = False
        self._unconfirmed = True
        self._forget()
        return made


def _stretches(seqs: Sequence[int], reason: str) -> list[Skip]:
    """Ascending positions as stretches without a hole."""
    found: list[Skip] = []
    for seq in seqs:
        if found and found[-1].last + 1 == seq:
            found[-1] = Skip(found[-1].first, seq, reason)
        else:
            found.append(Skip(seq, seq, reason))
    return found


def _not_taken(words: str) -> Reject:
    return Reject("not_taken", None, words)
