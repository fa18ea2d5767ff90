"""Twin, daemon and two strict OTLP receivers: traces, totals and logs are what happened, in both encodings."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.e2e.harness import TwinProcess, run_until_idle, source, write_config

from headgate.testing.sinks import FakeVendor

NS_PER_MS = 1_000_000
# Lists of API v2 give whole seconds.
COARSE_MS = 1_000
FAULTS = [{"status": status, "rate": 0.1, "store": False} for status in (503, 429, 502, 504)]
TASK_DURATION, RUN_DURATION = "cicd.pipeline.task.run.duration", "cicd.pipeline.run.duration"

Row = dict[str, Any]


def told(vendor: FakeVendor) -> dict[str, list[Row]]:
    """What is stored, by what it is: spans, points, logs."""
    found: dict[str, list[Row]] = {"spans": [], "points": [], "logs": []}
    for row in vendor.stored():
        native = row["native"]
        what = "points" if "metric" in native else "logs" if "severityNumber" in native else "spans"
        found[what].append({**native, "record_id": row["record_id"]})
    return found


def length_ms(span: Row) -> float:
    """How long a span is."""
    return (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / NS_PER_MS


def check_traces(spans: list[Row], truth: list[Row]) -> None:
    """Every run is a trace with its jobs, every parent is there, and everything is as long as it was."""
    by_id = {(span["traceId"], span["spanId"]): span for span in spans}
    assert len(by_id) == len(spans)
    # A job may have ended in a run that has not: its parent comes when the run ends.
    ended = {one["provider_id"].replace("-", "") for one in truth if one["kind"] == "workflow"}
    for span in spans:
        whole = "parentSpanId" not in span or (span["traceId"], span["parentSpanId"]) in by_id
        assert whole or (_is_job(span) and span["traceId"] not in ended), span
    roots = {span["attributes"]["cicd.pipeline.run.id"]: span for span in spans if "parentSpanId" not in span}
    jobs = {span["attributes"]["cicd.pipeline.task.run.id"]: span for span in spans if _is_job(span)}
    queues = {span["attributes"]["cicd.pipeline.task.run.id"]: span for span in spans if span["name"] == "queue"}
    assert sorted([*roots, *jobs]) == sorted(one["provider_id"] for one in truth)
    for one in truth:
        final, own = one["final"], one["provider_id"]
        if one["kind"] == "workflow":
            assert roots[own]["traceId"] == own.replace("-", "")
            assert roots[own]["name"] == f"RUN {final['cicd.pipeline.name']}"
            assert length_ms(roots[own]) == pytest.approx(final["circleci.duration_ms"], abs=COARSE_MS)
            continue
        run, job = final["cicd.pipeline.run.id"], jobs[own]
        parent = roots[run]["spanId"] if run in roots else job["parentSpanId"]
        assert (job["traceId"], job["parentSpanId"]) == (run.replace("-", ""), parent)
        waited = length_ms(queues[own]) if own in queues else 0
        if "circleci.duration_ms" in final and "circleci.started_at" in final:
            assert length_ms(job) - waited == pytest.approx(final["circleci.duration_ms"], abs=COARSE_MS)
        if own in queues:
            assert waited == pytest.approx(final["circleci.queue_ms"], abs=COARSE_MS)
    assert queues
    assert any("circleci.step.name" in span["attributes"] for span in spans), "no steps came"


def _is_job(span: Row) -> bool:
    return "circleci.step.name" not in span["attributes"] and span["name"] != "queue" and "parentSpanId" in span


def figures(truth: list[Row], kind: str) -> list[float]:
    """True durations in seconds."""
    found = [one["final"].get("circleci.duration_ms") for one in truth if one["kind"] == kind]
    return [value / 1000 for value in found if value is not None]


def check_deltas(points: list[Row], truth: list[Row]) -> None:
    """Each run and job was measured once; the sum is the true one."""
    for name, kind in ((RUN_DURATION, "workflow"), (TASK_DURATION, "job")):
        values = {row["record_id"]: row["value"] for row in points if row["metric"] == name}
        assert len(values) == len([row for row in points if row["metric"] == name]), "measured twice"
        wanted = figures(truth, kind)
        assert len(values) == len(wanted)
        assert sum(values.values()) == pytest.approx(sum(wanted), abs=len(wanted) * COARSE_MS / 1000)


def check_totals(points: list[Row], truth: list[Row]) -> None:
    """The last total of every series together counts every run and job, by its result."""
    last: dict[tuple[Any, ...], tuple[int, int]] = {}
    for row in points:
        if row["metric"] == TASK_DURATION:
            key = (row["resource"]["service.name"], *sorted(row["attributes"].items()))
            last[key] = max(last.get(key, (0, 0)), (int(row["timeUnixNano"]), int(row["count"])))
    assert sum(count for _, count in last.values()) == len(figures(truth, "job"))


def check_logs(logs: list[Row], truth: list[Row]) -> None:
    """One log record each, correlated with its span, as severe as its outcome."""
    found = {}
    for log in logs:
        if log["attributes"]["headgate.kind"] in {"workflow", "job"}:
            own = "cicd.pipeline.task.run.id" if log["attributes"]["headgate.kind"] == "job" else "cicd.pipeline.run.id"
            found[log["attributes"][own]] = log
    assert sorted(found) == sorted(one["provider_id"] for one in truth)
    bad = {"failure", "error", "timeout"}
    for log in found.values():
        assert log["traceId"] == log["attributes"]["cicd.pipeline.run.id"].replace("-", "")
        assert (log["severityNumber"] == 17) is (log["attributes"]["headgate.status"] in bad)


@pytest.mark.timeout(240)
def test_what_the_receivers_hold_is_what_happened(tmp_path):
    """One tenth of the requests fail in each way that is tried again; spans, sums and logs agree with the truth."""
    began = TwinProcess(tmp_path, "--seed", "7", "--days", "1", "--projects", "3", "--runs-per-day", "12")
    with began as twin, FakeVendor("otlp") as binary, FakeVendor("otlp") as text:
        polled = source(
            twin.url,
            twin.about()["orgs"],
            poll={"every": "15s", "initial": "3d"},
            enrich="batch",
            details={"steps": "all"},
        )
        sinks = {
            "binary": {"type": "otlp", "url": binary.url, "batch_records": 50},
            "text": {
                "type": "otlp",
                "url": text.url,
                "encoding": "json",
                "temporality": "cumulative",
                "max_age": "400d",
                "batch_records": 50,
            },
        }
        for vendor in (binary, text):
            vendor.answer(*FAULTS)
        run_until_idle(write_config(tmp_path, sinks, {"circleci": polled}))
        truth = twin.truth()
        stored = {"binary": told(binary), "text": told(text)}
        answers = Counter(row["status"] for row in binary.requests())
    assert {503, 200} <= answers.keys() <= {200, 429, 502, 503, 504}
    assert len(truth) > 30  # at weekends less is run
    for found in stored.values():
        check_traces(found["spans"], truth)
        check_logs(found["logs"], truth)
    check_deltas(stored["binary"]["points"], truth)
    check_totals(stored["text"]["points"], truth)
    assert sorted(map(str, stored["binary"]["spans"])) == sorted(map(str, stored["text"]["spans"]))
