"""Datadog: logs, metrics, distributions, events, CI Visibility and DORA deployments, each a signal of its own.

Invariant: one API key, one site; each signal has its own switch, cursor and limits, so one that is refused holds no
other. The vendor's client gives addresses and authentication and is imported only when the sink is built.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson
from pydantic import Field, model_validator

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, Plugin
from headgate.plugins.config import Duration, PluginConfig, Secret, duration_field, reveal
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

_SIGNALS = ("logs", "metrics", "distributions", "events", "ci", "dora")
# Neither product is offered there.
_NOT_FOR_GOVERNMENT = ("ci", "dora")


class Endpoints(PluginConfig):
    """Addresses instead of the site's own, for a proxy or a test server."""

    api: BaseUrl | None = Field(default=None, description="For metrics, distributions, CI, DORA and the key's check.")
    logs: BaseUrl | None = Field(default=None, description="For logs.")
    events: BaseUrl | None = Field(default=None, description="For events.")
    otlp: BaseUrl | None = Field(
        default=None, description="For OTLP, which this sink does not speak: taken, so that one list serves both sinks."
    )


class DatadogConfig(EndpointConfig):
    """Options of a Datadog sink."""

    api_key: Secret = Field(description="API key; an application key is not needed.")
    site: Site = Field(default="datadoghq.com", description="Datadog site, as in the address of your Datadog.")
    endpoints: Endpoints = Field(default_factory=Endpoints, description="Addresses instead of the site's own.")
    logs: bool = Field(default=True, description="Send every record as a log.")
    metrics: bool = Field(default=True, description="Send counts and states as metrics.")
    distributions: bool = Field(default=True, description="Send durations and waits as distributions.")
    events: bool = Field(default=True, description="Send alerts and deployments as events.")
    ci: bool = Field(
        default=False,
        description="Send workflows and jobs to CI Visibility. Datadog's own CircleCI webhook does the same: with "
        "both, every pipeline is there, counted and billed twice.",
    )
    dora: bool = Field(default=False, description="Send deployments that succeeded to DORA Metrics.")
    env: str = Field(default="ci", min_length=1, description="Tag `env` of everything.")
    tags: tuple[str, ...] = Field(default=(), description="Tags of everything, `key:value`.")
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
    metrics_max_age: Duration = duration_field(
        "1h", "Older counts are skipped as too_old; raise it where historical metrics are switched on for them."
    )
    gzip: bool = Field(default=True, description="Compress requests where the endpoint takes it.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not any(getattr(self, name) for name in _SIGNALS):
            raise ValueError(f"switch at least one of {', '.join(_SIGNALS)} on")
        if "ddog-gov" in self.site and (wanted := [name for name in _NOT_FOR_GOVERNMENT if getattr(self, name)]):
            raise ValueError(f"{self.site} does not offer {' and '.join(wanted)}")
        refuse_unprintable("api_key", reveal(self.api_key))
        for one in self.tags:
            name, colon, value = one.partition(":")
            if not (colon and value and tag(name, value)):
                raise ValueError(f"tag {one!r} is not of the form key:value")
        return self

    def look(self) -> Look:
        """What decides how records look."""
        tags = tuple(tag(*one.split(":", 1)) for one in self.tags)
        return Look(self.env, tags, self.compat_metrics, self.count_shards, self.metrics_max_age, self.gzip)


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
            if getattr(config, one)
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
        text, product = self._clean(reply.text(200)), f"Datadog's {route.family} ({self._config.site})"
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
    wanted = {routes[one].family for one in _SIGNALS if getattr(config, one)}
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
