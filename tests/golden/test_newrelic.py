"""Real webhooks as New Relic gets them: the records of `tests/e2e/expected`, written by hand from captured payloads.

UPDATE_GOLDEN=1 rewrites the files, whose diff is then read by a human.
"""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from headgate.core.ids import record_id
from headgate.core.ports import HttpSignal, LogEntry
from headgate.core.record import decode_record
from headgate.core.times import parse_ms
from headgate.sinks.newrelic import PLUGINS
from headgate.testing.sink_harness import build_sink, send
from headgate.testing.sinks import FakeVendor

TESTS = Path(__file__).parents[1]
SAMPLES = sorted((TESTS / "e2e" / "expected").glob("*.json"))
DATA = Path(__file__).parent / "data" / "sinks"
SIGNALS = {"events": "events", "logs": "logs", "metrics": "metrics", "spans": "traces"}


def samples() -> list[LogEntry]:
    """The records, with what the files leave out."""
    entries = []
    for seq, path in enumerate(SAMPLES):
        found = orjson.loads(path.read_bytes())
        found |= {"id": record_id(found["kind"], found["tenant"], path.stem), "schema": 1}
        found["observed_at"] = found["occurred_at"]
        at_ms = parse_ms(found["occurred_at"])
        assert at_ms is not None
        body = orjson.dumps(found)
        decode_record(body)
        entries.append(LogEntry(seq, "live", found["id"], found["kind"], at_ms, found["project"], seq, body))
    return entries


def signal_of(name: str, url: str) -> HttpSignal:
    """A sink with one signal on."""
    settings = {"license_key": "k", "account_id": 1, "endpoints": {SIGNALS[name]: url}, "signals": [name]}
    (signal,) = build_sink(PLUGINS[0], settings).signals()
    assert isinstance(signal, HttpSignal)
    return signal


@pytest.mark.parametrize("name", SIGNALS)
async def test_real_records_are_as_reviewed_and_taken(name: str) -> None:
    """What a captured webhook becomes was read by a human, and a strict server of that day keeps each of them."""
    for entry in samples():
        with FakeVendor("newrelic", clock_ms=lambda now=entry.occurred_ms: now, span_age_seconds=0) as vendor:
            await send(signal_of(name, vendor.url), [entry])
            assert vendor.stats()["records"] >= 1
    request = signal_of(name, "http://127.0.0.1:1").encode(samples())
    assert request is not None
    body = orjson.dumps(orjson.loads(request.body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    path = DATA / f"newrelic-samples-{name}.json"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_bytes(body)
    assert path.read_bytes() == body


def test_jobs_hang_below_their_workflows() -> None:
    """Every job that names a workflow has its span as parent, whether that was captured or not; workflows are roots."""
    request = signal_of("spans", "http://127.0.0.1:1").encode(samples())
    assert request is not None
    (group,) = orjson.loads(request.body)
    assert {span["attributes"]["span.kind"] for span in group["spans"]} == {"server", "internal"}
    for found in (span["attributes"] for span in group["spans"]):
        belongs = found["kind"] == "job" and "cicd.pipeline.run.id" in found
        assert ("parent.id" in found) is belongs
