"""Scheduled exports and reports of a real daemon: written, mailed, listed, caught up after a stop, not twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.harness import Daemon, headgate, made_up_job, wait_until, write_config


def configured(folder: Path) -> Path:
    """A daemon that writes an export each hour and a report each week, and tells a file of it."""
    notifier = {"type": "jsonl", "path": str(folder / "told.jsonl")}
    return write_config(
        folder,
        {"stdout": {"type": "jsonl", "path": str(folder / "records.jsonl")}},
        exports={"hourly": {"table": "records", "format": "jsonl", "every": "1h", "to": "out"}},
        reports={"weekly": {"every": "week", "to": "out", "mail": ["told"]}},
        alerts={"notifiers": {"told": notifier}},
    )


def files(folder: Path, suffix: str) -> list[Path]:
    """Files that are whole, the oldest first."""
    out = folder / "out"
    return sorted(out.glob(f"[!.]*.{suffix}")) if out.is_dir() else []


def both_written(daemon: Daemon) -> dict[str, Any]:
    """How both are, once they are written."""
    return wait_until(
        lambda: (state := daemon.status()["files"]) and all(one["file"] for one in state.values()) and state,
        "both files in status",
    )


def test_files_are_written_by_a_daemon(tmp_path: Path) -> None:
    """At the first start: an export, and a report that is mailed, listed and served without scripts.

    The page of data tells of both, and the trail has them.
    """
    config = configured(tmp_path)
    with Daemon(config) as daemon:
        assert daemon.deliver(made_up_job(1)).status_code == 200
        assert {"exports.hourly", "reports.weekly"} == set(both_written(daemon))
        wait_until((tmp_path / "told.jsonl").exists, "the message")
        (line,) = (tmp_path / "told.jsonl").read_text().splitlines()
        assert json.loads(line)["digest"]["title"].startswith("CI week ")
        (report,) = files(tmp_path, "html")
        assert report.name in httpx.get(f"{daemon.http}/reports").text
        saved = httpx.get(f"{daemon.http}/api/v1/reports/weekly/{report.name}")
        policy = saved.headers["content-security-policy"]
        assert (report.read_text(), True, True) == (saved.text, "sandbox" in policy, "script-src" not in policy)
        wait_until(lambda: httpx.get(f"{daemon.http}/api/v1/export/records?window=1h").text.count("\n") > 1, "records")
        kept = {f"{one['kind']}s.{one['name']}": one for one in httpx.get(f"{daemon.http}/api/v1/data").json()["files"]}
        assert {"exports.hourly": ("ok", 1), "reports.weekly": ("ok", 1)} == {
            name: (one["state"], one["files"]) for name, one in kept.items()
        }
        assert kept["reports.weekly"]["bytes"] == report.stat().st_size
        page = httpx.get(f"{daemon.http}/data").text
        assert all(f'data-file="{name}"' in page and one["next_at"][:10] in page for name, one in kept.items())
        done = [one for one in httpx.get(f"{daemon.http}/api/v1/trail").json() if one["via"] == "schedule"]
        (exported,) = files(tmp_path, "jsonl")
        assert {f"report weekly: {report.name}, sent to told", f"export hourly: {exported.name}"} == {
            one["about"] for one in done
        }
        asked = headgate("export", "records", "--window", "1h", "-o", str(tmp_path / "r.csv"), "-c", str(config))
        assert asked.returncode == 0, asked.stderr
        with (tmp_path / "r.csv").open(newline="") as lines:
            assert {"job"} <= {row["kind"] for row in csv.DictReader(lines)}
        assert daemon.stop() == 0


@pytest.mark.long
def test_what_was_missed_is_caught_up(tmp_path: Path) -> None:
    """After a stop the export that was missed is written, the report that was fetched away is not made again."""
    config = configured(tmp_path)
    with Daemon(config) as daemon:
        both_written(daemon)
        wait_until((tmp_path / "told.jsonl").exists, "the message")
        assert daemon.stop() == 0
    for path in (*files(tmp_path, "jsonl"), *files(tmp_path, "html")):
        path.unlink()
    (tmp_path / "out" / ".hourly.done").write_text('{"due": "2026-01-01T00:00:00.000Z"}')
    with Daemon(config) as daemon:
        wait_until(lambda: files(tmp_path, "jsonl"), "the export that was missed")
        assert daemon.stop() == 0
    assert ([], 1) == (files(tmp_path, "html"), len(files(tmp_path, "jsonl")))
    assert len((tmp_path / "told.jsonl").read_text().splitlines()) == 1
