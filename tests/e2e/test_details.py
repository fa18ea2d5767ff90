"""Details of jobs through a whole daemon: all results of each finished job arrive, killed processes or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.harness import (
    ASKING,
    TOKEN,
    Daemon,
    TwinProcess,
    read_jsonl,
    run_until_idle,
    source,
    wait_until,
    write_config,
)

from headgate.testing.circleci.api_output import LEAKED, SIGNATURE

WORDS = {"success": "pass", "failure": "fail", "skipped": "skip"}
DETAILS = {"tests": "all", "steps": "all", "output": "failed", "artifacts": "all"}

_Result = tuple[str, str, str, str, str]


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """Record id -> record; a killed process may have written a line twice."""
    return {record["id"]: record for record in map(json.loads, read_jsonl(folder / "out.jsonl"))}


def _ended(twin: TwinProcess) -> list[dict[str, Any]]:
    """Jobs that ran, by the twin's truth."""
    return [one for one in twin.truth() if one["kind"] == "job" and "circleci.duration_ms" in one["final"]]


def _asked(twin: TwinProcess, path: str) -> Any:
    return httpx.get(twin.url + path, headers={"circle-token": TOKEN}, **ASKING, timeout=30).json()


def _true_results(twin: TwinProcess, jobs: list[dict[str, Any]]) -> list[_Result]:
    found = []
    for job in jobs:
        items = _asked(twin, f"/api/v2/project/{job['project']}/{job['final']['circleci.job.number']}/tests")["items"]
        found += [
            (job["provider_id"], item["classname"], item["name"], item["file"], WORDS[item["result"]]) for item in items
        ]
    return sorted(found)


def _results(records: dict[str, dict[str, Any]]) -> list[_Result]:
    names = ("cicd.pipeline.task.run.id", "circleci.test.class", "test.case.name", "circleci.test.file")
    told = [one["attributes"] for one in records.values() if one["kind"] == "test_result"]
    found = [tuple(one[name] for name in (*names, "test.case.result.status")) for one in told]
    return sorted(found)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.long)])
def test_all_results_of_each_job_arrive_once_after_kills(tmp_path, kills):
    """Equal to the twin's truth: results, steps, counts, artifacts, deployments; no token or address in any record."""
    twin = TwinProcess(tmp_path, "--seed", "4", "--days", "1", "--projects", "3", "--runs-per-day", "8")
    with twin:
        polled = source(
            twin.url,
            twin.about()["orgs"],
            poll={"every": "1s", "initial": "3d"},
            details=DETAILS,
            deployments=[{"job": "deploy*", "environment": "production"}],
        )
        config = write_config(
            tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}}, {"circleci": polled}
        )
        jobs = _ended(twin)
        expected = _true_results(twin, jobs)
        part = len(expected) // (kills + 1)  # fewer of a Saturday and a Sunday
        assert part > 50
        with Daemon(config) as daemon:
            for kill in range(1, kills + 1):

                def some(more: int = part * kill) -> bool:
                    return daemon.overview()["facts"].get("test_result", 0) >= more

                wait_until(some, "some results", 60)
                daemon.kill()
                daemon.start()
            daemon.kill()
        run_until_idle(config)
        records = _records(tmp_path)
        assert _results(records) == expected
        _check_steps(twin, jobs, records)
        _check_deployments(jobs, records)
        with Daemon(config) as daemon:
            assert daemon.overview()["facts"]["test_result"] == len(expected)
    text = (tmp_path / "out.jsonl").read_text() + (tmp_path / "daemon.log").read_text()
    assert LEAKED not in text
    assert SIGNATURE not in text


def _check_steps(twin: TwinProcess, jobs: list[dict[str, Any]], records: dict[str, dict[str, Any]]) -> None:
    expected, tails = [], 0
    for job in jobs:
        build = _asked(twin, f"/api/v1.1/project/{job['project']}/{job['final']['circleci.job.number']}")
        for step in build["steps"]:
            for action in step["actions"]:
                expected.append((job["provider_id"], step["name"], action["status"], action["end_time"]))
                tails += bool(action["output_url"])
    told = [one["attributes"] for one in records.values() if one["kind"] == "step"]
    names = ("cicd.pipeline.task.run.id", "circleci.step.name", "circleci.status", "circleci.stopped_at")
    assert sorted(tuple(one[name] for name in names) for one in told) == sorted(expected)
    assert sum("circleci.step.output_tail" in one for one in told) == tails > 0


def _check_deployments(jobs: list[dict[str, Any]], records: dict[str, dict[str, Any]]) -> None:
    words = {"success": "succeeded", "failure": "failed", "error": "failed", "timeout": "failed"}
    expected = [
        (job["provider_id"], words[job["final"]["headgate.status"]])
        for job in jobs
        if job["final"]["cicd.pipeline.task.name"].startswith("deploy") and job["final"]["headgate.status"] in words
    ]
    told = [one["attributes"] for one in records.values() if one["kind"] == "deployment"]
    assert sorted((one["cicd.pipeline.task.run.id"], one["deployment.status"]) for one in told) == sorted(expected)
    assert expected


def test_a_told_deployment_survives_a_kill(tmp_path):
    """What was answered 201 is there after kill -9, once however often it is told."""
    config = write_config(tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}})
    told = {"id": "r-1", "project": "gh/acme/web", "environment": "production", "status": "succeeded"}
    headers = {"x-headgate-request": "test"}
    with Daemon(config) as daemon:
        url = f"{daemon.http}/api/v1/deployments"
        assert httpx.post(url, json=told, **ASKING).status_code == 403  # not without the header
        first = httpx.post(url, json=told, headers=headers, **ASKING)
        daemon.kill()
        daemon.start()
        url = f"{daemon.http}/api/v1/deployments"
        again = httpx.post(url, json=told, headers=headers, **ASKING)
        assert (first.status_code, again.status_code) == (201, 200)
        assert daemon.overview()["facts"]["deployment"] == 1
        daemon.wait_settled()
        assert daemon.stop() == 0
    assert list(_records(tmp_path)) == [first.json()["id"]]
