"""Finds runs that no walk and no webhook tells of: reruns of pipelines older than the poll cursor.

Invariant: a scope is swept once after its first walk and then every SWEEP_SECONDS; what is found and not known yet is
asked about like any unfinished run. A sweep that fails is repeated; its position moves only when it reached its end.
"""

from __future__ import annotations

import asyncio

import structlog

from headgate.collect.intake import Intake, Sleep
from headgate.collect.pacing import walk_since_ms
from headgate.collect.state import Polled, ScopeState, forgiving
from headgate.core.errors import NotFound
from headgate.core.ports import RunRef
from headgate.core.storeport import SourceCursor, Store

__all__ = ["SWEEP_SECONDS", "RerunFinder"]

SWEEP_SECONDS = 900.0  # one call per project and quarter of an hour
_TICK_SECONDS = 1.0
_AT_ONCE = 4
_log = structlog.get_logger("headgate.collect")


class RerunFinder:
    """The loop of one source."""

    def __init__(self, store: Store, intake: Intake, polled: Polled, *, sleep: Sleep = asyncio.sleep) -> None:
        self._store = store
        self._intake = intake
        self._polled = polled
        self._sleep = sleep
        self._before: dict[str, int | None] = {}

    async def run(self) -> None:
        """Sweep for ever. The first sweep of a scope reaches back to the last walk before this start."""
        self._before = {key: cursor.complete_ms for key, cursor in self._polled.cursors.items()}
        while True:
            await self.once()
            await self._sleep(_TICK_SECONDS)

    async def once(self) -> None:
        """Sweep every walked scope that is due."""
        if self._store.space_level() in ("pause", "refuse") or self._polled.refused:
            return
        now = self._polled.clock.monotonic()
        due = [state for state in self._polled.scopes.values() if state.walked and state.sweep_at <= now]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(state: ScopeState) -> None:
            async with gate:
                state.sweep_at = now + SWEEP_SECONDS
                with forgiving(self._polled, "sweep_failed", state.scope.key):
                    await self._sweep(state)

        async with asyncio.TaskGroup() as tasks:
            for state in due:
                tasks.create_task(one(state))
        for state in due:
            if not state.swept:  # it failed: soon again, for whoever waits for us to be idle
                state.sweep_at = now + self._polled.settings.poll_every_ms / 1000

    async def _sweep(self, state: ScopeState) -> None:
        polled, scope = self._polled, state.scope
        since_ms = walk_since_ms(
            SourceCursor(polled.name, scope.key, complete_ms=self._before.get(scope.key)),
            polled.source.now_ms(),
            initial_ms=polled.settings.initial_ms,
            retention_ms=polled.settings.retention_ms,
        )
        recent = await polled.source.recent_runs(scope, after=state.newest, since_ms=since_ms)
        unknown = await self._store.unknown("workflow", recent.workflow_ids)
        for workflow in unknown:
            run = RunRef(scope.slug, scope.key, None, workflow, polled.source.now_ms())
            try:
                observations = await polled.source.revisit(run)
            except NotFound:
                continue
            await self._intake.merge_answer(polled, observations)
        if unknown:
            _log.info("reruns_found", source=polled.name, project=scope.slug, workflows=len(unknown))
        if not recent.complete:
            _log.warning("sweep_capped", source=polled.name, project=scope.slug, fix="raise poll.max_pages")
        state.newest = recent.newest if recent.newest is not None else state.newest
        state.swept = True
