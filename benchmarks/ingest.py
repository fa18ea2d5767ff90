"""Webhook burst: signature checked, flushed, answered; beside the same server storing nothing and the raw flush."""

from __future__ import annotations

import os
import tempfile
import time
from statistics import median

from benchmarks.daemon import HOOK, SECRET, null_server, running_daemon
from benchmarks.load import LoadResult, spawn_load
from benchmarks.report import Row, row

COUNT = 100_000
CONNECTIONS = 64
ROUNDS = 3


def flush_rate() -> float:
    """Fdatasync of a 1 kB append, per second, on the disk that holds temporary files."""
    with tempfile.NamedTemporaryFile(prefix="headgate-flush-") as file:
        block = b"x" * 1000
        begin = time.monotonic()
        count = 0
        while time.monotonic() - begin < 1.0:
            os.write(file.fileno(), block)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.monotonic() - begin)


def _burst(port: int, start: int, count: int) -> LoadResult:
    result = spawn_load(port, count=count, connections=CONNECTIONS, secret=SECRET, path=HOOK, start=start)
    if set(result.statuses) != {"200"}:
        raise RuntimeError(f"not all answers were 200: {result.statuses}")
    return result


def run(*, long: bool) -> list[Row]:
    """Alternating rounds of ours and of the peer; medians."""
    count = COUNT * 5 if long else COUNT
    ours: list[LoadResult] = []
    nothing: list[LoadResult] = []
    with running_daemon({}) as daemon, null_server(SECRET) as port:
        _burst(daemon.port, 0, 5000)
        _burst(port, 0, 5000)
        for index in range(ROUNDS):
            ours.append(_burst(daemon.port, (index + 1) * count, count))
            daemon.wait_until(lambda status: status["inbox"]["waiting"] == 0, seconds=600)
            nothing.append(_burst(port, 0, count))
        rss = daemon.rss_mb()
    rate, p99 = median(r.rate for r in ours), median(r.p99_ms for r in ours)
    peer = median(r.rate for r in nothing)
    flush = flush_rate()
    return [
        row("webhook burst, 64 connections", rate, "/s", target=">= 32,000/s", met=rate >= 32_000),
        row(
            "webhook burst against storing nothing",
            rate,
            "/s",
            peer=("same server storing nothing", peer),
            target=">= 0.55",
            met=rate / peer >= 0.55,
        ),
        row("webhook burst p99", p99, "ms", target="< 10 ms", met=p99 < 10),
        row("webhook burst against one flush each", rate, "/s", peer=("fdatasync of 1 kB appends", flush)),
        row("RSS after the bursts", rss, "MB", target="< 150 MB", met=rss < 150),
    ]
