"""A strict remote write 1 receiver, as Prometheus 2.42 behaves: one bad sample and nothing of the request is kept.

Invariant: a series' samples are in order of time, one value a time. The same sample again is a counted duplicate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cramjam

from headgate.testing.sinks.bodies import BodyRefusedError, basic_credentials, media_type, same
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, text_reply
from headgate.testing.sinks.vendors._protobuf_wire import BrokenMessageError, fields, signed
from headgate.testing.sinks.wire import Reply

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Request

PATH = "/api/v1/write"
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HOUR_MS = 3_600_000

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PrometheusOptions:
    """Options of the fake."""

    basic: str | None = field(default=None, metadata={"help": "required user:password"})
    bearer: str | None = field(default=None, metadata={"help": "required bearer token"})
    max_body_bytes: int = field(default=32 << 20, metadata={"help": "after unpacking"})


def _refuse(status: int, text: str) -> BodyRefusedError:
    return BodyRefusedError(text_reply(status, text))


class PrometheusReceiver(Vendor):
    """Judges writes; remembers the newest sample of each series."""

    def __init__(self, options: PrometheusOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._newest: dict[Labels, tuple[int, float]] = {}

    def handle(self, request: Request) -> Reply:
        """Answer one request: 204, or the words of the first thing that is wrong."""
        try:
            if request.path != PATH:
                raise _refuse(404, "404 page not found")
            if request.method != "POST":
                raise _refuse(405, "Method Not Allowed")
            self._authorize(request)
            series = _read(self._unpacked(request))
            fresh = [(labels, self._judged(labels, samples)) for labels, samples in series]
        except BodyRefusedError as refused:
            return refused.reply
        for labels, samples in fresh:
            for at_ms, value in samples:
                name = dict(labels)["__name__"]
                row = {"name": name, "labels": dict(labels), "at_ms": at_ms, "value": value}
                self._ledger.add((labels, at_ms), None, row)
                self._newest[labels] = (at_ms, value)
        return Reply(204, b"", {})

    def clear(self) -> None:
        """Forget every series."""
        self._newest.clear()

    def _authorize(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if self._options.basic and not same(given, basic_credentials(self._options.basic)):
            raise _refuse(401, "Unauthorized")
        if self._options.bearer and not same(given, f"Bearer {self._options.bearer}"):
            raise _refuse(401, "Unauthorized")

    def _unpacked(self, request: Request) -> bytes:
        if media_type(request) != "application/x-protobuf":
            raise _refuse(415, f"unsupported content type {media_type(request)!r}")
        if request.headers.get("content-encoding") != "snappy":
            raise _refuse(415, "unsupported content encoding, only snappy is taken")
        if not request.headers.get("x-prometheus-remote-write-version", "").startswith("0.1."):
            raise _refuse(400, "X-Prometheus-Remote-Write-Version header is missing")
        try:
            body = bytes(cramjam.snappy.decompress_raw(request.body))
        except cramjam.DecompressionError as error:
            raise _refuse(400, f"snappy: corrupt input: {error}") from error
        if len(body) > self._options.max_body_bytes:
            raise _refuse(413, "request body too large")
        return body

    def _judged(self, labels: Labels, samples: list[tuple[int, float]]) -> list[tuple[int, float]]:
        """The samples that are new, or an error for the whole request."""
        newest = self._newest.get(labels)
        fresh = []
        for at_ms, value in samples:
            if newest and at_ms < newest[0]:
                held = self._ledger.get((labels, at_ms))
                if held is None or held.native.get("value") != value:
                    raise _refuse(400, "out of order sample")
            elif newest and at_ms == newest[0]:
                if value != newest[1]:
                    raise _refuse(400, "duplicate sample for timestamp")
            elif at_ms < self._ledger.clock_ms() - _HOUR_MS:
                raise _refuse(400, "out of bounds")
            else:
                newest = (at_ms, value)
                fresh.append(newest)
        return fresh


def _read(body: bytes) -> list[tuple[Labels, list[tuple[int, float]]]]:
    try:
        return [_series(_bytes(value)) for number, value in fields(body) if number == 1]
    except BrokenMessageError as error:
        raise _refuse(400, f"proto: WriteRequest: {error}") from error


def _bytes(value: float | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise BrokenMessageError("wrong wireType")
    return value


def _series(data: bytes) -> tuple[Labels, list[tuple[int, float]]]:
    labels: list[tuple[str, str]] = []
    samples: list[tuple[int, float]] = []
    for number, value in fields(data):
        found = dict(fields(_bytes(value)))
        if number == 1:
            labels.append((_text(found.get(1, b"")), _text(found.get(2, b""))))
        elif number == 2:  # number of the field `samples`
            samples.append((_whole(found.get(2, 0)), float(found.get(1, 0.0))))
    _check(labels, samples)
    return tuple(labels), samples


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise BrokenMessageError("wrong wireType")
    return signed(value)


def _text(value: Any) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise BrokenMessageError("string field contains invalid UTF-8") from error


def _check(labels: list[tuple[str, str]], samples: list[tuple[int, float]]) -> None:
    names = [name for name, _ in labels]
    if "__name__" not in names or not _METRIC.fullmatch(dict(labels)["__name__"]):
        raise _refuse(400, "invalid metric name or missing __name__")
    if bad := [name for name in names if name != "__name__" and not _LABEL.fullmatch(name)]:
        raise _refuse(400, f"invalid label name {bad[0]!r}")
    if any(first >= second for first, second in pairwise(names)):
        raise _refuse(400, "labels are not sorted by name, or one is there twice")
    if blank := [name for name, value in labels if not value]:
        raise _refuse(400, f"label {blank[0]!r} has no value")
    if any(first[0] >= second[0] for first, second in pairwise(samples)):
        raise _refuse(400, "out of order sample")
    if not samples:
        raise _refuse(400, "a series without samples")


# --- bad bodies: each is refused whole

_NOW_MS = 1_795_168_800_000
_GOOD = {"content-type": "application/x-protobuf", "content-encoding": "snappy"}
_HEADERS = {**_GOOD, "x-prometheus-remote-write-version": "0.1.0"}
_CLOCK = {"clock_ms": lambda: _NOW_MS}


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2, len(data)]) + data


def _write(labels: list[tuple[str, str]], *times: int) -> bytes:
    """A write of one series whose samples all are 1."""
    told = b"".join(_field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in labels)
    one = b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
    told += b"".join(_field(2, one + b"\x10" + _as_varint(at)) for at in times)
    return bytes(cramjam.snappy.compress_raw(_field(1, told)))


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _bad(name: str, status: int, body: bytes, reason: str, headers: dict[str, str] | None = None) -> BadBody:
    return BadBody(name, status, body, reason, path=PATH, headers=headers or _HEADERS, options=_CLOCK)


_UP = [("__name__", "up"), ("job", "a")]
BAD_BODIES = (
    _bad("not-snappy", 400, b"\xff\xff\xff", "snappy"),
    _bad("not-protobuf", 400, bytes(cramjam.snappy.compress_raw(b"up 1")), "proto"),
    _bad("cut-protobuf", 400, bytes(cramjam.snappy.compress_raw(b"\x0a\x7f")), "unexpected EOF"),
    _bad("no-name", 400, _write([("job", "a")], _NOW_MS), "missing __name__"),
    _bad("dotted-name", 400, _write([("__name__", "a.b")], _NOW_MS), "invalid metric name"),
    _bad("dotted-label", 400, _write([("__name__", "up"), ("a.b", "c")], _NOW_MS), "invalid label name"),
    _bad("unsorted-labels", 400, _write([("job", "a"), ("__name__", "up")], _NOW_MS), "not sorted"),
    _bad("label-twice", 400, _write([*_UP, ("job", "b")], _NOW_MS), "twice"),
    _bad("blank-label", 400, _write([("__name__", "up"), ("job", "")], _NOW_MS), "no value"),
    _bad("back-in-time", 400, _write(_UP, _NOW_MS, _NOW_MS - 1), "out of order"),
    _bad("too-old", 400, _write(_UP, _NOW_MS - 3 * _HOUR_MS), "out of bounds"),
    _bad("no-sample", 400, _write(_UP), "without samples"),
    _bad("json", 415, b"{}", "content type", {**_HEADERS, "content-type": "application/json"}),
    _bad("gzip", 415, _write(_UP, _NOW_MS), "only snappy", {**_HEADERS, "content-encoding": "gzip"}),
    _bad("no-version", 400, _write(_UP, _NOW_MS), "Version", _GOOD),
)
FAKE = Fake(name="prometheus", options=PrometheusOptions, build=PrometheusReceiver, bad_bodies=BAD_BODIES)
