"""Releases facts whose wait is over, at their stored due times.

Invariant: the times come from the store, so a restart neither forgets a fact nor makes it wait again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from headgate.collect.intake import Intake, live_after_ms
from headgate.collect.pacing import LIVE_WINDOW_MS
from headgate.collect.state import Polled, going_on
from headgate.core.clock import Clock
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import Store

__all__ = ["DueReleaser"]

_LIMIT = 500
_LOOK_SECONDS = 30.0  # another process may have merged facts that wait
_AGAIN_MS = 5000


class DueReleaser:
    """The timer over all sources."""

    def __init__(self, store: Store, intake: Intake, sources: Mapping[str, Polled], clock: Clock) -> None:
        self._store = store
        self._intake = intake
        self._sources = sources
        self._clock = clock

    async def run(self) -> None:
        """Release for ever; the first look is at once, for what waited when the last process ended."""
        for name in {*self._sources, *await self._store.due_sources()}:
            self._intake.due[name] = self._clock.now_ms()
        while True:
            self._intake.changed.clear()
            for name in sorted(self._intake.due):
                await self._release(name)
            await self._until_next()

    async def _release(self, name: str) -> None:
        due, now = self._intake.due.get(name), self._clock.now_ms()
        if due is None or due > now:
            return
        # Merges may bring the next due time forward while this unit runs, so it is cleared before, not after.
        self._intake.due[name] = None
        polled, done = self._sources.get(name), False
        # Nothing more is learnt of what a removed source left; it leaves as it is when its time has come.
        policy = polled.settings.policy if polled else ReleasePolicy("none")
        live_after = live_after_ms(polled) if polled else now - LIVE_WINDOW_MS
        with going_on(name, "release_failed"):
            result = await self._store.release_due(policy, name, now_ms=now, live_after_ms=live_after, limit=_LIMIT)
            self._intake.take(name, result)
            done = True
        if not done:
            self._intake.release_at(name, now + _AGAIN_MS)

    async def _until_next(self) -> None:
        times = [due for due in self._intake.due.values() if due is not None]
        seconds = min(_LOOK_SECONDS, max(0, min(times) - self._clock.now_ms()) / 1000) if times else _LOOK_SECONDS
        try:
            async with asyncio.timeout(seconds):
                await self._intake.changed.wait()
        except TimeoutError:
            # A look without a due time finds what other processes left.
            for name, due in self._intake.due.items():
                if due is None and not times:
                    self._intake.due[name] = self._clock.now_ms()
