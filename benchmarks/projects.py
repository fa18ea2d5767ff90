"""200 projects and 50,000 jobs a day, told faster than they happen: calls, memory, processor, lag, what waits."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.daemon import HOOK, SECRET, Daemon, proc_kb, running_daemon, running_module
from benchmarks.report import Row, row

PROJECTS = 200
JOBS_A_DAY = 50_000
SPEED = 20  # the load of twenty such days in one; polling goes on in real time
_RUNS_A_DAY = JOBS_A_DAY / PROJECTS / 7  # the twin's runs have about seven jobs
_ENRICH_WAIT_SECONDS = 20
_EVERY_SECONDS = 0.25


class _Lags:
    """Real seconds from the end of what ends from now on to its line in the sink's file.

    The twin's clock runs SPEED times as fast as ours, so a difference of its times is divided by that.
    """

    def __init__(self, path: Path, far: str) -> None:
        path.touch()
        self._file = path.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._rest = b""
        self._begin, self._twin_begin = time.monotonic(), datetime.fromisoformat(_get(f"{far}/_twin")["now"])
        self.seconds: list[float] = []

    def read(self) -> None:
        """Take in the lines that came."""
        now = time.monotonic() - self._begin
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for record in map(json.loads, lines):
            ended = (datetime.fromisoformat(record["occurred_at"]) - self._twin_begin).total_seconds() / SPEED
            if record["kind"] in ("job", "workflow") and ended > 0:
                self.seconds.append(now - ended)


def projects(*, long: bool) -> list[Row]:
    """Webhooks, walks, audits and enrichment of all of it, for about two minutes (`long`: half an hour)."""
    seconds = 1800 if long else 90
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
            "enrich_wait": f"{_ENRICH_WAIT_SECONDS}s",
        }
        sinks = {"file": {"type": "jsonl", "path": f"{fresh}/out.jsonl"}}
        with running_daemon(sinks, directory=Path(fresh), webhooks=port, cpu=0, **polled) as daemon:
            return _measure(daemon, Path(fresh, "out.jsonl"), f"http://127.0.0.1:{far}", seconds)


def _measure(daemon: Daemon, out: Path, far: str, seconds: float) -> list[Row]:
    walked = daemon.wait_until(
        lambda status: status["sources"]["circleci"]["last_complete_walk"] is not None, seconds=240, every=0.5
    )
    lags = _Lags(out, far)
    first_calls = _calls(far)
    busy, begin, waiting = _cpu_seconds(daemon), time.monotonic(), []
    while time.monotonic() - begin < seconds:
        status = daemon.status()
        waiting.append(
            status["inbox"]["waiting"] + sum(one["waiting"] for one in status["sinks"]["file"]["signals"].values())
        )
        lags.read()
        time.sleep(_EVERY_SECONDS)
    took = time.monotonic() - begin
    calls, peak = _calls(far) - first_calls, proc_kb(daemon.process.pid, "VmHWM") / 1000
    share = (_cpu_seconds(daemon) - busy) / took
    centiles = quantiles(lags.seconds, n=100)
    return [
        row(
            f"{PROJECTS} projects, {SPEED} times {JOBS_A_DAY:,} jobs a day: calls until all are walked",
            first_calls,
            "calls",
        ),
        row("until all are walked", walked, "s"),
        row("live calls, batch", calls / took * 3600, "/h"),
        row("jobs and workflows that ended meanwhile and came", len(lags.seconds) / took * 86400, "a day"),
        row(f"from the end to the sink, p50, of it {_ENRICH_WAIT_SECONDS} s for detail at most", centiles[49], "s"),
        row("from the end to the sink, p99", centiles[98], "s"),
        row("from the end to the sink, longest", max(lags.seconds), "s"),
        row("peak RSS", peak, "MB", target="< 512 MB", met=peak < 512),
        row("processor of one core", 100 * share, "%", target="< 100 %", met=share < 1),
        row("waiting in the inbox and for the sink, p99", quantiles(waiting, n=100)[98], "webhooks and records"),
    ]


def _cpu_seconds(daemon: Daemon) -> float:
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _calls(far: str) -> int:
    return sum(_get(f"{far}/_twin/calls").values())


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # loopback
        return dict(json.loads(answer.read()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
