"""A strict OTLP/HTTP receiver: `/v1/traces`, `/v1/metrics`, `/v1/logs`, in protobuf and in JSON.

Invariant: a request is refused whole when it cannot be read or breaks a rule (_otlp_rules.py); what is only too old is
refused alone, counted in `partialSuccess`, and the rest kept. A span is kept once by its ids, a log record once by its
contents, what a delta point measured each time, what a cumulative point measured once. Needs opentelemetry-proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.testing.sinks.bodies import (
    BodyRefusedError,
    OversizedBodyError,
    UnreadableBodyError,
    basic_credentials,
    media_type,
    same,
    unpack,
)
from headgate.testing.sinks.vendor import Fake, Vendor, json_reply, render_dates
from headgate.testing.sinks.vendors._otlp_bad import BAD_BODIES
from headgate.testing.sinks.wire import Reply

if TYPE_CHECKING:
    from headgate.testing.sinks.cases import Case
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Request

JSON, PROTOBUF = "application/json", "application/x-protobuf"
PATHS = {"/v1/traces": "traces", "/v1/metrics": "metrics", "/v1/logs": "logs"}
REJECTED = {"traces": "rejectedSpans", "metrics": "rejectedDataPoints", "logs": "rejectedLogRecords"}
RECORD_ID = "headgate.record_id"
CUMULATIVE = 2
INVALID_ARGUMENT, UNAUTHENTICATED, TOO_LARGE = 3, 16, 8  # google.rpc.Code


@dataclass(frozen=True, slots=True)
class OtlpOptions:
    """Options of the fake; the size is a Collector's default."""

    bearer: str | None = field(default=None, metadata={"help": "required bearer token"})
    basic: str | None = field(default=None, metadata={"help": "required user:password"})
    max_body_bytes: int = field(default=20 << 20, metadata={"help": "after unpacking"})
    max_age_seconds: int = field(default=0, metadata={"help": "older is refused by partialSuccess; 0 takes any age"})
    delta_only: bool = field(default=False, metadata={"help": "refuse cumulative metrics, as some products do"})


class Thing(NamedTuple):
    """One span, log record or measured value on its way into the ledger. `key` None: never a duplicate."""

    key: Any
    record_id: str | None
    time_ns: int
    native: dict[str, Any]


class Otlp(Vendor):
    """Judges export requests; state is the last total of each cumulative series."""

    def __init__(self, options: OtlpOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._totals: dict[Any, tuple[int, float]] = {}

    def clear(self) -> None:
        """Forget all totals."""
        self._totals.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request, in the form that it came in."""
        try:
            return self._export(request, leave_out=0)
        except BodyRefusedError as refused:
            return refused.reply

    def answer_case(self, request: Request, case: Case) -> Reply | None:
        """Carry out a partial success: so many are not kept, and the answer counts them by the signal's own name."""
        if case.expect != "partial" or request.path not in PATHS:
            return None
        told = case.body["partialSuccess"]
        count = int(next(value for name, value in told.items() if name in REJECTED.values()))
        try:
            self._export(request, leave_out=count)
        except BodyRefusedError as refused:
            return refused.reply
        body = {REJECTED[PATHS[request.path]]: str(count), "errorMessage": told["errorMessage"]}
        headers = render_dates(case.headers, self._ledger.clock_ms())
        return json_reply(case.status, {"partialSuccess": body}, headers)

    def _export(self, request: Request, leave_out: int) -> Reply:
        kind = media_type(request)
        signal = PATHS.get(request.path)
        if signal is None:
            raise BodyRefusedError(Reply(404, b"404 page not found\n", {"content-type": "text/plain"}))
        if request.method != "POST":
            raise BodyRefusedError(Reply(405, b"405 method not allowed, supported: [POST]", {}))
        self._authorize(request, kind)
        if kind not in (JSON, PROTOBUF):
            text = f"415 unsupported media type {kind}, supported: [{JSON}, {PROTOBUF}]"
            raise BodyRefusedError(Reply(415, text.encode(), {"content-type": "text/plain"}))
        message = self._read(signal, kind, self._unpacked(request, kind))
        things = self._judged(signal, kind, message)
        oldest = self._ledger.clock_ms() - self._options.max_age_seconds * 1000 if self._options.max_age_seconds else 0
        kept = [thing for thing in things if thing.time_ns >= oldest * 1_000_000][leave_out:]
        for thing in kept:
            key = thing.key if thing.key is not None else (id(self), self._ledger.stats.records)
            self._ledger.add(key, thing.record_id, thing.native)
        return _answer(signal, kind, len(things) - len(kept))

    def _authorize(self, request: Request, kind: str) -> None:
        given, options = request.headers.get("authorization", ""), self._options
        wanted = f"Bearer {options.bearer}" if options.bearer else ""
        wanted = basic_credentials(options.basic) if options.basic else wanted
        if wanted and not same(given, wanted):
            raise _refused(401, kind, UNAUTHENTICATED, "authentication didn't succeed")

    def _unpacked(self, request: Request, kind: str) -> bytes:
        encoding, limit = request.headers.get("content-encoding", ""), self._options.max_body_bytes
        if encoding not in ("", "gzip", "deflate"):
            raise _refused(400, kind, INVALID_ARGUMENT, f"unsupported Content-Encoding: {encoding}")
        try:
            return unpack(request.body, "zlib" if encoding == "deflate" else encoding, limit)
        except UnreadableBodyError as error:
            raise _refused(400, kind, INVALID_ARGUMENT, f"{encoding}: {error}") from error
        except OversizedBodyError as error:
            raise _refused(413, kind, TOO_LARGE, "http: request body too large") from error

    def _read(self, signal: str, kind: str, body: bytes) -> Any:
        from headgate.testing.sinks.vendors import _otlp_read as read

        try:
            return (read.read_json if kind == JSON else read.read_protobuf)(signal, body)
        except read.UnreadableError as error:
            raise _refused(400, kind, INVALID_ARGUMENT, str(error)) from error

    def _judged(self, signal: str, kind: str, message: Any) -> list[Thing]:
        """Everything in the request; raises BodyRefusedError at the first thing that is wrong."""
        from headgate.testing.sinks.vendors import _otlp_rules as rules

        judge = {"traces": rules.span_wrong, "metrics": rules.metric_wrong, "logs": rules.log_wrong}[signal]
        found: list[Thing] = []
        totals: dict[Any, tuple[int, float]] = {}
        for resource, one in _each(signal, message):
            wrong = rules.resource_wrong(resource) or judge(one)
            if not wrong and signal == "metrics":
                wrong = self._total_wrong(resource, one, totals)
            if wrong:
                raise _refused(400, kind, INVALID_ARGUMENT, wrong)
            found += _THINGS[signal](resource, one)
        self._totals |= totals
        return found

    def _total_wrong(self, resource: Any, metric: Any, totals: dict[Any, tuple[int, float]]) -> str:
        """A total of one start never falls, nor does its time."""
        data = getattr(metric, metric.WhichOneof("data"))
        if getattr(data, "aggregation_temporality", 0) != CUMULATIVE:
            return ""
        if self._options.delta_only:
            return f"metric {metric.name}: only delta temporality is supported"
        for point in data.data_points:
            total = float(point.count) if hasattr(point, "count") else point.as_double
            key = (_series(resource, metric, point), point.start_time_unix_nano)
            time, before = self._totals.get(key, (0, 0.0))
            if point.time_unix_nano < time or total < before:
                return f"metric {metric.name}: a cumulative series went back"
            totals[key] = (point.time_unix_nano, total)
        return ""


def _each(signal: str, message: Any) -> Iterator[tuple[Any, Any]]:
    """Each span, log record or metric with its resource."""
    names = {
        "traces": ("resource_spans", "scope_spans", "spans"),
        "metrics": ("resource_metrics", "scope_metrics", "metrics"),
        "logs": ("resource_logs", "scope_logs", "log_records"),
    }
    of_resource, of_scope, things = names[signal]
    for group in getattr(message, of_resource):
        for scope in getattr(group, of_scope):
            for one in getattr(scope, things):
                yield group.resource, one


def _series(resource: Any, metric: Any, point: Any) -> tuple[Any, ...]:
    """What tells a series from all others; the order of attributes does not."""
    from headgate.testing.sinks.vendors._otlp_read import attributes_of

    return (
        tuple(sorted(attributes_of(resource.attributes).items())),
        metric.name,
        tuple(sorted((key, str(value)) for key, value in attributes_of(point.attributes).items())),
    )


def _native(resource: Any, one: Any) -> dict[str, Any]:
    """The thing as JSON data, its attributes as maps."""
    from headgate.testing.sinks.vendors._otlp_read import attributes_of, plain

    told = {name: value for name, value in plain(one).items() if name != "attributes"}
    return {
        **told,
        "resource": attributes_of(resource.attributes),
        "attributes": attributes_of(getattr(one, "attributes", ())),
    }


def _span_things(resource: Any, span: Any) -> Iterable[Thing]:
    native = _native(resource, span)
    yield Thing((span.trace_id, span.span_id), native["attributes"].get(RECORD_ID), span.end_time_unix_nano, native)


def _log_things(resource: Any, record: Any) -> Iterable[Thing]:
    native = _native(resource, record)
    yield Thing(
        record.SerializeToString(deterministic=True),
        native["attributes"].get(RECORD_ID),
        record.time_unix_nano,
        native,
    )


def _metric_things(resource: Any, metric: Any) -> Iterable[Thing]:
    """One thing for each exemplar, which is a measured value; one for a point without any."""
    from headgate.testing.sinks.vendors._otlp_read import attributes_of

    data = getattr(metric, metric.WhichOneof("data"))
    folded = getattr(data, "aggregation_temporality", 0) == CUMULATIVE
    for point in data.data_points:
        native = {**_native(resource, point), "metric": metric.name, "unit": metric.unit}
        native.pop("exemplars", None)
        for exemplar in point.exemplars or (None,):
            told = attributes_of(exemplar.filtered_attributes) if exemplar else {}
            record_id = told.get(RECORD_ID)
            key = (_series(resource, metric, point), point.start_time_unix_nano, record_id) if folded else None
            value = {"value": exemplar.as_double} if exemplar else {}
            yield Thing(key, record_id, point.time_unix_nano, {**native, **value})


_THINGS = {"traces": _span_things, "metrics": _metric_things, "logs": _log_things}


def _answer(signal: str, kind: str, rejected: int) -> Reply:
    """200, with what was refused alone, in the form of the request."""
    from headgate.testing.sinks.vendors._otlp_read import message_of

    words = "too old" if rejected else ""
    if kind == JSON:
        partial = {REJECTED[signal]: str(rejected), "errorMessage": words}
        return json_reply(200, {"partialSuccess": partial if rejected else {}})
    answer = message_of(signal, "Response")()
    if rejected:
        name = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}[signal]
        setattr(answer.partial_success, name, rejected)
        answer.partial_success.error_message = words
    return Reply(200, answer.SerializeToString(), {"content-type": PROTOBUF})


def _refused(status: int, kind: str, code: int, text: str) -> BodyRefusedError:
    """A refusal with a `google.rpc.Status` in the form of the request."""
    if kind != PROTOBUF:
        return BodyRefusedError(json_reply(status, {"code": code, "message": text}))
    told = text.encode()[:120]  # its length fits one byte of a varint
    body = bytes((0x08, code, 0x12, len(told))) + told
    return BodyRefusedError(Reply(status, body, {"content-type": PROTOBUF}))


FAKE = Fake(name="otlp", options=OtlpOptions, build=Otlp, bad_bodies=BAD_BODIES)
