"""The composition root: the only place that names adapters and joins them with engines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headgate import __version__
from headgate.app.settings import Configuration, PluginSettings, Settings
from headgate.core.clock import Clock
from headgate.core.errors import ConfigError, StoreError
from headgate.core.metrics import Metrics
from headgate.core.ports import BuildContext, CallNotifier, Notifier, Signal, Sink, Source
from headgate.core.storeport import Store
from headgate.plugins import build_plugin

__all__ = [
    "Plant",
    "build_parts",
    "build_plant",
    "context_of",
    "make_store",
    "make_store_directory",
    "restore_store",
    "signals_of",
]


@dataclass(frozen=True, slots=True)
class Plant:
    """Every configured plugin, built. Owned by whoever built it; `aclose` frees all."""

    sources: dict[str, Source] = field(default_factory=dict)
    sinks: dict[str, Sink] = field(default_factory=dict)
    notifiers: dict[str, Notifier | CallNotifier] = field(default_factory=dict)

    async def aclose(self) -> None:
        """Free all connections."""
        for source in self.sources.values():
            await source.aclose()
        for sink in self.sinks.values():
            await sink.aclose()


def context_of(clock: Clock, metrics: Metrics) -> BuildContext:
    """What every plugin is given."""
    return BuildContext(clock=clock, metrics=metrics, user_agent=f"headgate/{__version__}")


def build_parts(chosen: Iterable[PluginSettings], context: BuildContext) -> dict[str, Any]:
    """Build plugins of one kind. Raises ConfigError with every problem; a missing client names its extra."""
    built: dict[str, Any] = {}
    problems: list[str] = []
    for part in chosen:
        try:
            built[part.name] = build_plugin(part.plugin, part.name, part.config, context)
        except ConfigError as exc:
            problems += [_with_install(part, problem) for problem in exc.problems]
    if problems:
        raise ConfigError(*problems)
    return built


def _with_install(part: PluginSettings, problem: str) -> str:
    extra = part.plugin.extra
    hint = f"; install headgate[{extra}]"
    if extra and problem.endswith(hint):
        return problem.removesuffix(hint) + f"; pip install 'headgate[{extra}]'"
    return problem


def build_plant(configuration: Configuration, clock: Clock, metrics: Metrics) -> Plant:
    """Build everything that is configured; no I/O. Raises ConfigError."""
    context = context_of(clock, metrics)
    built: dict[str, Mapping[str, Any]] = {}
    problems: list[str] = []
    for kind, chosen in (
        ("sources", configuration.sources),
        ("sinks", configuration.sinks),
        ("notifiers", configuration.notifiers),
    ):
        try:
            built[kind] = build_parts(chosen.values(), context)
        except ConfigError as exc:
            problems += exc.problems
    if problems:
        raise ConfigError(*problems)
    return Plant(dict(built["sources"]), dict(built["sinks"]), dict(built["notifiers"]))


def signals_of(sinks: Mapping[str, Sink]) -> dict[str, Signal]:
    """Every signal of sinks by its key."""
    return {f"{name}.{signal.name}": signal for name, sink in sinks.items() for signal in sink.signals()}


def make_store(settings: Settings, clock: Clock, metrics: Metrics, *, repair: bool = True) -> Store:
    """The store of the settings, not yet open. `repair`: a damaged one is salvaged; without, it is refused."""
    from headgate.store import Quota, SqliteStore

    quota = Quota(max_bytes=settings.store.max_bytes)
    return SqliteStore(settings.store.path, clock=clock, metrics=metrics, quota=quota, repair=repair)


def restore_store(backup: Path, path: Path) -> None:
    """Put a backup where the store belongs. Raises StoreError when there is one already or the backup is damaged."""
    from headgate.store import restore

    restore(backup, path)


def make_store_directory(path: Path) -> None:
    """The directory that the store will be in. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"{path.parent}: cannot be made: {exc.strerror or exc}; let this user write there") from exc
