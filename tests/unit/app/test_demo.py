"""The demo: what it is made of, its clock, and what it says of itself at the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headgate.alerting.load import load_rules
from headgate.app.demo import DemoOptions, run_demo
from headgate.app.demo_clock import DemoClock, last_working_day_ms, speed
from headgate.app.demo_settings import Place, twin_options, write_files
from headgate.app.demo_truth import differences, happened
from headgate.app.settings import load
from headgate.core.clock import ManualClock
from headgate.core.errors import ConfigError
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.plugins import load_plugins
from headgate.testing.circleci.__main__ import options_from, parser
from headgate.testing.circleci.plants import plant_all

OPTIONS = ("--port", "0", "--days", "1", "--projects", "1", "--exit-after", "8")
PROJECTS = [f"gh/acme/{name}" for name in ("web", "mobile", "payments", "docs-site", "api")]


def test_the_demo_counts_what_happened_and_ends_by_itself(tmp_path: Path) -> None:
    """A small organisation: ready line, records, a comparison with the twin's truth, exit 0."""
    keep = tmp_path / "kept"
    done = subprocess.run(
        [sys.executable, "-m", "headgate", "demo", *OPTIONS, "--keep", str(keep)],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ready = next(json.loads(line) for line in done.stderr.splitlines() if '"event":"ready"' in line)
    assert f"Page        {ready['http']}/" in done.stdout
    assert "All 1 days are collected" in done.stdout
    assert "The counters equal what really happened" in done.stdout, done.stdout
    assert (keep / "records.jsonl").stat().st_size > 0
    assert list((keep / "reports").glob("weekly_*.html"))
    assert str(keep) in done.stdout


@pytest.mark.parametrize("left", ["headgate.db", "headgate.yaml"])
def test_a_demo_that_was_kept_is_not_begun_anew(tmp_path: Path, left: str) -> None:
    """Its time would go back; the words say what to do instead, and nothing is touched."""
    (tmp_path / left).write_bytes(b"kept")
    with pytest.raises(ConfigError, match=r"another folder, or .* `headgate run --config .*headgate\.yaml`"):
        run_demo(DemoOptions(keep=tmp_path))
    assert [(left, b"kept")] == [(one.name, one.read_bytes()) for one in tmp_path.iterdir()]


@pytest.mark.parametrize("days", range(10))
def test_the_demo_plays_on_a_working_afternoon(days: int) -> None:
    """Tuesday to Friday, 13:00 UTC, never in the future."""
    real_ms = 1_795_000_000_000 + days * 86_400_000
    start_ms = last_working_day_ms(real_ms)
    start = datetime.fromtimestamp(start_ms / 1000, tz=UTC)
    assert start.weekday() in {1, 2, 3, 4}
    assert (13, 0) == (start.hour, start.minute)
    assert start_ms < real_ms


def test_leaps_move_wall_and_timers_alike() -> None:
    """Whoever compares the two sees no jump."""
    real = ManualClock()
    clock = DemoClock(real, 1_795_000_000_000)
    wall, timer = clock.now_ms(), clock.monotonic()
    clock.leap(29)
    real.advance(1)
    assert (30_000, 30.0) == (clock.now_ms() - wall, clock.monotonic() - timer)


def test_what_the_tour_shows_outlasts_an_hour_of_reading() -> None:
    """Within the same day: machines are short, runs hang, and the day is not over, of which an alert is judged."""
    now_ms = last_working_day_ms(1_795_000_000_000)
    words = twin_options(seed=1, days=90, projects=12, now_ms=now_ms, hook_port=1, secret="s")
    end_ms, collected_ms = now_ms, None
    for second in range(3600):
        collected_ms = end_ms if second == 60 else collected_ms
        end_ms += speed(collected_ms, end_ms) * 1000
    # In the evening too few jobs wait for anybody to judge how long.
    assert now_ms + 5 * HOUR_MS < end_ms < now_ms // DAY_MS * DAY_MS + 19 * HOUR_MS
    plants = plant_all(options_from(parser().parse_args(words)))
    jam = next(one for one in plants.all if one.kind == "queue_jam")
    hanging = next(one for one in plants.all if one.kind == "hanging_job")
    assert jam.until > end_ms
    assert hanging.since + hanging.size * HOUR_MS > end_ms


def test_differences_with_the_truth_are_named() -> None:
    """Per kind, both numbers; what only a walk of all history would tell does not count."""
    ran = {"circleci.job.type": "build", "headgate.status": "timeout"}
    truth = happened(
        [
            {"kind": "workflow", "final": {}},
            {"kind": "job", "final": ran},
            {"kind": "job", "final": ran | {"headgate.status": "canceled"}},
            {"kind": "job", "final": ran | {"circleci.job.type": "approval", "headgate.status": "success"}},
        ]
    )
    assert {"workflow": 1, "job": 1} == dict(truth)
    assert differences(truth, {"workflow": 1, "job": 1}) == []
    assert differences(truth, {"workflow": 1}) == ["jobs: 0 counted, 1 happened"]


def test_the_configuration_is_one_that_a_daemon_would_take(tmp_path: Path) -> None:
    """It loads, its rules are the shipped ones, one of them less patient, and budgets; every project has a team."""
    place = Place(tmp_path, 8080, 8081, 8082, 8083, "secret")
    write_files(place, ["gh/acme"], PROJECTS)
    assert not load(load_plugins(), file=place.file, environ={}).settings.reports
    write_files(place, ["gh/acme"], PROJECTS, collected=True)
    configuration = load(load_plugins(), file=place.file, environ={})
    assert set(configuration.settings.reports) | set(configuration.settings.exports) == {"weekly", "projects"}
    rules = load_rules([str(tmp_path / name) for name in configuration.settings.alerts.rules])
    budgets = {"BudgetOfTheCompany", "BudgetOfDocs"}
    assert {rule.name for rule in load_rules(())} | budgets == {rule.name for rule in rules}
    written = (tmp_path / "default_rules.yaml").read_text("utf-8")
    assert "for_runs: 3" not in written
    assert "every: 1h\n" not in written
    assert "min_runs: 4" in written
    assert written.count("severity: critical") == 1
    assert [owner.team for owner in configuration.settings.owners] == ["shop", "shop", "payments", "docs", "platform"]


def test_the_organisation_is_as_busy_with_any_number_of_projects() -> None:
    """As many pipelines a day, the first project the busiest, troubles in the present."""
    words = {"seed": 1, "days": 90, "now_ms": 1_795_179_600_000, "hook_port": 1, "secret": "secret"}
    made = [options_from(parser().parse_args(twin_options(projects=projects, **words))) for projects in (3, 12)]
    assert [72.0, 72.0] == [pytest.approx(sum(options.runs_by_project)) for options in made]
    assert all(options.knobs.plants_now and options.knobs.plants for options in made)
    assert made[1].runs_by_project[0] > 10 * made[1].runs_by_project[9]
