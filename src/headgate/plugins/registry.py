"""Finds plugins: `PLUGINS` in the modules of our own packages, and the entry-point groups of other distributions.

Invariant: finding never raises. A module that cannot be imported or offers nonsense is a `BrokenPlugin`, reported by
`check` and at start, and takes nothing else down; nobody can take the name of a plugin that is already there.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel

from headgate.core.errors import ConfigError
from headgate.core.ports import BuildContext, Plugin, PluginKind

__all__ = ["GROUPS", "BrokenPlugin", "Registry", "build_plugin", "load_plugins"]

# Package that is scanned, which is also the name of the entry-point group -> kind of the plugins in it.
GROUPS: dict[str, PluginKind] = {
    "headgate.sources": "source",
    "headgate.sinks": "sink",
    "headgate.notifiers": "notifier",
    "headgate.detectors": "detector",
}


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A module or entry point that gave no plugin. `origin`: where it was found; `problem`: why, for people."""

    origin: str
    problem: str


@dataclass(frozen=True, slots=True)
class Registry:
    """Every plugin found. `plugins`: (kind, name) -> plugin; `broken`: what was found and cannot be used."""

    plugins: Mapping[tuple[PluginKind, str], Plugin]
    broken: tuple[BrokenPlugin, ...] = ()

    def names(self, kind: PluginKind) -> tuple[str, ...]:
        """Names of one kind, sorted."""
        return tuple(sorted(name for found, name in self.plugins if found == kind))

    def find(self, kind: PluginKind, name: str) -> Plugin:
        """The plugin of that name. Raises ConfigError that names the nearest known one."""
        plugin = self.plugins.get((kind, name))
        if plugin is not None:
            return plugin
        names = self.names(kind)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
        culprits = "".join(f"; {broken.origin} is broken: {broken.problem}" for broken in self.broken)
        raise ConfigError(f"no {kind} of type {name}; {hint}{culprits}")


def build_plugin(plugin: Plugin, name: str, config: Any, context: BuildContext) -> Any:
    """Make an instance. Whatever the plugin raises becomes a ConfigError that names it."""
    try:
        return plugin.build(name, config, context)
    except ConfigError:
        raise
    except ImportError as exc:
        extra = f"; install headgate[{plugin.extra}]" if plugin.extra else ""
        raise ConfigError(f"{plugin.kind} {name} ({plugin.name}) cannot be loaded: {exc}{extra}") from exc
    except Exception as exc:
        raise ConfigError(f"{plugin.kind} {name} ({plugin.name}) cannot be built: {_why(exc)}") from exc


def load_plugins(
    packages: Mapping[str, PluginKind] | None = None, found: Iterable[EntryPoint] | None = None
) -> Registry:
    """Look everywhere. `packages` and `found` stand in for our own packages and the installed entry points."""
    groups = GROUPS if packages is None else packages
    plugins: dict[tuple[PluginKind, str], Plugin] = {}
    broken: list[BrokenPlugin] = []
    offers = [(package, kind, loaded) for package, kind in groups.items() for loaded in _scan(package)]
    for point in _points(groups) if found is None else found:
        if point.group in groups:
            origin = f"entry point {point.name} ({point.value})"
            offers.append((point.group, groups[point.group], (origin, _attempt(point.load))))
    for _, kind, (origin, loaded) in offers:
        for plugin in _accepted(origin, kind, loaded, broken):
            if (kind, plugin.name) in plugins:
                broken.append(BrokenPlugin(origin, f"a {kind} called {plugin.name} exists already"))
            else:
                plugins[kind, plugin.name] = plugin
    return Registry(plugins, tuple(broken))


def _points(groups: Mapping[str, PluginKind]) -> Iterator[EntryPoint]:
    # Each look reads what every installed package offers.
    offered = entry_points()
    for group in groups:
        yield from offered.select(group=group)


def _attempt(load: Any) -> Any:
    """What loading gives, or the exception it ended with; a plugin that calls sys.exit is merely broken."""
    try:
        return load()
    except (Exception, SystemExit) as exc:  # noqa: BLE001  # reported by the caller, with its origin
        return exc


def _scan(package: str) -> Iterator[tuple[str, Any]]:
    root = _attempt(lambda: importlib.import_module(package))
    if isinstance(root, ModuleNotFoundError) and root.name == package:
        return
    if isinstance(root, BaseException):
        yield package, root
        return
    for module in sorted(pkgutil.iter_modules(root.__path__), key=lambda module: module.name):
        if not module.name.startswith("_"):
            name = f"{package}.{module.name}"
            loaded = _attempt(lambda name=name: importlib.import_module(name))
            # A helper module among plugins offers none; that is no fault.
            if isinstance(loaded, BaseException) or hasattr(loaded, "PLUGINS"):
                yield name, loaded


def _accepted(origin: str, kind: PluginKind, loaded: Any, broken: list[BrokenPlugin]) -> Iterator[Plugin]:
    if isinstance(loaded, BaseException):
        broken.append(BrokenPlugin(origin, _why(loaded)))
        return
    offered = getattr(loaded, "PLUGINS", loaded)
    for plugin in offered if isinstance(offered, Sequence) and not isinstance(offered, str) else (offered,):
        problem = _problem(plugin, kind)
        if problem:
            broken.append(BrokenPlugin(origin, problem))
        else:
            yield plugin


def _problem(plugin: object, kind: PluginKind) -> str:
    if not isinstance(plugin, Plugin):
        return f"offers a {type(plugin).__name__}, not a headgate.core.ports.Plugin"
    if plugin.kind != kind:
        return f"{plugin.name} is a {plugin.kind}, found among plugins of kind {kind}"
    config: object = plugin.config
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        return f"{plugin.name} has no pydantic model as its config"
    if not callable(plugin.build):
        return f"{plugin.name} has no callable build"
    return ""


def _why(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"
