"""Encoding and compressing 10,000 records for New Relic, beside the models and the compression of its own client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from newrelic_telemetry_sdk import (
    Event,
    EventBatch,
    EventClient,
    Log,
    LogClient,
    MetricClient,
    Span,
    SpanBatch,
    SpanClient,
    SummaryMetric,
)
from newrelic_telemetry_sdk.batch import LogBatch

from benchmarks.jobs import Batches, batches, jobs
from benchmarks.report import Row, row
from headgate.core.ports import HttpSignal, LogEntry
from headgate.core.record import Record, decode_record
from headgate.deliver.transport import prepare
from headgate.sinks._measures import points
from headgate.sinks._trace_ids import span_id, trace_id
from headgate.sinks.newrelic import PLUGINS
from headgate.testing.sink_harness import build_sink

ROUNDS = 5
TARGET = 1.5


def ours(name: str) -> Callable[[Batches], int]:
    """Our encoding of one signal, and the compression of the engine's transport; gives the bytes on the wire."""
    signal = build_sink(PLUGINS[0], {"license_key": "k", "account_id": 1, "signals": [name]}).signals()[0]
    assert isinstance(signal, HttpSignal)

    def run(parts: Batches) -> int:
        requests = (signal.encode(part) for part in parts)
        return sum(len(prepare(request).body) for request in requests if request is not None)

    return run


def flat(record: Record) -> dict[str, Any]:
    """Attributes as the client's models take them, without our limits."""
    found: dict[str, Any] = {
        name: ",".join(value) if isinstance(value, list) else value for name, value in record.attributes.items()
    }
    return found | {"id": record.id, "project": record.project, "org": record.org}


def client_events(entries: Iterable[LogEntry]) -> int:
    """The client's events."""
    batch = EventBatch()
    for entry in entries:
        batch.record(Event("CircleCIJob", flat(decode_record(entry.body)), entry.occurred_ms))
    return _payload(EventClient, *batch.flush(), None)


def client_logs(entries: Iterable[LogEntry]) -> int:
    """The client's logs."""
    batch = LogBatch()
    for entry in entries:
        batch.record(Log("job failed", entry.occurred_ms, **flat(decode_record(entry.body))))
    return _payload(LogClient, *batch.flush())


def client_spans(entries: Iterable[LogEntry]) -> int:
    """The client's spans."""
    batch = SpanBatch()
    for entry in entries:
        record = decode_record(entry.body)
        found = record.attributes
        run, job = str(found["cicd.pipeline.run.id"]), str(found["cicd.pipeline.task.run.id"])
        ids = (span_id("job", job).hex(), trace_id(run).hex(), span_id("workflow", run).hex())
        name = str(found["cicd.pipeline.task.name"])
        batch.record(Span(name, flat(record), *ids, start_time_ms=entry.occurred_ms, duration_ms=130_000))
    return _payload(SpanClient, *batch.flush())


def client_metrics(entries: Iterable[LogEntry]) -> int:
    """The client's summaries, one a point: its own adding up stamps everything with the present."""
    items = [
        SummaryMetric(measure.name, 1, value, value, value, 60_000, dict(labels), at_ms)
        for entry in entries
        for measure, value, labels, at_ms in points(decode_record(entry.body))
    ]
    return _payload(MetricClient, items, None)


def _payload(client: Any, items: Any, common: Any) -> int:
    made = client("k")
    try:
        return len(made._create_payload(items, common))  # noqa: SLF001  # it sends what this makes
    finally:
        made.close()


PEERS: dict[str, Callable[[Iterable[LogEntry]], int]] = {
    "events": client_events,
    "logs": client_logs,
    "metrics": client_metrics,
    "spans": client_spans,
}


def run(*, long: bool) -> list[Row]:
    """Milliseconds of both ways, in turns; the ratio is how many times faster ours is."""
    parts = batches(jobs(), 2_000)
    rows = []
    for name, peer in PEERS.items():
        encode = ours(name)
        mine, theirs = [], []
        for _ in range(ROUNDS * (4 if long else 1)):
            mine.append(_ms(lambda encode=encode: encode(parts)))
            theirs.append(_ms(lambda peer=peer: sum(map(peer, parts))))
        value, other = median(mine), median(theirs)
        target = f"{TARGET} times faster" if name == "events" else ""
        met = other / value >= TARGET if name == "events" else None
        rows.append(row(f"New Relic {name}", value, "ms", peer=("client", other), target=target, met=met))
    return rows


def _ms(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000
