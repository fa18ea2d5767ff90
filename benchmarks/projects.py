"""200 projects and 50,000 jobs a day, told faster than they happen: calls, memory, processor, what waits."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import quantiles

from benchmarks.daemon import HOOK, SECRET, Daemon, proc_kb, running_daemon, running_module
from benchmarks.report import Row, row

PROJECTS = 200
JOBS_A_DAY = 50_000
SPEED = 10  # the load of ten such days in one; polling goes on in real time
_RUNS_A_DAY = JOBS_A_DAY / PROJECTS / 7  # the twin's runs have about seven jobs


def projects(*, long: bool) -> list[Row]:
    """Webhooks, walks, audits and enrichment of all of it, for about a minute and a half (`long`: half an hour)."""
    seconds = 1800 if long else 60
    port = _free_port()
    token = "bench-token"
    twin = (
        *("--token", token, "--days", "1", "--projects", str(PROJECTS), "--runs-per-day", f"{_RUNS_A_DAY:.1f}"),
        *("--live", "--speed", str(SPEED), "--webhook-url", f"http://127.0.0.1:{port}{HOOK}/circleci"),
        *("--webhook-secret", SECRET),
    )
    with (
        tempfile.TemporaryDirectory(prefix="headgate-bench-") as fresh,
        running_module("headgate.testing.circleci", *twin) as far,
    ):
        about = _get(f"http://127.0.0.1:{far}/_twin")
        polled = {
            "base_url": f"http://127.0.0.1:{far}",
            "token": token,
            "orgs": about["orgs"],
            "budget": {"per_second": 100, "burst": 100},
            "poll": {"initial": "1h"},
            "enrich": "batch",
            "enrich_wait": "20s",
        }
        sinks = {"file": {"type": "jsonl", "path": f"{fresh}/out.jsonl"}}
        with running_daemon(sinks, directory=Path(fresh), webhooks=port, cpu=0, **polled) as daemon:
            return _measure(daemon, f"http://127.0.0.1:{far}", seconds)


def _measure(daemon: Daemon, far: str, seconds: float) -> list[Row]:
    daemon.wait_until(lambda _: _walks(far) >= PROJECTS, seconds=120, every=0.5)
    first_calls = _calls(far)
    busy, begin, waiting = _cpu_seconds(daemon), time.monotonic(), []
    while time.monotonic() - begin < seconds:
        status = daemon.status()
        waiting.append(
            status["inbox"]["waiting"] + sum(one["waiting"] for one in status["sinks"]["file"]["signals"].values())
        )
        time.sleep(0.25)
    took = time.monotonic() - begin
    calls, peak = _calls(far) - first_calls, proc_kb(daemon.process.pid, "VmHWM") / 1000
    share = (_cpu_seconds(daemon) - busy) / took
    accepted = sum(one["accepted"] for one in daemon.status()["sinks"]["file"]["signals"].values())
    return [
        row(
            f"{PROJECTS} projects, {SPEED} times {JOBS_A_DAY:,} jobs a day: calls of the first walks",
            first_calls,
            "calls",
        ),
        row("live calls, batch", calls / took * 3600, "/h"),
        row("records accepted meanwhile and before", accepted, "records"),
        row("peak RSS", peak, "MB", target="< 512 MB", met=peak < 512),
        row("processor of one core", 100 * share, "%", target="< 100 %", met=share < 1),
        row("waiting in the inbox and for the sink, p99", quantiles(waiting, n=100)[98], "webhooks and records"),
    ]


def _cpu_seconds(daemon: Daemon) -> float:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _walks(far: str) -> int:
    return _get(f"{far}/_twin/calls").get("/api/v2/project/{project-slug}/pipeline", 0)


def _calls(far: str) -> int:
    return sum(_get(f"{far}/_twin/calls").values())


def _get(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # loopback
        return dict(json.loads(answer.read()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
