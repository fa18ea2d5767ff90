"""Asks for what a source wants to be read again by itself, such as the usage export of the last days, once a day.

Invariant: the request and the next due time are stored together, so that a restart neither repeats nor forgets one.
"""

from __future__ import annotations

import asyncio

from headgate.collect.backfill import Backfiller
from headgate.collect.intake import Sleep
from headgate.collect.requests import BACKFILLS, BackfillRequest
from headgate.collect.state import Polled, forgiving
from headgate.core.feeds import Refresh
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store
from headgate.core.times import HOUR_MS

__all__ = ["Refresher"]

_MARK = "refresh"
_SPREAD_MS = HOUR_MS  # so that installations started together do not ask together
_LOOK_SECONDS = 60.0


class Refresher:
    """The loop of one source that wants to be read again."""

    def __init__(
        self, store: Store, polled: Polled, refresh: Refresh, backfiller: Backfiller, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._store = store
        self._polled = polled
        self._refresh = refresh
        self._backfiller = backfiller
        self._sleep = sleep

    async def run(self) -> None:
        """Look every minute whether it is due."""
        while True:
            with forgiving(self._polled, "refresh_failed"):
                await self.once()
            await self._sleep(_LOOK_SECONDS)

    async def once(self) -> None:
        """Store the request if it is due; the first one is within an hour of the first start."""
        source, now_ms = self._polled.name, self._polled.clock.now_ms()
        marks = await self._store.source_marks(source, _MARK)
        if _MARK not in marks:
            first = {_MARK: _due(now_ms + round(self._polled.clock.jitter() * _SPREAD_MS))}
            await self._store.merge_and_release(MergeWork(source, (), ReleasePolicy(), now_ms, now_ms, marks=first))
            return
        due_ms = int(marks[_MARK])
        if now_ms < due_ms:
            return
        # What was missed while we were down is missed once: the next time lies ahead.
        missed = (now_ms - due_ms) // self._refresh.every_ms + 1
        request = BackfillRequest(
            id=f"refresh-{due_ms // 1000:x}",
            since_ms=now_ms - self._refresh.reach_ms,
            until_ms=now_ms,
            created_ms=now_ms,
            feeds=self._refresh.feeds,
        )
        following = {_MARK: _due(due_ms + missed * self._refresh.every_ms)}
        await BACKFILLS.save(self._store, source, request, now_ms=now_ms, marks=following)
        self._backfiller.wake()


def _due(at_ms: int) -> bytes:
    return str(at_ms).encode()
