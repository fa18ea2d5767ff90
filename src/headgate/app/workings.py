"""What the pages and the API tell of Headgate itself: who is told, what is proven, what is kept, as what it runs.

Invariant: nothing here is slow for whoever asks: what takes seconds is measured beside, and told with its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from headgate.app.audits import proven
from headgate.app.doctor import versions
from headgate.app.routing import routing_view
from headgate.app.sections import RetentionSettings
from headgate.app.settings import Configuration
from headgate.app.shown import shown_configuration
from headgate.collect.insights import last_reading_ms
from headgate.core.clock import Clock
from headgate.core.discovery import load_found
from headgate.core.storeport import Store
from headgate.core.times import MINUTE_MS, format_ms
from headgate.plugins import load_plugins
from headgate.web.operations import Json, Problem
from headgate.web.workings import ProvenWindow

__all__ = ["StoreWorkings"]

_MEASURED_FOR_MS = 10 * MINUTE_MS
# A small store is measured while one waits.
_PATIENCE_SECONDS = 0.15
# Parts that go with another one, or by a rule of the store's own. Sums go with what they are of, at last with days.
_KEPT_WITH = {"steps": "facts", "rollups_hour": "8d", "rollups_day": "rollups", "sums": "rollups", "other": ""}


class StoreWorkings:
    """`web.workings.Workings` over an open store. `configuration`: in force, None without a daemon.

    `files`: scheduled exports and reports, as `Chores.listed`.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        configuration: Callable[[], Configuration | None],
        sources: Callable[[], Iterable[str]],
        files: Callable[[], Awaitable[list[Json]]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._configured = configuration
        self._names = sources
        self._files = files
        self._measuring: asyncio.Task[Json] | None = None
        self._measured: tuple[int, Json] | None = None
        self._proven: dict[ProvenWindow, tuple[int, Json]] = {}

    async def routing(self) -> Json:
        """Who is told of alerts."""
        configured = self._configuration()
        return routing_view(configured.settings.alerts, list(configured.notifiers), self._clock.now_ms())

    async def completeness(self, window: ProvenWindow = "24h") -> Json:
        """What audits have proven by project and hour or day; days, for which all of it is read, for a minute."""
        known = self._proven.get(window)
        if known is not None and self._clock.now_ms() - known[0] < MINUTE_MS:
            return known[1]
        found = await proven(self._store, list(self._names()), self._clock, window)
        if window != "24h":
            self._proven[window] = (self._clock.now_ms(), found)
        return found

    async def configuration(self) -> Json:
        """The configuration as loaded, without secrets."""
        return shown_configuration(self._configuration())

    def _configuration(self) -> Configuration:
        found = self._configured()
        if found is None:
            raise Problem("refused", "nothing is running here; start `headgate run`")
        return found

    async def data(self) -> Json:
        """What is kept, how much and how long; scheduled files, versions and plugins."""
        configured = self._configuration()
        figures = await self._store.figures()
        measured = await self._parts()
        settings = configured.settings.store
        return {
            "store": {
                "url": settings.url,
                "bytes": figures.bytes,
                "max_bytes": settings.max_bytes,
                "level": figures.level,
                "schema": figures.schema,
            },
            **_with_retention(measured, settings.retention),
            "files": await self._files(),
            "versions": await asyncio.to_thread(versions),
            **await asyncio.to_thread(_plugins, configured),
        }

    async def _parts(self) -> Json | None:
        """The newest measurement; None while the first one of a large store goes on."""
        now_ms = self._clock.now_ms()
        if self._measured is None or now_ms - self._measured[0] >= _MEASURED_FOR_MS:
            if self._measuring is None or self._measuring.done():
                self._measuring = asyncio.create_task(self._measure(now_ms))
            done, _ = await asyncio.wait({self._measuring}, timeout=_PATIENCE_SECONDS)
            for task in done:
                self._measured = (now_ms, task.result())
        return self._measured[1] if self._measured else None

    async def _measure(self, now_ms: int) -> Json:
        parts = await self._store.parts()
        since = await self._store.projects_since()
        return {
            "measured_at": format_ms(now_ms),
            "parts": [
                {"part": one.part, "bytes": one.bytes, "oldest": _time(one.oldest_ms), "newest": _time(one.newest_ms)}
                for one in parts
            ],
            "sources": [await self._source(name, since) for name in self._names()],
        }

    async def _source(self, name: str, since: Any) -> Json:
        found = await load_found(self._store, name)
        cursors = await self._store.source_cursors(name)
        slugs = [one.slug for one in found.projects.values()]
        newest = [run.stopped_ms for slug in slugs for run in await self._store.recent_runs(1, project=slug)]
        walked = [one.complete_ms for one in cursors.values() if one.complete_ms is not None]
        return {
            "source": name,
            "projects": len(slugs),
            "oldest": _time(min((since[slug] for slug in slugs if slug in since), default=None)),
            "newest": _time(max(newest, default=None)),
            "last_complete_walk": _time(min(walked, default=None)),
            "last_insights": _time(await last_reading_ms(self._store, name)),
        }


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_ms(ms)


def _with_retention(measured: Json | None, retention: RetentionSettings) -> Json:
    """The measurement with how long each part is kept; `kept` is empty where it is kept for ever."""
    if measured is None:
        return {"measured_at": None, "parts": [], "sources": []}
    kept = {name: text or "" for name, text in retention.model_dump(mode="json").items()}

    def length(part: str) -> str:
        own = _KEPT_WITH.get(part, part)
        return kept.get(own, own)

    return {**measured, "parts": [{**one, "kept": length(one["part"])} for one in measured["parts"]]}


def _plugins(configured: Configuration) -> dict[str, Sequence[Json]]:
    registry = load_plugins()
    used: dict[tuple[str, str], list[str]] = {}
    for chosen in (configured.sources, configured.sinks, configured.notifiers):
        for part in chosen.values():
            used.setdefault((part.plugin.kind, part.plugin.name), []).append(part.name)
    return {
        "plugins": [
            {"kind": kind, "name": name, "used": sorted(used.get((kind, name), []))}
            for kind, name in sorted(registry.plugins)
        ],
        "broken_plugins": [{"origin": one.origin, "problem": one.problem} for one in registry.broken],
    }
