"""What an OTLP receiver's answer says: the partial success it may tell of, and the words of a refusal. Pure.

Source: OpenTelemetry Protocol specification, "OTLP/HTTP Response", read November 2026.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply
from headgate.sinks._endpoint import Redactor

__all__ = ["PartialSuccess", "refusal_words", "success"]

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class PartialSuccess(NamedTuple):
    """How many spans, points or log records were refused for good, and the far side's words."""

    rejected: int = 0
    message: str = ""


class _Partial(msgspec.Struct, rename="camel"):
    """The three signals differ in one name. 64-bit numbers are text, or numbers in what some servers write."""

    rejected_spans: int | str = 0
    rejected_data_points: int | str = 0
    rejected_log_records: int | str = 0
    error_message: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _Partial | None = None


class _Status(msgspec.Struct):
    message: str = ""


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_status = msgspec.json.Decoder(_Status).decode


def _media_type(reply: HttpReply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()


def success(reply: HttpReply, shown: str) -> PartialSuccess:
    """What a success says; an empty body is a success without reserve. `shown`: the body's start without secrets.

    Raises SinkUnavailable where an answer of the right type cannot be read, for then nobody knows what was taken, and
    SinkRefused (config) for one of another type: no OTLP receiver speaks like that.
    """
    if not reply.body:
        return PartialSuccess()
    kind = _media_type(reply)
    try:
        if kind == "application/json":
            return _from_json(reply.body)
        if kind == "application/x-protobuf":
            return _from_protobuf(reply.body)
    except (ValueError, msgspec.DecodeError) as exc:
        raise SinkUnavailable(f"answered {reply.status} with what is no OTLP answer: {shown[:200]}") from exc
    raise SinkRefused(
        f"answered {reply.status} as {kind or 'no type'}: {shown[:200]}",
        reason="config",
        fix="check the address: not an OTLP/HTTP receiver",
    )


def refusal_words(reply: HttpReply, clean: Redactor) -> str:
    """The message of the `google.rpc.Status` that a refusal carries, else the start of the body; without secrets."""
    try:
        if _media_type(reply) == "application/json":
            return clean(_decode_status(reply.body).message) or clean.start(reply)
        if _media_type(reply) == "application/x-protobuf":
            return clean(next((_text(value) for field, value in _fields(reply.body) if field == 2), ""))
    except (ValueError, msgspec.DecodeError):
        pass  # what is not a Status is shown as it is
    return clean.start(reply)


def _from_json(body: bytes) -> PartialSuccess:
    partial = _decode_answer(body).partial_success
    if partial is None:
        return PartialSuccess()
    counts = (partial.rejected_spans, partial.rejected_data_points, partial.rejected_log_records)
    return PartialSuccess(sum(max(0, int(count)) for count in counts), partial.error_message)


def _from_protobuf(body: bytes) -> PartialSuccess:
    """The answers of all three signals have one form: partial_success = 1 with its count = 1 and message = 2."""
    rejected, message = 0, ""
    for field, value in _fields(body):
        if field == 1 and isinstance(value, bytes):
            for inner, told in _fields(value):
                if inner == 1 and isinstance(told, int):
                    rejected = told if told < 1 << 63 else 0
                elif inner == 2:
                    message = _text(told)
    return PartialSuccess(rejected, message)


def _text(value: int | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message. Raises ValueError where it is none."""
    at = 0
    while at < len(body):
        key, at = _varint(body, at)
        field, wire = key >> 3, key & 7
        if not field:
            raise ValueError("field 0")
        if wire == _VARINT:
            number, at = _varint(body, at)
            yield field, number
            continue
        if wire == _LENGTH:
            size, at = _varint(body, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(body):
            raise ValueError("cut off")
        yield field, body[at : at + size]
        at += size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 64, 7):
        if at >= len(body):
            raise ValueError("cut off")
        byte = body[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number of more than 64 bits")
