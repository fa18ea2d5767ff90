"""Takes a changed configuration into a running daemon: read, validate, build, compare, and only then swap.

Invariant: a configuration that cannot be used changes nothing; a part that is configured as before is not touched.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel

from headgate.app.engines import Engines
from headgate.app.logs import set_level
from headgate.app.serving import Serving
from headgate.app.settings import Configuration, PluginSettings, Settings
from headgate.core.errors import ConfigError
from headgate.core.metrics import Metrics
from headgate.web.operations import Json

__all__ = ["Changes", "Reloader", "compare"]

_log = structlog.get_logger(__name__)


# Sections and keys that a reload applies. Everything else outside the plugins waits for the next start.
_AT_ONCE = frozenset({"alerts", "exports", "reports", "http.access", "http.hosts", "log.level", "store.retention"})
# Where TLS is spoken before and after, with which certificate is taken at once; whether at all waits for a start.
_CERTIFICATES = frozenset({"http.tls", "webhooks.tls"})
_PLUGINS = frozenset({"sources", "sinks", "alerts.notifiers"})


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs. `sources`, `sinks`, `notifiers`: names that were added, removed or changed.

    `keys`: other keys that are applied at once; `restart`: keys that only take effect at the next start. Both sorted.
    """

    sources: frozenset[str]
    sinks: frozenset[str]
    notifiers: frozenset[str]
    keys: tuple[str, ...]
    restart: tuple[str, ...]

    def words(self) -> list[str]:
        """Each change that is applied at once as a key, sorted."""
        found = [f"sources.{name}" for name in self.sources]
        found += [f"sinks.{name}" for name in self.sinks]
        found += [f"alerts.notifiers.{name}" for name in self.notifiers]
        return sorted([*found, *self.keys])


def _differing(old: Mapping[str, PluginSettings], new: Mapping[str, PluginSettings]) -> frozenset[str]:
    return frozenset(name for name in {*old, *new} if old.get(name) != new.get(name))


def _keys(settings: Settings) -> dict[str, Any]:
    """Values of every section by `section.key`; plugins are compared by name instead."""
    found: dict[str, Any] = {}
    for name, section in settings:
        inner = section if isinstance(section, BaseModel) else None
        found |= {f"{name}.{key}": value for key, value in inner} if inner is not None else {name: section}
    return {key: value for key, value in found.items() if key not in _PLUGINS}


def compare(old: Configuration, new: Configuration) -> Changes:
    """What a reload must do. Pure. Rule files are read again at every reload, so they are not compared here."""
    before, after = _keys(old.settings), _keys(new.settings)
    changed = sorted(key for key in after if before[key] != after[key])
    at_once = [key for key in changed if key in _AT_ONCE or key.partition(".")[0] in _AT_ONCE]
    at_once += [key for key in changed if key in _CERTIFICATES and before[key] and after[key]]
    return Changes(
        sources=_differing(old.sources, new.sources),
        sinks=_differing(old.sinks, new.sinks),
        notifiers=_differing(old.notifiers, new.notifiers),
        keys=tuple(sorted(at_once)),
        restart=tuple(key for key in changed if key not in at_once),
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
        """`{"ok", "changed": [key], "restart": [key], "problems": [text]}`. Waits for one that is under way.

        Raises what the store raises and anything unforeseen, counted; the configuration in force stays.
        """
        async with self._one:
            return await self._reload()

    async def _reload(self) -> Json:
        try:
            new = self._reread()
            changes = compare(self.configuration, new)
            self._on_new(new)
            contexts = self._serving.prepare(new)
            prepared = self._engines.prepare(new, changes.sources, changes.sinks, changes.notifiers)
            await self._engines.swap(new, prepared)
        except ConfigError as exc:
            return self._refused(exc)
        except Exception:
            self._metrics.count("headgate_reloads_total", result="failed")
            raise
        self._take(new, contexts)
        self._metrics.count("headgate_reloads_total", result="done")
        _log.info("reloaded", changed=changes.words(), needs_restart=list(changes.restart))
        return {"ok": True, "changed": changes.words(), "restart": list(changes.restart), "problems": []}

    def _refused(self, error: ConfigError) -> Json:
        self._metrics.count("headgate_reloads_total", result="refused")
        for problem in error.problems:
            _log.error("reload refused; the configuration in force stays", problem=problem)
        return {"ok": False, "changed": [], "restart": [], "problems": list(error.problems)}

    def _take(self, new: Configuration, contexts: Mapping[str, ssl.SSLContext]) -> None:
        self._serving.take_webhooks(self._engines.plant.sources)
        self._serving.guard_with(new, contexts)
        set_level(new.settings.log.level)
        self.configuration = new
