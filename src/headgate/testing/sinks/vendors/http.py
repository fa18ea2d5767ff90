"""A strict plain HTTP receiver of records: JSON, JSON array or JSON Lines, optionally signed.

Invariant: a request is taken whole or not at all. The same record sent twice with equal content is one row
and a counted duplicate; equal ids with different content are rows of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.bodies import BodyRefusedError, basic_credentials, same, signature
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply
from headgate.testing.sinks.vendors._signed import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    check_signature,
    json_object,
    json_values,
    plain_body,
    refuse,
)

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Reply, Request


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Options of the fake."""

    hmac_secret: str | None = field(default=None, metadata={"help": "require a signature made with it"})
    signature_header: str = field(default=SIGNATURE_HEADER, metadata={"help": "holds v1=<hex HMAC-SHA256>"})
    timestamp_header: str = field(default=TIMESTAMP_HEADER, metadata={"help": "signed too when present"})
    bearer: str | None = field(default=None, metadata={"help": "required bearer token"})
    basic: str | None = field(default=None, metadata={"help": "required user:password"})
    max_body_bytes: int = field(default=10 << 20, metadata={"help": "after unpacking"})
    max_records: int = field(default=10_000, metadata={"help": "of one request"})


class HttpReceiver(Vendor):
    """Judges POST and PUT requests to any path."""

    def __init__(self, options: HttpOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger

    def handle(self, request: Request) -> Reply:
        """Answer one request: 200 with the number of records, or `{"error": …}`."""
        try:
            if request.method not in ("POST", "PUT"):
                raise refuse(405, f"method {request.method} is not supported")
            self._authorize(request)
            data = plain_body(request, self._options.max_body_bytes)
            records = [_record(value) for value in json_values(request, data)]
            if not 0 < len(records) <= self._options.max_records:
                status = 413 if records else 400
                raise refuse(status, f"{len(records)} records; 1 to {self._options.max_records} are taken")
        except BodyRefusedError as refused:
            return refused.reply
        for identity, record in records:
            key = (identity, orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
            self._ledger.add(key, identity, {"path": request.path, "record": record})
        return json_reply(200, {"accepted": len(records)})

    def _authorize(self, request: Request) -> None:
        options = self._options
        given = request.headers.get("authorization", "")
        if options.bearer and not same(given, f"Bearer {options.bearer}"):
            raise refuse(401, "wrong bearer token")
        if options.basic and not same(given, basic_credentials(options.basic)):
            raise refuse(401, "wrong user or password")
        if options.hmac_secret:
            check_signature(request, options.hmac_secret, options.signature_header, options.timestamp_header)


def _record(value: Any) -> tuple[str, dict[str, Any]]:
    record = dict(json_object(value, "a record"))
    identity = record.get("id")
    if not isinstance(identity, str) or not identity:
        raise refuse(400, "a record needs an id of text")
    return identity, record


JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}
GOOD = b'{"id":"a","kind":"job"}'
SIGNED = {"hmac_secret": "s3cret"}
BAD_BODIES = (
    BadBody("not-json", 400, b"id=a", "not JSON", headers=JSON),
    BadBody("cut-json", 400, GOOD[:-1], "not JSON", headers=JSON),
    BadBody("broken-line", 400, GOOD + b'\n{"id":', "not JSON", headers=LINES),
    BadBody("record-not-object", 400, b'["a"]', "must be an object", headers=JSON),
    BadBody("no-id", 400, b'{"kind":"job"}', "needs an id", headers=JSON),
    BadBody("number-as-id", 400, b'[{"id":1}]', "needs an id", headers=JSON),
    BadBody("no-record", 400, b"[]", "0 records", headers=JSON),
    BadBody("wrong-content-type", 415, GOOD, "text/plain", headers={"content-type": "text/plain"}),
    BadBody("no-content-type", 415, GOOD, "missing"),
    BadBody("unknown-encoding", 415, GOOD, "br", headers={**JSON, "content-encoding": "br"}),
    BadBody("not-gzip", 400, GOOD, "not gzip", headers={**JSON, "content-encoding": "gzip"}),
    BadBody("no-signature", 401, GOOD, "missing header", headers=JSON, options=SIGNED),
    BadBody(
        "signature-of-other-bytes",
        401,
        GOOD,
        "wrong signature",
        headers={**JSON, SIGNATURE_HEADER: signature("s3cret", b"{}")},
        options=SIGNED,
    ),
    BadBody(
        "too-large",
        413,
        b'{"id":"a","x":"' + b"x" * 100 + b'"}',
        "over",
        headers=JSON,
        options={"max_body_bytes": 64},
    ),
    BadBody("get", 405, GOOD, "GET", method="GET", headers=JSON),
)
FAKE = Fake(name="http", options=HttpOptions, build=HttpReceiver, bad_bodies=BAD_BODIES)
