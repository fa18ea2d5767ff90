"""Five vendors at once: how fast each is sent to after an outage, alone, together, and while webhooks come in.

The servers say yes without looking (all but Elasticsearch's), so what is measured is the daemon. It shares the machine
with them and the load; beside stand the same backlog into one sink alone, and what a record costs of the one core that
the daemon has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.daemon import HOOK, SECRET, Daemon, fake_order, running_daemon, running_module
from benchmarks.load import run_load
from benchmarks.payloads import webhook_requests
from benchmarks.report import Row, row

BACKLOG = 25_000
LONG_BACKLOG = 400_000
EACH_PER_SECOND = 20_000
INGEST_PER_SECOND = 5_000
_LONGEST_SECONDS = 600
# How each says that it has taken everything. Elasticsearch names every record, so its fake has to look.
_Order = dict[str, Any]
_YES: dict[str, _Order] = {
    "datadog": {"status": 202, "body": {}, "store": False},
    "elasticsearch": {"rate": 0},
    "sumologic": {"status": 200, "store": False},
    "newrelic": {"status": 200, "body": {"success": True}, "store": False},
    "loki": {"status": 204, "store": False},
}


def sinks(ports: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """One signal of each vendor, so that a record of the log is one record there."""
    at = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    found: dict[str, dict[str, Any]] = {
        "datadog": {"api_key": "bench", "endpoints": {"logs": at.get("datadog")}, "signals": ["logs"]},
        "elasticsearch": {"url": at.get("elasticsearch"), "target": "month"},
        "sumologic": {"url": f"{at.get('sumologic')}/receiver/v1/http/bench", "signals": ["logs"]},
        "newrelic": {
            "license_key": "bench",
            "account_id": 1,
            "endpoints": {"events": at.get("newrelic")},
            "signals": ["events"],
        },
        "loki": {"url": at.get("loki")},
    }
    return {name: {"type": name, **found[name]} for name in ports}


@contextmanager
def _servers() -> Iterator[dict[str, int]]:
    """A server for each vendor; their ports by name. A sink keeps its address, else it would not begin."""
    with ExitStack() as stack:
        arguments = ("--port", "0", "--discard")
        yield {name: stack.enter_context(running_module("headgate.testing.sinks", name, *arguments)) for name in _YES}


def _fill(ports: Mapping[str, int], where: Path, count: int, base: datetime) -> None:
    """A store in which this many records wait for each of the five; the servers say yes in the end."""
    for port in ports.values():
        fake_order(port, {"status": 503})
    with running_daemon(sinks(ports), directory=where) as one:
        for start in range(0, count, 10_000):
            some = min(10_000, count - start)
            run_load(one.port, webhook_requests(some, SECRET, HOOK, start=start, base=base), 64)
        one.wait_until(lambda status: status["inbox"]["waiting"] == 0, seconds=1200)
    for name, port in ports.items():
        fake_order(port, _YES[name])


@contextmanager
def _ingesting(daemon: Daemon, start: int, base: datetime) -> Iterator[None]:
    """Webhooks at a steady rate from another process, until the block ends."""
    given = (str(daemon.port), str(start), str(INGEST_PER_SECOND), base.isoformat())
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.steady", *given])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _cpu_seconds(daemon: Daemon) -> float:
    """Processor time of the daemon so far."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _accepted(daemon: Daemon) -> dict[str, int]:
    """How many records each sink has taken."""
    found = daemon.status()["sinks"]
    return {name: sum(one["accepted"] for one in sink["signals"].values()) for name, sink in found.items()}


def _webhooks(daemon: Daemon) -> float:
    """How many webhooks were answered 200 so far."""
    lines = daemon.get("/metrics").decode().splitlines()
    ours = [line for line in lines if line.startswith("headgate_webhook_requests_total{") and 'status="200"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in ours)


def _rates(daemon: Daemon, names: tuple[str, ...], count: int) -> dict[str, float]:
    """Records a second by sink, from the last look at which it had none until it has `count`."""
    begun: dict[str, tuple[float, int]] = {}
    rates: dict[str, float] = {}
    limit = time.monotonic() + _LONGEST_SECONDS
    while len(rates) < len(names):
        found, now = _accepted(daemon), time.monotonic()
        if now > limit:
            raise TimeoutError(f"after {_LONGEST_SECONDS} s: {found}")
        for name in names:
            records = found.get(name, 0)
            if records == 0 or name not in begun:
                begun[name] = (now, records)
            elif records >= count and name not in rates:
                since, first = begun[name]
                rates[name] = (records - first) / (now - since)
        time.sleep(0.1)
    return rates


def _drain(store: Path, ports: Mapping[str, int], count: int) -> tuple[dict[str, float], float]:
    """Rates by sink, and microseconds of the daemon's processor time for each record sent."""
    with (
        _copied(store) as where,
        running_daemon(sinks(ports), directory=where) as daemon,
    ):
        before, first = _cpu_seconds(daemon), sum(_accepted(daemon).values())
        rates = _rates(daemon, tuple(ports), count)
        spent, sent = _cpu_seconds(daemon) - before, sum(_accepted(daemon).values()) - first
    return rates, spent / sent * 1e6


def _drain_and_ingest(
    store: Path, ports: Mapping[str, int], count: int, base: datetime
) -> tuple[dict[str, float], float]:
    """Rates by sink while webhooks come in, and how many of these were answered in a second."""
    with (
        _copied(store) as where,
        running_daemon(sinks(ports), directory=where) as daemon,
        _ingesting(daemon, count, base),
    ):
        before, begin = _webhooks(daemon), time.monotonic()
        rates = _rates(daemon, tuple(ports), count)
        taken = (_webhooks(daemon) - before) / (time.monotonic() - begin)
    return rates, taken


@contextmanager
def _copied(store: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        shutil.copytree(store, directory, dirs_exist_ok=True)
        yield Path(directory)


def run(*, long: bool) -> list[Row]:
    """One backlog into each of the five alone, into all, and into all while 5,000 webhooks a second come in."""
    count, names = LONG_BACKLOG if long else BACKLOG, tuple(_YES)
    # Two hours ahead of now there is room for the webhooks of the last part, 20 ms apart each.
    base = datetime.now(UTC) - timedelta(milliseconds=20 * count, hours=2)
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory, _servers() as ports:
        store = Path(directory)
        _fill(ports, store, count, base)
        alone = {name: _drain(store, {name: ports[name]}, count) for name in names}
        together, cost = _drain(store, ports, count)
        beside, taken = _drain_and_ingest(store, ports, count, base)
    found = [_sink_row(f"five at once, {name}", together[name], alone[name][0][name]) for name in names]
    found += [_sink_row(f"five at once while ingesting, {name}", beside[name], together[name]) for name in names]
    limit = 1e6 / (len(names) * EACH_PER_SECOND)
    summed = sum(one for _, one in alone.values()) / len(names)
    return [
        *found,
        row(
            "webhooks answered meanwhile",
            taken,
            "/s",
            peer=("offered", INGEST_PER_SECOND),
            target=">= 5,000/s",
            met=taken >= INGEST_PER_SECOND,
        ),
        row("processor time of a record to one of five", cost, "us", peer=("a core has at 5 x 20,000/s", limit)),
        row("the same, mean of each alone", summed, "us", peer=("a core has at 5 x 20,000/s", limit)),
    ]


def _sink_row(name: str, value: float, peer: float) -> Row:
    beside = ("alone" if "ingesting" not in name else "without webhooks", peer)
    return row(name, value, "/s", peer=beside, target=">= 20,000/s", met=value >= EACH_PER_SECOND)
