"""Prometheus remote write 1: series to a request's bytes. Imported only when a sink writes remotely.

Source: Prometheus remote write specification 1.0 and `prompb/types.proto`, read November 2026: labels sorted by name,
samples in order of time, snappy block format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["CONTENT_HEADERS", "Sample", "pack", "write_request"]

# Milliseconds since the epoch and value.
Sample = tuple[int, float]

CONTENT_HEADERS = (
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
)

_FIELD = descriptor_pb2.FieldDescriptorProto
# Message -> (field, number, type, repeated). The four messages of prompb that a writer of samples needs.
_MESSAGES: dict[str, tuple[tuple[str, int, Any, bool], ...]] = {
    "Label": (("name", 1, _FIELD.TYPE_STRING, False), ("value", 2, _FIELD.TYPE_STRING, False)),
    "Sample": (("value", 1, _FIELD.TYPE_DOUBLE, False), ("timestamp", 2, _FIELD.TYPE_INT64, False)),
    "TimeSeries": (("labels", 1, "Label", True), ("samples", 2, "Sample", True)),
    "WriteRequest": (("timeseries", 1, "TimeSeries", True),),
}


def _declare() -> Any:
    """The class of a WriteRequest, from a description that is made here instead of by a compiler."""
    file = descriptor_pb2.FileDescriptorProto(name="headgate/prompb.proto", package="prometheus", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = message.field.add(name=field, number=number)
            added.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".prometheus.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prometheus.WriteRequest"))


_WriteRequest = _declare()


def write_request(series: Iterable[tuple[Sequence[tuple[str, str]], Sequence[Sample]]]) -> bytes:
    """The message, not packed. Labels sorted by name, `__name__` among them; samples in order of time."""
    request = _WriteRequest()
    for labels, found in series:
        one = request.timeseries.add()
        for name, value in labels:
            one.labels.add(name=name, value=value)
        for at_ms, number in found:
            one.samples.add(timestamp=at_ms, value=number)
    body: bytes = request.SerializeToString(deterministic=True)
    return body


def pack(body: bytes) -> bytes:
    """Snappy, block format."""
    return bytes(cramjam.snappy.compress_raw(body))
