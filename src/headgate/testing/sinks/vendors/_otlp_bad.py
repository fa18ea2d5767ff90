"""Bodies that a strict OTLP receiver refuses whole; `test_bad_bodies` sends each."""

from __future__ import annotations

from typing import Any

import orjson

from headgate.testing.sinks.vendor import BadBody

JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}
RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]}
NOW = "1795168800000000000"  # 2026-11-20T10:00:00Z, nanoseconds
SPAN = {
    "traceId": "5b8efff798038103d269b633813fc60c",
    "spanId": "eee19b7ec3c1b174",
    "name": "build",
    "kind": 1,
    "startTimeUnixNano": NOW,
    "endTimeUnixNano": NOW,
}
POINT = {
    "startTimeUnixNano": NOW,
    "timeUnixNano": NOW,
    "count": "2",
    "sum": 3.0,
    "bucketCounts": ["1", "1"],
    "explicitBounds": [1.0],
}
LOG = {"timeUnixNano": NOW, "observedTimeUnixNano": NOW, "severityNumber": 9, "body": {"stringValue": "x"}}


def spans(*many: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    """A request for traces in JSON."""
    of = RESOURCE if resource is None else resource
    return orjson.dumps({"resourceSpans": [{"resource": of, "scopeSpans": [{"spans": many}]}]})


def logs(*many: dict[str, Any]) -> bytes:
    """A request for logs in JSON."""
    return orjson.dumps({"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": many}]}]})


def histogram(point: dict[str, Any], temporality: int = 1) -> bytes:
    """A request for one histogram in JSON."""
    data = {"dataPoints": [point], "aggregationTemporality": temporality}
    metrics = [{"name": "cicd.pipeline.run.duration", "unit": "s", "histogram": data}]
    return orjson.dumps({"resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [{"metrics": metrics}]}]})


def _bad(name: str, body: bytes, reason: str, path: str = "/v1/traces", **more: Any) -> BadBody:
    return BadBody(name, more.pop("status", 400), body, reason, path=path, headers=more.pop("headers", JSON), **more)


_TWICE = [{"key": "a", "value": {"intValue": "1"}}] * 2
BAD_BODIES = (
    _bad("not-json", b"spans=1", "json:"),
    _bad("cut-json", spans(SPAN)[:-3], "json:"),
    _bad("not-protobuf", b"\x0a\xff{}", "proto: cannot parse", headers=PROTOBUF),
    _bad("protobuf-of-unknown-fields", b"\x7a\x01x", "proto: unknown fields", headers=PROTOBUF),
    _bad("snake-case-names", b'{"resource_spans":[]}', "resource_spans is unknown"),
    _bad("base64-id", spans({**SPAN, "traceId": "W47/95gDgQPSabYzgT/GDA=="}), "is not hex"),
    _bad("short-id", spans({**SPAN, "spanId": "eee19b"}), "must be 8 bytes"),
    _bad("zero-id", spans({**SPAN, "traceId": "0" * 32}), "invalid trace_id"),
    _bad("enum-as-text", spans({**SPAN, "kind": "SPAN_KIND_INTERNAL"}), "enum's number"),
    _bad("long-as-number", spans({**SPAN, "startTimeUnixNano": int(NOW)}), "64-bit integer as text"),
    _bad("ends-before-start", spans({**SPAN, "endTimeUnixNano": "1"}), "ends before it starts"),
    _bad("own-parent", spans({**SPAN, "parentSpanId": SPAN["spanId"]}), "invalid parent_span_id"),
    _bad("one-bad-of-two", spans(SPAN, {**SPAN, "name": ""}), "without a name"),
    _bad("key-twice", spans({**SPAN, "attributes": _TWICE}), "given twice"),
    _bad("no-service", spans(SPAN, resource={}), "without service.name"),
    _bad("no-time", logs({**LOG, "timeUnixNano": "0"}), "without a time", "/v1/logs"),
    _bad("severity-25", logs({**LOG, "severityNumber": 25}), "invalid severity", "/v1/logs"),
    _bad("no-temporality", histogram(POINT, 0), "without a temporality", "/v1/metrics"),
    _bad("buckets-missing", histogram({**POINT, "bucketCounts": ["2"]}), "one more than", "/v1/metrics"),
    _bad("buckets-do-not-add-up", histogram({**POINT, "count": "3"}), "add up to count", "/v1/metrics"),
    _bad("cumulative", histogram(POINT, 2), "only delta", "/v1/metrics", options={"delta_only": True}),
    _bad("wrong-key", spans(SPAN), "authentication", status=401, options={"bearer": "right"}),
    _bad("unknown-encoding", spans(SPAN), "Content-Encoding", headers={**JSON, "content-encoding": "br"}),
    _bad("not-gzip", spans(SPAN), "gzip", headers={**JSON, "content-encoding": "gzip"}),
    _bad(
        "wrong-content-type", spans(SPAN), "unsupported media type", status=415, headers={"content-type": "text/json"}
    ),
    _bad("too-large", spans(SPAN), "too large", status=413, options={"max_body_bytes": 64}),
    _bad("wrong-path", spans(SPAN), "not found", "/v2/traces", status=404),
    _bad("get", b"", "method not allowed", status=405, method="GET"),
)
