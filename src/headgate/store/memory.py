"""The store port in memory: the oracle of the property tests, and a store for tests of whatever uses one.

Nothing is flushed and nothing survives; every unit runs at once on the event loop, so it is atomic by nature.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from headgate.core.audits import Kept, ListedKind
from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.core.ports import Delivery, JobRef, Lane, LogEntry, RunRef
from headgate.core.readport import StorePart
from headgate.core.release import ReleasePolicy
from headgate.core.runrows import (
    RunRow,
)
from headgate.core.storeport import (
    NO_SOURCE,
    AlertChange,
    AlertRow,
    CursorView,
    DeadLetter,
    Explained,
    GapRow,
    InboxRow,
    MergeResult,
    MergeWork,
    OutcomeCounts,
    Outcomes,
    Replay,
    SignalSpec,
    SignalState,
    SourceCursor,
    SpaceLevel,
    StoreFigures,
)
from headgate.core.times import DAY_MS, parse_ms
from headgate.core.trail import TrailEntry
from headgate.store import memory_queries as queries
from headgate.store import memory_runs
from headgate.store.memory_alerts import MemoryAlerts
from headgate.store.memory_alertunits import MemoryAlertUnits
from headgate.store.memory_delivery import MemoryDelivery
from headgate.store.memory_facts import MemoryFacts
from headgate.store.memory_questions import MemoryQuestions
from headgate.store.memory_trim import PARTS
from headgate.store.releases import order_key
from headgate.store.sizes import PARTS as PARTS_KEPT

__all__ = ["MemoryStore"]


class MemoryStore(MemoryAlertUnits, MemoryQuestions):
    """See the port for what each method promises. `level` may be set by tests that want a full store."""

    def __init__(self, *, clock: Clock) -> None:
        self.clock = clock
        self.level: SpaceLevel = "ok"
        self.facts = MemoryFacts()
        self.deliveries: dict[int, InboxRow] = {}
        self.dead_ms: dict[int, int] = {}
        self.delivery = MemoryDelivery(self.facts)
        self.alerting = MemoryAlerts()
        self.sources: dict[tuple[str, str], SourceCursor] = {}
        self.marks: dict[tuple[str, str], bytes] = {}
        self.entries: list[TrailEntry] = []
        self._received = 0
        self._noted = 0
        self._open = False

    # -- life

    async def open(self) -> None:
        """Open; a second time raises StoreError."""
        if self._open:
            raise StoreError("the store is open already")
        self._open = True

    async def close(self) -> None:
        """Close. Safe twice; what is known stays."""
        self._open = False

    async def failed(self) -> BaseException:
        """Never: memory cannot fail to flush."""
        never: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        return await never

    async def ping(self) -> None:
        self._unit()

    def _unit(self) -> None:
        if not self._open:
            raise StoreError("the store is not open")

    # -- intake

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        self._unit()
        for delivery in deliveries:
            self._received += 1
            self.deliveries[self._received] = InboxRow(self._received, delivery)

    def accept_wait_seconds(self) -> float:
        return 0.0

    def in_burst(self) -> bool:
        return False

    def space_level(self) -> SpaceLevel:
        return self.level

    async def inbox(self, limit: int) -> Sequence[InboxRow]:
        return [row for row in self.deliveries.values() if row.state == "waiting"][:limit]

    async def park_inbox(self, ids: Sequence[int], *, now_ms: int) -> int:
        self._unit()
        found = [n for n in dict.fromkeys(ids) if n in self.deliveries and self.deliveries[n].state == "waiting"]
        for number in found:
            self._settle(number, "dead", NO_SOURCE)
            self.dead_ms[number] = now_ms
        return len(found)

    async def requeue_inbox(self, ids: Sequence[int]) -> int:
        self._unit()
        again = [self.deliveries.pop(number) for number in self._set_aside(ids)]
        await self.accept([row.delivery for row in again])
        return len(again)

    async def purge_inbox(self, ids: Sequence[int]) -> int:
        self._unit()
        return self.forget_deliveries(ids, self.clock.now_ms(), "purged")

    def forget_deliveries(self, ids: Sequence[int], now_ms: int, why: str) -> int:
        """Delete deliveries that were set aside, with a gap row for each source."""
        gone = Counter(self.deliveries.pop(number).delivery.source for number in self._set_aside(ids))
        for source, n in sorted(gone.items()):
            self.delivery.gaps.append(GapRow(now_ms, "", None, None, n, f"deliveries: of source {source}, {why}"))
        return gone.total()

    def _set_aside(self, ids: Sequence[int]) -> list[int]:
        return [n for n in dict.fromkeys(ids) if n in self.deliveries and self.deliveries[n].state == "dead"]

    async def merge_and_release(self, work: MergeWork) -> MergeResult:
        self._unit()
        result = self.facts.merge(work)
        for number in work.inbox_done:
            self._settle(number, "done", "")
        for number, reason in work.inbox_dead:
            self._settle(number, "dead", reason)
            self.dead_ms[number] = work.now_ms
        if work.cursor is not None:
            self.sources[work.cursor.source, work.cursor.scope] = work.cursor
        for key, value in work.marks.items():
            self.marks.pop((work.source, key), None)
            if value is not None:
                self.marks[work.source, key] = value
        return result

    def _settle(self, number: int, state: Literal["done", "dead"], reason: str) -> None:
        row = self.deliveries.get(number)
        if row is not None and row.state == "waiting":
            self.deliveries[number] = replace(row, state=state, reason=reason)

    async def release_due(
        self, policy: ReleasePolicy, source: str, *, now_ms: int, live_after_ms: int, limit: int = 500
    ) -> MergeResult:
        self._unit()
        return self.facts.release_due(policy, source, now_ms=now_ms, live_after_ms=live_after_ms, limit=limit)

    async def unfinished(
        self, source: str, *, ended_since_ms: int, empty_since_ms: int, limit: int
    ) -> Sequence[RunRef]:
        return queries.unfinished(self.facts, source, ended_since_ms, empty_since_ms, limit)

    async def unended(self, source: str, *, before: tuple[int, str], limit: int) -> Sequence[RunRef]:
        return queries.unended(self.facts, source, before, limit)

    async def unasked(self, source: str, *, since_ms: int, limit: int) -> Sequence[RunRef]:
        return queries.unasked(self.facts, source, self.clock.now_ms(), since_ms, limit)

    async def kept(self, kind: ListedKind, keys: Sequence[str]) -> Mapping[str, Kept]:
        return queries.kept(self.facts, kind, keys)

    async def jobs_of(self, runs: Sequence[str]) -> Mapping[str, Kept]:
        return queries.jobs_of(self.facts, runs)

    async def wanting_enrichment(self, source: str, *, due_by_ms: int, limit: int) -> Sequence[JobRef]:
        return queries.wanting_enrichment(self.facts, source, due_by_ms, limit)

    # -- delivery

    async def open_signals(self, specs: Sequence[SignalSpec], *, now_ms: int) -> Mapping[str, str]:
        self._unit()
        return self.delivery.open(specs, now_ms)

    async def reset_signal(self, key: str, *, start: Literal["now", "retained"] | int) -> None:
        self._unit()
        stand = self.delivery.signals[key]
        stand.destination, stand.state, stand.reason = "", "ok" if stand.removed_ms is None else "removed", ""
        self.delivery.replace(key, stand, start, self.clock.now_ms())
        self.delivery.give_up(key)

    async def set_signal_state(self, key: str, state: SignalState, reason: str) -> None:
        self._unit()
        stand = self.delivery.signals[key]
        stand.state, stand.reason = state, reason

    async def read_log(self, key: str, lane: Lane, after: int, *, limit: int, max_bytes: int) -> Sequence[LogEntry]:
        return self.delivery.read(key, lane, after, limit, max_bytes)

    async def record_outcomes(self, outcomes: Sequence[Outcomes]) -> None:
        self._unit()
        self.delivery.record(outcomes)

    async def requeue_dead(self, ids: Sequence[int]) -> int:
        self._unit()
        return self.delivery.requeue(ids)

    async def purge_dead(self, ids: Sequence[int]) -> int:
        self._unit()
        return self.delivery.purge(ids, self.clock.now_ms())

    async def open_replay(self, key: str, *, since_ms: int, until_ms: int) -> Replay:
        self._unit()
        return queries.open_replay(self.facts, self.delivery, key, since_ms, until_ms)

    # -- alerts

    async def transition(self, change: AlertChange) -> None:
        self._unit()
        now_ms = self.clock.now_ms()
        self.alerting.transition(change, now_ms)
        for record in change.records:
            occurred = parse_ms(record.occurred_at)
            self.facts.append(0, record, now_ms if occurred is None else occurred, order_key(record.id), now_ms)

    async def projects_since(self) -> Mapping[str, int]:
        days: dict[str, int] = {}
        for day, _, key, *_ in self.facts.rollup_days():
            days[key] = min(day, days.get(key, day))
        slugs = {project.key: project.ref.slug for project in self.facts.projects.by_id.values()}
        return {slugs[key]: day * DAY_MS for key, day in days.items()}

    # -- questions

    async def figures(self) -> StoreFigures:
        return queries.figures(
            self.facts, self.deliveries, len(self.alerting.outbox), len(self.delivery.gaps), self.level
        )

    async def parts(self) -> Sequence[StorePart]:
        letters = [one.last_ms for one in self.delivery.letters.values()]
        spans = {
            "inbox": [row.delivery.arrived_ms for row in self.deliveries.values()],
            "facts": [run.stopped_ms for run in memory_runs.runs(self.facts)],
            "dead_letters": letters,
            "alerts": [at_ms for _, at_ms, _ in self.alerting.history],
        }
        return [
            StorePart(part, 0, min(times, default=None), max(times, default=None))
            for part in PARTS_KEPT
            for times in (spans.get(part, []),)
        ]

    async def cursors(self) -> Sequence[CursorView]:
        return self.delivery.cursors()

    async def outcome_counts(self) -> Mapping[str, OutcomeCounts]:
        return self.delivery.counts()

    async def source_cursors(self, source: str) -> Mapping[str, SourceCursor]:
        return {scope: cursor for (name, scope), cursor in sorted(self.sources.items()) if name == source}

    async def source_marks(self, source: str, prefix: str = "") -> Mapping[str, bytes]:
        found = sorted((key, value) for (name, key), value in self.marks.items() if name == source)
        return {key: value for key, value in found if key.startswith(prefix)}

    async def inbox_dead(self, limit: int, *, ids: Sequence[int] = (), before: int | None = None) -> Sequence[InboxRow]:
        rows = (row for row in reversed(self.deliveries.values()) if row.state == "dead")
        return [row for row in rows if (not ids or row.id in ids) and (before is None or row.id < before)][:limit]

    async def inbox_dead_ids(
        self, *, source: str | None = None, reason: str | None = None, after: int = 0, limit: int
    ) -> Sequence[int]:
        rows = (row for row in self.deliveries.values() if row.state == "dead" and row.id > after)
        return [row.id for row in rows if source in (None, row.delivery.source) and reason in (None, row.reason)][
            :limit
        ]

    async def due_sources(self) -> Sequence[str]:
        return sorted({fact.source for fact in self.facts.all() if fact.lane is None and fact.due_ms is not None})

    async def dead_letters(
        self, *, signal: str | None = None, ids: Sequence[int] = (), before: int | None = None, limit: int = 100
    ) -> Sequence[DeadLetter]:
        letters = [
            letter
            for number, letter in sorted(self.delivery.letters.items(), reverse=True)
            if signal in (None, letter.signal) and (not ids or number in ids) and (before is None or number < before)
        ]
        return letters[:limit]

    async def gaps(self, limit: int) -> Sequence[GapRow]:
        return self.delivery.gaps[::-1][:limit]

    async def recent_runs(self, limit: int, *, project: str | None = None) -> Sequence[RunRow]:
        found = memory_runs.runs(self.facts)
        if project is not None:
            ids = {number for (_, slug), (number, _) in self.facts.projects.by_slug.items() if slug == project}
            slugs = {self.facts.projects.by_id[number].slug for number in ids}
            found = [run for run in found if run.project in slugs]
        return found[::-1][:limit]

    async def explain(self, provider_or_record_id: str) -> Sequence[Explained]:
        return queries.explain(self.facts, self.delivery, provider_or_record_id.lower())

    async def tail(self, after: Mapping[str, int], limit: int) -> Sequence[LogEntry]:
        return queries.tail(self.facts, after, limit)

    async def alerts(self) -> Sequence[AlertRow]:
        return [row for _, row in sorted(self.alerting.rows.items())]

    async def alert_history(self, fingerprint: str | None, limit: int) -> Sequence[tuple[str, int, bytes]]:
        return [row for row in reversed(self.alerting.history) if fingerprint in (None, row[0])][:limit]

    async def alert_lines(
        self, since_ms: int, until_ms: int, *, before: int | None = None, limit: int
    ) -> Sequence[tuple[int, str, int, bytes]]:
        lines = [(number, *line) for number, line in enumerate(self.alerting.history, 1)]
        found = [line for line in reversed(lines) if since_ms <= line[2] < until_ms]
        return [line for line in found if before is None or line[0] < before][:limit]

    async def records_between(
        self, since_ms: int, until_ms: int, *, after: tuple[Lane, int] | None = None, limit: int
    ) -> Sequence[LogEntry]:
        return queries.records_between(self.facts, since_ms, until_ms, after, limit)

    async def replays(self) -> Sequence[Replay]:
        return [replay for replay, _ in self.delivery.open_replays.values()]

    async def append_trail(self, entries: Sequence[TrailEntry]) -> None:
        self._unit()
        for entry in entries:
            self._noted += 1
            self.entries.append(replace(entry, id=self._noted))

    async def trim(self, retention: Mapping[str, int], *, now_ms: int) -> Mapping[str, int]:
        self._unit()
        parts = {name: PARTS[name] for name in retention}
        return {name: part(self, now_ms - retention[name], now_ms) for name, part in parts.items()}

    async def backup(self, path: str) -> None:
        """There is no file to copy. Raises StoreError always."""
        raise StoreError(f"a store in memory cannot be copied to {path}: use the sqlite store")
