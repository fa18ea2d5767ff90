"""New Relic: records as custom events, logs, metrics and spans, each a signal of its own.

Invariant: a 2xx of New Relic says that a request was taken, never that its contents were kept: those are looked at
later, and what is then dropped is told by `NrIntegrationError` events alone. So everything that it is known to drop is
kept from it here: by form (_newrelic_records) and by age (`limits`, _newrelic_traces). It knows no duplicates: a resend
is stored twice.
Source of limits and statuses: docs.newrelic.com, the pages of the four ingest APIs, read November 2026.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, ClassVar, Literal, Self, get_args
from urllib.parse import urlsplit

import orjson
from pydantic import Field, model_validator

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.packing import pack
from headgate.core.ports import BuildContext, CheckResult, HttpReply, HttpRequest, Limits, LogEntry, Plugin
from headgate.core.record import decode_record
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.core.verdicts import SendResult, Verdict, classify, raise_for, retry_after_seconds
from headgate.plugins.config import PluginConfig, Secret, reveal
from headgate.sinks._endpoint import (
    BaseUrl,
    EndpointConfig,
    Redactor,
    failed_check,
    judge_check,
    probe,
    refuse_unprintable,
)
from headgate.sinks._newrelic_metrics import METRIC_KINDS, metrics
from headgate.sinks._newrelic_records import SPAN_KINDS, event, log, span
from headgate.sinks._newrelic_traces import FreshTraces

if TYPE_CHECKING:
    from headgate.sinks._newrelic_client import Address

__all__ = ["PLUGINS", "NewRelicConfig", "NewRelicSignal", "NewRelicSink"]

# 10**6 bytes a request. The documents do not say whether before or after compression; after it is what users report.
_MAX_PACKED_BYTES = 1_000_000
# Limits on requests are per minute, and not every API names a time to wait.
_RATE_LIMITED_SECONDS = 60.0
# For clocks that differ, and for requests in flight.
_MARGIN_MS = 5 * MINUTE_MS
_LOCAL_DOMAINS = frozenset({"internal", "lan", "local", "localhost", "svc", "test"})
_COMMON = {"attributes": {"instrumentation.provider": "headgate"}}

Name = Literal["events", "logs", "metrics", "spans"]
_NAMES: tuple[Name, ...] = get_args(Name)
_Items = Sequence[object]
_Encoder = Callable[[Sequence[LogEntry]], _Items]


class NewRelicEndpoints(PluginConfig):
    """Base addresses, each without the path of its API."""

    metrics: BaseUrl | None = Field(default=None, description="Instead of the region's metric-api host.")
    logs: BaseUrl | None = Field(default=None, description="Instead of the region's log-api host.")
    events: BaseUrl | None = Field(default=None, description="Instead of the region's insights-collector host.")
    traces: BaseUrl | None = Field(default=None, description="Instead of the region's trace-api host.")

    @model_validator(mode="after")
    def _key_stays_private(self) -> Self:
        for base in (self.metrics, self.logs, self.events, self.traces):
            if base is not None and not _may_carry_a_key(base):
                raise ValueError("http is for servers of your own network; write https, for the key goes with it")
        return self


def _may_carry_a_key(base: str) -> bool:
    """Whether an address is encrypted, or that of a server near by: a private address, a bare or local name."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    if parts.scheme == "https" or "." not in host:
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return host.rpartition(".")[2] in _LOCAL_DOMAINS


class NewRelicConfig(EndpointConfig):
    """Options of a New Relic sink."""

    license_key: Secret = Field(description="Licence key of the type INGEST - LICENSE, of the account to send to.")
    account_id: int | None = Field(default=None, ge=1, description="Number of that account; `events` needs it.")
    region: Literal["us", "eu", "fedramp"] = Field(default="us", description="Data centre of the account.")
    endpoints: NewRelicEndpoints = Field(
        default_factory=NewRelicEndpoints, description="Other addresses than the region's."
    )
    signals: frozenset[Name] = Field(
        default=frozenset({"events", "logs", "metrics", "spans"}),
        min_length=1,
        description="What is sent: custom events, `CircleCIWorkflow`, `CircleCIJob` and so on; logs, as the public "
        "CircleCI quickstart reads them; metrics; a span for each workflow, job and step.",
    )
    metric_ids: bool = Field(
        default=False,
        description="Give each metric its record's id instead of summing up by minute: exact, and a series a record.",
    )
    batch_records: int = Field(default=2_000, ge=1, description="Records of one request at most.")
    batch_bytes: int = Field(
        default=4_000_000,
        ge=1_000,
        description="Bytes of one request before compression; after it 1,000,000 are New Relic's limit.",
    )
    gzip: bool = Field(default=True, description="Compress requests.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        refuse_unprintable("license_key", reveal(self.license_key))
        if "events" in self.signals and self.account_id is None:
            raise ValueError("events need account_id; set it, or leave events out of `signals`")
        if "spans" in self.signals and self.region == "fedramp" and self.endpoints.traces is None:
            raise ValueError(
                "no trace host of the region fedramp is known; set endpoints.traces, or leave spans out of `signals`"
            )
        return self

    other_words: ClassVar[Mapping[str, str]] = {**PluginConfig.other_words, **dict.fromkeys(_NAMES, "signals")}


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of data is sent. `key`: of the list in the body, empty where the body is the list."""

    api: Literal["events", "logs", "metrics", "traces"]
    key: str
    kinds: frozenset[str] | None
    max_age_ms: int
    max_ahead_ms: int


# The last of each: a minute ahead for clocks that differ, or what the API takes.
_FORMS: dict[Name, _Form] = {
    "events": _Form("events", "", None, DAY_MS - _MARGIN_MS, MINUTE_MS),
    "logs": _Form("logs", "logs", None, 2 * DAY_MS - _MARGIN_MS, MINUTE_MS),
    "metrics": _Form("metrics", "metrics", METRIC_KINDS, 2 * DAY_MS - _MARGIN_MS, DAY_MS - HOUR_MS),
    # A span's time is its start, of which `SpanSignal.judge` knows more.
    "spans": _Form("traces", "spans", SPAN_KINDS, 20 * MINUTE_MS - MINUTE_MS, MINUTE_MS),
}


class NewRelicSignal:
    """One of New Relic's ingest APIs."""

    def __init__(self, name: Name, config: NewRelicConfig, address: Address, user_agent: str) -> None:
        form = _FORMS[name]
        self.name = name
        self.kinds = form.kinds
        self.destination = address.url
        self.transport = config.transport()
        self._form = form
        self._config = config
        self._clean = redactor(config)
        self._url = address.url
        self._headers = (("user-agent", user_agent), *config.credentials(), *address.headers)
        self._items = _encoders(config)[name]
        self.limits = Limits(
            max_records=config.batch_records,
            max_bytes=config.batch_bytes if config.gzip else min(config.batch_bytes, _MAX_PACKED_BYTES),
            max_age_ms=form.max_age_ms,
            max_ahead_ms=form.max_ahead_ms,
        )

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest | None:
        """The body of one POST; None where no record measures anything.

        Raises BatchRejected (too_large) when it is over the limit even compressed.
        """
        items = self._items(batch)
        if not items:
            return None
        body = self._body(items)
        if self._config.gzip and len(body) > _MAX_PACKED_BYTES and len(pack(body)) > _MAX_PACKED_BYTES:
            raise BatchRejected(f"{len(body)} bytes do not pack into {_MAX_PACKED_BYTES}", reason="too_large")
        return self._request(body)

    def _body(self, items: _Items) -> bytes:
        return orjson.dumps([{"common": _COMMON, self._form.key: items}] if self._form.key else items)

    def _request(self, body: bytes) -> HttpRequest:
        config = self._config
        return HttpRequest(
            "POST", self._url, self._headers, body, gzip=config.gzip, timeout_seconds=config.timeout_seconds
        )

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """200 and 202: accepted, contents looked at later. A 400 names no record, so the engine halves."""
        del batch
        text = self._clean.start(reply)
        if reply.status == 200 and reply.headers.get("content-type", "").startswith("text/html"):
            raise SinkRefused("answered 200 with a web page", reason="config", fix="check the address: not New Relic's")
        wait = retry_after_seconds(reply.headers)
        if reply.status == 429 and wait is None:
            wait = _RATE_LIMITED_SECONDS
        verdict = classify(reply.status)
        fix = "check license_key, account_id and region" if verdict is Verdict.AUTH else ""
        raise_for(verdict, reply.status, text, retry_after=wait, fix=fix)
        return SendResult()

    async def check(self, name: str) -> CheckResult:
        """Send an empty list, which stores nothing, and look at what answers."""
        try:
            request = self._request(self._body([]))
            reply = await probe(
                request.method, request.url, request.headers, self.transport, self._clean, body=request.body
            )
        except (SinkUnavailable, SinkRefused) as error:
            return failed_check(name, error)
        text = self._clean.start(reply, 200)
        rights = "check license_key, account_id and region"
        result = judge_check(name, self.destination, reply, text, f"New Relic's {self.name}", rights=rights)
        if result.ok and not _is_receipt(reply):
            fix = (
                f"{self.destination} answered {reply.status} without a receipt: {text}; the address is not New Relic's"
            )
            result = CheckResult(name, ok=False, reason="wrong_product", fix=fix)
        return result


def _encoders(config: NewRelicConfig) -> dict[Name, _Encoder]:
    """What a batch is to each kind of data."""
    return {
        "events": lambda batch: [event(decode_record(entry.body), entry.occurred_ms) for entry in batch],
        "logs": lambda batch: [log(decode_record(entry.body), entry.occurred_ms) for entry in batch],
        "metrics": lambda batch: metrics((decode_record(entry.body) for entry in batch), ids=config.metric_ids),
        "spans": lambda batch: [span(decode_record(entry.body), entry.occurred_ms) for entry in batch],
    }


def _is_receipt(reply: HttpReply) -> bool:
    """Whether an answer is what New Relic gives for a request that it took: an object with an id of the request."""
    try:
        receipt = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(receipt, dict) and ("requestId" in receipt or "uuid" in receipt)


def redactor(config: NewRelicConfig) -> Redactor:
    """Knows the licence key too."""
    return config.redactor(reveal(config.license_key))


class SpanSignal(NewRelicSignal):
    """The Trace API, which dates a span by its start."""

    def __init__(self, config: NewRelicConfig, address: Address, context: BuildContext) -> None:
        super().__init__("spans", config, address, context.user_agent)
        self._traces = FreshTraces(context.clock, _FORMS["spans"].max_age_ms)

    def judge(self, batch: Sequence[LogEntry], now_ms: int) -> Mapping[int, Literal["too_old", "later"]]:
        """Spans that would be taken and then dropped there."""
        return self._traces.judge(batch, now_ms)

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """As of the other signals; what was taken keeps its traces fresh."""
        result = super().interpret(reply, batch)
        self._traces.seen(batch)
        return result


class NewRelicSink:
    """One account."""

    def __init__(self, name: str, signals: tuple[NewRelicSignal, ...]) -> None:
        self.name = name
        self._signals = signals

    def signals(self) -> Sequence[NewRelicSignal]:
        return self._signals

    async def check(self) -> Sequence[CheckResult]:
        """One line for each signal: they have different hosts."""
        return await asyncio.gather(*(signal.check(f"sinks.{self.name}.{signal.name}") for signal in self._signals))

    async def aclose(self) -> None:
        """Nothing is held open."""


def build(name: str, config: NewRelicConfig, context: BuildContext) -> NewRelicSink:
    """Make the sink and import the official client; no I/O."""
    from headgate.sinks._newrelic_client import address

    def signal(which: Name) -> NewRelicSignal:
        api = _FORMS[which].api
        base = getattr(config.endpoints, api)
        where = address(api, config.region, base, reveal(config.license_key), config.account_id)
        if which == "spans":
            return SpanSignal(config, where, context)
        return NewRelicSignal(which, config, where, context.user_agent)

    return NewRelicSink(name, tuple(signal(one) for one in _NAMES if one in config.signals))


PLUGINS = (Plugin(kind="sink", name="newrelic", config=NewRelicConfig, build=build, extra="newrelic"),)
