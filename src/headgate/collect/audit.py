"""Proves that what the source lists is kept, fetches what is missing, and says so by project and hour.

Invariant: a scope is audited once after its first walk and then every ROUND_SECONDS, each time a little further back
than where the last audit ended; once a day the late lists are asked too. What was repaired leaves like any other fact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import structlog

from headgate.collect.audit_requests import KEPT, AuditRequest, load_audits, request_key
from headgate.collect.audit_state import NEVER_MS, AuditMark, Proof, Tally, audit_observations, decode_mark, mark_key
from headgate.collect.intake import Intake, Sleep
from headgate.collect.state import Polled, ScopeState, forgiving
from headgate.core.audits import AuditSource, Kept, Listed, ListedKind
from headgate.core.errors import NotFound, SourceRefused
from headgate.core.feeds import Span
from headgate.core.merge import ProjectRef
from headgate.core.ports import Scope
from headgate.core.storeport import Store
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS

__all__ = ["DEEP_MS", "OVERLAP_MS", "ROUND_SECONDS", "Auditor", "totals"]

ROUND_SECONDS = 900.0
OVERLAP_MS = 2 * HOUR_MS  # what was still running when the last audit came by
DEEP_MS = DAY_MS  # how often the lists that are a day late are asked
_DEEP_REACH_MS = 3 * DAY_MS
_GRACE_MS = 10 * MINUTE_MS  # a webhook that comes later than that never came
_TICK_SECONDS = 1.0
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
        self._wanted = asyncio.Event()
        self._wanted.set()
        # Pipelines that were asked about and have no workflows: a skipped commit, say.
        self._empty: dict[str, None] = {}

    async def run(self) -> None:
        """Audit for ever. The first round of a scope reaches back to the last walk before this start."""
        self._before = {key: cursor.complete_ms for key, cursor in self._polled.cursors.items()}
        while True:
            await self.once()
            if self._wanted.is_set() and all(state.walked for state in self._polled.scopes.values()):
                self._wanted.clear()
                with forgiving(self._polled, "audit_failed"):
                    await self.answer()
            await self._sleep(_TICK_SECONDS)

    def wake(self) -> None:
        """A request was stored."""
        self._wanted.set()

    async def answer(self) -> None:
        """Do what was asked for and is not done, project by project; what is done is stored at once."""
        polled = self._polled
        requests = await load_audits(self._store, polled.name)
        for request in [one for one in requests if one.state != "done"]:
            going = msgspec.structs.replace(request, state="running")
            for scope in [state.scope for state in polled.scopes.values() if request.wants(state.scope.slug)]:
                going = await self._answer_one(going, scope)
            done = [one for one in await load_audits(self._store, polled.name) if one.state == "done"]
            marks: dict[str, bytes | None] = {request_key(one.id): None for one in done[: len(done) + 1 - KEPT]}
            marks[request_key(going.id)] = msgspec.structs.replace(going, state="done").encode()
            await self._intake.merge_answer(polled, (), marks=marks)

    async def _answer_one(self, request: AuditRequest, scope: Scope) -> AuditRequest:
        mark = await self._mark(scope)
        results, problems = dict(request.results), dict(request.problems)
        try:
            proof = await self.audit(scope, Span(request.since_ms, request.until_ms), mark, deep=True)
        except SourceRefused as error:
            problems[scope.slug] = str(error)
        else:
            results[scope.slug] = proof.total()
            mark.slug = scope.slug
            mark.take(proof, self._polled.source.now_ms())
            await self._keep(scope, mark, proof)
        request = msgspec.structs.replace(request, results=results, problems=problems)
        await self._intake.merge_answer(self._polled, (), marks={request_key(request.id): request.encode()})
        return request

    async def once(self) -> None:
        """Audit every walked scope that is due."""
        if self._store.space_level() in ("pause", "refuse") or self._polled.refused:
            return
        now = self._polled.clock.monotonic()
        due = [state for state in self._polled.scopes.values() if state.walked and state.audit_at <= now]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(state: ScopeState) -> None:
            async with gate:
                state.audit_at = now + ROUND_SECONDS
                with forgiving(self._polled, "audit_failed", state.scope.key):
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
        deep = now_ms - mark.deep_ms >= DEEP_MS
        since_ms = now_ms - _DEEP_REACH_MS if deep and mark.deep_ms else self._since_ms(scope, mark, now_ms)
        since_ms = max(since_ms, now_ms - self._polled.settings.retention_ms)
        proof = await self.audit(scope, Span(since_ms, now_ms), mark, deep=deep)
        mark.slug, mark.until_ms = scope.slug, now_ms
        if deep:
            mark.deep_ms = now_ms
        mark.take(proof, now_ms)
        await self._keep(scope, mark, proof)
        state.audited, state.announced = True, mark.announces(now_ms)

    async def _mark(self, scope: Scope) -> AuditMark:
        key = mark_key(scope.key)
        return decode_mark((await self._store.source_marks(self._polled.name, key)).get(key))

    def _since_ms(self, scope: Scope, mark: AuditMark, now_ms: int) -> int:
        settings = self._polled.settings
        reached = [at for at in (mark.until_ms, self._before.get(scope.key)) if at]
        return min(min(reached) - OVERLAP_MS, now_ms) if reached else now_ms - settings.initial_ms

    async def audit(self, scope: Scope, span: Span, mark: AuditMark, *, deep: bool) -> Proof:
        """Hold every list of a span against the store and repair. Raises SourceError and StoreError.

        `mark`: learns since when webhooks come.
        """
        proof, seen = Proof(), set[tuple[str, str]]()
        async for page in self._source.listings(scope, span, deep=deep):
            fresh = [item for item in page.items if (item.kind, item.key) not in seen]
            fresh = await self._without_young(scope, fresh)
            seen |= {(item.kind, item.key) for item in fresh}
            for kind in _KINDS:
                items = [item for item in fresh if item.kind == kind]
                if items:
                    await self._hold(scope, items, mark, proof)
        return proof

    async def _without_young(self, scope: Scope, items: list[Listed]) -> list[Listed]:
        """Leave out new pipelines whose first webhook may yet come; the next audit has them again."""
        state = self._polled.scopes.get(scope.key)
        if state is None or not state.told:
            return items
        late_ms = self._polled.source.now_ms() - _GRACE_MS
        young = [item.key for item in items if item.kind == "pipeline" and item.at_ms >= late_ms]
        kept = await self._store.kept("pipeline", young)
        wait = {key for key in young if key not in kept or not kept[key].ended}
        return [item for item in items if item.key not in wait]

    async def _hold(self, scope: Scope, items: Sequence[Listed], mark: AuditMark, proof: Proof) -> None:
        """Compare items of one kind, repair what is missing, and count."""
        kind = items[0].kind
        kept = await self._store.kept(kind, [item.key for item in items])
        missing = {item.key for item in items if not self._is_kept(item, kept)}
        gone: set[str] = set()
        if missing:
            gone = await self._repair(scope, [item for item in items if item.key in missing])
            kept = await self._store.kept(kind, [item.key for item in items])
        late_ms = self._polled.source.now_ms() - _GRACE_MS
        announced = [item.at_ms for item in items if (one := kept.get(item.key)) and one.announced]
        first = mark.announced[kind] = min([*announced, mark.announced.get(kind, NEVER_MS)])
        for item in items:
            found = kept.get(item.key)
            tally = proof.tally(item, "reruns" if found is not None and found.rerun else "runs")
            tally.expected += 1
            tally.present += item.key not in missing
            tally.unrepairable += item.key in missing and (item.key in gone or not self._is_kept(item, kept))
            tally.repaired += item.key in missing and item.key not in gone and self._is_kept(item, kept)
            # W09: it ended while webhooks of its kind come, and its own did not.
            if found is not None and found.ended and item.ended and not found.announced and not self._is_silent(item):
                tally.unannounced += first < item.at_ms < late_ms

    def _is_silent(self, item: Listed) -> bool:
        """A pipeline that never got a workflow, of which no webhook tells."""
        return item.key in self._empty or any("errors" in one.fields for one in item.observations)

    def _is_kept(self, item: Listed, kept: Mapping[str, Kept]) -> bool:
        found = kept.get(item.key)
        if found is None:
            return False
        return found.ended or not item.ended or item.key in self._empty

    async def _repair(self, scope: Scope, missing: Sequence[Listed]) -> set[str]:
        """Ask for the runs of what is missing; gives the keys that the source itself no longer has."""
        gone: set[str] = set()
        runs = {item.run.pipeline_id or item.run.workflow_id: item.run for item in missing}
        for key, run in runs.items():
            try:
                observations = await self._polled.source.revisit(run)
            except NotFound:
                observations = ()
                gone |= {item.key for item in missing if (item.run.pipeline_id or item.run.workflow_id) == key}
            await self._intake.merge_answer(self._polled, observations)
            if run.pipeline_id is not None and not observations:
                self._empty[run.pipeline_id] = None
        told = [one for item in missing for one in item.observations]
        await self._intake.merge_answer(self._polled, told)
        gone -= {item.key for item in missing if item.observations}
        if runs:
            _log.info("audit_repaired", source=self._polled.name, project=scope.slug, runs=len(runs), gone=len(gone))
        return gone

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
        if total.unannounced:
            _log.warning(
                "webhooks_missing",
                source=self._polled.name,
                project=scope.slug,
                count=total.unannounced,
                fix="run `headgate webhooks plan`: is the webhook of this project there, and does it reach us?",
            )


def _owner(polled: Polled, scope: Scope) -> ProjectRef:
    org = scope.slug.rpartition("/")[0]
    return ProjectRef(polled.source.host, scope.slug, org, scope.key if scope.key != scope.slug else None)


def totals(marks: Iterable[AuditMark], now_ms: int) -> dict[str, int]:
    """Figures of the last 24 hours over all scopes, as `status` shows them."""
    total = Tally()
    for mark in marks:
        total.add(mark.last_day(now_ms))
    return {name: getattr(total, name) for name in total.__struct_fields__}
