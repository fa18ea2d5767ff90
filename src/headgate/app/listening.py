"""Since when webhooks are listened to: a mark in the store that is moved each minute.

Invariant: the time while the daemon was down, or its store took nothing, is never within a stretch.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from headgate.core.clock import Clock
from headgate.core.errors import StoreBusy, StoreFull
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store
from headgate.core.times import MINUTE_MS

__all__ = ["BEAT_SECONDS", "Listening"]

BEAT_SECONDS = 60.0
_MARK = "listened"
# CircleCI sends a webhook again for a few minutes, and a restart loses nothing.
_GAP_MS = 10 * MINUTE_MS


class Listening:
    """Of the sources that webhooks alone tell of. `sources`: name -> its web application."""

    def __init__(self, store: Store, clock: Clock, sources: Mapping[str, str]) -> None:
        self._store, self._clock, self._sources = store, clock, sources

    async def beat(self) -> None:
        """Say that it is listened to now. A store that is full takes no webhook either. Raises StoreFailed."""
        now_ms = self._clock.now_ms()
        for name, app_url in self._sources.items():
            marks = {_MARK: f"{await self.since(name)} {now_ms}".encode()}
            with suppress(StoreFull, StoreBusy):
                await self._store.merge_and_release(
                    MergeWork(name, (), ReleasePolicy("none"), now_ms, now_ms, marks=marks, app_url=app_url)
                )

    async def since(self, source: str) -> int:
        """Since when it is listened to without a gap, milliseconds; now, where there was one just before."""
        now_ms = self._clock.now_ms()
        since, _, until = (await self._store.source_marks(source, _MARK)).get(_MARK, b"").decode().partition(" ")
        return int(since) if until and now_ms - int(until) <= _GAP_MS else now_ms
