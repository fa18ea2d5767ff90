"""A strict Sumo Logic HTTP source: `POST /receiver/v1/http/<code>` with log lines, Prometheus text or Carbon 2.0.

Invariant: a request is taken whole or not at all, and what the real source would answer with 200 and lose, cut or
misread (a long line, a metric of yesterday, a field too many) is refused here with 400 and why.
Source: Sumo Logic documentation, "HTTP Logs and Metrics Source" with its pages about uploading logs and metrics,
"Data Limits for Metrics", "Troubleshooting HTTP Sources"; read November 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.bodies import BodyRefusedError, OversizedBodyError, UnreadableBodyError, same, unpack
from headgate.testing.sinks.vendor import Fake, Vendor, text_reply
from headgate.testing.sinks.vendors._sumologic_bad import BAD_BODIES
from headgate.testing.sinks.vendors._sumologic_metrics import CARBON2, GRAPHITE, PROMETHEUS, read_metrics
from headgate.testing.sinks.wire import Reply

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Request

SOURCE = "/receiver/v1/http"
MAX_FIELDS = 30
MAX_FIELD_NAME = 255
MAX_FIELD_VALUE = 200
TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z")
ENCODINGS = {"": "", "gzip": "gzip", "deflate": "zlib"}


@dataclass(frozen=True, slots=True)
class SumologicOptions:
    """Options of the fake."""

    code: str | None = field(default=None, metadata={"help": "required last part of the address"})
    token: str | None = field(default=None, metadata={"help": "required X-Sumo-Token"})
    max_line_bytes: int = field(default=65_536, metadata={"help": "a log line; longer ones are cut by the product"})
    max_body_bytes: int = field(default=1 << 20, metadata={"help": "after unpacking; the vendor's advice is 1 MB"})
    max_age_seconds: int = field(default=86_400, metadata={"help": "of a metric, backward and ahead"})


class Sumologic(Vendor):
    """Judges uploads; a resend is stored again, as the product does."""

    def __init__(self, options: SumologicOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._stored = 0

    def handle(self, request: Request) -> Reply:
        """Answer one request: 200 with nothing, or a refusal in plain text."""
        try:
            self._authorize(request)
            data = self._unpacked(request)
            kind = request.headers.get("content-type", "")
            if kind.startswith("application/vnd.sumologic."):
                self._metrics(request, kind, data)
            else:
                self._logs(request, data)
        except BodyRefusedError as refused:
            return refused.reply
        return Reply(200)

    def _authorize(self, request: Request) -> None:
        options = self._options
        root, _, code = request.path.rpartition("/")
        if request.path == SOURCE:
            code = ""
        elif root != SOURCE:
            raise _refuse(404, "no source here")
        if request.method != "POST":
            raise _refuse(405, f"method {request.method}: this fake takes POST only")
        token = request.headers.get("x-sumo-token", "")
        if not code and not token:
            raise _refuse(401, "missing URL token")
        if options.code and not same(code, options.code):
            raise _refuse(401, "invalid URL token")
        if options.token and not same(token, options.token):
            raise _refuse(401, "invalid X-Sumo-Token")

    def _unpacked(self, request: Request) -> bytes:
        encoding = request.headers.get("content-encoding", "")
        if encoding not in ENCODINGS:
            raise _refuse(400, f"content encoding {encoding} is not supported by this fake")
        try:
            return unpack(request.body, ENCODINGS[encoding], self._options.max_body_bytes)
        except UnreadableBodyError as error:
            raise _refuse(400, f"body is not {encoding}: {error}") from error
        except OversizedBodyError as error:
            raise _refuse(413, str(error)) from error

    def _metrics(self, request: Request, kind: str, data: bytes) -> None:
        if kind not in (PROMETHEUS, CARBON2, GRAPHITE):
            raise _refuse(400, f"content type {kind} is not exactly that of a metric format")
        if "x-sumo-fields" in request.headers:
            raise _refuse(400, "X-Sumo-Fields is for logs; metrics have X-Sumo-Dimensions")
        given = _pairs(request, "x-sumo-dimensions")
        now_ms, age_ms = self._ledger.clock_ms(), self._options.max_age_seconds * 1000
        try:
            points = read_metrics(kind, data.decode(), more=len(given))
        except ValueError as error:
            raise _refuse(400, str(error)) from error
        for point in points:
            if abs(now_ms - point.at_ms) > age_ms:
                raise _refuse(400, f"{point.name} at {point.at_ms} is more than a day away and would be dropped")
        for point in points:
            dimensions = given | point.dimensions
            native = {"metric": point.name, "dimensions": dimensions, "value": point.value, "at_ms": point.at_ms}
            self._add(request, dimensions.get("record_id"), native)

    def _logs(self, request: Request, data: bytes) -> None:
        if "x-sumo-dimensions" in request.headers or "x-sumo-metadata" in request.headers:
            raise _refuse(400, "X-Sumo-Dimensions and X-Sumo-Metadata are for metrics")
        fields = _pairs(request, "x-sumo-fields")
        logs = [self._line(line) for line in data.splitlines()]
        for log in logs:
            ours = log.get("headgate")
            identity = ours.get("record_id") if isinstance(ours, dict) else None
            self._add(request, identity or log.get("id"), {"fields": fields, "log": log})

    def _line(self, line: bytes) -> dict[str, Any]:
        if len(line) > self._options.max_line_bytes:
            raise _refuse(400, f"a line of {len(line)} bytes would be cut into pieces")
        try:
            log = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise _refuse(400, f"a line is not JSON: {error}") from error
        if not isinstance(log, dict):
            raise _refuse(400, "a line must be a JSON object")
        if not TIME.search(line):
            raise _refuse(400, "no time is found in a line; it would get that of its receipt")
        return log

    def _add(self, request: Request, identity: str | None, native: dict[str, Any]) -> None:
        self._stored += 1
        headers = {name: request.headers.get(f"x-sumo-{name}") for name in ("name", "host", "category")}
        self._ledger.add(self._stored, identity, {**headers, **native})


def _refuse(status: int, reason: str) -> BodyRefusedError:
    return BodyRefusedError(text_reply(status, reason))


def _pairs(request: Request, header: str) -> dict[str, str]:
    """The fields of a header `k=v,k2=v2`, within the limits."""
    text = request.headers.get(header, "")
    if not text:
        return {}
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, value = pair.partition("=")
        if not (equals and 0 < len(name) <= MAX_FIELD_NAME and 0 < len(value) <= MAX_FIELD_VALUE) or "=" in value:
            raise _refuse(400, f"{header}: {pair[:50]!r} is not a field")
        found[name] = value
    if len(found) > MAX_FIELDS:
        raise _refuse(400, f"{header}: {len(found)} fields; 30 are kept")
    return found


FAKE = Fake(name="sumologic", options=SumologicOptions, build=Sumologic, bad_bodies=BAD_BODIES)
