"""From webhook to a Loki-like sink: sustained rate, idle latency, drain of a backlog, memory, start, bytes written."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from statistics import quantiles

from benchmarks.daemon import HOOK, SECRET, Daemon, fake_json, fake_order, running_daemon, running_module
from benchmarks.load import run_load, spawn_load
from benchmarks.payloads import webhook_requests
from benchmarks.report import Row, row

BACKLOG = 200_000
LONG_BACKLOG = 10_000_000


def loki(port: int, **more: object) -> dict[str, object]:
    """A Loki sink that takes any age: the load is dated by its number."""
    return {"type": "loki", "url": f"http://127.0.0.1:{port}", "max_age": "3650d", **more}


def drained(status: dict[str, object]) -> bool:
    """Every delivery merged and every record accepted."""
    sinks = status["sinks"]
    inbox = status["inbox"]
    assert isinstance(sinks, dict)
    assert isinstance(inbox, dict)
    return inbox["waiting"] == 0 and all(
        signal["waiting"] == 0 for sink in sinks.values() for signal in sink["signals"].values()
    )


def sustained(*, long: bool) -> list[Row]:
    """Webhooks at 64 connections until all are in the sink; merge and rollups included."""
    count = 300_000 if long else 60_000
    with running_module("headgate.testing.sinks", "loki", "--port", "0", "--discard") as port:
        with running_daemon({"loki": loki(port)}) as daemon:
            before = daemon.written_bytes()
            begin = time.monotonic()
            spawn_load(daemon.port, count=count, connections=64, secret=SECRET, path=HOOK)
            daemon.wait_until(drained, seconds=1200)
            seconds = time.monotonic() - begin
            written = (daemon.written_bytes() - before) / count
            rss = daemon.rss_mb()
        stored = int(fake_json(port, "/_fake/stats")["records"])
    if stored < count:
        raise RuntimeError(f"the sink holds {stored} of {count} records")
    rate = count / seconds
    return [
        row("webhook to sink, sustained", rate, "/s", target=">= 5,000/s", met=rate >= 5000),
        row("written to disk per webhook", written / 1000, "kB", peer=("its body, kB", 1.0)),
        row("RSS under load", rss, "MB", target="< 150 MB", met=rss < 150),
    ]


def latency(*, long: bool) -> list[Row]:
    """One webhook at a time on an idle daemon, until the sink has it."""
    samples = 200 if long else 60
    waits = []
    with (
        running_module("headgate.testing.sinks", "loki", "--port", "0") as port,
        running_daemon({"loki": loki(port)}) as daemon,
    ):
        requests = webhook_requests(samples, SECRET, HOOK)
        for number, request in enumerate(requests, start=1):
            begin = time.monotonic()
            run_load(daemon.port, [request], 1)
            while int(fake_json(port, "/_fake/stats")["records"]) < number:
                if time.monotonic() - begin > 10:
                    raise TimeoutError(f"record {number} did not arrive")
                time.sleep(0.002)
            waits.append((time.monotonic() - begin) * 1000)
    p99 = quantiles(waits, n=100)[98]
    return [row("idle latency p99, webhook to sink", p99, "ms", target="< 1,000 ms", met=p99 < 1000)]


def _fill(daemon: Daemon, count: int) -> None:
    done = 0
    while done < count:
        some = min(200_000, count - done)
        spawn_load(daemon.port, count=some, connections=64, secret=SECRET, path=HOOK, start=done)
        done += some
    daemon.wait_until(lambda status: status["inbox"]["waiting"] == 0, seconds=7200, every=1.0)


def drain(*, long: bool) -> list[Row]:
    """A sink that was down comes back: records a second, start, memory with all of it waiting."""
    count = LONG_BACKLOG if long else BACKLOG
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as directory:
        where = Path(directory)
        with running_module("headgate.testing.sinks", "loki", "--port", "0", "--discard") as port:
            fake_order(port, {"status": 503})
            with running_daemon({"loki": loki(port)}, directory=where) as daemon:
                _fill(daemon, count)
            with running_daemon({"loki": loki(port)}, directory=where, cpu=0) as daemon:
                ready = daemon.ready_seconds
                time.sleep(2)
                rss = daemon.rss_mb()
                before = int(fake_json(port, "/_fake/stats")["records"])
                _answer_again(port)
                begin = time.monotonic()
                while int(fake_json(port, "/_fake/stats")["records"]) - before < 1000:
                    time.sleep(0.005)
                begin = time.monotonic()
                first = int(fake_json(port, "/_fake/stats")["records"])
                daemon.wait_until(drained, seconds=3600, every=0.05)
                seconds = time.monotonic() - begin
                sent = int(fake_json(port, "/_fake/stats")["records"]) - first
                peak = daemon.rss_mb()
    rate = sent / seconds
    return [
        row(f"drain of {count:,} records, one core", rate, "/s", target=">= 80,000/s", met=rate >= 80_000),
        row(f"start to ready with {count:,} waiting", ready, "s", target="< 2 s", met=ready < 2),
        row(f"RSS with {count:,} waiting", rss, "MB", target="< 150 MB", met=rss < 150),
        row("RSS after the drain", peak, "MB", target="< 150 MB", met=peak < 150),
    ]


def _answer_again(port: int) -> None:
    import urllib.request

    request = urllib.request.Request(f"http://127.0.0.1:{port}/_fake/answer", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  # loopback


def idle(*, long: bool) -> list[Row]:
    """Memory of a daemon with five sinks and nothing to do."""
    with running_module("headgate.testing.sinks", "loki", "--port", "0", "--discard") as port:
        sinks = {f"loki{n}": loki(port) for n in range(5)}
        with running_daemon(sinks) as daemon:
            time.sleep(20 if long else 5)
            rss, ready = daemon.rss_mb(), daemon.ready_seconds
    return [
        row("RSS with five sinks idle", rss, "MB", target="< 110 MB", met=rss < 110),
        row("start to ready, empty store", ready, "s", target="< 2 s", met=ready < 2),
    ]


def _p99_lag(daemon: Daemon, port: int, *, per_second: int, seconds: float, start: int) -> float:
    """p99 of the time from webhook to sink, milliseconds, at a steady rate; sampled by the sink's count."""
    waits: list[float] = []
    stop = threading.Event()
    sent: list[float] = []

    def watch() -> None:
        seen = 0
        while not stop.is_set():
            now_stored = int(fake_json(port, "/_fake/stats")["records"]) - base
            now = time.monotonic()
            while seen < min(now_stored, len(sent)):
                waits.append((now - sent[seen]) * 1000)
                seen += 1
            stop.wait(0.002)

    base = int(fake_json(port, "/_fake/stats")["records"])
    watcher = threading.Thread(target=watch)
    watcher.start()
    requests = webhook_requests(int(per_second * seconds), SECRET, HOOK, start=start)
    begin = time.monotonic()
    for index, request in enumerate(requests):
        pause = begin + index / per_second - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        sent.append(time.monotonic())
        run_load(daemon.port, [request], 1)
    limit = time.monotonic() + 30
    while len(waits) < len(requests) and time.monotonic() < limit:
        time.sleep(0.05)
    stop.set()
    watcher.join()
    if len(waits) < len(requests):
        raise TimeoutError(f"{len(requests) - len(waits)} records did not arrive")
    return quantiles(waits, n=100)[98]


def neighbour(*, long: bool) -> list[Row]:
    """p99 lag of one sink while another is a black hole that takes requests and never answers; alternating pairs."""
    return _beside("a black hole", {"hang": True}, pairs=5, seconds=60.0 if long else 6.0)


def failing(*, long: bool) -> list[Row]:
    """p99 lag of one sink while another answers 500 all the time; alternating pairs, five real minutes each if long."""
    return _beside("a sink that answers 500", {"status": 500}, pairs=3, seconds=300.0 if long else 6.0)


def _beside(what: str, order: dict[str, object], *, pairs: int, seconds: float) -> list[Row]:
    ratios, differences = [], []
    start = 0
    for _ in range(pairs):
        lags = []
        for disturbed in (False, True):
            with (
                running_module("headgate.testing.sinks", "loki", "--port", "0") as good,
                running_module("headgate.testing.sinks", "loki", "--port", "0") as other,
            ):
                if disturbed:
                    fake_order(other, order)
                with running_daemon({"good": loki(good), "other": loki(other)}) as daemon:
                    lags.append(_p99_lag(daemon, good, per_second=50, seconds=seconds, start=start))
                    start += int(50 * seconds)
        ratios.append(lags[1] / lags[0])
        differences.append(lags[1] - lags[0])
    ratio, difference = sorted(ratios)[pairs // 2], sorted(differences)[pairs // 2]
    met = ratio <= 1.05 or difference <= 5
    return [
        row(f"p99 lag beside {what}", ratio, "x", target="<= 1.05, or 5 ms", met=met),
        row(f"p99 lag beside {what}, difference", difference, "ms"),
    ]
