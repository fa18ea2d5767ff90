"""What a strict backend behind OTLP asks of spans, points and log records, beyond being readable.

Source: OpenTelemetry specification, "Metrics Data Model", and the comments of opentelemetry-proto 1.45 on `span_id`,
`bucket_counts`, `severity_number`, read November 2026; W3C Trace Context for ids. Invariant: pure; each function
returns what is wrong with one thing, empty where nothing is.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

DELTA, CUMULATIVE = 1, 2
MOST_SEVERE = 24
KINDS_OF_SPANS = range(1, 6)
STATUS_CODES = range(3)


def attributes_wrong(pairs: Any) -> str:
    """Keys are given and unique, values are set."""
    seen = set()
    for pair in pairs:
        if not pair.key or pair.key in seen:
            return f"attribute key {pair.key!r} is missing or given twice"
        if pair.value.WhichOneof("value") is None:
            return f"attribute {pair.key} has no value"
        seen.add(pair.key)
    return ""


def resource_wrong(resource: Any) -> str:
    """A resource says which service it is."""
    if not any(pair.key == "service.name" and pair.value.string_value for pair in resource.attributes):
        return "resource without service.name"
    return attributes_wrong(resource.attributes)


def span_wrong(span: Any) -> str:
    """Ids of the right length, not all zero; a name; an end that is not before its start."""
    for name, size in (("trace_id", 16), ("span_id", 8)):
        given = getattr(span, name)
        if len(given) != size or not any(given):
            return f"span with an invalid {name}"
    if len(span.parent_span_id) not in {0, 8} or span.parent_span_id == span.span_id:
        return "span with an invalid parent_span_id"
    if not span.name or span.kind not in KINDS_OF_SPANS or span.status.code not in STATUS_CODES:
        return "span without a name, kind or valid status"
    if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
        return "span ends before it starts"
    if any((len(link.trace_id), len(link.span_id)) != (16, 8) for link in span.links):
        return "span with an invalid link"
    return attributes_wrong(span.attributes)


def log_wrong(record: Any) -> str:
    """A time, a severity of the scale, ids whole or absent."""
    if not (record.time_unix_nano and record.observed_time_unix_nano):
        return "log record without a time"
    if not 0 <= record.severity_number <= MOST_SEVERE or record.body.WhichOneof("value") is None:
        return "log record without a body or with an invalid severity"
    if (len(record.trace_id), len(record.span_id)) not in {(0, 0), (16, 8)}:
        return "log record with invalid ids"
    return attributes_wrong(record.attributes)


def metric_wrong(metric: Any) -> str:
    """One kind of data with at least one point, a temporality where there is one, and sound points."""
    which = metric.WhichOneof("data")
    if not metric.name or which not in {"gauge", "sum", "histogram"}:
        return "metric without a name or data"
    data = getattr(metric, which)
    if which != "gauge" and data.aggregation_temporality not in {DELTA, CUMULATIVE}:
        return f"metric {metric.name} without a temporality"
    if not data.data_points:
        return f"metric {metric.name} without points"
    judge = _histogram_point_wrong if which == "histogram" else _number_point_wrong
    wrong = next(filter(None, (_point_wrong(point, which) or judge(point) for point in data.data_points)), "")
    return f"metric {metric.name}: {wrong}" if wrong else ""


def _point_wrong(point: Any, which: str) -> str:
    if not point.time_unix_nano or (which != "gauge" and not point.start_time_unix_nano):
        return "point without a time"
    if point.start_time_unix_nano > point.time_unix_nano:
        return "point ends before it starts"
    return attributes_wrong(point.attributes)


def _number_point_wrong(point: Any) -> str:
    if point.WhichOneof("value") is None:
        return "point without a value"
    return "" if isfinite(point.as_double) else "value is not a number"


def _histogram_point_wrong(point: Any) -> str:
    if len(point.bucket_counts) != len(point.explicit_bounds) + 1:
        return "bucket_counts must be one more than explicit_bounds"
    if sum(point.bucket_counts) != point.count:
        return "bucket_counts do not add up to count"
    bounds = list(point.explicit_bounds)
    if bounds != sorted(set(bounds)):
        return "explicit_bounds do not ascend"
    return "" if isfinite(point.sum) else "sum is not a number"
