"""Bodies that sinks send, byte for byte; UPDATE_GOLDEN=1 rewrites the files, whose diff is then read by a human."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from headgate.core.ports import HttpSignal, LogEntry, Plugin
from headgate.core.record import KINDS, decode_record, encode_record
from headgate.core.times import HOUR_MS
from headgate.sinks import elasticsearch, http, loki, newrelic, otlp
from headgate.sinks.elasticsearch import ElasticsearchSignal
from headgate.testing.sink_harness import NOW_MS, build_sink, make_entry

DATA = Path(__file__).parent / "data" / "sinks"
URL = "http://127.0.0.1:1"
RUN = "https://app.circleci.com/pipelines/github/acme/web/25/workflows/fda08377-fe7e-46b1-8992-3a7aaecac9c3"
JOB = {
    "cicd__pipeline__run__url__full": RUN,
    "cicd__pipeline__task__run__url__full": f"{RUN}/jobs/136",
    "circleci__author__login": "octocat",
    "circleci__commit__subject": 'Say "hello" \\ to Zoë 🚀',
    "circleci__created_at": "2026-11-20T09:59:56.000Z",
    "circleci__credits": 120,
    "circleci__job__contexts": ["aws", "deploy"],
    "circleci__queue_ms": 4200,
    "circleci__started_at": "2026-11-20T10:00:00.000Z",
    "circleci__stopped_at": "2026-11-20T10:02:10.000Z",
    "vcs__ref__head__revision": "1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
}


def batch() -> list[LogEntry]:
    """One record of each kind, a full job, a second project, a record that came late, and one of a backfill."""
    late = make_entry(101, occurred_ms=NOW_MS - 3 * HOUR_MS)
    seen = msgspec.structs.replace(decode_record(late.body), observed_at="2026-11-20T10:02:11.000Z")
    return [
        *(make_entry(n, kind=kind) for n, kind in enumerate(KINDS, start=1)),
        make_entry(100, **JOB),
        make_entry(102, project="gh/acme/api", headgate__status="success", circleci__status="success"),
        msgspec.structs.replace(late, body=encode_record(seen)),
        make_entry(103, lane="backfill", occurred_ms=NOW_MS - 26 * HOUR_MS),
    ]


def newrelic_signal(signal: str, **more: object) -> dict[str, object]:
    """Settings of a New Relic sink with one signal."""
    return {"license_key": "k", "account_id": 1, "signals": [signal], **more}


CASES: list[tuple[str, Plugin, dict[str, object]]] = [
    ("loki.json", loki.PLUGINS[0], {"url": URL}),
    ("loki-no-project.json", loki.PLUGINS[0], {"url": URL, "labels": [], "tags": {"cluster": "eu"}}),
    ("elasticsearch-data-stream.ndjson", elasticsearch.PLUGINS[0], {"hosts": [URL], "ecs_tags": ["ci"]}),
    (
        "elasticsearch-month.ndjson",
        elasticsearch.PLUGINS[0],
        {"hosts": [URL], "target": "month", "tags": {"team": "web"}},
    ),
    ("http-lines.ndjson", http.PLUGINS[0], {"url": URL}),
    ("http-array.json", http.PLUGINS[0], {"url": URL, "format": "array"}),
    ("newrelic-events.json", newrelic.PLUGINS[0], newrelic_signal("events")),
    ("newrelic-logs.json", newrelic.PLUGINS[0], newrelic_signal("logs")),
    ("newrelic-metrics.json", newrelic.PLUGINS[0], newrelic_signal("metrics")),
    ("newrelic-metric-ids.json", newrelic.PLUGINS[0], newrelic_signal("metrics", metric_ids=True)),
    ("newrelic-spans.json", newrelic.PLUGINS[0], newrelic_signal("spans")),
    ("otlp-traces.json", otlp.PLUGINS[0], {"url": URL, "signals": ["traces"], "encoding": "json"}),
    ("otlp-traces.binpb", otlp.PLUGINS[0], {"url": URL, "signals": ["traces"]}),
    ("otlp-metrics-delta.json", otlp.PLUGINS[0], {"url": URL, "signals": ["metrics"], "encoding": "json"}),
    ("otlp-metrics-delta.binpb", otlp.PLUGINS[0], {"url": URL, "signals": ["metrics"]}),
    (
        "otlp-metrics-cumulative.json",
        otlp.PLUGINS[0],
        {"url": URL, "signals": ["metrics"], "encoding": "json", "temporality": "cumulative"},
    ),
    ("otlp-logs.json", otlp.PLUGINS[0], {"url": URL, "signals": ["logs"], "encoding": "json"}),
    ("otlp-logs.binpb", otlp.PLUGINS[0], {"url": URL, "signals": ["logs"]}),
]


@pytest.mark.parametrize(("name", "plugin", "settings"), CASES, ids=[case[0] for case in CASES])
def test_bodies_are_as_reviewed(name: str, plugin: Plugin, settings: dict[str, object]) -> None:
    """What is sent is what was reviewed; a change here changes what every user's queries see."""
    signal = build_sink(plugin, settings).signals()[0]
    assert isinstance(signal, HttpSignal | ElasticsearchSignal)
    encoded = signal.encode([entry for entry in batch() if signal.kinds is None or entry.kind in signal.kinds])
    assert encoded is not None
    body = encoded if isinstance(encoded, bytes) else encoded.body
    path = DATA / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_bytes(body)
    assert path.read_bytes() == body
