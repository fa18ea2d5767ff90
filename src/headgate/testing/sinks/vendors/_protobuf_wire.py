"""Reads protobuf messages field by field, without a schema compiler: what a strict receiver needs and no more.

Source: protobuf.dev, "Encoding", read November 2026.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["BrokenMessageError", "fields", "signed"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10


class BrokenMessageError(ValueError):
    """The bytes are no message."""


def fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of each field: int for a varint, float for eight bytes, bytes for what has a length."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BrokenMessageError("illegal tag 0")
        value: int | float | bytes
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _FIXED64:
            value, at = struct.unpack("<d", _take(data, at, 8))[0], at + 8
        elif kind == _FIXED32:
            value, at = struct.unpack("<f", _take(data, at, 4))[0], at + 4
        elif kind == _BYTES:
            length, at = _varint(data, at)
            value, at = _take(data, at, length), at + length
        else:
            raise BrokenMessageError(f"illegal wireType {kind}")
        yield number, value


def signed(value: int) -> int:
    """An int64 from its varint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _take(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise BrokenMessageError("unexpected EOF")
    return data[at : at + length]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for n in range(_MOST_VARINT_BYTES):
        if at + n >= len(data):
            raise BrokenMessageError("unexpected EOF")
        byte = data[at + n]
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise BrokenMessageError("varint overflow")
