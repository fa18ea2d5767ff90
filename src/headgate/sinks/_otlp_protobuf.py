"""OTLP in protobuf, written by hand: the messages are few and small, and most of their parts come again and again.

Field numbers: opentelemetry-proto 1.45, read November 2026; the tests decode every body with that package. Invariant:
no I/O, and no generated class is needed to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import TypeVar

from headgate.core.record import Attribute
from headgate.sinks._otlp_model import SCOPE, Exemplar, LogRecord, Metric, Resource, SeriesPoint, Span

__all__ = ["ProtobufWriter"]

T = TypeVar("T")

_fixed64 = Struct("<Q").pack
_double = Struct("<d").pack
_SHORT = tuple(bytes((n,)) for n in range(128))
_ERROR = 2  # enum StatusCode
_U64 = (1 << 64) - 1


def _varint(number: int) -> bytes:
    """An unsigned number; a negative int64 is its two's complement."""
    if 0 <= number < 128:
        return _SHORT[number]
    number &= _U64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(tag: bytes, body: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return tag + _varint(len(body)) + body


def _value(value: Attribute) -> bytes:
    """An AnyValue."""
    if isinstance(value, str):
        return _bytes(b"\x0a", value.encode())
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value)
    if isinstance(value, float):
        return b"\x21" + _double(value)
    return _bytes(b"\x2a", b"".join(_bytes(b"\x0a", _value(item)) for item in value))


def _key_value(tag: bytes, key: str, value: Attribute) -> bytes:
    return _bytes(tag, _bytes(b"\x0a", key.encode()) + _bytes(b"\x12", _value(value)))


# Text that repeats is most of a body; only text is kept, because 1, 1.0 and true are one key of a cache.
@lru_cache(maxsize=32_768)
def _text_attribute(tag: bytes, key: str, value: str) -> bytes:
    return _key_value(tag, key, value)


def _attributes(tag: bytes, attributes: Iterable[tuple[str, Attribute]]) -> bytes:
    """Attributes as repeated KeyValue of the field with this tag."""
    return b"".join(
        [
            _text_attribute(tag, key, value) if isinstance(value, str) else _key_value(tag, key, value)
            for key, value in attributes
        ]
    )


def _span(span: Span) -> bytes:
    parts = [
        b"\x0a\x10",
        span.trace_id,
        b"\x12\x08",
        span.span_id,
        b"\x22\x08" + span.parent_id if span.parent_id else b"",
        _bytes(b"\x2a", span.name.encode()),
        b"\x30",
        _SHORT[span.kind],
        b"\x39",
        _fixed64(span.start_ns),
        b"\x41",
        _fixed64(span.end_ns),
        _attributes(b"\x4a", span.attributes.items()),
    ]
    if span.link:
        parts.append(_bytes(b"\x6a", b"\x0a\x10" + span.link[0] + b"\x12\x08" + span.link[1]))
    if span.error is not None:
        parts.append(_bytes(b"\x7a", _bytes(b"\x12", span.error.encode()) + b"\x18" + _SHORT[_ERROR]))
    return b"".join(parts)


def _log(record: LogRecord) -> bytes:
    parts = [
        b"\x09",
        _fixed64(record.time_ns),
        b"\x10",
        _SHORT[record.severity],
        _bytes(b"\x1a", record.severity_text.encode()),
        _bytes(b"\x2a", _value(record.body)),
        _attributes(b"\x32", record.attributes.items()),
        b"\x4a\x10" + record.trace_id + b"\x52\x08" + record.span_id if record.trace_id else b"",
        b"\x59",
        _fixed64(record.observed_ns),
        _bytes(b"\x62", record.event_name.encode()),
    ]
    return b"".join(parts)


def _exemplar(tag: bytes, one: Exemplar) -> bytes:
    traced = b"\x22\x08" + one.span_id + b"\x2a\x10" + one.trace_id if one.trace_id else b""
    record = _key_value(b"\x3a", "headgate.record_id", one.record_id)
    return _bytes(tag, b"\x11" + _fixed64(one.time_ns) + b"\x19" + _double(one.value) + traced + record)


def _number_point(point: SeriesPoint) -> bytes:
    started = b"\x11" + _fixed64(point.start_ns) if point.start_ns else b""
    head = started + b"\x19" + _fixed64(point.time_ns) + b"\x21" + _double(point.value)
    exemplars = b"".join([_exemplar(b"\x2a", one) for one in point.exemplars])
    return head + exemplars + _attributes(b"\x3a", point.labels)


def _histogram_point(point: SeriesPoint, bounds: Sequence[float]) -> bytes:
    parts = [
        b"\x11" + _fixed64(point.start_ns),
        b"\x19" + _fixed64(point.time_ns),
        b"\x21" + _fixed64(point.count),
        b"\x29" + _double(point.value),
        _bytes(b"\x32", b"".join(map(_fixed64, point.buckets))),
        _bytes(b"\x3a", b"".join(map(_double, bounds))),
        *[_exemplar(b"\x42", one) for one in point.exemplars],
        _attributes(b"\x4a", point.labels),
        b"\x59" + _double(point.low),
        b"\x61" + _double(point.high),
    ]
    return b"".join(parts)


def _metric(metric: Metric) -> bytes:
    head = _bytes(b"\x0a", metric.name.encode()) + _bytes(b"\x12", metric.description.encode())
    head += _bytes(b"\x1a", metric.unit.encode())
    if metric.instrument == "histogram":
        points = b"".join([_bytes(b"\x0a", _histogram_point(point, metric.bounds)) for point in metric.points])
        return head + _bytes(b"\x4a", points + b"\x10" + _SHORT[metric.temporality])
    points = b"".join([_bytes(b"\x0a", _number_point(point)) for point in metric.points])
    if metric.instrument == "gauge":
        return head + _bytes(b"\x2a", points)
    return head + _bytes(b"\x3a", points + b"\x10" + _SHORT[metric.temporality] + b"\x18\x01")


class ProtobufWriter:
    """Writes `application/x-protobuf`. `version`: of Headgate, said in the scope."""

    content_type = "application/x-protobuf"

    def __init__(self, version: str) -> None:
        self._scope = _bytes(b"\x0a", _bytes(b"\x0a", SCOPE.encode()) + _bytes(b"\x12", version.encode()))

    def traces(self, groups: Mapping[Resource, Sequence[Span]]) -> bytes:
        return self._request(groups, _span)

    def metrics(self, groups: Mapping[Resource, Sequence[Metric]]) -> bytes:
        return self._request(groups, _metric)

    def logs(self, groups: Mapping[Resource, Sequence[LogRecord]]) -> bytes:
        return self._request(groups, _log)

    def _request(self, groups: Mapping[Resource, Sequence[T]], write: Callable[[T], bytes]) -> bytes:
        """All three requests have one frame: resource = 1, scope = 2 with scope = 1 and its things = 2."""
        out = []
        for resource, things in groups.items():
            described = _bytes(b"\x0a", _attributes(b"\x0a", resource))
            scoped = self._scope + b"".join([_bytes(b"\x12", write(thing)) for thing in things])
            out.append(_bytes(b"\x0a", described + _bytes(b"\x12", scoped)))
        return b"".join(out)
