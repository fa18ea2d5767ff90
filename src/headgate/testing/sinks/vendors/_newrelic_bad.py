"""Bodies that the fake New Relic refuses; `test_bad_bodies` sends each."""

from __future__ import annotations

from typing import Any

import orjson

from headgate.testing.sinks.vendor import BadBody

NOW_MS = 1_795_168_800_000  # 2026-11-20T10:00:00Z; the fake's clock is set to it in each of these
CLOCK = {"clock_ms": lambda: NOW_MS}
EVENTS = "/v1/accounts/1/events"
HEADERS = {"content-type": "application/json", "api-key": "k"}
HOUR_MS = 3_600_000
GOOD_EVENT = {"eventType": "CircleCIJob", "timestamp": NOW_MS}
GOOD_COUNT = {"name": "n", "type": "count", "value": 1, "interval.ms": 1000, "timestamp": NOW_MS}
GOOD_SPAN = {"id": "1" * 16, "trace.id": "2" * 32, "timestamp": NOW_MS, "attributes": {"name": "build"}}


def _bad(name: str, path: str, value: object, reason: str, *, status: int = 400, **headers: str) -> BadBody:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    return BadBody(name, status, body, reason, path=path, headers={**HEADERS, **more}, options=CLOCK)


def _event(name: str, reason: str, **more: Any) -> BadBody:
    return _bad(f"event-{name}", EVENTS, [{**GOOD_EVENT, **more}], reason)


def _log(name: str, reason: str, **more: Any) -> BadBody:
    return _bad(f"log-{name}", "/log/v1", [{"logs": [{"timestamp": NOW_MS, "message": "x", **more}]}], reason)


def _metric(name: str, reason: str, **more: Any) -> BadBody:
    return _bad(f"metric-{name}", "/metric/v1", [{"metrics": [{**GOOD_COUNT, **more}]}], reason)


def _span(name: str, reason: str, **more: Any) -> BadBody:
    return _bad(f"span-{name}", "/trace/v1", [{"spans": [{**GOOD_SPAN, **more}]}], reason)


BAD_BODIES = (
    _bad("not-json", EVENTS, b"eventType=x", "not JSON"),
    _bad("cut-json", EVENTS, orjson.dumps([GOOD_EVENT])[:-1], "not JSON"),
    _bad("not-an-array", EVENTS, GOOD_EVENT, "not an array"),
    _bad("item-not-an-object", EVENTS, ["x"], "not an object"),
    _bad("no-list", "/log/v1", [{"metrics": []}], "no list of logs"),
    _bad("common-not-an-object", "/metric/v1", [{"common": [], "metrics": []}], "common is not"),
    _bad("not-gzip", "/log/v1", [{"logs": []}], "not gzip", content_encoding="gzip"),
    _bad("unknown-encoding", "/log/v1", [{"logs": []}], "deflate", status=415, content_encoding="deflate"),
    _bad("wrong-content-type", EVENTS, [GOOD_EVENT], "text/plain", status=415, content_type="text/plain"),
    _bad("no-key", EVENTS, [GOOD_EVENT], "{}", status=403, api_key=""),
    _bad("no-account", "/v1/accounts/events", [GOOD_EVENT], "no API", status=404),
    _bad("other-format", "/trace/v1", [], "data format", data_format="zipkin"),
    _bad("too-large", EVENTS, b" " * 1_000_001, "limit 1000000", status=413),
    BadBody("get", 405, b"", "GET", method="GET", path="/log/v1", headers=HEADERS),
    _event("without-type", "eventType", eventType=""),
    _event("boolean", "is a bool", ok=True),
    _event("list", "is a list", contexts=["a"]),
    _event("object", "is a dict", job={"id": "x"}),
    _event("long-value", "over 4096 bytes", text="x" * 4_097),
    _event("long-name", "256 characters", **{"x" * 256: 1}),
    _event("many-attributes", "limit 253", **{f"a{n}": n for n in range(254)}),
    _event("reserved", "reserved attribute accountId", accountId=1),
    _event("too-old", "too old", timestamp=NOW_MS - 24 * HOUR_MS - 1),
    _event("time-as-text", "not a number", timestamp="2026-11-20T10:00:00Z"),
    _event("from-tomorrow", "future", timestamp=NOW_MS + HOUR_MS),
    _log("without-message", "message is not text", message=None),
    _log("list", "is a list", attributes={"contexts": ["a"]}),
    _log("too-old", "too old", timestamp=NOW_MS - 48 * HOUR_MS - 1),
    _metric("without-interval", "needs interval.ms", **{"interval.ms": None}),
    _metric("text-value", "not that of a count", value="1"),
    _metric("own-name", "reserved attribute n", attributes={"n": "x"}),
    _metric("unknown-type", "unknown metric type", type="histogram"),
    _metric("broken-summary", "not that of a summary", type="summary", value={"count": 1, "sum": 1}),
    _metric("too-old", "too old", timestamp=NOW_MS - 48 * HOUR_MS - 1),
    _span("zero-id", "not that of a span", id="0" * 16),
    _span("uuid-as-trace", "not that of a trace", **{"trace.id": "fda08377-fe7e-46b1-8992-3a7aaecac9c3"}),
    _span("negative", "not a duration", attributes={"duration.ms": -1}),
    _span("own-parent", "its own parent", attributes={"parent.id": "1" * 16}),
    _span("too-old", "too old", timestamp=NOW_MS - 20 * 60_000 - 1),
)
