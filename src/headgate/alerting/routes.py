"""Who is told of an alert, and how: a tree of routes, the first match at each level, more with `continue`.

Invariant: an alert is never left without anybody by mistake. What no route takes goes to the default notifiers, which
are all of them unless the configuration names some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from headgate.alerting.digestplan import DigestPlan
from headgate.alerting.inhibition import Inhibition
from headgate.alerting.matching import read_match
from headgate.alerting.mutetimes import MuteTime, MuteTimeConfig
from headgate.core.errors import ConfigError
from headgate.core.times import HOUR_MS, MINUTE_MS
from headgate.insights.match import Matcher, matches
from headgate.plugins.config import Duration

__all__ = [
    "RouteConfig",
    "RouteOptions",
    "Routes",
    "Way",
    "build_routes",
    "group_name",
    "route_notifiers",
]

# Severities that nobody is told of at once where a digest takes them.
BELOW_WARNING = frozenset({"info", "notice", "low", "none", "debug"})
_REPEAT_MS: Mapping[str, int] = {"warning": 24 * HOUR_MS, "critical": 4 * HOUR_MS}


def _by_severity(value: Any) -> Any:
    return value if isinstance(value, Mapping) else dict.fromkeys(_REPEAT_MS, value)


class RouteOptions(BaseModel):
    """How alerts are told; what a route does not say it takes from the route around it, at last from `alerts`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    group_by: tuple[str, ...] | None = Field(
        default=None,
        description="Labels: alerts that agree on them share a message. [] is one group; without: each by itself.",
    )
    group_wait: Duration | None = Field(
        default=None, description="How long the first alert of a group waits; 30s unless said."
    )
    batch_interval: Duration | None = Field(
        default=None, description="Least time between two messages of a group; 5m unless said."
    )
    repeat: (
        Annotated[
            dict[str, Duration], BeforeValidator(_by_severity, json_schema_input_type=Duration | dict[str, Duration])
        ]
        | None
    ) = Field(
        default=None,
        description="When a firing alert is told again, one duration or by severity; 0s is never, and"
        " {warning: 24h, critical: 4h} holds unless said.",
    )
    mute: tuple[str, ...] | None = Field(default=None, description="Names under mute_times; nobody is told then.")
    quiet_new_groups: Duration | None = Field(
        default=None, description="Projects whose first run is not so old are not told of; 0s unless said."
    )


class RouteConfig(RouteOptions):
    """One route. Labels: those of the alert, with alertname, group and severity."""

    match: dict[str, str] | list[str] = Field(
        default={},
        description="Labels that must be equal, or a list of matchers such as team=~web|api. Empty takes all.",
    )
    to: tuple[str, ...] | None = Field(
        default=None, description="Notifiers by name; an empty list tells nobody. May be left out above other routes."
    )
    continue_: bool = Field(default=False, alias="continue", description="Go on to later routes after this one.")
    routes: tuple[RouteConfig, ...] = Field(
        default=(), description="Tried first; what none of them takes is this route's own."
    )

    @field_validator("match")
    @classmethod
    def _readable(cls, value: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        read_match(value)
        return value

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if self.to is None and not self.routes:
            raise ValueError("say `to`: notifiers by name, or [] for nobody")
        return self


@dataclass(frozen=True, slots=True)
class Way:
    """How one notifier hears of an alert. `named`: a route on the way asked for a severity."""

    group_by: tuple[str, ...] | None = None
    group_wait_ms: int = 30_000
    batch_interval_ms: int = 5 * MINUTE_MS
    repeat_ms: Mapping[str, int] = field(default_factory=lambda: _REPEAT_MS)
    mute: tuple[MuteTime, ...] = ()
    quiet_ms: int = 0
    named: bool = False

    def repeat_of(self, severity: str) -> int:
        """Milliseconds after which an alert is told again, 0 for never; an unknown severity is like a warning."""
        return self.repeat_ms.get(severity, self.repeat_ms.get("warning", 0))

    def muted(self, now_ms: int) -> str:
        """Name of the mute time that holds, empty for none."""
        return next((time.name for time in self.mute if time.holds(now_ms)), "")


@dataclass(frozen=True, slots=True)
class _Route:
    matchers: tuple[Matcher, ...]
    to: tuple[str, ...]
    goes_on: bool
    way: Way
    routes: tuple[_Route, ...] = ()

    def take(self, labels: Mapping[str, str], found: dict[str, Way]) -> bool:
        """Add who is told; whether it takes the alert. Who is found twice hears by the first way."""
        if not matches(self.matchers, labels):
            return False
        taken = False
        for route in self.routes:
            if route.take(labels, found):
                taken = True
                if not route.goes_on:
                    break
        if not taken:
            for name in self.to:
                found.setdefault(name, self.way)
        return True

    def all_ways(self) -> list[Way]:
        """Its own way and those below it."""
        return [self.way, *(way for route in self.routes for way in route.all_ways())]


@dataclass(frozen=True, slots=True)
class Routes:
    """Who is told, in force. `names`: of every notifier. `inhibitions`, `digests`: who is not, or later."""

    root: _Route = _Route((), (), goes_on=False, way=Way())
    names: frozenset[str] = frozenset()
    inhibitions: tuple[Inhibition, ...] = ()
    digests: tuple[DigestPlan, ...] = ()

    def ways(self, labels: Mapping[str, str]) -> dict[str, Way]:
        """Notifiers to tell, each once, in order, and how."""
        found: dict[str, Way] = {}
        self.root.take(labels, found)
        return found

    def notifiers(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Names of the notifiers to tell, each once, in order."""
        return tuple(self.ways(labels))

    def longest_interval_ms(self) -> int | None:
        """The longest time between messages of a group, None where nothing is grouped."""
        return max((way.batch_interval_ms for way in self.root.all_ways() if way.group_by is not None), default=None)

    def longest_quiet_ms(self) -> int:
        """How old a project must be to be told of everywhere; 0 where age does not matter."""
        return max(way.quiet_ms for way in self.root.all_ways())


def group_name(way: Way, labels: Mapping[str, str]) -> str:
    """What the outbox knows the alert's group by: JSON of its labels; empty for an alert by itself."""
    if way.group_by is None:
        return ""
    return msgspec.json.encode({name: labels.get(name, "") for name in sorted(way.group_by)}).decode()


def _way(options: RouteOptions, around: Way, mute_times: Mapping[str, MuteTime]) -> Way:
    """What a route says over what is said around it."""
    said: dict[str, Any] = {
        "group_by": options.group_by,
        "group_wait_ms": options.group_wait,
        "batch_interval_ms": options.batch_interval,
        "repeat_ms": None if options.repeat is None else {**around.repeat_ms, **options.repeat},
        "mute": None if options.mute is None else tuple(mute_times[name] for name in options.mute),
        "quiet_ms": options.quiet_new_groups,
    }
    return replace(around, **{name: value for name, value in said.items() if value is not None})


def _route(config: RouteConfig, around: _Route, mute_times: Mapping[str, MuteTime]) -> _Route:
    matchers = read_match(config.match)
    way = _way(config, around.way, mute_times)
    if any(matcher.label == "severity" for matcher in matchers):
        way = replace(way, named=True)
    to = around.to if config.to is None else config.to
    route = _Route(matchers, to, config.continue_, way)
    return replace(route, routes=tuple(_route(one, route, mute_times) for one in config.routes))


def route_notifiers(configs: Sequence[RouteConfig]) -> list[tuple[tuple[str | int, ...], tuple[str, ...]]]:
    """Every `to` with its key path, from the list of routes on."""
    found: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = []
    for index, config in enumerate(configs):
        found.append(((index, "to"), config.to or ()))
        found += [((index, "routes", *path), names) for path, names in route_notifiers(config.routes)]
    return found


def _unknown_mutes(configs: Sequence[RouteConfig], known: Mapping[str, Any], path: str) -> list[str]:
    problems: list[str] = []
    for index, config in enumerate(configs):
        here = f"{path}[{index}]"
        problems += [f"{here}.mute: no mute time is called {name!r}" for name in config.mute or () if name not in known]
        problems += _unknown_mutes(config.routes, known, f"{here}.routes")
    return problems


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def build_routes(
    configs: Sequence[RouteConfig],
    notifiers: Sequence[str],
    default: Sequence[str] | None = None,
    *,
    options: RouteOptions | None = None,
    mute_times: Mapping[str, MuteTimeConfig] | None = None,
) -> Routes:
    """Routes over the named notifiers. Raises ConfigError for a notifier or mute time that is not configured."""
    chosen = tuple(notifiers) if default is None else tuple(default)
    options, times = options or RouteOptions(), mute_times or {}
    problems = [
        f"alerts.routes{_dotted(path)}: no notifier is called {name!r}"
        for path, names in route_notifiers(configs)
        for name in names
        if name not in notifiers
    ]
    problems += [f"alerts.default: no notifier is called {name!r}" for name in chosen if name not in notifiers]
    problems += [f"alerts.mute: no mute time is called {name!r}" for name in options.mute or () if name not in times]
    problems += _unknown_mutes(configs, times, "alerts.routes")
    if problems:
        raise ConfigError(*problems)
    built = {name: config.built(name) for name, config in times.items()}
    root = _Route((), chosen, goes_on=False, way=_way(options, Way(), built))
    return Routes(replace(root, routes=tuple(_route(config, root, built) for config in configs)), frozenset(notifiers))
