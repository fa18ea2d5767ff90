"""Asks again about runs that have not ended, however old, at growing intervals.

Invariant: a run is asked about until it has ended or the far side no longer has it; its age decides how often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from headgate.collect.intake import Intake, Sleep
from headgate.collect.pacing import GONE_AFTER_MS, TOLD_GRACE_MS, revisit_seconds
from headgate.collect.state import Polled, forgiving
from headgate.core.errors import NotFound
from headgate.core.merge import Observation
from headgate.core.ports import RunRef
from headgate.core.storeport import Store
from headgate.core.times import HOUR_MS, MINUTE_MS

__all__ = ["Revisiter"]

_LIMIT = 5000  # unfinished runs looked at in one round
_AT_ONCE = 4
_TICK_SECONDS = 15.0
_LOOK_SECONDS = 60.0  # between two looks for ended runs that were never asked about
_UNASKED_MS = 6 * HOUR_MS  # how far back they may have ended
_UNASKED_SECONDS = 3600.0  # between two questions about one of them, if the first brought nothing
_log = structlog.get_logger("headgate.collect")


@dataclass(slots=True)
class _Group:
    """Unfinished runs that one question answers: all of one pipeline."""

    runs: list[RunRef]

    @property
    def newest(self) -> RunRef:
        return max(self.runs, key=lambda run: run.created_ms)

    @property
    def keys(self) -> list[str]:
        ids = [run.workflow_id or run.pipeline_id for run in self.runs]
        return [found for found in ids if found is not None]


class Revisiter:
    """The loop of one source."""

    def __init__(self, store: Store, intake: Intake, polled: Polled, *, sleep: Sleep = asyncio.sleep) -> None:
        self._store = store
        self._intake = intake
        self._polled = polled
        self._sleep = sleep
        self._next: dict[str, float] = {}
        self._look_at = 0.0
        self._unasked_at: dict[str, float] = {}

    async def run(self) -> None:
        """Revisit for ever."""
        tick = min(_TICK_SECONDS, self._polled.settings.poll_every_ms / 1000)
        while True:
            await self.once()
            await self._sleep(tick)

    async def once(self) -> int:
        """Ask about everything that is due; returns how many questions were asked."""
        paused = self._store.space_level() in ("pause", "refuse")
        if paused or not self._polled.discovered or self._polled.refused:
            return 0
        groups = _grouped(await self._store.unfinished(self._polled.name, limit=_LIMIT))
        due = self._due(groups)
        more = {key: group for key, group in _grouped(await self._unasked()).items() if key not in groups}
        due += self._due_once(more)
        groups |= more
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(key: str) -> None:
            async with gate:
                await self._ask(key, groups[key])

        async with asyncio.TaskGroup() as tasks:
            for key in due:
                tasks.create_task(one(key))
        self._polled.revisited = True
        return len(due)

    async def _unasked(self) -> list[RunRef]:
        """Ended runs to ask about once, of projects whose webhooks tell everything else."""
        told = {key for key in self._polled.scopes if self._polled.is_told(key)}
        now = self._polled.clock.monotonic()
        if not told or now < self._look_at or not self._polled.settings.ask_unrun:
            return []
        self._look_at = now + _LOOK_SECONDS
        since_ms = self._polled.source.now_ms() - _UNASKED_MS
        runs = await self._store.unasked(self._polled.name, since_ms=since_ms, limit=_LIMIT)
        return [run for run in runs if run.project_key in told]

    def _due_once(self, groups: dict[str, _Group]) -> list[str]:
        """Keys of ended runs to ask about now: what failed is tried again later, what brings nothing never floods."""
        now = self._polled.clock.monotonic()
        self._unasked_at = {key: at for key, at in self._unasked_at.items() if now - at < _UNASKED_SECONDS}
        due = [key for key in groups if key not in self._unasked_at]
        self._unasked_at |= dict.fromkeys(due, now)
        return due

    def _due(self, groups: dict[str, _Group]) -> list[str]:
        """Keys to ask about now. What is new here was just walked, except after a start: then all are asked."""
        now = self._polled.clock.monotonic()
        first_round = not self._polled.revisited
        self._next = {key: at for key, at in self._next.items() if key in groups}
        grace = TOLD_GRACE_MS / 1000
        heard = self._polled.heard = {key: at for key, at in self._polled.heard.items() if now - at < grace}
        due = []
        for key, group in groups.items():
            at = self._next.get(key)
            if key in heard and self._is_told(group):
                self._next[key] = heard[key] + grace
            elif at is None and not first_round:
                self._next[key] = now + self._first_pause(group)
            elif at is None or at <= now:
                due.append(key)
        return due

    def _pause(self, group: _Group) -> float:
        age = max(0, self._polled.source.now_ms() - group.newest.created_ms)
        every_ms = self._polled.settings.poll_every_ms
        return revisit_seconds(age, max(every_ms, TOLD_GRACE_MS) if self._is_told(group) else every_ms)

    def _first_pause(self, group: _Group) -> float:
        """A run that no webhook told of is left to them until it is so old."""
        age = max(0, self._polled.source.now_ms() - group.newest.created_ms)
        return max(0, TOLD_GRACE_MS - age) / 1000 if self._is_told(group) else self._pause(group)

    def _is_told(self, group: _Group) -> bool:
        return self._polled.is_told(group.newest.project_key)

    async def _ask(self, key: str, group: _Group) -> None:
        polled = self._polled
        self._next[key] = polled.clock.monotonic() + self._pause(group)
        with forgiving(polled, "revisit_failed"):
            try:
                observations = await polled.source.revisit(group.newest)
            except NotFound as error:
                await self._not_found(group, error)
            else:
                await self._learn(group, observations)
                await self._intake.merge_answer(polled, observations)

    async def _learn(self, group: _Group, observations: Sequence[Observation]) -> None:
        """Where a run had ended and no webhook said so, webhooks are not relied on until the next one."""
        state = self._polled.scopes.get(group.newest.project_key)
        if state is None or not self._is_told(group):
            return
        before_ms = self._polled.source.now_ms() - MINUTE_MS
        ended = [one.key for one in observations if one.kind == "workflow" and _ended_before(one, before_ms)]
        kept = await self._store.kept("workflow", ended)
        state.ends_told = all(key in kept and kept[key].ended for key in ended)

    async def _not_found(self, group: _Group, error: NotFound) -> None:
        """Runs that the far side no longer has; a young one may only not be found yet."""
        polled = self._polled
        if polled.source.now_ms() - group.newest.created_ms < GONE_AFTER_MS:
            return
        await self._intake.merge_answer(polled, (), gone=group.keys)
        count = len(group.keys)
        polled.metrics.count("headgate_source_missing_detail_total", count, source=polled.name, reason="gone")
        _log.info("run_gone", source=polled.name, runs=group.keys, error=str(error))


def _ended_before(one: Observation, before_ms: int) -> bool:
    stopped = one.fields.get("stopped_at")
    return one.terminal and isinstance(stopped, int) and stopped < before_ms


def _grouped(runs: Sequence[RunRef]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for run in runs:
        key = run.pipeline_id or run.workflow_id
        if key is not None:
            groups.setdefault(key, _Group([])).runs.append(run)
    return groups
