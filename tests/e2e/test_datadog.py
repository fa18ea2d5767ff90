"""Webhooks through a running daemon into a strict Datadog that fails: nothing is lost, counts are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.harness import Daemon, made_up_job, uuid_of, wait_until, write_config

from headgate.testing.sinks import FakeVendor

JOBS = 60


def job_of(native: dict[str, Any]) -> str | None:
    """The id of the job that a CI event is about; None for anything else."""
    found: str | None = native.get("resource", {}).get("id")
    return found


def test_a_datadog_that_fails_holds_what_happened(tmp_path: Path) -> None:
    """Eight requests fail, half of them after they were kept; every job is there, once where Datadog can tell."""
    with FakeVendor("datadog") as vendor:
        vendor.answer({"status": 503, "count": 4}, {"cut": "after_store", "count": 4})
        sink = {
            "type": "datadog",
            "api_key": "a-made-up-key",
            "endpoints": dict.fromkeys(("api", "logs", "events"), vendor.url),
            "signals": ["logs", "metrics", "distributions", "events", "ci"],
            "compat_metrics": True,
        }
        with Daemon(write_config(tmp_path, {"datadog": sink})) as daemon:
            for number in range(JOBS):
                assert daemon.deliver(made_up_job(number)).status_code == 200
            wanted = {uuid_of(number) for number in range(JOBS)}
            wait_until(lambda: wanted <= {job_of(row["native"]) for row in vendor.stored()}, "the last jobs")
            daemon.wait_settled(60)
        rows = [row["native"] for row in vendor.stored()]
        requests = vendor.requests()
    assert sorted(filter(None, map(job_of, rows))) == sorted(wanted)
    assert {row["cicd.pipeline.task.run.id"] for row in rows if "ddsource" in row} == wanted
    finished = [row["value"] for row in rows if row.get("metric") == "circleci.finished_builds.count"]
    assert sum(finished) == JOBS
    durations = [row["value"] for row in rows if row.get("metric") == "cicd.pipeline.task.run.duration"]
    assert len(durations) >= JOBS
    assert sum(row["told"] != "judged" for row in requests) == 8
