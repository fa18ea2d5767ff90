"""OTLP in JSON: ids in hex, enums as numbers, 64-bit integers as text.

Source: OpenTelemetry Protocol specification, "JSON Protobuf Encoding", read November 2026. Invariant: no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec

from headgate.core.record import Attribute
from headgate.sinks._otlp_model import SCOPE, Exemplar, LogRecord, Metric, Resource, SeriesPoint, Span

__all__ = ["JsonWriter"]

T = TypeVar("T")
_Json = dict[str, object]
_encode = msgspec.json.Encoder().encode
_ERROR = 2  # enum StatusCode


def _value(value: Attribute) -> _Json:
    """An AnyValue."""
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"arrayValue": {"values": [{"stringValue": item} for item in value]}}


# Text that repeats is most of a body; only text is kept, because 1, 1.0 and true are one key of a cache.
@lru_cache(maxsize=32_768)
def _text_attribute(key: str, value: str) -> msgspec.Raw:
    return msgspec.Raw(_encode({"key": key, "value": _value(value)}))


def _attributes(attributes: Iterable[tuple[str, Attribute]]) -> list[_Json | msgspec.Raw]:
    return [
        _text_attribute(key, value) if isinstance(value, str) else {"key": key, "value": _value(value)}
        for key, value in attributes
    ]


def _span(span: Span) -> _Json:
    out: _Json = {"traceId": span.trace_id.hex(), "spanId": span.span_id.hex()}
    if span.parent_id:
        out["parentSpanId"] = span.parent_id.hex()
    out |= {
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes.items()),
    }
    if span.link:
        out["links"] = [{"traceId": span.link[0].hex(), "spanId": span.link[1].hex()}]
    if span.error is not None:
        out["status"] = {"message": span.error, "code": _ERROR}
    return out


def _log(record: LogRecord) -> _Json:
    out: _Json = {
        "timeUnixNano": str(record.time_ns),
        "observedTimeUnixNano": str(record.observed_ns),
        "severityNumber": record.severity,
        "severityText": record.severity_text,
        "body": {"stringValue": record.body},
        "attributes": _attributes(record.attributes.items()),
        "eventName": record.event_name,
    }
    if record.trace_id:
        out |= {"traceId": record.trace_id.hex(), "spanId": record.span_id.hex()}
    return out


def _exemplar(one: Exemplar) -> _Json:
    out: _Json = {"timeUnixNano": str(one.time_ns), "asDouble": one.value}
    if one.trace_id:
        out |= {"traceId": one.trace_id.hex(), "spanId": one.span_id.hex()}
    out["filteredAttributes"] = _attributes([("headgate.record_id", one.record_id)])
    return out


def _point(point: SeriesPoint) -> _Json:
    """What all points have."""
    out: _Json = {"attributes": _attributes(point.labels), "timeUnixNano": str(point.time_ns)}
    if point.start_ns:
        out["startTimeUnixNano"] = str(point.start_ns)
    if point.exemplars:
        out["exemplars"] = [_exemplar(one) for one in point.exemplars]
    return out


def _histogram_point(point: SeriesPoint, bounds: Sequence[float]) -> _Json:
    return _point(point) | {
        "count": str(point.count),
        "sum": point.value,
        "bucketCounts": [str(count) for count in point.buckets],
        "explicitBounds": bounds,
        "min": point.low,
        "max": point.high,
    }


def _metric(metric: Metric) -> _Json:
    out: _Json = {"name": metric.name, "description": metric.description, "unit": metric.unit}
    if metric.instrument == "histogram":
        points = [_histogram_point(point, metric.bounds) for point in metric.points]
        out["histogram"] = {"dataPoints": points, "aggregationTemporality": metric.temporality}
        return out
    points = [{**_point(point), "asDouble": point.value} for point in metric.points]
    if metric.instrument == "gauge":
        out["gauge"] = {"dataPoints": points}
    else:
        out["sum"] = {"dataPoints": points, "aggregationTemporality": metric.temporality, "isMonotonic": True}
    return out


class JsonWriter:
    """Writes `application/json`. `version`: of Headgate, said in the scope."""

    content_type = "application/json"

    def __init__(self, version: str) -> None:
        self._scope = {"name": SCOPE, "version": version}

    def traces(self, groups: Mapping[Resource, Sequence[Span]]) -> bytes:
        return self._request(groups, ("resourceSpans", "scopeSpans", "spans"), _span)

    def metrics(self, groups: Mapping[Resource, Sequence[Metric]]) -> bytes:
        return self._request(groups, ("resourceMetrics", "scopeMetrics", "metrics"), _metric)

    def logs(self, groups: Mapping[Resource, Sequence[LogRecord]]) -> bytes:
        return self._request(groups, ("resourceLogs", "scopeLogs", "logRecords"), _log)

    def _request(
        self, groups: Mapping[Resource, Sequence[T]], names: tuple[str, str, str], write: Callable[[T], _Json]
    ) -> bytes:
        of_resource, of_scope, things = names
        found = [
            {
                "resource": {"attributes": _attributes(resource)},
                of_scope: [{"scope": self._scope, things: [write(one) for one in many]}],
            }
            for resource, many in groups.items()
        ]
        return _encode({of_resource: found})
