"""What every page and every answer of the API costs over the store of `benchmarks.insights`, as a browser asks for it.

Whole answers: routes, views, templates or JSON, the tag and packing, asked of the application itself, without a
socket. Of each the slowest but one of twenty (p95) and beside it the processor time of one (median), which says
more where other programs run; the first answer after the system forgot the file; and what was read of the file for it.
Some are asked once a minute of an hour too, so that windows move: much of an answer is remembered until an hour ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import quote

from benchmarks.bigdetails import fingerprint
from benchmarks.bigstore import NOW_MS, slug
from benchmarks.report import Row, row
from headgate.app import reportdesk
from headgate.app.operations import StoreOperations
from headgate.app.running import Running
from headgate.app.settings import load
from headgate.app.telemetry import Telemetry
from headgate.cli import COLLECT
from headgate.core.clock import ManualClock
from headgate.core.storeport import Store
from headgate.insights.views.lens import Lens
from headgate.plugins import load_plugins
from headgate.web.access.gate import Gate
from headgate.web.access.grants import OPEN
from headgate.web.access.login import add_login
from headgate.web.api import build_app
from headgate.web.exports import add_exports
from headgate.web.guard import Guard
from headgate.web.insights import add_insights
from headgate.web.metricpages import MetricPages
from headgate.web.site.routes import add_pages

__all__ = ["measure_pages"]

_ROUNDS = 20
# One that takes longer than a few seconds is asked fewer times.
_PATIENCE_SECONDS = 20.0
_TARGET = 0.3
_EXPORT = "/api/v1/export/"
_MINUTES = 60
_MOVING = (
    "page overview, 7d",
    "page overview, 30d",
    "page overview of a branch, 30d",
    "page credits by job, 30d",
    "page dora, 30d",
    "page tests, 7d",
    "page tests, 30d",
)
_FILE = """
version: 1
store: {{url: "sqlite://{path}"}}
sinks: {{out: {{type: jsonl, path: "-"}}}}
"""


class _Health:
    """All is well."""

    async def live(self) -> list[str]:
        """Nothing to complain about."""
        return []

    async def ready(self) -> list[str]:
        """As above."""
        return []

    def scraped(self) -> None:
        """Nobody counts."""


@dataclass(frozen=True, slots=True)
class _Cost:
    """One answer: seconds to its first and its last byte, of the processor, and bytes that were read of files."""

    first: float
    whole: float
    used: float
    read: int


class Browser:
    """Asks the whole application, guard included, as the daemon runs it. Not before the store is open."""

    def __init__(self, store: Store, path: Path) -> None:
        gc.set_threshold(*COLLECT)
        file = path.with_suffix(".yaml")
        file.write_text(_FILE.format(path=path))
        configuration = load(load_plugins(), file=file, environ={})
        clock, telemetry = ManualClock(NOW_MS), Telemetry()
        running = Running(sources=dict, configuration=lambda: configuration)
        # What making a review costs is measured, rather than reading one that somebody had made.
        reportdesk.SHARED_SECONDS = 0.0
        answers = StoreOperations(store, clock, running)
        app = build_app(answers, _Health(), MetricPages(telemetry.page, lambda _: b""), version="0.0")

        self.now_ms = NOW_MS

        def lens() -> Lens:
            return Lens(store, self.now_ms)

        add_insights(app, lens)
        add_exports(app, answers, lens)
        add_pages(app, answers, lens, "0.0")
        gate = Gate(clock, OPEN)
        add_login(app, gate, "0.0")
        self._app = Guard(app, gate=gate)

    async def get(self, address: str) -> tuple[_Cost, bytes]:
        """The answer to GET; AssertionError unless it is one."""
        path, _, query = address.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "state": {},
            "headers": [(b"host", b"127.0.0.1"), (b"accept-encoding", b"gzip")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        sent: list[Any] = []
        first = 0.0

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal first
            first = first or (time.monotonic() if message.get("body") else 0.0)
            sent.append(message)
            if first and address.startswith(_EXPORT):
                asking.cancel()  # its first byte is what is measured

        read, begin, spent = _read_bytes(), time.monotonic(), time.process_time()
        asking = asyncio.create_task(self._app(scope, receive, send))
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        ended = time.monotonic()
        cost = _Cost((first or ended) - begin, ended - begin, time.process_time() - spent, _read_bytes() - read)
        assert sent[0]["status"] == 200, f"{address}: {sent[0]['status']} {sent[1].get('body', b'')[:300]!r}"
        return cost, b"".join(message.get("body", b"") for message in sent[1:])


def _read_bytes() -> int:
    """Bytes that this process has asked files for, from memory or disk."""
    return int(Path("/proc/self/io").read_text().split()[1])


def forget(path: Path) -> None:
    """Have the system drop what it has of the file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


async def measure_pages(store: Store, path: Path, only: Sequence[str] = ()) -> list[Row]:
    """Rows of every page and answer. `only`: those whose name has one of these in it."""
    browser, found = Browser(store, path), list[Row]()
    for name, address in (await _addresses(store)).items():
        if not only or any(part in name for part in only):
            found += await _measure(browser, path, name, address)
            found += [await _moving(browser, name, address)] if name in _MOVING else []
    return found


async def _measure(browser: Browser, path: Path, name: str, address: str) -> list[Row]:
    forget(path)
    cold, _ = await browser.get(address)
    costs: list[_Cost] = []
    began = time.monotonic()
    while len(costs) < _ROUNDS and (len(costs) < 2 or time.monotonic() - began < _PATIENCE_SECONDS):
        costs.append((await browser.get(address))[0])
    export = address.startswith(_EXPORT)
    took = sorted(one.first if export else one.whole for one in costs)
    worst, used = took[math.ceil(0.95 * len(took)) - 1], median(one.used for one in costs)
    target: Mapping[str, Any] = {"target": f"<= {_TARGET} s", "met": worst <= _TARGET}
    title = f"{name}, first byte" if export else name
    return [
        row(title, worst, "s", peer=("processor time", used), **target),
        row(f"{name}, cold", cold.first if export else cold.whole, "s", peer=("MB read", cold.read / 1e6)),
    ]


async def _moving(browser: Browser, name: str, address: str) -> Row:
    """Asked once a minute, the slowest but three of sixty; the one before the first is not counted."""
    took: list[float] = []
    for minute in range(-1, _MINUTES):
        browser.now_ms = NOW_MS - (_MINUTES - minute) * 60_000
        took.append((await browser.get(address))[0].whole)
    browser.now_ms = NOW_MS
    del took[0]
    worst = sorted(took)[math.ceil(0.95 * len(took)) - 1]
    title = f"{name}, once a minute of an hour"
    return row(title, worst, "s", peer=("median", median(took)), target=f"<= {_TARGET} s", met=worst <= _TARGET)


async def _addresses(store: Store) -> Mapping[str, str]:
    """Name of what is asked -> its address."""
    lens = Lens(store, NOW_MS)
    run = (await store.recent_runs(40))[-1].workflow_id
    failed = next(one for one in await store.failed_jobs({slug(7): (0, NOW_MS)}, limit=20))
    tests = await store.test_outcomes({slug(7): (NOW_MS - 7 * 86_400_000, NOW_MS)}, limit=1)
    assert lens.now_ms
    found: dict[str, str] = {}
    for name, address in _whatever_the_window():
        found[name] = address.format(run=run, failed=failed.row.workflow_id, p=quote(slug(7), safe=""))
    for length in ("7d", "30d", "90d"):
        for name, address in (*_pages_in_windows(), *_answers_in_windows()):
            mark = "&" if "?" in address else "?"
            wanted = address.format(p=quote(slug(7), safe=""), test=tests[0].test_id)
            found[f"{name}, {length}"] = f"{wanted}{mark}window={length}"
    return found


def _whatever_the_window() -> Iterator[tuple[str, str]]:
    yield "page run", "/run/{run}"
    yield "page failed run", "/run/{failed}"
    yield "api run", "/api/v1/insights/run?run={failed}"
    yield "page alerts", "/alerts"
    yield "page budgets by team", "/budgets?by=team"
    yield "page budgets by project", "/budgets?by=project"
    yield "api budgets by project", "/api/v1/insights/budgets?by=project"
    yield "page delivery", "/delivery"
    yield "page data", "/data"
    yield "page reports", "/reports"
    yield "page now", "/now"
    yield "api now", "/api/v1/insights/now"
    yield "api status", "/api/v1/status"
    yield "api overview of delivery", "/api/v1/overview"
    yield "api runs of delivery", "/api/v1/runs?limit=100"
    yield "api metrics", "/api/v1/metrics"
    for number in range(6):
        yield f"page alert {number}", f"/alert/{fingerprint(number)}"
    yield "report of a week", "/api/v1/report?every=week"
    yield "report of a month", "/api/v1/report?every=month"
    yield "badge", "/badge/success-rate.svg?project={p}"


def _pages_in_windows() -> Iterator[tuple[str, str]]:
    yield "page overview", "/"
    yield "page projects", "/projects"
    yield "page project", "/project?project={p}"
    yield "page workflow", "/workflow?project={p}&workflow=w1"
    yield "page workflow of one branch", "/workflow?project={p}&workflow=w1&branch=main"
    yield "page workflow of one trigger", "/workflow?project={p}&workflow=w1&trigger=api"
    yield "page job", "/job?project={p}&workflow=w1&job=j1"
    yield "page builds", "/builds"
    yield "page builds of a project", "/builds?project={p}"
    yield "page builds of a branch", "/builds?project={p}&branch=main"
    yield "page dora", "/dora"
    yield "page dora of a project", "/dora?project={p}"
    yield "page failures", "/failures"
    yield "page failures of a project", "/failures?project={p}"
    yield "page tests", "/tests"
    yield "page tests of a project", "/tests?project={p}"
    yield "page test", "/test?project={p}&test={test}"
    yield "page credits by project", "/credits?by=project"
    yield "page credits by workflow", "/credits?by=workflow"
    yield "page credits by job", "/credits?by=job"
    yield "page credits by team", "/credits?by=team"
    yield "page credits by class", "/credits?by=resource_class"
    yield "page credits by branch of a project", "/credits?by=branch&project={p}"
    yield "page reruns", "/reruns"
    yield "page reruns of a project", "/reruns?project={p}"
    yield "page reruns by job", "/reruns?by=job"
    yield "page rightsizing", "/rightsizing"
    yield "page rightsizing of a project", "/rightsizing?project={p}"
    yield "page overview of a branch class", "/?branch_class=%40default"
    yield "page overview of a branch", "/?branch=main"
    yield "page overview of a trigger", "/?trigger=api"
    yield "page overview of an organisation", "/?org=gh%2Facme"


def _answers_in_windows() -> Iterator[tuple[str, str]]:
    yield "api overview", "/api/v1/insights/overview"
    yield "api projects", "/api/v1/insights/projects?limit=100"
    yield "api project", "/api/v1/insights/project?project={p}"
    yield "api workflow", "/api/v1/insights/workflow?project={p}&workflow=w1"
    yield "api job", "/api/v1/insights/job?project={p}&workflow=w1&job=j1"
    yield "api runs of a project", "/api/v1/insights/runs?project={p}&limit=200"
    yield "api runs of a branch", "/api/v1/insights/runs?project={p}&branch=feature-444&limit=100"
    yield "api tests", "/api/v1/insights/tests"
    yield "api credits by job", "/api/v1/insights/credits?by=job"
    yield "api builds", "/api/v1/insights/builds"
    yield "api dora", "/api/v1/insights/dora"
    yield "api failures", "/api/v1/insights/failures"
    yield "api rightsizing", "/api/v1/insights/rightsizing"
    yield "api reruns", "/api/v1/insights/reruns?by=project"
    yield "api charges", "/api/v1/insights/charges?by=project"
    yield "api query p95 by project in steps", "/api/v1/query?metric=duration_p95&by=project&step=1d"
    yield "api query mttr", "/api/v1/query?metric=mttr&by=project"
    yield "api query reruns", "/api/v1/query?metric=reruns&by=project"
    yield "api query failures by step", "/api/v1/query?metric=failures_by_step&by=step"
    yield "export runs", "/api/v1/export/runs?format=csv"
    yield "export jobs of a project", "/api/v1/export/jobs?project={p}&workflow=w1"
