"""Fetches the detail that records wait for, by the source's profile.

Invariant: nothing waits for us beyond its stored due time: a call that fails leaves the fact to be released without
detail, and what the far side no longer has is said so at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from headgate.collect.intake import Intake
from headgate.collect.pacing import enrich_pause_seconds
from headgate.collect.state import Polled, forgiving
from headgate.core.errors import StoreFailed, first_of
from headgate.core.ports import Enrichment, JobRef, Scope
from headgate.core.storeport import Store

__all__ = ["Enricher"]

_LIMIT = 2000  # waiting jobs looked at in one round
_AT_ONCE = 8
_TICK_SECONDS = 1.0
_TICK_AT_LEAST = 0.05  # for waits so short that a second would be too long
_IDLE_SECONDS = 30.0
_AGAIN_SECONDS = 15.0  # between two questions about one job (profile each)


@dataclass(slots=True)
class _Pace:
    """One scope. Monotonic seconds: when its first job began to wait, when it was asked last."""

    waiting_since: float
    asked_at: float = float("-inf")


class Enricher:
    """The loop of one source. `hurry`: nothing is live, so calls need not wait for company."""

    def __init__(self, store: Store, intake: Intake, polled: Polled, *, hurry: bool = False) -> None:
        self.idle = False
        self._store = store
        self._intake = intake
        self._polled = polled
        self._hurry = hurry
        self._paces: dict[str, _Pace] = {}
        self._asked: dict[str, float] = {}

    async def run(self) -> None:
        """Enrich for ever."""
        while True:
            self._intake.wanted.clear()
            waiting = await self.once()
            self.idle = waiting == 0
            if waiting:
                await asyncio.sleep(
                    min(_TICK_SECONDS, max(_TICK_AT_LEAST, self._polled.settings.policy.wait_ms / 4000))
                )
                continue
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._intake.wanted.wait()
            except TimeoutError:
                continue

    async def once(self) -> int:
        """Do what is due now; returns how many jobs wait."""
        profile = self._polled.settings.policy.profile
        if profile == "none":
            return 0
        jobs = await self._store.wanting_enrichment(
            self._polled.name,
            # History waits longer than that, for a feed of its own (collect.backfill).
            due_by_ms=self._polled.clock.now_ms() + self._polled.settings.policy.wait_ms,
            limit=_LIMIT,
        )
        if jobs and not self._polled.refused:
            try:
                async with asyncio.TaskGroup() as tasks:
                    if profile == "batch":
                        self._ask_scopes(jobs, tasks)
                    else:
                        self._ask_jobs(jobs, tasks)
            except BaseExceptionGroup as errors:
                raise first_of(errors, StoreFailed) or errors from None
        return len(jobs)

    # -- batch

    def _ask_scopes(self, jobs: Sequence[JobRef], tasks: asyncio.TaskGroup) -> None:
        now = self._polled.clock.monotonic()
        first, between = enrich_pause_seconds(self._polled.settings.policy.wait_ms, hurry=self._hurry)
        groups: dict[str, list[JobRef]] = {}
        for job in jobs:
            groups.setdefault(job.project_key, []).append(job)
        # Scopes without waiting jobs keep their last call while it still counts.
        self._paces = {key: pace for key, pace in self._paces.items() if key in groups or now - pace.asked_at < between}
        for key, group in groups.items():
            pace = self._paces.setdefault(key, _Pace(now))
            if now - pace.waiting_since >= first and now - pace.asked_at >= between:
                pace.asked_at = now
                tasks.create_task(self._recent(Scope(key, group[0].project_slug), group))

    async def _recent(self, scope: Scope, jobs: Sequence[JobRef]) -> None:
        with forgiving(self._polled, "enrichment_failed", scope.key):
            await self._keep(await self._polled.source.enrich_recent(scope, jobs))

    # -- each

    def _ask_jobs(self, jobs: Sequence[JobRef], tasks: asyncio.TaskGroup) -> None:
        now = self._polled.clock.monotonic()
        waiting = {job.job_id for job in jobs}
        self._asked = {job_id: at for job_id, at in self._asked.items() if job_id in waiting}
        gate = asyncio.Semaphore(_AT_ONCE)
        for job in jobs:
            if now - self._asked.get(job.job_id, float("-inf")) >= _AGAIN_SECONDS:
                self._asked[job.job_id] = now
                tasks.create_task(self._detail(job, gate))

    async def _detail(self, job: JobRef, gate: asyncio.Semaphore) -> None:
        async with gate:
            with forgiving(self._polled, "enrichment_failed", job.project_key):
                await self._keep(await self._polled.source.enrich_job(job))

    async def _keep(self, enrichment: Enrichment) -> None:
        if enrichment.gone:
            self._polled.metrics.count(
                "headgate_source_missing_detail_total",
                len(enrichment.gone),
                source=self._polled.name,
                reason=enrichment.reason or "gone",
            )
        await self._intake.merge_answer(self._polled, enrichment.observations, gone=enrichment.gone)
