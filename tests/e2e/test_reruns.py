"""Reruns of pipelines that are two months old, of which no webhook tells: found by the audit, and linked."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.compare import fold
from tests.e2e.harness import TwinProcess, read_jsonl, run_until_idle, source, write_config

AGE = timedelta(days=60)
CALM = (
    "schedules=false",
    "approval_rate=0",
    "late_reruns_per_day=0",
    "stories=false",
    "tag_rate=0",
    "error_rate=0",
    "cancel_rate=0",
    "unauthorized_rate=0",
    "branch_success_rate=0.4",
)


def old_pipelines(twin: TwinProcess) -> dict[str, dict[str, Any]]:
    """Of each project a failed workflow that is older than `AGE` and was not rerun: the truth about it."""
    before = datetime.fromisoformat(twin.about()["now"]) - AGE
    found, truth = {}, twin.truth()
    rerun = {line["rerun_of"] for line in truth}
    for line in truth:
        final = line["final"]
        failed = line["kind"] == "workflow" and final["circleci.status"] == "failed"
        if (
            failed
            and line["provider_id"] not in rerun
            and datetime.fromisoformat(final["circleci.created_at"]) < before
        ):
            found[line["project"]] = line
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("lacks", [{}, pytest.param({"v1.1": 404}, marks=pytest.mark.long)], ids=["v1.1", "insights"])
def test_a_rerun_of_an_old_pipeline_is_found(tmp_path: Path, lacks: dict[str, int]) -> None:
    """Whole and from failed, of each kind of project: in one round of the audit, without v1.1 within 26 hours."""
    knobs = [part for knob in CALM for part in ("--knob", knob)]
    rights = json.dumps({"reader": {"lacks": lacks}})
    twin = TwinProcess(
        tmp_path, "--days", "66", "--projects", "4", "--runs-per-day", "1", "--seed", "3", "--rights", rights, *knobs
    )
    with twin:
        polled = source(twin.url, twin.about()["orgs"], token="reader", poll={"every": "15s", "initial": "1d"})
        config = write_config(
            tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}}, {"ci": polled}
        )
        run_until_idle(config)
        old = old_pipelines(twin)
        assert len(old) == 4
        made = {}
        for number, line in enumerate(old.values()):
            wanted = {"pipeline": line["final"]["circleci.pipeline.id"], "from_failed": number % 2 == 1}
            made[twin.ask("POST", "/rerun", json=wanted).json()["workflow"]] = (line, wanted["from_failed"])
        twin.advance(2 * 3600)
        ended = {line["provider_id"]: line for line in twin.truth() if line["provider_id"] in made}
        assert ended.keys() == made.keys()
        run_until_idle(config)
        found = fold(read_jsonl(tmp_path / "out.jsonl")).records
        if lacks:
            assert not found.keys() & made.keys(), "nothing but Insights can tell of them, and those are a day late"
            twin.advance(24 * 3600)
            run_until_idle(config)
            found = fold(read_jsonl(tmp_path / "out.jsonl")).records
    assert made.keys() <= found.keys()
    for key, (line, from_failed) in made.items():
        got = found[key]["attributes"]
        assert got["circleci.pipeline.id"] == line["final"]["circleci.pipeline.id"]
        assert (got["circleci.rerun_of"], got["circleci.attempt"] >= 2) == (ended[key]["rerun_of"], True)
        assert got.get("circleci.partial_rerun", False) == ended[key]["partial_rerun"] == from_failed
