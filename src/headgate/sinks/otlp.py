"""Any OTLP/HTTP receiver, such as an OpenTelemetry Collector: traces, metrics and logs, in protobuf or JSON.

Invariant: a request is a function of its batch, cumulative metrics apart, whose totals outlive a batch. Source:
OpenTelemetry Protocol specification, "OTLP/HTTP", read November 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Self, TypeVar, get_args

from pydantic import Field, field_validator, model_validator

from headgate import __version__
from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, HttpRequest, Limits, LogEntry, Plugin
from headgate.core.record import Record, decode_record
from headgate.core.times import HOUR_MS
from headgate.core.verdicts import Reject, SendResult, Verdict, classify, raise_for, retry_after_seconds
from headgate.plugins.config import Duration, PluginConfig
from headgate.sinks._endpoint import BaseUrl, EndpointConfig, failed_check, judge_check, probe
from headgate.sinks._measures import MEASURES
from headgate.sinks._otlp_answers import refusal_words, success
from headgate.sinks._otlp_json import JsonWriter
from headgate.sinks._otlp_model import Resource, Writer
from headgate.sinks._otlp_protobuf import ProtobufWriter
from headgate.sinks._otlp_records import SPAN_KINDS, log_record, resource_of, spans
from headgate.sinks._otlp_series import Cumulative, delta

__all__ = ["PLUGINS", "OtlpConfig", "OtlpSignal", "OtlpSink"]

T = TypeVar("T")
SignalName = Literal["traces", "metrics", "logs"]
_SIGNALS: tuple[SignalName, ...] = get_args(SignalName)
# The body of a request, and how many spans, points or log records it holds.
Encoded = tuple[bytes, int]

_METRIC_KINDS = frozenset({measure.kind for measure in MEASURES} | {"insight"})
# "All other 4xx or 5xx response status codes MUST NOT be retried" but these.
_RETRIED = frozenset({429, 502, 503, 504})
# Totals carry the time of sending, so what is much older than that is left out rather than stamped anew.
_CUMULATIVE_AGE_MS = HOUR_MS
_PARTIAL = "partial_success"


class OtlpEndpoints(PluginConfig):
    """Full addresses that differ from `url` and the usual path."""

    traces: BaseUrl | None = Field(default=None, description="Full address for traces.")
    metrics: BaseUrl | None = Field(default=None, description="Full address for metrics.")
    logs: BaseUrl | None = Field(default=None, description="Full address for logs.")


class OtlpConfig(EndpointConfig):
    """Options of an OTLP sink."""

    url: BaseUrl | None = Field(
        default=None, description="Base address, such as http://collector:4318; `/v1/traces` and so on are appended."
    )
    endpoints: OtlpEndpoints = Field(
        default_factory=OtlpEndpoints, description="Full addresses of single signals, taken as they are."
    )
    signals: frozenset[SignalName] = Field(
        default=frozenset({"traces", "metrics", "logs"}), min_length=1, description="What is sent."
    )
    encoding: Literal["protobuf", "json"] = Field(default="protobuf", description="Form of the bodies.")
    temporality: Literal["delta", "cumulative"] = Field(
        default="delta", description="Metrics tell what was added by each request, or totals since the start."
    )
    max_age: Duration | None = Field(
        default=None,
        description="Older records are skipped as too_old; unset: of any age, cumulative metrics up to 1h.",
    )
    batch_records: int = Field(default=2_000, ge=1, description="Records of one request at most.")
    batch_bytes: int = Field(default=4_000_000, ge=1_000, description="Bytes of one request before compression.")
    gzip: bool = Field(default=True, description="Compress requests.")

    @field_validator("url")
    @classmethod
    def _base(cls, url: str | None) -> str | None:
        for name in _SIGNALS:
            if url and url.endswith(path := f"/v1/{name}"):
                base = url.removesuffix(path)
                raise ValueError(f"the path {path} is appended; write {base}, or move the address to endpoints.{name}")
        return url

    @model_validator(mode="after")
    def _each_has_an_address(self) -> Self:
        for name in sorted(self.signals):
            if not (self.url or getattr(self.endpoints, name)):
                raise ValueError(f"set url, or endpoints.{name}")
        return self

    def address(self, name: SignalName) -> str:
        """Where a signal goes."""
        own: str | None = getattr(self.endpoints, name)
        return own or f"{self.url}/v1/{name}"


class OtlpSignal:
    """One of the three endpoints. `write`: from the records of a batch to a body."""

    def __init__(
        self,
        name: SignalName,
        config: OtlpConfig,
        headers: tuple[tuple[str, str], ...],
        write: Callable[[Sequence[Record]], Encoded],
        *,
        kinds: frozenset[str] | None,
        cumulative: bool = False,
    ) -> None:
        self.name = name
        self.kinds = kinds
        self._config = config
        self._write = write
        self._headers = headers
        self._clean = config.redactor()
        self.destination = config.address(name)
        self.transport = config.transport()
        limits = Limits(config.batch_records, config.batch_bytes, max_age_ms=config.max_age)
        if cumulative:  # totals must arrive in the order in which they were told
            age = _CUMULATIVE_AGE_MS if config.max_age is None else config.max_age
            limits = Limits(config.batch_records, config.batch_bytes, max_age_ms=age, concurrency=1)
        self.limits = limits

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest | None:
        """One export request; None where no record of the batch measures anything."""
        body, count = self._write([decode_record(entry.body) for entry in batch])
        if not count:
            return None
        config = self._config
        return HttpRequest(
            "POST", self.destination, self._headers, body, gzip=config.gzip, timeout_seconds=config.timeout_seconds
        )

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """A success is final, also where it tells of refused spans; of the other statuses only four are tried again.

        The specification knows 200 alone, but some products answer 202.
        """
        verdict = classify(reply.status)
        if verdict is Verdict.OK:
            return self._taken(reply, batch)
        if verdict is Verdict.RETRY and reply.status >= 400 and reply.status not in _RETRIED:
            verdict = Verdict.DROP
        wait = retry_after_seconds(reply.headers)
        raise_for(verdict, reply.status, refusal_words(reply, self._clean), retry_after=wait)
        return SendResult()

    def _taken(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """Everything, unless the answer counts what it refused; it never says which that was.

        A batch of one record, or one of which nothing was taken, leaves no doubt. Elsewhere the records stay accepted
        and the engine counts those that may be missing.
        """
        partial = success(reply, self._clean.start(reply, 200))
        if not partial.rejected:
            return SendResult()
        words = self._clean(partial.message)
        if len(batch) == 1 or partial.rejected >= self._write([decode_record(entry.body) for entry in batch])[1]:
            return SendResult(rejected=dict.fromkeys(range(len(batch)), Reject(_PARTIAL, reply.status, words)))
        return SendResult(unnamed=min(partial.rejected, len(batch)), words=words)


def grouped(records: Sequence[Record], make: Callable[[Record], Sequence[T]]) -> dict[Resource, list[T]]:
    """What is made of each record, by resource, in the order of the records; a resource has at least one."""
    groups: dict[Resource, list[T]] = {}
    for record in records:
        made = make(record)
        if made:
            groups.setdefault(resource_of(record), []).extend(made)
    return groups


class OtlpSink:
    """One receiver with up to three endpoints."""

    def __init__(self, name: str, config: OtlpConfig, context: BuildContext) -> None:
        self.name = name
        self._config = config
        self._writer: Writer = (ProtobufWriter if config.encoding == "protobuf" else JsonWriter)(__version__)
        self._headers = (
            ("user-agent", context.user_agent),
            ("content-type", self._writer.content_type),
            *config.credentials(),
        )
        self._cumulative = Cumulative(context.clock) if config.temporality == "cumulative" else None
        self._signals = tuple(self._signal(one) for one in _SIGNALS if one in config.signals)

    def _signal(self, name: SignalName) -> OtlpSignal:
        config, headers = self._config, self._headers
        match name:
            case "traces":
                return OtlpSignal(name, config, headers, self._traces, kinds=SPAN_KINDS)
            case "metrics":
                totals = self._cumulative is not None
                return OtlpSignal(name, config, headers, self._metrics, kinds=_METRIC_KINDS, cumulative=totals)
            case "logs":
                return OtlpSignal(name, config, headers, self._logs, kinds=None)

    def _traces(self, records: Sequence[Record]) -> Encoded:
        groups = grouped(records, spans)
        return self._writer.traces(groups), sum(map(len, groups.values()))

    def _logs(self, records: Sequence[Record]) -> Encoded:
        return self._writer.logs(grouped(records, lambda record: (log_record(record),))), len(records)

    def _metrics(self, records: Sequence[Record]) -> Encoded:
        groups = delta(records) if self._cumulative is None else self._cumulative.metrics(records)
        count = sum(len(metric.points) for metrics in groups.values() for metric in metrics)
        return self._writer.metrics(groups), count

    def signals(self) -> Sequence[OtlpSignal]:
        return self._signals

    async def check(self) -> Sequence[CheckResult]:
        """Send each endpoint a request that holds nothing, which a receiver answers like any other."""
        config, name = self._config, f"sinks.{self.name}"
        clean = config.redactor()
        nothing = b"" if config.encoding == "protobuf" else b"{}"
        for signal in self._signals:
            url = signal.destination
            try:
                reply = await probe("POST", url, self._headers, config.transport(), clean, body=nothing)
            except (SinkUnavailable, SinkRefused) as error:
                return (failed_check(name, error),)
            judged = judge_check(name, url, reply, refusal_words(reply, clean)[:200], "an OTLP receiver")
            if not judged.ok:
                return (judged,)
        return (CheckResult(name, ok=True, reason="ok"),)

    async def aclose(self) -> None:
        """Nothing is held open."""


def build(name: str, config: OtlpConfig, context: BuildContext) -> OtlpSink:
    """Make the sink; no I/O."""
    return OtlpSink(name, config, context)


PLUGINS = (Plugin(kind="sink", name="otlp", config=OtlpConfig, build=build),)
