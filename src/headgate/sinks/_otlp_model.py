"""What OTLP is made of, as plain values that both encodings write: resources, spans, log records, series.

Times are nanoseconds since the epoch. Source: opentelemetry-proto 1.45, `trace`, `logs`, `metrics` and `resource`, read
November 2026. Invariant: nothing here knows of CircleCI or of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from headgate.core.record import Attribute

__all__ = [
    "DELTA_TEMPORALITY",
    "INTERNAL",
    "NS_PER_MS",
    "SCOPE",
    "SERVER",
    "Exemplar",
    "LogRecord",
    "Metric",
    "Resource",
    "SeriesPoint",
    "Span",
    "Writer",
]

NS_PER_MS = 1_000_000
# Enum SpanKind.
INTERNAL, SERVER = 1, 2
# Enum AggregationTemporality.
DELTA_TEMPORALITY = 1
# The instrumentation scope that everything belongs to.
SCOPE = "headgate"

# Attributes of what a record is about, sorted; hashable, because records of one resource travel together.
Resource = tuple[tuple[str, str], ...]


class Span(NamedTuple):
    """One span. `parent_id`: empty for a root. `link`: trace and span that this one repeats. `error`: why it failed."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute]
    link: tuple[bytes, bytes] | None = None
    error: str | None = None


class LogRecord(NamedTuple):
    """One log record. `trace_id` and `span_id` are empty where the record belongs to no run."""

    time_ns: int
    observed_ns: int
    severity: int
    severity_text: str
    body: str
    event_name: str
    attributes: Mapping[str, Attribute]
    trace_id: bytes
    span_id: bytes


class Exemplar(NamedTuple):
    """One record behind a point: its value, and the trace and span where it can be looked at."""

    time_ns: int
    value: float
    trace_id: bytes
    span_id: bytes
    record_id: str


@dataclass(slots=True)
class SeriesPoint:
    """One data point. `buckets`: counts of a histogram, one more than its bounds; empty for other instruments.

    `value`: the sum of a histogram or counter, or a gauge's state. `count`, `low`, `high`: of a histogram.
    `start_ns`: what was measured after it is in the point; 0 for a gauge.
    """

    labels: tuple[tuple[str, str], ...]
    start_ns: int
    time_ns: int
    value: float
    count: int
    low: float
    high: float
    buckets: list[int]
    exemplars: list[Exemplar]


class Metric(NamedTuple):
    """One metric with the points of a request. `temporality`: of the enum; 0 for a gauge."""

    name: str
    unit: str
    description: str
    instrument: Literal["histogram", "counter", "gauge"]
    temporality: int
    bounds: Sequence[float]
    points: Sequence[SeriesPoint]


class Writer(Protocol):
    """One encoding. The same values give the same bytes."""

    content_type: str

    def traces(self, groups: Mapping[Resource, Sequence[Span]]) -> bytes:
        """An ExportTraceServiceRequest."""
        ...

    def metrics(self, groups: Mapping[Resource, Sequence[Metric]]) -> bytes:
        """An ExportMetricsServiceRequest."""
        ...

    def logs(self, groups: Mapping[Resource, Sequence[LogRecord]]) -> bytes:
        """An ExportLogsServiceRequest."""
        ...
