"""Bodies that a Loki refuses whole; `test_bad_bodies` sends each."""

from __future__ import annotations

import orjson

from headgate.testing.sinks.vendor import BadBody

PATH = "/loki/api/v1/push"
JSON = {"content-type": "application/json"}
NOW_NS = 1_795_168_800_000_000_000  # 2026-11-20T10:00:00Z; the fake's clock is set to it in each of these
CLOCK = {"clock_ms": lambda: NOW_NS // 1_000_000}


def push(*values: list[object], labels: dict[str, object] | None = None, key: str = "streams") -> bytes:
    """Return a push of one stream; `labels` are {"record": "job"} unless given."""
    stream = {"record": "job"} if labels is None else labels
    return orjson.dumps({key: [{"stream": stream, "values": values}]})


def _bad(name: str, status: int, body: bytes, reason: str, headers: dict[str, str] | None = None) -> BadBody:
    return BadBody(name, status, body, reason, path=PATH, headers=headers or JSON, options=CLOCK)


T = str(NOW_NS)
BAD_BODIES = (
    _bad("not-json", 400, b"streams=1", "couldn't parse push request"),
    _bad("cut-json", 400, push([T, "x"])[:-3], "couldn't parse push request"),
    _bad("time-as-number", 400, push([NOW_NS, "x"]), "Expected `str`"),
    _bad("time-not-nanoseconds", 400, push(["2026-11-20T10:00:00Z", "x"]), "invalid syntax"),
    _bad("metadata-not-text", 400, push([T, "x", {"n": 1}]), "Expected `str`"),
    _bad("metadata-nested", 400, push([T, "x", {"a": {"b": "c"}}]), "Expected `str`"),
    _bad("no-label", 400, push([T, "x"], labels={}), "at least one label pair"),
    _bad("sixteen-labels", 400, push([T, "x"], labels={f"l{i}": "v" for i in range(16)}), "16 label names"),
    _bad("dotted-label", 400, push([T, "x"], labels={"a.b": "v"}), "couldn't parse labels"),
    _bad("too-old", 400, push([str(NOW_NS - 8 * 86_400 * 10**9), "x"]), "timestamp too old"),
    _bad("too-new", 400, push([str(NOW_NS + 660 * 10**9), "x"]), "timestamp too new"),
    _bad("line-too-long", 400, push([T, "x" * 262_145]), "max entry size"),
    _bad("metadata-too-large", 400, push([T, "x", {"k": "v" * 65_536}]), "metadata too large"),
    _bad("wrong-content-type", 400, push([T, "x"]), "corrupt input", {"content-type": "text/plain"}),
    _bad("unknown-encoding", 400, push([T, "x"]), "not supported", {**JSON, "content-encoding": "br"}),
    _bad("not-gzip", 400, push([T, "x"]), "couldn't parse", {**JSON, "content-encoding": "gzip"}),
)
