"""What a backfill does to live work: latency from webhook to sink with and without one, and its calls a minute."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from statistics import quantiles

from benchmarks.daemon import HOOK, SECRET, Daemon, running_daemon, running_module
from benchmarks.deliver import loki
from benchmarks.load import run_load
from benchmarks.payloads import webhook_requests
from benchmarks.report import Row, row

_TARGET = 1.05
_GRANTED_MS = 50.0


def _live(daemon: Daemon) -> int:
    """How many live records the sink has."""
    return sum(int(signal["cursor"]) for signal in daemon.status()["sinks"]["loki"]["signals"].values())


def _latency(daemon: Daemon, *, seconds: float, start: int) -> list[float]:
    """Milliseconds until the sink has what one webhook told, ten webhooks a second."""
    waits = []
    base = datetime.now(UTC) - timedelta(milliseconds=start * 20)
    for number, request in enumerate(webhook_requests(round(seconds * 10), SECRET, HOOK, start=start, base=base)):
        begin, before = time.monotonic(), _live(daemon)
        run_load(daemon.port, [request], 1)
        while _live(daemon) == before:
            if time.monotonic() - begin > 10:
                raise TimeoutError(f"what webhook {number} told did not arrive")
            time.sleep(0.005)
        waits.append((time.monotonic() - begin) * 1000)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - begin)))
    return waits


def _order(daemon: Daemon) -> None:
    """Ask for ninety days."""
    now_ms = round(time.time() * 1000)
    body = json.dumps({"since_ms": now_ms - 90 * 86_400_000, "until_ms": now_ms}).encode()
    headers = {"content-type": "application/json", "x-headgate-request": "bench"}
    request = urllib.request.Request(daemon.ready["http"] + "/api/v1/backfills", body, headers)  # noqa: S310  # loopback
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # loopback
        assert answer.status == 200


def backfill(*, long: bool) -> list[Row]:
    """Ten webhooks a second, alone and beside a backfill; the cursor of lane live is what is watched."""
    seconds = 60.0 if long else 15.0
    history = ("--days", "60", "--projects", "6", "--runs-per-day", "60", "--rate-limit", "off")
    with (
        running_module("headgate.testing.circleci", "--port", "0", "--seed", "5", *history) as twin,
        running_module("headgate.testing.sinks", "loki", "--port", "0", "--discard") as port,
    ):
        with urllib.request.urlopen(f"http://127.0.0.1:{twin}/_twin", timeout=30) as answer:  # loopback
            orgs = json.load(answer)["orgs"]
        polled = {
            "token": "twin-token",
            "base_url": f"http://127.0.0.1:{twin}",
            "orgs": orgs,
            "poll": {"every": "60s", "initial": "1h"},
            "insights": {"every": "off"},
        }
        with running_daemon({"loki": loki(port)}, **polled) as daemon:
            daemon.wait_until(
                lambda status: status["sources"]["circleci"]["last_complete_walk"], seconds=120, every=0.5
            )
            time.sleep(5)
            alone = quantiles(_latency(daemon, seconds=seconds, start=0), n=100)[98]
            _order(daemon)
            calls = daemon.status()["sources"]["circleci"]["calls"]
            begin = time.monotonic()
            beside = quantiles(_latency(daemon, seconds=seconds, start=100_000), n=100)[98]
            took = time.monotonic() - begin
            made = daemon.status()["sources"]["circleci"]["calls"] - calls
    met = beside <= max(alone * _TARGET, alone + _GRANTED_MS)
    return [
        row(
            "live latency p99 beside a backfill",
            beside,
            "ms",
            peer=("the same daemon without one", alone),
            target=f"<= {_TARGET}, or {_GRANTED_MS:.0f} ms more",
            met=met,
        ),
        row("calls of the backfill meanwhile", made / took * 60, "/min"),
    ]
