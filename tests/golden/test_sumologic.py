"""Bodies for Sumo Logic, byte for byte: every kind of record, and the records of all real webhook samples.

UPDATE_GOLDEN=1 rewrites the files, whose diff is then read by a human.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from headgate.core.ids import record_id
from headgate.core.ports import HttpSignal, LogEntry
from headgate.core.record import KINDS, Record, encode_record
from headgate.core.times import parse_ms
from headgate.sinks.sumologic import PLUGINS
from headgate.testing.sink_harness import build_sink, make_entry

DATA = Path(__file__).parent / "data" / "sinks"
SAMPLES = sorted((Path(__file__).parents[1] / "e2e" / "expected").glob("*.json"))
URL = "http://127.0.0.1:1/receiver/v1/http/code"


def sample(path: Path, seq: int) -> LogEntry:
    """The record that a real webhook leads to."""
    told = json.loads(path.read_text(encoding="utf-8"))
    identity = record_id(told["kind"], told["tenant"], path.stem)
    record = Record(id=identity, schema=1, observed_at=told["occurred_at"], **told)
    at_ms = parse_ms(record.occurred_at) or 0
    return LogEntry(seq, "live", record.id, record.kind, at_ms, record.project or "", seq, encode_record(record))


def batch() -> list[LogEntry]:
    """One record of each kind, the real samples, and some with what those do not have."""
    usage = {"circleci__credits__compute": 120, "circleci__credits__dlc": 5, "circleci__job__cpu__median_pct": 37.5}
    insight = {"circleci__insight__window": "last-7-days", "circleci__insight__success_rate": 0.75}
    tags = {"tag__team": "web", "tag__service": "shop", "tag__environment": "prod", "tag__kind": "nightly"}
    machine = {"circleci__queue_ms": 4200, "circleci__resource_class": "large", "circleci__executor": "docker"}
    return [
        *(make_entry(n, kind=kind) for n, kind in enumerate(KINDS, start=1)),
        *(sample(path, n) for n, path in enumerate(SAMPLES, start=100)),
        make_entry(
            200, **machine, **tags, circleci__author__login="octocat", circleci__job__contexts=["aws", "deploy"]
        ),
        make_entry(201, vcs__ref__head__type="tag", circleci__commit__subject='Say "hello" \\ to Zoë 🚀'),
        make_entry(202, kind="workflow", **tags),
        make_entry(203, kind="usage", **usage),
        make_entry(204, kind="usage", **usage),
        make_entry(205, kind="insight", **insight),
        make_entry(206, circleci__credits=120, circleci__credits__compute=100),
    ]


CASES: list[tuple[str, dict[str, object]]] = [
    ("sumologic-logs.ndjson", {"signals": ["logs"]}),
    ("sumologic-metrics.prom", {"signals": ["metrics"]}),
    ("sumologic-metrics.carbon2", {"signals": ["metrics"], "metrics_format": "carbon2"}),
    ("sumologic-job-feed.ndjson", {"signals": ["job_feed"]}),
    ("sumologic-workflow-feed.ndjson", {"signals": ["workflow_feed"]}),
    ("sumologic-webhooks.ndjson", {"signals": ["webhooks"]}),
]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[case[0] for case in CASES])
def test_bodies_are_as_reviewed(name: str, settings: dict[str, object]) -> None:
    """What is sent is what was reviewed; a change here changes what every user's queries see."""
    signal = build_sink(PLUGINS[0], {"url": URL, **settings}).signals()[0]
    assert isinstance(signal, HttpSignal)
    request = signal.encode([entry for entry in batch() if signal.kinds is None or entry.kind in signal.kinds])
    assert request is not None
    path = DATA / name
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_bytes(request.body)
    assert path.read_bytes() == request.body


WEBHOOKS = Path(__file__).parents[1] / "data" / "circleci" / "webhooks"
# What a line of `webhooks` can never say, for no record knows it.
UNKNOWN = (
    r"id|happened_at|webhook\..*|project\.id|organization\.id|pipeline\.created_at|pipeline\.vcs\.origin_repository_url"
    r"|pipeline\.vcs\.commit\.(body|authored_at|committed_at|committer\..*)|pipeline\.trigger_parameters\..*"
)
# A job's record knows its own times, the e-mail is dropped by default, and names are not read out of slugs of ids.
UNKNOWN_HERE = (
    r"pipeline\.vcs\.commit\.author\.email|organization\.name|project\.name|workflow\.(created_at|stopped_at)"
    r"|pipeline\.vcs\..*review.*"
)


def leaves(value: object, path: str = "") -> dict[str, object]:
    """Every value in nested objects by its dotted path."""
    if not isinstance(value, dict):
        return {path: value}
    found: dict[str, object] = {}
    for key, below in value.items():
        found |= leaves(below, f"{path}.{key}" if path else key)
    return found


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_line_of_webhooks_says_what_the_webhook_said(path: Path) -> None:
    """Each value is the captured payload's, at its place; what is missing is what the sink's page says."""
    signal = build_sink(PLUGINS[0], {"url": URL, "signals": ["webhooks"]}).signals()[0]
    assert isinstance(signal, HttpSignal)
    request = signal.encode([sample(path, 1)])
    assert request is not None
    line = json.loads(request.body)
    assert (next(iter(line)), set(line.pop("headgate"))) == ("timestamp", {"record_id"})
    del line["timestamp"]
    ours, theirs = leaves(line), leaves(json.loads((WEBHOOKS / path.name).read_bytes()))
    assert {name: value for name, value in ours.items() if theirs.get(name) != value} == {}
    missing = [name for name, value in theirs.items() if value not in (None, "", {}) and name not in ours]
    assert [name for name in missing if not re.fullmatch(f"{UNKNOWN}|{UNKNOWN_HERE}", name)] == []
