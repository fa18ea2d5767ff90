"""Checks shared by the receivers of our own: signature, time stamp, encodings, JSON bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.bodies import (
    BodyRefusedError,
    OversizedBodyError,
    UnreadableBodyError,
    media_type,
    same,
    signature,
    unpack,
)
from headgate.testing.sinks.vendor import json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.testing.sinks.wire import Request

SIGNATURE_HEADER = "x-headgate-signature"
TIMESTAMP_HEADER = "x-headgate-timestamp"
IDEMPOTENCY_HEADER = "idempotency-key"
JSON_TYPES = frozenset({"application/json"})
LINES_TYPES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})


def refuse(status: int, reason: str) -> BodyRefusedError:
    """Return the refusal of these receivers: `{"error": reason}`."""
    return BodyRefusedError(json_reply(status, {"error": reason}))


def check_signature(request: Request, secret: str, header: str, timestamp_header: str = "") -> None:
    """Check one of the comma-separated signatures in `header`; raises BodyRefusedError with 401.

    With a timestamp header named and present, its text is part of what was signed.
    """
    given = request.headers.get(header.lower(), "")
    if not given:
        raise refuse(401, f"missing header {header}")
    timestamp = request.headers.get(timestamp_header.lower(), "") if timestamp_header else ""
    wanted = signature(secret, request.body, timestamp)
    if not any(same(part.strip(), wanted) for part in given.split(",")):
        raise refuse(401, f"wrong signature in {header}")


def check_timestamp(request: Request, header: str, now_ms: int, tolerance_seconds: int) -> None:
    """Check that the header holds whole Unix seconds near now; raises BodyRefusedError with 401."""
    text = request.headers.get(header.lower(), "")
    if not text.isascii() or not text.isdigit():
        raise refuse(401, f"header {header} must hold Unix seconds")
    if abs(int(text) - now_ms // 1000) > tolerance_seconds:
        raise refuse(401, f"header {header} is more than {tolerance_seconds} s away")


def plain_body(request: Request, limit_bytes: int) -> bytes:
    """Return the unpacked body; raises BodyRefusedError with 400, 413 or 415."""
    encoding = request.headers.get("content-encoding", "").lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise refuse(415, f"content encoding {encoding} is not supported")
    name = {"deflate": "zlib", "identity": ""}.get(encoding, encoding)
    try:
        return unpack(request.body, name, limit_bytes)
    except UnreadableBodyError as error:
        raise refuse(400, f"body is not {encoding}: {error}") from error
    except OversizedBodyError as error:
        raise refuse(413, str(error)) from error


def json_values(request: Request, data: bytes) -> list[Any]:
    """Return the body's values: a JSON array's elements, one JSON value, or one value a line."""
    kind = media_type(request)
    try:
        if kind in LINES_TYPES:
            return [orjson.loads(line) for line in data.splitlines() if line.strip()]
        if kind in JSON_TYPES:
            value = orjson.loads(data)
            return value if isinstance(value, list) else [value]
    except orjson.JSONDecodeError as error:
        raise refuse(400, f"body is not JSON: {error}") from error
    raise refuse(415, f"content type {kind or 'missing'} is not supported")


def json_object(value: Any, what: str) -> Mapping[str, Any]:
    """Return the value when it is an object; raises BodyRefusedError with 400."""
    if not isinstance(value, dict):
        raise refuse(400, f"{what} must be an object, not {type(value).__name__}")
    return value
