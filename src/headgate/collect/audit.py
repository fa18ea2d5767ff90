"""Proves that what the source lists is kept, fetches what is missing, and says so by project and hour.

Invariant: a scope is audited once after its first walk and then every ROUND_SECONDS, each time a little further back
than where the last audit ended; now and then the late lists are asked too. What was repaired leaves like any other
fact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec
import structlog

from headgate.collect.audit_state import (
    NEVER_MS,
    AuditMark,
    Proof,
    Silence,
    Tally,
    audit_observations,
    decode_mark,
    mark_key,
)
from headgate.collect.intake import Intake, Sleep
from headgate.collect.pacing import TOLD_GRACE_MS
from headgate.collect.requests import AUDITS, AuditRequest
from headgate.collect.state import Polled, ScopeState, first_error, forgiving, held
from headgate.core.audits import AuditSource, Kept, Listed, ListedKind
from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.feeds import Span
from headgate.core.merge import ProjectRef
from headgate.core.ports import RunRef, Scope
from headgate.core.storeport import Store
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = ["OVERLAP_MS", "ROUND_SECONDS", "Auditor", "totals"]

ROUND_SECONDS = 900.0
OVERLAP_MS = 2 * HOUR_MS  # what was still running when the last audit came by
_DEEP_REACH_MS = 3 * DAY_MS
_GRACE_MS = 30 * MINUTE_MS  # a webhook that comes later than that never came
_TICK_SECONDS = 1.0
_AGAIN_SECONDS = 30.0
_RUNS = 500  # whose jobs are looked up at once
_ATTEMPTS = 5  # of one project that somebody asked about
_AT_ONCE = 4
_KINDS: tuple[ListedKind, ...] = ("pipeline", "workflow", "job")
_log = structlog.get_logger("headgate.collect")


class Auditor:
    """The loop of one source."""

    def __init__(
        self, store: Store, intake: Intake, polled: Polled, source: AuditSource, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.name = polled.name
        self._store = store
        self._intake = intake
        self._polled = polled
        self._source = source
        self._sleep = sleep
        self._before: dict[str, int | None] = {}
        # What ended before could not be told to us.
        self._listens_ms = polled.source.now_ms()
        # One audit of a scope at a time: its figures are read, added to and written.
        self._locks: dict[str, asyncio.Lock] = {}
        self._wanted = asyncio.Event()
        self._wanted.set()
        # Scope -> missing webhooks at its last audit; more of them are said once.
        self._told: dict[str, int] = {}

    async def run(self) -> None:
        """Audit for ever. The first round of a scope reaches back to the last walk before this start."""
        self._before = {key: cursor.complete_ms for key, cursor in self._polled.cursors.items()}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._rounds())
                tasks.create_task(self._requests())
        except BaseExceptionGroup as group:
            raise first_error(group) from group

    async def _rounds(self) -> None:
        while True:
            await self.once()
            await self._sleep(_TICK_SECONDS)

    async def _requests(self) -> None:
        """Do what was asked for; what fails is tried again, and whoever asked is told in the end."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            with forgiving(self._polled, "audit_failed"):
                why = self._held()
                if self._polled.discovered and not why:
                    await self.answer()
                    continue
                await self._say(why or "projects are not found yet")
            self._wanted.set()
            await self._sleep(_AGAIN_SECONDS if self._polled.discovered else _TICK_SECONDS)

    def _held(self) -> str:
        return held(self._polled, self._store.space_level())

    async def _say(self, why: str) -> None:
        """Tell whoever waits for a request what it waits for."""
        for request in await AUDITS.unfinished(self._store, self._polled.name):
            if request.waits_for != why:
                told = msgspec.structs.replace(request, waits_for=why)
                await self._intake.merge_answer(self._polled, (), marks=AUDITS.marks(told))

    def wake(self) -> None:
        """A request was stored."""
        self._wanted.set()

    async def answer(self) -> None:
        """Do what was asked for and is not done, project by project; what is done is stored at once."""
        polled = self._polled
        for request in await AUDITS.unfinished(self._store, polled.name):
            scopes = [state.scope for state in polled.scopes.values()]
            nowhere = request.nowhere([scope.slug for scope in scopes])
            going = msgspec.structs.replace(request, state="running", waits_for="", unmatched=nowhere)
            for scope in [scope for scope in scopes if request.wants(scope.slug)]:
                going = await self._answer_one(going, scope)
            marks = await AUDITS.finish(self._store, polled.name, going)
            await self._intake.merge_answer(polled, (), marks=marks)

    async def _answer_one(self, request: AuditRequest, scope: Scope) -> AuditRequest:
        results, problems = dict(request.results), dict(request.problems)
        span = Span(request.since_ms, request.until_ms)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                results[scope.slug] = await self._audited(scope, span)
                break
            except (SourceRefused, NotFound) as error:
                if self._polled.source.usage().refused:
                    raise
                problems[scope.slug] = str(error)
                break
            except SourceUnavailable as error:
                self._polled.failed(error, "audit_failed", project=scope.slug)
                if attempt == _ATTEMPTS:
                    problems[scope.slug] = str(error)
                else:
                    await self._sleep(error.retry_after or _AGAIN_SECONDS)
        request = msgspec.structs.replace(request, results=results, problems=problems)
        await self._intake.merge_answer(self._polled, (), marks=AUDITS.marks(request))
        return request

    async def _audited(self, scope: Scope, span: Span) -> Tally:
        """Audit a span that somebody asked about."""
        async with self._locks.setdefault(scope.key, asyncio.Lock()):
            mark = await self._mark(scope)
            proof = await self.audit(scope, span, mark, late=span)
            mark.slug = scope.slug
            mark.take(proof, self._polled.source.now_ms())
            await self._keep(scope, mark, proof)
        return proof.total()

    async def once(self) -> None:
        """Audit every walked scope that is due."""
        if self._held():
            return
        now = self._polled.clock.monotonic()
        due = [state for state in self._polled.scopes.values() if state.walked and state.audit_at <= now]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(state: ScopeState) -> None:
            async with gate:
                state.audit_at = now + ROUND_SECONDS
                # Without the scope's key: trouble with an audit never holds its walks.
                with forgiving(self._polled, "audit_failed", project=state.scope.slug):
                    async with self._locks.setdefault(state.scope.key, asyncio.Lock()):
                        await self._round(state)

        async with asyncio.TaskGroup() as tasks:
            for state in due:
                tasks.create_task(one(state))
        for state in due:
            if not state.audited:  # it failed: soon again, for whoever waits for us to be idle
                state.audit_at = now + self._polled.settings.poll_every_ms / 1000

    async def _round(self, state: ScopeState) -> None:
        scope, now_ms = state.scope, self._polled.source.now_ms()
        mark = await self._mark(scope)
        every_ms = self._source.deep_every_ms(scope)
        deep = now_ms - mark.deep_ms >= every_ms
        since_ms = late_ms = self._since_ms(scope, mark, now_ms)
        if deep and mark.deep_ms:  # everything since the last time once more, and what Insights show late
            since_ms = min(since_ms, mark.deep_ms - OVERLAP_MS)
            late_ms = now_ms - _DEEP_REACH_MS
        oldest_ms = now_ms - self._polled.settings.retention_ms
        span, late = Span(max(since_ms, oldest_ms), now_ms), Span(max(late_ms, oldest_ms), now_ms)
        mark.empty = {key: at for key, at in mark.empty.items() if at >= now_ms - _DEEP_REACH_MS}
        proof = await self.audit(scope, span, mark, late=late if deep else None)
        mark.slug, mark.until_ms = scope.slug, now_ms
        if deep:
            mark.deep_ms = now_ms
        mark.take(proof, now_ms)
        await self._keep(scope, mark, proof)
        state.audited = True
        state.proven_at = self._polled.clock.monotonic() if mark.announces(now_ms) else None

    async def _mark(self, scope: Scope) -> AuditMark:
        key = mark_key(scope.key)
        return decode_mark((await self._store.source_marks(self._polled.name, key)).get(key))

    def _since_ms(self, scope: Scope, mark: AuditMark, now_ms: int) -> int:
        settings = self._polled.settings
        reached = [at for at in (mark.until_ms, self._before.get(scope.key)) if at]
        return min(min(reached) - OVERLAP_MS, now_ms) if reached else now_ms - settings.initial_ms

    async def audit(self, scope: Scope, span: Span, mark: AuditMark, *, late: Span | None) -> Proof:
        """Hold every list of a span against the store and repair. Raises SourceError and StoreError.

        `mark`: learns since when webhooks come. `late`: the span of the late lists, None to leave them out.
        """
        proof, seen = Proof(), set[tuple[str, str]]()
        async for page in self._source.listings(scope, span, late=late):
            # A page has a workflow as often as it has jobs of it.
            named = {(item.kind, item.key): item for item in page.items if (item.kind, item.key) not in seen}
            fresh = list(named.values()) if late else await self._without_young(scope, list(named.values()))
            seen |= named.keys()
            for kind in _KINDS:
                items = [item for item in fresh if item.kind == kind]
                if items:
                    await self._hold(scope, items, mark, proof)
        await self._count_unlisted(scope, seen, mark, proof)
        return proof

    async def _count_unlisted(self, scope: Scope, seen: set[tuple[str, str]], mark: AuditMark, proof: Proof) -> None:
        """Count jobs that are kept of listed runs while no list shows them.

        Whether webhooks come at all is for listed jobs to show: a lost one of the others may never be known.
        """
        runs = sorted(key for kind, key in seen if kind != "job")
        for start in range(0, len(runs), _RUNS):
            found = await self._store.jobs_of(runs[start : start + _RUNS])
            kept = {key: one for key, one in found.items() if ("job", key) not in seen}
            seen |= {("job", key) for key in kept}
            ends = {key: one.stopped_ms for key, one in kept.items() if one.stopped_ms is not None}
            items = [Listed("job", key, at, RunRef(scope.slug, scope.key, None, None, at)) for key, at in ends.items()]
            if items:
                self._count(items, kept, proof.brought & ends.keys(), mark, proof)

    async def _without_young(self, scope: Scope, items: list[Listed]) -> list[Listed]:
        """Leave new pipelines of a told scope to webhooks and, later, to revisits; keep what the list says of them."""
        if not self._polled.is_told(scope.key):
            return items
        late_ms = self._polled.source.now_ms() - TOLD_GRACE_MS
        young = {item.key: item for item in items if item.kind == "pipeline" and item.at_ms >= late_ms}
        kept = await self._store.kept("pipeline", list(young))
        wait = {key for key in young if key not in kept or not kept[key].ended}
        await self._intake.merge_answer(self._polled, [one for key in wait for one in young[key].observations])
        return [item for item in items if item.key not in wait]

    async def _hold(self, scope: Scope, items: Sequence[Listed], mark: AuditMark, proof: Proof) -> None:
        """Compare items of one kind, repair what is missing, and count."""
        kind = items[0].kind
        kept = await self._store.kept(kind, [item.key for item in items])
        missing = {item.key for item in items if not _is_kept(item, kept, mark)}
        if missing:
            await self._repair(scope, [item for item in items if item.key in missing], mark, proof)
            kept = await self._store.kept(kind, [item.key for item in items])
        mark.announced[kind] = min([*_announced(items, kept), mark.announced.get(kind, NEVER_MS)])
        # A page that tells of a run tells of its jobs too, which came with the run.
        self._count(items, kept, missing | (proof.brought & {item.key for item in items}), mark, proof)

    def _count(
        self,
        items: Sequence[Listed],
        kept: Mapping[str, Kept],
        missing: AbstractSet[str],
        mark: AuditMark,
        proof: Proof,
    ) -> None:
        """Count items of one kind, which are kept now but for what cannot be repaired. `missing`: were not before."""
        kind = items[0].kind
        late_ms = self._polled.source.now_ms() - _GRACE_MS
        first = mark.announced.get(kind, NEVER_MS)
        untold = []
        for item in items:
            found = kept.get(item.key)
            # Of a run lists tell another time with each of its jobs; where its end is kept, that is its hour.
            at_ms = item.at_ms if found is None or found.stopped_ms is None else found.stopped_ms
            tally = proof.tally(at_ms, "reruns" if found is not None and found.rerun else "runs")
            tally.expected += 1
            tally.present += item.key not in missing
            lost = item.key in proof.gone or not _is_kept(item, kept, mark)
            tally.unrepairable += item.key in missing and lost
            tally.repaired += item.key in missing and not lost
            # W09: it ended while webhooks of its kind come, and its own did not.
            if item.webhook and found is not None and found.ended and not found.announced:
                tally.unannounced += first < at_ms < late_ms
                untold += [at_ms] if self._listens_ms < at_ms < late_ms else []
        mark.silence.setdefault(kind, Silence()).hear(_announced(items, kept), untold)

    async def _repair(self, scope: Scope, missing: Sequence[Listed], mark: AuditMark, proof: Proof) -> None:
        """Ask for the runs of what is missing; the proof learns what came with them, and what is gone."""
        gone: set[str] = set()
        runs = {item.run.pipeline_id or item.run.workflow_id: item.run for item in missing}
        for key, run in runs.items():
            try:
                observations = await self._polled.source.revisit(run)
            except NotFound:
                observations = ()
                gone |= {item.key for item in missing if (item.run.pipeline_id or item.run.workflow_id) == key}
            jobs = [one.key for one in observations if one.kind == "job" and one.terminal]
            before = await self._store.kept("job", jobs)
            proof.brought |= {key for key in jobs if key not in before or not before[key].ended}
            await self._intake.merge_answer(self._polled, observations)
            if run.pipeline_id is not None and not observations:
                mark.empty[run.pipeline_id] = run.created_ms
        told = [one for item in missing for one in item.observations]
        await self._intake.merge_answer(self._polled, told)
        gone -= {item.key for item in missing if item.observations}
        proof.gone |= gone
        if runs:
            _log.info("audit_repaired", source=self._polled.name, project=scope.slug, runs=len(runs), gone=len(gone))

    async def _keep(self, scope: Scope, mark: AuditMark, proof: Proof) -> None:
        """The mark and the facts of all hours concerned, in one piece; metrics."""
        total = proof.total()
        hours = {name: mark.hours.get(name, tally) for name, tally in proof.hours.items()}
        facts = audit_observations(hours, scope.key, _owner(self._polled, scope), self._polled.clock.now_ms())
        await self._intake.merge_answer(self._polled, facts, marks={mark_key(scope.key): mark.encode()})
        for outcome in ("present", "repaired", "unrepairable", "unannounced"):
            count = getattr(total, outcome)
            if count:
                self._polled.metrics.count(
                    "headgate_audit_items_total", count, source=self._polled.name, outcome=outcome
                )
        told, self._told[scope.key] = self._told.get(scope.key, 0), total.unannounced
        if total.unannounced > told:
            _log.warning(
                "webhooks_missing",
                source=self._polled.name,
                project=scope.slug,
                count=total.unannounced,
                fix="run `headgate webhooks plan`: is the webhook of this project there, and does it reach us?",
            )


def _announced(items: Sequence[Listed], kept: Mapping[str, Kept]) -> list[int]:
    """Ends of those that a webhook told of."""
    return [one.stopped_ms or item.at_ms for item in items if (one := kept.get(item.key)) and one.announced]


def _is_kept(item: Listed, kept: Mapping[str, Kept], mark: AuditMark) -> bool:
    found = kept.get(item.key)
    if found is None:
        return False
    return found.ended or not item.ended or item.key in mark.empty


def _owner(polled: Polled, scope: Scope) -> ProjectRef:
    org = scope.slug.rpartition("/")[0]
    return ProjectRef(polled.source.host, scope.slug, org, scope.key if scope.key != scope.slug else None)


def totals(marks: Iterable[AuditMark], now_ms: int) -> dict[str, int]:
    """Figures of the last 24 hours over all scopes, as `status` shows them."""
    total = Tally()
    for mark in marks:
        total.add(mark.last_day(now_ms))
    return {name: getattr(total, name) for name in total.__struct_fields__}
