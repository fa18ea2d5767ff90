"""Datadog: logs, metrics, distributions, events, CI Visibility and DORA deployments, each a signal of its own.

Invariant: one API key, one site; each signal has its own switch, cursor and limits, so one that is refused holds no
other. The vendor's client gives addresses and authentication and is imported only when the sink is built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import orjson
from pydantic import Field, model_validator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, Plugin
from headgate.plugins.config import Duration, PluginConfig, Secret, reveal
from headgate.plugins.datadog import Site, tag
from headgate.sinks._datadog_signals import DatadogSignal, Look, shape_of
from headgate.sinks._endpoint import (
    BaseUrl,
    EndpointConfig,
    Redactor,
    failed_check,
    judge_check,
    probe,
    refuse_unprintable,
)

if TYPE_CHECKING:
    from headgate.sinks._datadog_client import Route

__all__ = ["PLUGINS", "DatadogConfig", "DatadogSink", "Endpoints"]

SignalName = Literal["logs", "metrics", "distributions", "events", "ci", "dora"]
_SIGNALS: tuple[SignalName, ...] = get_args(SignalName)
# Neither product is offered there.
_NOT_FOR_GOVERNMENT: tuple[SignalName, ...] = ("ci", "dora")


class Endpoints(PluginConfig):
    """Addresses instead of the site's own, for a proxy or a test server."""

    api: BaseUrl | None = Field(default=None, description="For metrics, distributions, CI, DORA and the key's check.")
    logs: BaseUrl | None = Field(default=None, description="For logs.")
    events: BaseUrl | None = Field(default=None, description="For events.")


class DatadogConfig(EndpointConfig):
    """Options of a Datadog sink."""

    api_key: Secret = Field(description="API key; an application key is not needed.")
    site: Site = Field(default="datadoghq.com", description="Datadog site, as in the address of your Datadog.")
    endpoints: Endpoints = Field(default_factory=Endpoints, description="Addresses instead of the site's own.")
    signals: frozenset[SignalName] = Field(
        default=frozenset({"logs", "metrics", "distributions", "events"}),
        min_length=1,
        description="What is sent. `ci` is CI Visibility, which Datadog's own CircleCI webhook fills too: with both, "
        "every pipeline is there, counted and billed twice. `dora`: deployments that succeeded, for DORA Metrics.",
    )
    env: str = Field(default="ci", min_length=1, description="Tag `env` of everything.")
    tags: Mapping[str, str] = Field(default_factory=dict, description="Tag -> value, of everything.")
    compat_metrics: bool = Field(
        default=False, description="The metric names of Datadog's CircleCI integration too, for its dashboards."
    )
    count_shards: int = Field(
        default=10,
        ge=1,
        le=100,
        description="Places that a second has for counts; more for more than ten records a second, at the price of as "
        "many custom metrics.",
    )
    max_age: Duration | None = Field(
        default=None,
        description="Older records are skipped as too_old; unset: what each intake takes. More than that is of use for "
        "`metrics` alone, where historical metrics are switched on for them (unset: 1h).",
    )
    gzip: bool = Field(default=True, description="Compress requests where the endpoint takes it.")

    other_words: ClassVar[Mapping[str, str]] = {**PluginConfig.other_words, **dict.fromkeys(_SIGNALS, "signals")}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if "ddog-gov" in self.site and (wanted := [name for name in _NOT_FOR_GOVERNMENT if name in self.signals]):
            raise ValueError(f"{self.site} does not offer {' and '.join(wanted)}")
        refuse_unprintable("api_key", reveal(self.api_key))
        for name, value in self.tags.items():
            if not (value and name[:1].isalpha()):
                raise ValueError(f"tag {name!r} has no name that begins with a letter, or no value")
        return self

    def look(self) -> Look:
        """What decides how records look."""
        tags = tuple(tag(name, value) for name, value in self.tags.items())
        return Look(self.env, tags, self.compat_metrics, self.count_shards, self.max_age, self.gzip)


class DatadogSink:
    """One Datadog organisation."""

    def __init__(self, name: str, config: DatadogConfig, routes: dict[str, Route]) -> None:
        self.name = name
        self._config = config
        self._clean = redactor(config)
        self._probes = probes(config, routes)
        look = config.look()
        self._signals = tuple(
            DatadogSignal(one, shape_of(one, look), routes[one], config, self._clean)
            for one in _SIGNALS
            if one in config.signals
        )

    def signals(self) -> Sequence[DatadogSignal]:
        return self._signals

    async def check(self) -> Sequence[CheckResult]:
        """One line for each address that a signal goes to; nothing is stored."""
        return await asyncio.gather(*(self._probed(one) for one in self._probes))

    async def _probed(self, one: Probe) -> CheckResult:
        name, route = f"sinks.{self.name}.{one.route.family}", one.route
        try:
            reply = await probe(
                route.method, route.url, route.headers, self._config.transport(), self._clean, body=one.body
            )
        except (SinkUnavailable, SinkRefused) as error:
            return failed_check(name, error)
        if one.alive(reply):
            return CheckResult(name, ok=True, reason="ok")
        text, product = self._clean.start(reply, 200), f"Datadog's {route.family} ({self._config.site})"
        result = judge_check(name, route.url, reply, text, product, rights="check api_key and site")
        if result.ok:
            fix = f"{route.url} answered {reply.status}: {text}; the address is not that of {product}"
            result = CheckResult(name, ok=False, reason="wrong_product", fix=fix)
        return result

    async def aclose(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A call that stores nothing. `alive`: whether an answer is what that endpoint of Datadog gives to it."""

    route: Route
    body: bytes | None
    alive: Callable[[HttpReply], bool]


def probes(config: DatadogConfig, routes: dict[str, Route]) -> tuple[Probe, ...]:
    """One for each address of the signals that are on: `validate` where the API is, else what has nothing in it."""
    known = {
        "api": Probe(routes["validate"], None, _says_valid),
        "logs": Probe(routes["logs"], b"[]", _takes_or_refuses_nothing),
        "events": Probe(routes["events"], b"{}", _takes_or_refuses_nothing),
    }
    api = known["api"].route.base
    wanted = {routes[one].family for one in _SIGNALS if one in config.signals}
    families = dict.fromkeys("api" if known[one].route.base == api else one for one in known if one in wanted)
    return tuple(known[one] for one in families)


def _says_valid(reply: HttpReply) -> bool:
    return reply.status == 200 and _object(reply).get("valid") is True


def _takes_or_refuses_nothing(reply: HttpReply) -> bool:
    """An intake says 202 to an empty list, or in its own form what is missing; a key that it refuses is neither."""
    told = _object(reply)
    return (reply.status == 202 and told in ({}, {"errors": []})) or (
        reply.status == 400 and isinstance(told.get("errors"), list)
    )


def _object(reply: HttpReply) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is something else."""
    try:
        told = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def redactor(config: DatadogConfig) -> Redactor:
    """Knows the API key too."""
    return config.redactor(reveal(config.api_key))


def build(name: str, config: DatadogConfig, context: BuildContext) -> DatadogSink:
    """Make the sink and import the vendor's client; no I/O."""
    from headgate.sinks._datadog_client import routes

    endpoints = config.endpoints
    bases = {"api": endpoints.api, "logs": endpoints.logs, "events": endpoints.events}
    named = {family: base for family, base in bases.items() if base}
    headers = (("user-agent", context.user_agent), *config.credentials())
    return DatadogSink(name, config, routes(config.site, reveal(config.api_key), named, headers))


PLUGINS = (Plugin(kind="sink", name="datadog", config=DatadogConfig, build=build, extra="datadog"),)
