"""Polls every scope of every source in its own rhythm, on APScheduler.

Invariant: one job per scope, never two at once; a job ends by itself or when `run` is canceled, which waits for it. An
error that may not be survived (a failed store) is raised from `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from headgate.collect.discovery import ask_scopes, recall_scopes
from headgate.collect.intake import Intake
from headgate.collect.state import Polled, ScopeState, forgiving
from headgate.collect.walk import try_walk
from headgate.core.clock import Clock
from headgate.core.metrics import Metrics
from headgate.core.ports import Scope
from headgate.core.storeport import Store

__all__ = ["Poller"]

_WALKS_AT_ONCE = 8  # of one source: first walks then finish one after the other instead of all at the end
# APScheduler plans by the wall clock: a jump back would make it wait that long, so jobs are planned anew.
_LOOK_SECONDS = 5.0
_JUMP_SECONDS = 5.0
_PAUSED = ("pause", "refuse")
_Job = Callable[[], Awaitable[None]]
_log = structlog.get_logger("headgate.collect")


class Poller:
    """Discovery and walks of all sources."""

    def __init__(
        self, store: Store, intake: Intake, sources: Mapping[str, Polled], clock: Clock, metrics: Metrics
    ) -> None:
        self._store = store
        self._clock = clock
        self._intake = intake
        self._sources = sources
        self._metrics = metrics
        self._gates = {name: asyncio.Semaphore(_WALKS_AT_ONCE) for name in sources}
        self._running: set[asyncio.Task[None]] = set()
        self._fatal: asyncio.Future[None] | None = None
        self._paused = False
        self._stopping = False
        self._scheduler = AsyncIOScheduler(
            # A turn that comes while the last one still runs ends at once by itself (`busy`); with one instance
            # APScheduler would warn about each.
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 2, "misfire_grace_time": None},
        )

    async def run(self) -> None:
        """Poll until canceled. Raises StoreFailed."""
        self._fatal = asyncio.get_running_loop().create_future()
        for polled in self._sources.values():
            if polled.settings.poll_enabled:
                self._schedule(f"{polled.name}\ndiscovery", polled, partial(self.discover, polled))
        self._scheduler.start()
        try:
            await self._watch(self._fatal)
        finally:
            self._stopping = True
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            self._scheduler.shutdown(wait=False)

    async def _watch(self, fatal: asyncio.Future[None]) -> None:
        """Wait for what may not be survived; meanwhile see to it that a jump of the wall clock stops no job."""
        offset = self._clock.now_ms() / 1000 - self._clock.monotonic()
        while True:
            done, _ = await asyncio.wait({fatal}, timeout=_LOOK_SECONDS)
            if done:
                return fatal.result()
            now = self._clock.now_ms() / 1000 - self._clock.monotonic()
            if abs(now - offset) > _JUMP_SECONDS:
                _log.warning("clock_jumped", seconds=round(now - offset, 1))
                self.run_all_now()
            offset = now

    def run_all_now(self) -> None:
        """Let every job be due at once."""
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, tz=UTC)

    async def discover(self, polled: Polled) -> None:
        """Ask the source what there is to walk, and keep one job per scope.

        A failure keeps the scopes known so far, those of before this start included.
        """
        if polled.discovering or self.is_paused() or (polled.refused and polled.scopes) or not polled.may_call():
            return
        polled.discovering = True
        try:
            with forgiving(polled, "discovery_failed"):
                if not polled.discovered:
                    self._take(polled, await recall_scopes(polled, self._store))
                self._take(polled, await ask_scopes(polled, self._store, self._intake))
                if not polled.discovered:
                    _log.info("scopes_found", source=polled.name, scopes=len(polled.scopes))
                polled.discovered = True
        finally:
            polled.discovering = False

    def _take(self, polled: Polled, scopes: Sequence[Scope]) -> None:
        found = {scope.key: scope for scope in scopes}
        for key in polled.scopes.keys() - found.keys():
            del polled.scopes[key]
            self._scheduler.remove_job(_job_id(polled, key))
        for key, scope in found.items():
            if key in polled.scopes:
                polled.scopes[key].scope = scope
            else:
                polled.scopes[key] = state = ScopeState(scope)
                self._schedule(_job_id(polled, key), polled, partial(self.walk, polled, state))

    async def walk(self, polled: Polled, state: ScopeState) -> None:
        """One turn of one scope."""
        if state.busy or self.is_paused():
            return
        state.busy = True
        try:
            async with self._gates[polled.name]:
                await try_walk(polled, state, self._intake)
        finally:
            state.busy = False
        self._tell_age(polled)

    def is_paused(self) -> bool:
        """Whether the store is too full for polling; CircleCI keeps its data for us meanwhile."""
        level = self._store.space_level()
        paused = level in _PAUSED
        if paused != self._paused:
            _log.warning("polling_paused" if paused else "polling_resumed", level=level)
            self._paused = paused
        return paused

    def _schedule(self, job_id: str, polled: Polled, job: _Job) -> None:
        every = polled.settings.poll_every_ms / 1000
        self._scheduler.add_job(
            self._guarded,
            IntervalTrigger(seconds=every, jitter=every / 10, timezone=UTC),
            args=(job,),
            id=job_id,
            next_run_time=self._now(),
        )

    async def _guarded(self, job: _Job) -> None:
        """Run a job so that `run` can end it, and so that what it raises ends `run`."""
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
        try:
            await job()
        except asyncio.CancelledError:
            # Ours: the task ends here either way, and APScheduler would log it as an error.
            if not self._stopping:
                raise
        except Exception as error:  # noqa: BLE001  # handed to `run`, which raises it
            if self._fatal is not None and not self._fatal.done():
                self._fatal.set_exception(error)
        finally:
            if task is not None:
                self._running.discard(task)

    def _tell_age(self, polled: Polled) -> None:
        marks = polled.complete_ms().values()
        known = [mark for mark in marks if mark is not None]
        if known and len(known) == len(marks):
            age = max(0, polled.source.now_ms() - min(known)) / 1000
            self._metrics.set("headgate_source_walk_age_seconds", age, source=polled.name)


def _job_id(polled: Polled, key: str) -> str:
    return f"{polled.name}\n{key}"
