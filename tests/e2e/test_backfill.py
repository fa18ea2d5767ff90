"""History by command on a real daemon and twin: complete, cheap, and whole after kills in the middle of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from tests.e2e.compare import compare
from tests.e2e.harness import (
    Daemon,
    TwinProcess,
    headgate,
    pause,
    read_jsonl,
    run_until_idle,
    source,
    utc_text,
    write_config,
)

_SIZE = ("--seed", "11", "--days", "20", "--projects", "2", "--runs-per-day", "6", "--knob", "insights_delay=0")
# What the twin's history has that only asking run by run would tell: tags and what ended just now are not asked for.
_PLAIN = ("--knob", "tag_rate=0", "--knob", "late_reruns_per_day=0")


@pytest.fixture
def twin(tmp_path):
    """Twenty days of two projects; the clock stands still."""
    now = utc_text(datetime.now(UTC).replace(microsecond=0))
    with TwinProcess(tmp_path, *_SIZE, *_PLAIN, "--now", now) as made:
        yield made


def _config(tmp_path, twin, **more):
    """A daemon that polls little by itself, so that what comes is the backfill's."""
    quiet = {"poll": {"every": "60s", "initial": "1m"}, "insights": {"every": "off"}, "usage_export": {"poll": "1s"}}
    polled = source(twin.url, twin.about()["orgs"], **quiet, **more)
    return write_config(
        tmp_path, {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}}, {"circleci": polled}
    )


def _knowable(twin):
    """Runs and jobs that strategy `export` tells of; approvals and jobs that never ran are not among them."""
    return [one for one in twin.truth() if any(one["knowable"].get(name) for name in ("export", "insights"))]


def _budget(per_second):
    return {"budget": {"per_second": per_second, "burst": per_second}}


def test_history_by_command_is_what_happened(tmp_path, twin):
    """Without a daemon it is done here and now; every run is in the sink, by a cheap strategy."""
    config = _config(tmp_path, twin, discover={"every": "1m"}, projects={"include": sorted(twin.about()["projects"])})
    done = headgate("backfill", "--since", "30d", "-c", str(config), "--json", seconds=120)
    assert done.returncode == 0, done.stderr
    (told,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (told["state"], told["share"], told["problems"]) == ("done", 1.0, [])
    assert told["strategy"] == "export"
    lines = read_jsonl(tmp_path / "out.jsonl")
    assert compare(_knowable(twin), lines).lost == []
    report = compare(twin.truth(), lines)
    assert (report.unknown, report.duplicate, report.altered) == ([], {}, []), report
    runs = len({one["provider_id"] for one in twin.truth() if one["kind"] == "workflow"})
    assert told["calls"] < runs, "walking would take two calls and more for each run"


def test_kills_in_the_middle_of_a_backfill_lose_and_repeat_nothing(tmp_path, twin):
    """Three kills; the request goes on by itself; no record is there twice but for what the promise allows."""
    projects = sorted(twin.about()["projects"])
    config = _config(tmp_path, twin, projects={"include": projects}, **_budget(12))
    asked = {"since_ms": round(datetime.now(UTC).timestamp() * 1000) - 30 * 86_400_000, "until_ms": 1 << 45}
    daemon = Daemon(config)
    with daemon:
        answer = daemon.post("/api/v1/backfills", asked)
        assert answer.status_code == 200, answer.text
        for _ in range(3):
            pause(1.2)
            daemon.kill()
            daemon.start()
        answer = daemon.get("/api/v1/backfills")
        assert answer.status_code == 200, answer.text
        (under_way,) = answer.json()
        assert under_way["state"] != "waiting"
        assert daemon.stop() == 0
    # Slow until here, so that the kills are in the middle of it.
    _config(tmp_path, twin, projects={"include": projects}, **_budget(200))
    run_until_idle(config)
    with Daemon(config) as again:
        (done,) = again.get("/api/v1/backfills").json()
        assert done["state"] == "done"
        assert again.stop() == 0
    lines = read_jsonl(tmp_path / "out.jsonl")
    assert compare(_knowable(twin), lines).lost == []
    report = compare(twin.truth(), lines)
    assert (report.unknown, report.altered) == ([], []), report
