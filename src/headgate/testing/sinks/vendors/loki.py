"""A strict Grafana Loki: `POST /loki/api/v1/push` in JSON, `GET /ready`, `GET /loki/api/v1/labels`.

Invariant: a line is refused for the reasons, and with the texts, of a real server with default limits.
The protobuf form is not read and answered with 415. Facts: see _loki_streams.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from headgate.testing.sinks.bodies import (
    BodyRefusedError,
    OversizedBodyError,
    UnreadableBodyError,
    basic_credentials,
    media_type,
    same,
    unpack,
)
from headgate.testing.sinks.vendor import Fake, Vendor, case_reply, json_reply, text_reply
from headgate.testing.sinks.vendors._loki_bad import BAD_BODIES
from headgate.testing.sinks.vendors._loki_streams import (
    LABEL_NAME,
    NS_PER_S,
    RESERVED_LABELS,
    Limits,
    Push,
    Streams,
)
from headgate.testing.sinks.wire import Reply, Request

if TYPE_CHECKING:
    from headgate.testing.sinks.cases import Case
    from headgate.testing.sinks.ledger import Ledger

PUSH = "/loki/api/v1/push"
SHARD_HEADER = "x-loki-backfill-shard"
MAX_SHARD_BYTES = 128
NANOSECONDS = re.compile(r"-?[0-9]{1,19}\Z")
DECODER = msgspec.json.Decoder(Push)


@dataclass(frozen=True, slots=True)
class LokiOptions:
    """Options of the fake; defaults are the server's own."""

    tenant: str | None = field(default=None, metadata={"help": "be multi-tenant: X-Scope-OrgID is required"})
    basic: str | None = field(default=None, metadata={"help": "required user:password"})
    max_age_seconds: int = field(default=7 * 86_400, metadata={"help": "oldest line; 0 takes any age"})
    max_ahead_seconds: int = field(default=600, metadata={"help": "newest line; 0 takes any"})
    max_behind_seconds: int = field(default=3_600, metadata={"help": "behind its stream's newest; 0: any"})
    max_label_names: int = field(default=15, metadata={"help": "labels of a stream"})
    max_streams: int = field(default=5_000, metadata={"help": "active streams"})
    max_line_bytes: int = field(default=262_144, metadata={"help": "a line's UTF-8 bytes"})
    max_metadata_bytes: int = field(default=65_536, metadata={"help": "structured metadata of a line"})
    max_metadata_entries: int = field(default=128, metadata={"help": "structured metadata of a line"})
    max_packed_bytes: int = field(default=100 << 20, metadata={"help": "request as sent"})
    max_unpacked_bytes: int = field(default=5_000 << 20, metadata={"help": "request after unpacking"})
    rate_bytes_per_second: int = field(default=0, metadata={"help": "tenant rate; 0 is off (server: 4 MiB)"})
    burst_bytes: int = field(default=6 << 20, metadata={"help": "tenant burst"})
    backfill_shards: bool = field(default=False, metadata={"help": "obey X-Loki-Backfill-Shard, as after 3.8"})


class Loki(Vendor):
    """Judges pushes; state is the newest time of each stream and the rate bucket."""

    def __init__(self, options: LokiOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._streams = Streams(_limits(options), ledger)
        self._bucket = float(options.burst_bytes)
        self._filled_ms = ledger.clock_ms()

    def clear(self) -> None:
        """Forget all streams."""
        self._streams.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            tenant = self._tenant(request)
            if (request.method, request.path) != ("POST", PUSH):
                return self._read_side(request)
            return self._push(request, tenant, leave_out=0)
        except BodyRefusedError as refused:
            return refused.reply

    def answer_case(self, request: Request, case: Case) -> Reply | None:
        """Carry out a per-line refusal: the first line counts as the refused one, the rest is stored."""
        if case.expect != "partial" or request.path != PUSH:
            return None
        try:
            judged = self._push(request, self._tenant(request), leave_out=1)
        except BodyRefusedError as refused:
            return refused.reply
        return judged if judged.status >= 400 else case_reply(case, self._ledger.clock_ms())

    def _tenant(self, request: Request) -> str:
        options, headers = self._options, request.headers
        if options.basic and not same(headers.get("authorization", ""), basic_credentials(options.basic)):
            text = '{"status":"error","error":"authentication error: invalid authentication credentials"}'
            raise BodyRefusedError(text_reply(401, text))
        if options.tenant is None or request.path == "/ready":
            return "fake"
        tenant = headers.get("x-scope-orgid", "")
        if not tenant:
            raise BodyRefusedError(text_reply(401, "no org id"))
        return tenant

    def _read_side(self, request: Request) -> Reply:
        if request.path == "/ready" and request.method in ("GET", "HEAD"):
            return text_reply(200, "ready")
        if request.path == "/loki/api/v1/labels" and request.method == "GET":
            names = {row for name in self._streams.names() for row in re.findall(r"[{ ]([\w:]+)=", name)}
            return json_reply(200, {"status": "success", "data": sorted(names)})
        if request.path == PUSH:
            return Reply(405)
        return text_reply(404, "404 page not found")

    def _push(self, request: Request, tenant: str, leave_out: int) -> Reply:
        shard = self._shard(request)
        data = self._unpacked(request)
        push = _parsed(data)
        self._spend(push, len(data), tenant)
        refusals = self._streams.push(push, tenant=tenant, shard=shard, leave_out=leave_out)
        status = refusals.status()
        return Reply(204) if status == 204 else text_reply(status, refusals.text())

    def _shard(self, request: Request) -> str:
        shard = request.headers.get(SHARD_HEADER, "") if self._options.backfill_shards else ""
        if len(shard) > MAX_SHARD_BYTES:
            text = f"value length {len(shard)} exceeds limit of {MAX_SHARD_BYTES}"
            raise BodyRefusedError(text_reply(400, f"invalid X-Loki-Backfill-Shard header: {text}"))
        return shard

    def _unpacked(self, request: Request) -> bytes:
        encoding = request.headers.get("content-encoding", "")
        kind = media_type(request)
        options = self._options
        if encoding not in ("", "gzip", "deflate") and not (encoding == "snappy" and not kind.endswith("json")):
            raise BodyRefusedError(text_reply(400, f'Content-Encoding "{encoding}" not supported'))
        if kind in ("", "application/x-protobuf"):
            raise BodyRefusedError(text_reply(415, "this fake reads application/json, not protobuf"))
        if kind != "application/json":
            raise BodyRefusedError(text_reply(400, "couldn't parse push request: snappy: corrupt input"))
        if len(request.body) > options.max_packed_bytes:
            raise BodyRefusedError(_too_large(len(request.body), options.max_packed_bytes))
        try:
            return unpack(request.body, encoding, options.max_unpacked_bytes)
        except UnreadableBodyError as error:
            raise BodyRefusedError(text_reply(400, f"couldn't parse push request: {error}")) from error
        except OversizedBodyError as error:
            limit = options.max_unpacked_bytes
            raise BodyRefusedError(_too_large(limit + 1, limit)) from error

    def _spend(self, push: Push, size: int, tenant: str) -> None:
        rate = self._options.rate_bytes_per_second
        if not rate:
            return
        now_ms = self._ledger.clock_ms()
        filled = self._bucket + (now_ms - self._filled_ms) / 1000 * rate
        self._bucket, self._filled_ms = min(filled, float(self._options.burst_bytes)), now_ms
        if size > self._bucket:
            lines = sum(len(stream.values) for stream in push.streams)
            text = (
                f"ingestion rate limit exceeded for user {tenant} (limit: {rate} bytes/sec) while attempting "
                f"to ingest '{lines}' lines totaling '{size}' bytes, reduce log volume or contact your Loki "
                "administrator to see if the limit can be increased"
            )
            raise BodyRefusedError(text_reply(429, text))
        self._bucket -= size


def _limits(options: LokiOptions) -> Limits:
    return Limits(
        max_age_ns=options.max_age_seconds * NS_PER_S,
        max_ahead_ns=options.max_ahead_seconds * NS_PER_S,
        max_behind_ns=options.max_behind_seconds * NS_PER_S,
        max_label_names=options.max_label_names,
        max_streams=options.max_streams,
        max_line_bytes=options.max_line_bytes,
        max_metadata_bytes=options.max_metadata_bytes,
        max_metadata_entries=options.max_metadata_entries,
    )


def _parsed(data: bytes) -> Push:
    """Return the push; raises BodyRefusedError when its shape is wrong, before anything is stored."""
    try:
        push = DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = f"couldn't parse push request: loghttp.PushRequest.Streams: {error}"
        raise BodyRefusedError(text_reply(400, text)) from error
    for stream in push.streams:
        for name in stream.stream:
            if name in RESERVED_LABELS:
                raise BodyRefusedError(text_reply(400, "the backfill labels are reserved"))
            if not LABEL_NAME.match(name):
                text = f"couldn't parse labels: 1:2: parse error: unexpected label name {name!r}"
                raise BodyRefusedError(text_reply(400, text))
        for entry in stream.values:
            if not NANOSECONDS.match(entry.time):
                text = f"couldn't parse push request: strconv.ParseInt: parsing {entry.time!r}: invalid syntax"
                raise BodyRefusedError(text_reply(400, text))
    return push


def _too_large(size: int, limit: int) -> Reply:
    return text_reply(413, f"request body too large: message size {size} bytes exceeds limit of {limit} bytes")


FAKE = Fake(name="loki", options=LokiOptions, build=Loki, bad_bodies=BAD_BODIES)
