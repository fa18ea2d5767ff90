"""CircleCI's own aggregates through the whole daemon: the file holds the twin's figures, each once."""

from __future__ import annotations

import json

import httpx
from tests.e2e.harness import ASKING, TOKEN, TwinProcess, read_jsonl, run_until_idle, source, write_config

KNOBS = ("insights_delay=0", "flaky_share=1.0", "rerun_rate=0.9", "branch_success_rate=0.6", "schedules=false")
WINDOWS = ["last-7-days", "last-30-days"]
SLUG = "gh/acme/web"


def test_the_sink_holds_what_insights_says(tmp_path):
    """Workflows and flaky tests as the twin gives them, an organisation without a project; nothing twice."""
    words = [word for knob in KNOBS for word in ("--knob", knob)]
    with TwinProcess(tmp_path, "--seed", "5", "--days", "4", "--projects", "2", *words) as twin:
        settings = {"windows": WINDOWS, "parts": ["org", "workflows", "flaky"]}
        polled = source(twin.url, ["gh/acme"], insights=settings, poll={"initial": "5d"})
        config = write_config(
            tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}}, {"circleci": polled}
        )
        run_until_idle(config)
        lines = read_jsonl(tmp_path / "out.jsonl")
        calls = _insights_calls(twin)
        run_until_idle(config)
        assert lines == read_jsonl(tmp_path / "out.jsonl"), "a restart sent something again"
        assert calls == _insights_calls(twin), "a restart asked again"
        records = [json.loads(line) for line in lines]
        _compare_workflows(twin, records)
        _compare_flaky_tests(twin, records)
    orgs = [one for one in records if one["attributes"].get("circleci.insight.subject") == "org"]
    assert {("gh/acme", None)} == {(one["org"], one.get("project")) for one in orgs}
    assert sorted(WINDOWS) == sorted(one["attributes"]["circleci.insight.window"] for one in orgs)


def _insights_calls(twin):
    return {route: n for route, n in twin.ask("GET", "/calls").json().items() if "/insights/" in route}


def _ask(twin, path, **query):
    answer = httpx.get(f"{twin.url}/api/v2/insights/{path}", params=query, headers={"circle-token": TOKEN}, **ASKING)
    return answer.raise_for_status().json()


def _compare_workflows(twin, records):
    for window in WINDOWS:
        given = _ask(twin, f"{SLUG}/workflows", **{"all-branches": "true", "reporting-window": window})["items"]
        told = {
            one["attributes"]["cicd.pipeline.name"]: one["attributes"]
            for one in records
            if one["kind"] == "insight"
            and one.get("project") == SLUG
            and one["attributes"]["circleci.insight.subject"] == "workflow"
            and one["attributes"]["circleci.insight.window"] == window
        }
        assert {item["name"] for item in given} == told.keys()
        for item in given:
            metrics, attributes = item["metrics"], told[item["name"]]
            durations = metrics.pop("duration_metrics")
            figures = {f"circleci.insight.{name}": value for name, value in metrics.items() if name != "mttr"}
            figures |= {
                "circleci.insight.mttr_s": metrics["mttr"],
                "circleci.insight.duration_stddev_s": durations.pop("standard_deviation"),
                "circleci.insight.window_start": item["window_start"],
                "circleci.insight.window_end": item["window_end"],
                **{f"circleci.insight.duration_{name}_s": value for name, value in durations.items()},
            }
            assert figures == {name: attributes[name] for name in figures}
            assert attributes["circleci.insight.delay_ms"] >= 0


def _compare_flaky_tests(twin, records):
    given = _ask(twin, f"{SLUG}/flaky-tests")
    told = [one for one in records if one["kind"] == "flaky_test" and one["project"] == SLUG]
    assert given["total_flaky_tests"] == len(told) > 0
    latest = {}
    for item in given["flaky_tests"]:
        name = item["classname"], item["file"], item["test_name"]
        latest[name] = max(latest.get(name, item), item, key=lambda one: one["workflow_created_at"])
    attributes = {
        tuple(
            one["attributes"].get(key) for key in ("circleci.test.class", "circleci.test.file", "test.case.name")
        ): one
        for one in told
    }
    assert latest.keys() == attributes.keys()
    for name, item in latest.items():
        found = attributes[name]["attributes"]
        assert item["times_flaked"] == found["circleci.test.times_flaked"]
        assert item["workflow_id"] == found["cicd.pipeline.run.id"]
        assert item["job_name"] == found["cicd.pipeline.task.name"]
