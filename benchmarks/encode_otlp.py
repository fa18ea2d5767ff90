"""Encoding and compressing 10,000 records for OTLP, beside the message classes of opentelemetry-proto."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue

from benchmarks.jobs import Batches, batches, jobs
from benchmarks.report import Row, row
from headgate import __version__
from headgate.core.ports import HttpRequest, HttpSignal, LogEntry
from headgate.core.record import Attribute, Record, decode_record
from headgate.deliver.transport import prepare
from headgate.sinks._otlp_model import SCOPE, Metric, Resource, SeriesPoint
from headgate.sinks._otlp_records import log_record, spans
from headgate.sinks._otlp_series import delta
from headgate.sinks.otlp import PLUGINS, grouped
from headgate.testing.sink_harness import build_sink

BATCH = 2_000
ROUNDS = 5
Attributes = Iterable[tuple[str, Attribute]]


def any_value(value: Attribute) -> AnyValue:
    """A value as the package has it."""
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(array_value=ArrayValue(values=list(map(any_value, value))))


def key_values(pairs: Attributes) -> list[KeyValue]:
    """Attributes as the package has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in pairs]


def frames(groups: Mapping[Resource, Sequence[Any]], found: Any, of_scope: str) -> Iterable[tuple[Any, Any]]:
    """Each thing with the scope message that it belongs into."""
    for resource, things in groups.items():
        group = found.add()
        group.resource.attributes.extend(key_values(resource))
        scope = getattr(group, of_scope).add(scope=InstrumentationScope(name=SCOPE, version=__version__))
        for thing in things:
            yield scope, thing


def package_traces(records: Sequence[Record]) -> bytes:
    """Spans by the package's classes."""
    request = ExportTraceServiceRequest()
    for scope, span in frames(grouped(records, spans), request.resource_spans, "scope_spans"):
        made = scope.spans.add(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_id,
            name=span.name,
            kind=span.kind,
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
            attributes=key_values(span.attributes.items()),
        )
        if span.error is not None:
            made.status.message, made.status.code = span.error, 2
    return bytes(request.SerializeToString())


def package_logs(records: Sequence[Record]) -> bytes:
    """Log records by the package's classes."""
    request = ExportLogsServiceRequest()
    groups = grouped(records, lambda record: (log_record(record),))
    for scope, log in frames(groups, request.resource_logs, "scope_logs"):
        scope.log_records.add(
            time_unix_nano=log.time_ns,
            observed_time_unix_nano=log.observed_ns,
            severity_number=log.severity,
            severity_text=log.severity_text,
            body=any_value(log.body),
            attributes=key_values(log.attributes.items()),
            trace_id=log.trace_id,
            span_id=log.span_id,
            event_name=log.event_name,
        )
    return bytes(request.SerializeToString())


def package_metrics(records: Sequence[Record]) -> bytes:
    """Histograms by the package's classes; jobs measure nothing else."""
    request = ExportMetricsServiceRequest()
    for scope, metric in frames(delta(records), request.resource_metrics, "scope_metrics"):
        made = scope.metrics.add(name=metric.name, description=metric.description, unit=metric.unit)
        made.histogram.aggregation_temporality = metric.temporality
        for point in metric.points:
            _histogram_point(made.histogram.data_points.add(), metric, point)
    return bytes(request.SerializeToString())


def _histogram_point(made: Any, metric: Metric, point: SeriesPoint) -> None:
    made.start_time_unix_nano, made.time_unix_nano = point.start_ns, point.time_ns
    made.count, made.sum, made.min, made.max = point.count, point.value, point.low, point.high
    made.bucket_counts.extend(point.buckets)
    made.explicit_bounds.extend(metric.bounds)
    made.attributes.extend(key_values(point.labels))
    for one in point.exemplars:
        made.exemplars.add(
            time_unix_nano=one.time_ns,
            as_double=one.value,
            trace_id=one.trace_id,
            span_id=one.span_id,
            filtered_attributes=key_values([("headgate.record_id", one.record_id)]),
        )


PEERS: dict[str, Callable[[Sequence[Record]], bytes]] = {
    "traces": package_traces,
    "metrics": package_metrics,
    "logs": package_logs,
}


def signal_of(name: str, encoding: str) -> HttpSignal:
    """One signal of the sink."""
    signal = build_sink(PLUGINS[0], {"url": "http://127.0.0.1:1", "signals": [name], "encoding": encoding}).signals()[0]
    assert isinstance(signal, HttpSignal)
    return signal


def ours(name: str, encoding: str) -> Callable[[Sequence[LogEntry]], bytes]:
    """Our encoding, and the compression of the engine's transport."""
    signal = signal_of(name, encoding)

    def run(batch: Sequence[LogEntry]) -> bytes:
        request = signal.encode(batch)
        assert request is not None
        return prepare(request).body

    return run


def theirs(name: str) -> Callable[[Sequence[LogEntry]], bytes]:
    """The same records, mapping and compression, with the package's classes between."""
    write = PEERS[name]

    def run(batch: Sequence[LogEntry]) -> bytes:
        body = write([decode_record(entry.body) for entry in batch])
        return prepare(HttpRequest("POST", "http://127.0.0.1:1", (), body, gzip=True)).body

    return run


def run(*, long: bool) -> list[Row]:
    """Milliseconds of processor time for all records, the ways in turns; both write the same protobuf."""
    parts = batches(jobs(circleci__queued_at="2026-11-20T09:59:55.800Z"), BATCH)
    rows = []
    for name in PEERS:
        ways = {"protobuf": ours(name, "protobuf"), "json": ours(name, "json"), "package": theirs(name)}
        assert all(ways["protobuf"](batch) == ways["package"](batch) for batch in parts), "the bodies differ"
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS * (4 if long else 1)):
            for way, encode in ways.items():
                taken[way].append(_ms(encode, parts))
        peer = ("opentelemetry-proto", median(taken["package"]))
        rows += [row(f"OTLP {name}, {way}", median(taken[way]), "ms", peer=peer) for way in ("protobuf", "json")]
    return rows


def _ms(encode: Callable[[Sequence[LogEntry]], bytes], parts: Batches) -> float:
    begin = time.process_time()
    for batch in parts:
        encode(batch)
    return (time.process_time() - begin) * 1000
