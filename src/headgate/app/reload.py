"""Takes a changed configuration into a running daemon: read, validate, build, compare, and only then swap.

Invariant: a configuration that cannot be used changes nothing; a part that is configured as before is not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from headgate.app.engines import Engines, Prepared
from headgate.app.logs import set_level
from headgate.app.serving import Serving
from headgate.app.settings import Configuration, PluginSettings
from headgate.core.errors import ConfigError
from headgate.core.metrics import Metrics
from headgate.web.operations import Json

__all__ = ["Changes", "Reloader", "compare"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs. `sources`, `sinks`, `notifiers`: names that were added, removed or changed.

    `restart`: keys that only take effect at the next start.
    """

    sources: frozenset[str]
    sinks: frozenset[str]
    notifiers: frozenset[str]
    alerts: bool
    http: bool
    log: bool
    restart: tuple[str, ...]

    def words(self) -> list[str]:
        """Each change as a key, sorted."""
        found = [f"sources.{name}" for name in self.sources]
        found += [f"sinks.{name}" for name in self.sinks]
        found += [f"alerts.notifiers.{name}" for name in self.notifiers]
        found += [
            word for word, changed in (("alerts", self.alerts), ("http", self.http), ("log", self.log)) if changed
        ]
        return sorted(found)


def _differing(old: Mapping[str, PluginSettings], new: Mapping[str, PluginSettings]) -> frozenset[str]:
    return frozenset(name for name in {*old, *new} if old.get(name) != new.get(name))


def compare(old: Configuration, new: Configuration) -> Changes:
    """What a reload must do. Pure. Rule files are read again at every reload, so they are not compared here."""
    before, after = old.settings, new.settings
    restart = (
        ("store.url", before.store.url, after.store.url),
        ("store.max_bytes", before.store.max_bytes, after.store.max_bytes),
        ("http.listen", before.http.listen, after.http.listen),
        ("webhooks.listen", before.webhooks.listen, after.webhooks.listen),
        ("log.format", before.log.format, after.log.format),
    )
    return Changes(
        sources=_differing(old.sources, new.sources),
        sinks=_differing(old.sinks, new.sinks),
        notifiers=_differing(old.notifiers, new.notifiers),
        alerts=(before.alerts.rules, before.alerts.routes) != (after.alerts.rules, after.alerts.routes),
        http=(before.http.access, before.http.hosts) != (after.http.access, after.http.hosts),
        log=before.log.level != after.log.level,
        restart=tuple(key for key, was, now in restart if was != now),
    )


class Reloader:
    """Swaps configurations, one reload at a time. `configuration`: the one in force."""

    def __init__(
        self,
        configuration: Configuration,
        reread: Callable[[], Configuration],
        engines: Engines,
        serving: Serving,
        *,
        metrics: Metrics,
        on_new: Callable[[Configuration], None],
    ) -> None:
        self.configuration = configuration
        self._reread = reread
        self._engines = engines
        self._serving = serving
        self._metrics = metrics
        self._on_new = on_new
        self._one = asyncio.Lock()

    async def reload(self) -> Json:
        """`{"ok", "changed": [key], "restart": [key], "problems": [text]}`. Waits for one that is under way."""
        async with self._one:
            return await self._reload()

    async def _reload(self) -> Json:
        try:
            new = self._reread()
            changes = compare(self.configuration, new)
            self._on_new(new)
            prepared = self._engines.prepare(new, changes.sources, changes.sinks, changes.notifiers)
        except ConfigError as exc:
            return self._refused(exc)
        await self._swap(new, changes, prepared)
        self._metrics.count("headgate_reloads_total", result="done")
        _log.info("reloaded", changed=changes.words(), needs_restart=list(changes.restart))
        return {"ok": True, "changed": changes.words(), "restart": list(changes.restart), "problems": []}

    def _refused(self, error: ConfigError) -> Json:
        self._metrics.count("headgate_reloads_total", result="refused")
        for problem in error.problems:
            _log.error("reload refused; the configuration in force stays", problem=problem)
        return {"ok": False, "changed": [], "restart": [], "problems": list(error.problems)}

    async def _swap(self, new: Configuration, changes: Changes, prepared: Prepared) -> None:
        await self._engines.swap(new, prepared)
        self._serving.take_webhooks(self._engines.plant.sources)
        if changes.http:
            self._serving.guard_with(new)
        if changes.log:
            set_level(new.settings.log.level)
        self.configuration = new
