"""Signals, cursors, dead letters and replays in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from headgate.core.ports import Lane, LogEntry
from headgate.core.storeport import (
    CursorView,
    DeadLetter,
    GapRow,
    OutcomeCounts,
    Outcomes,
    Replay,
    SignalSpec,
    SignalState,
)
from headgate.store.destinations import moved
from headgate.store.memory_facts import MemoryFacts
from headgate.store.schema import LANES

__all__ = ["MemoryDelivery", "Stand"]


@dataclass(slots=True)
class Stand:
    """One signal: where it stands in both lanes and what became of its records."""

    sink: str
    destination: str
    overflow: str
    state: SignalState = "ok"
    reason: str = ""
    removed_ms: int | None = None
    acked: list[int] = field(default_factory=lambda: [0, 0])
    start: list[int] = field(default_factory=lambda: [0, 0])
    holes: list[set[int]] = field(default_factory=lambda: [set(), set()])
    accepted: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    skips: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass(slots=True)
class MemoryDelivery:
    """Everything that belongs to sinks. `open_replays`: signal -> replay and its entries."""

    facts: MemoryFacts
    signals: dict[str, Stand] = field(default_factory=dict)
    letters: dict[int, DeadLetter] = field(default_factory=dict)
    order_keys: dict[int, int] = field(default_factory=dict)
    open_replays: dict[str, tuple[Replay, list[LogEntry]]] = field(default_factory=dict)
    gaps: list[GapRow] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)

    def first(self, lane: int) -> int:
        """Lowest seq that the lane still has, or the next one."""
        log = self.facts.log[lane]
        return log[0].seq if log else self.facts.heads[lane] + 1

    def open(self, specs: Sequence[SignalSpec], now_ms: int) -> dict[str, str]:
        """Create missing cursors, mark removed ones; problems of refused ones."""
        problems: dict[str, str] = {}
        wanted = {spec.key for spec in specs}
        for key, stand in self.signals.items():
            if key not in wanted:
                stand.state = "removed"
                stand.removed_ms = now_ms if stand.removed_ms is None else stand.removed_ms
        for spec in specs:
            stand = self.signals.get(spec.key) or Stand(spec.sink, "", spec.overflow)
            if spec.key not in self.signals:
                self.signals[spec.key] = stand
                self.place(stand, spec.start)
            if problem := moved(stand.destination, spec):
                problems[spec.key] = problem
                continue
            stand.destination, stand.overflow, stand.removed_ms = spec.destination, spec.overflow, None
            stand.state = "ok" if stand.state == "removed" else stand.state
            self._catch_up(stand, now_ms)
        return problems

    def _catch_up(self, stand: Stand, now_ms: int) -> None:
        for lane in (0, 1):
            first, acked = self.first(lane), stand.acked[lane]
            if acked + 1 < first:
                lost = first - 1 - acked - sum(1 for seq in stand.holes[lane] if seq < first)
                if lost:
                    reason = "removed: trimmed before the signal came back"
                    self.gaps.append(GapRow(now_ms, stand.sink, acked + 1, first - 1, lost, reason))
                self.move(stand, lane, first - 1, stand.holes[lane])

    def place(self, stand: Stand, start: Literal["now", "retained"] | int) -> None:
        """Put a cursor at its start."""
        for lane in (0, 1):
            acked = self.facts.heads[lane] if start == "now" else self.first(lane) - 1
            if isinstance(start, int):
                acked += bisect_left(self.facts.appended_ms[lane], start)
            stand.acked[lane] = stand.start[lane] = acked
            stand.holes[lane] = set()

    def replace(self, key: str, stand: Stand, start: Literal["now", "retained"] | int, now_ms: int) -> None:
        """Put a cursor at another start; what waited and is passed over is a gap."""
        before, holes = tuple(stand.acked), tuple(stand.holes)
        self.place(stand, start)
        stand.skips.clear()
        for lane, name in enumerate(LANES):
            acked = stand.acked[lane]
            lost = acked - before[lane] - sum(1 for seq in holes[lane] if seq <= acked)
            if lost > 0:
                reason = f"reset: {key}, {name} lane"
                self.gaps.append(GapRow(now_ms, stand.sink, before[lane] + 1, acked, lost, reason))

    def move(self, stand: Stand, lane: int, acked: int, holes: Sequence[int] | set[int]) -> None:
        """Set a cursor."""
        stand.acked[lane] = acked
        stand.holes[lane] = {seq for seq in holes if seq > acked}

    def check(self, outcomes: Sequence[Outcomes]) -> None:
        """Raise what `record` would, before anything changed."""
        for one in outcomes:
            if one.signal not in self.signals:
                raise KeyError(one.signal)
            if one.lane in LANES:
                head, furthest = self.facts.heads[LANES.index(one.lane)], max((one.acked, *one.holes))
                if furthest > head:
                    raise ValueError(f"{one.signal}: the {one.lane} lane ends at {head}, not at {furthest}")

    def record(self, outcomes: Sequence[Outcomes]) -> None:
        """Cursors, dead letters and counts."""
        self.check(outcomes)
        for one in outcomes:
            stand = self.signals[one.signal]
            if one.lane in LANES:
                lane = LANES.index(one.lane)
                self.move(stand, lane, max(stand.acked[lane], one.acked), one.holes)
                for skip in one.skips:
                    stand.skips |= dict.fromkeys([(lane, seq) for seq in range(skip.first, skip.last + 1)], skip.reason)
            elif one.lane == "replay":
                self._move_replay(one)
            for entry, why, attempts in one.dead:
                self._bury(one, entry, attempts, (why.reason, why.status, why.answer))
            for number in one.settled_dead:
                self.letters.pop(number, None)
            stand.accepted += one.accepted
            stand.skipped.update(one.skipped)

    def _move_replay(self, one: Outcomes) -> None:
        held = self.open_replays.get(one.signal)
        if held is None or one.replay not in (None, held[0].id):
            return
        if one.acked >= held[0].total:
            del self.open_replays[one.signal]
        else:
            self.open_replays[one.signal] = (replace(held[0], done=one.acked), held[1])

    def _bury(self, one: Outcomes, entry: LogEntry, attempts: int, why: tuple[str, int | None, str]) -> None:
        reason, status, words = why
        answer = words.encode()[:2048].decode(errors="ignore")
        if one.lane == "dead":
            number = entry.seq if entry.seq in self.letters else None
        else:
            same = (
                n for n, old in self.letters.items() if (old.signal, old.record_id) == (one.signal, entry.record_id)
            )
            number = next(same, None)
        if number is not None:
            old = self.letters[number]
            tries = old.attempts + attempts
            self.letters[number] = replace(
                old, reason=reason, status=status, attempts=tries, last_ms=one.at_ms, answer=answer, requeued=False
            )
            return
        self.numbers["letter"] += 1
        number = self.numbers["letter"]
        self.order_keys[number] = entry.order_key
        self.letters[number] = DeadLetter(
            id=number,
            signal=one.signal,
            seq=entry.seq,
            record_id=entry.record_id,
            kind=entry.kind,
            occurred_ms=entry.occurred_ms,
            project=entry.project,
            reason=reason,
            status=status,
            attempts=attempts,
            first_ms=one.at_ms,
            last_ms=one.at_ms,
            answer=answer,
            requeued=False,
            body=entry.body,
        )

    def requeue(self, ids: Sequence[int]) -> int:
        """Queue dead letters again, but those of removed signals."""
        known = [n for n in ids if n in self.letters and self.signals[self.letters[n].signal].removed_ms is None]
        self.letters |= {number: replace(self.letters[number], requeued=True) for number in known}
        return len(known)

    def give_up(self, key: str) -> None:
        """Send nothing again to a signal."""
        self.open_replays.pop(key, None)
        for number, letter in self.letters.items():
            if self._due(letter, key):
                self.letters[number] = replace(letter, requeued=False)

    def purge(self, ids: Sequence[int], now_ms: int, reason: str = "purged") -> int:
        """Delete dead letters for good, with a gap row for each signal."""
        by_signal: Counter[str] = Counter()
        for number in ids:
            letter = self.letters.pop(number, None)
            if letter is not None:
                by_signal[letter.signal] += 1
        for signal, n in by_signal.items():
            sink = self.signals[signal].sink
            self.gaps.append(GapRow(now_ms, sink, None, None, n, f"dead_letters: {reason}"))
        return by_signal.total()

    def read(self, key: str, lane: Lane, after: int, limit: int, max_bytes: int) -> list[LogEntry]:
        """Entries after a seq; at least one if any exists."""
        if lane == "dead":
            source = [self._again(number) for number, letter in sorted(self.letters.items()) if self._due(letter, key)]
        elif lane == "replay":
            source = self.open_replays[key][1] if key in self.open_replays else []
        else:
            source = self.facts.log[LANES.index(lane)]
        found: list[LogEntry] = []
        for entry in source[bisect_left(source, after + 1, key=lambda entry: entry.seq) :][:limit]:
            max_bytes -= len(entry.body)
            if max_bytes < 0 and found:
                break
            found.append(entry)
        return found

    @staticmethod
    def _due(letter: DeadLetter, key: str) -> bool:
        return letter.signal == key and letter.requeued

    def _again(self, number: int) -> LogEntry:
        old = self.letters[number]
        order = self.order_keys[number]
        return LogEntry(number, "dead", old.record_id, old.kind, old.occurred_ms, old.project, order, old.body)

    def cursors(self) -> list[CursorView]:
        """Every signal in lanes live and backfill."""
        return [
            CursorView(
                signal=key,
                lane="backfill" if lane else "live",
                acked=stand.acked[lane],
                holes=tuple(sorted(stand.holes[lane])),
                head=self.facts.heads[lane],
                epoch=1,
                state=stand.state,
                reason=stand.reason,
            )
            for key, stand in sorted(self.signals.items())
            for lane in (0, 1)
        ]

    def counts(self) -> dict[str, OutcomeCounts]:
        """Totals by signal."""
        dead = Counter(letter.signal for letter in self.letters.values())
        return {
            key: OutcomeCounts(stand.accepted, dead[key], dict(sorted(stand.skipped.items())))
            for key, stand in sorted(self.signals.items())
        }
