"""The demo: it shows where to look, counts what happened, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headgate.app.demo import DemoClock, compare_with_truth
from headgate.core.clock import ManualClock

OPTIONS = ("--port", "0", "--days", "1", "--projects", "1", "--exit-after", "8")


def test_the_demo_counts_what_happened_and_ends_by_itself(tmp_path: Path) -> None:
    """A small organisation: ready line, records, a comparison with the twin's truth, exit 0."""
    keep = tmp_path / "kept"
    done = subprocess.run(
        [sys.executable, "-m", "headgate", "demo", *OPTIONS, "--keep", str(keep)],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ready = next(json.loads(line) for line in done.stderr.splitlines() if '"event":"ready"' in line)
    assert f"Page        {ready['http']}/" in done.stdout
    assert "The counters equal what really happened" in done.stdout, done.stdout
    assert (keep / "records.jsonl").stat().st_size > 0
    assert str(keep) in done.stdout


@pytest.mark.parametrize("days", range(10))
def test_the_demo_plays_on_a_working_afternoon(days: int) -> None:
    """Tuesday to Friday, 13:00 UTC, never in the future."""
    real = ManualClock(1_795_000_000_000 + days * 86_400_000)
    clock = DemoClock(real)
    start = datetime.fromtimestamp(clock.now_ms() / 1000, tz=UTC)
    assert start.weekday() in {1, 2, 3, 4}
    assert (13, 0) == (start.hour, start.minute)
    assert clock.now_ms() < real.now_ms()


def test_leaps_move_wall_and_timers_alike() -> None:
    """Whoever compares the two sees no jump."""
    real = ManualClock()
    clock = DemoClock(real)
    wall, timer = clock.now_ms(), clock.monotonic()
    clock.leap(29)
    real.advance(1)
    assert (30_000, 30.0) == (clock.now_ms() - wall, clock.monotonic() - timer)


def test_differences_with_the_truth_are_named() -> None:
    """Per kind, both numbers."""
    truth = [{"kind": "workflow"}, {"kind": "job"}, {"kind": "job"}]
    assert compare_with_truth(truth, {"workflow": {"success": 1}, "job": {"success": 1, "failure": 1}}) == []
    assert compare_with_truth(truth, {"workflow": {"success": 1}}) == ["jobs: 0 counted, 2 happened"]
