"""Which notifiers are told of an alert: routes from top to bottom, the first that matches, more with `continue`.

Invariant: an alert is never left without anybody by mistake. What no route takes goes to the default notifiers, which
are all of them unless the configuration names some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headgate.core.errors import ConfigError
from headgate.insights.match import Matcher, matches, parse_matcher

__all__ = ["RouteConfig", "Routes", "build_routes"]


class RouteConfig(BaseModel):
    """One route. Labels: those of the alert, with alertname, group and severity."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    match: dict[str, str] | list[str] = Field(
        default={},
        description="Labels that must be equal, or a list of matchers such as team=~web|api. Empty takes all.",
    )
    to: tuple[str, ...] = Field(description="Notifiers by name; an empty list tells nobody.")
    continue_: bool = Field(default=False, alias="continue", description="Go on to later routes after this one.")

    @field_validator("match")
    @classmethod
    def _readable(cls, value: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        _matchers(value)
        return value


def _matchers(match: dict[str, str] | list[str]) -> tuple[Matcher, ...]:
    if isinstance(match, Mapping):
        return tuple(Matcher(label, "=", value) for label, value in match.items())
    return tuple(parse_matcher(text) for text in match)


@dataclass(frozen=True, slots=True)
class _Route:
    matchers: tuple[Matcher, ...]
    to: tuple[str, ...]
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes in force. `default`: notifiers of what no route takes."""

    routes: tuple[_Route, ...] = ()
    default: tuple[str, ...] = ()

    def notifiers(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Names of the notifiers to tell, each once, in order."""
        found: dict[str, None] = {}
        matched = False
        for route in self.routes:
            if matches(route.matchers, labels):
                matched = True
                found.update(dict.fromkeys(route.to))
                if not route.goes_on:
                    break
        return tuple(found) if matched else self.default


def build_routes(
    configs: Sequence[RouteConfig], notifiers: Sequence[str], default: Sequence[str] | None = None
) -> Routes:
    """Routes over the named notifiers. Raises ConfigError for a notifier that is not configured."""
    chosen = tuple(notifiers) if default is None else tuple(default)
    problems = [
        f"alerts.routes[{index}].to: no notifier is called {name!r}"
        for index, config in enumerate(configs)
        for name in config.to
        if name not in notifiers
    ]
    problems += [f"alerts.default: no notifier is called {name!r}" for name in chosen if name not in notifiers]
    if problems:
        raise ConfigError(*problems)
    return Routes(tuple(_Route(_matchers(c.match), c.to, c.continue_) for c in configs), chosen)
