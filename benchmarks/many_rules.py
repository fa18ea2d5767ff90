"""One pass of 500 rules over 2,000 groups: with sums from memory, and over a store with all its reading."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from benchmarks.bigstore import NOW_MS, PROJECTS, slug
from benchmarks.report import Row, row
from headgate.alerting.judging import Failed, judge_all
from headgate.alerting.load import parse_rules
from headgate.alerting.view import Memory, Pass, Watermark
from headgate.app.compose import context_of
from headgate.app.detectors import detector_factory
from headgate.core.clock import ManualClock, SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.storeport import ReadStore
from headgate.core.tally import Tally, TallyQuery
from headgate.core.times import MINUTE_MS
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader
from headgate.plugins import load_plugins
from headgate.store import SqliteStore

GROUPS, RULES = 2000, 500
_NOW_MS = 1_795_000_000_000
_VALUES = {"org": "gh/acme", "workflow": "build", "job": "test", "branch_class": "@default"}


class _Store:
    """Answers every question about sums from memory, with two thousand healthy projects."""

    def __init__(self) -> None:
        draw = random.Random(7)
        self.projects = [f"gh/acme/p{number}" for number in range(GROUPS)]
        self._tallies = [self._tally(draw) for _ in self.projects]

    @staticmethod
    def _tally(draw: random.Random) -> Tally:
        n = draw.randrange(20, 200)
        failed = sum(draw.random() < 0.05 for _ in range(n))
        middle = draw.randrange(500, 700)
        bins = {middle + step: max(1, n // 20) for step in range(20)}
        sketches: Any = {"duration_ok": bins, "queue": dict(bins)}
        return Tally(n=n, ok=n - failed, failed=failed, credits=n * 50, bins=sketches, timed_ok=n - failed, queued=n)

    async def tallies(self, query: TallyQuery) -> Mapping[tuple[str, ...], Tally]:
        if not query.by:
            return {(): self._tallies[0]}
        found: dict[tuple[str, ...], Tally] = {}
        for project, tally in zip(self.projects, self._tallies, strict=True):
            if project in query.bounds:
                found[tuple(_VALUES.get(name, project) for name in query.by)] = tally
        return found


def _rules(by: str, over: str) -> str:
    """Thresholds, comparisons, durations and objectives over several windows, as many teams write them."""
    lines = ["version: 1", "groups:", "  - name: all", '    match: {branch: "@default"}', "    rules:"]
    for number in range(RULES):
        window = ("1h", "6h", "12h", "24h", "7d")[number % 5]
        body = (
            f'metric: success_rate, by: [{by}], window: {window}, threshold: "< {number % 50}%"',
            f"metric: success_rate, by: [{by}], window: 24h, compare: {{baseline: 28d, drop: 60pp}}",
            f'metric: duration_p95, by: [{by}], window: {window}, threshold: "> 9h"',
            f'metric: failed_runs, by: [project], window: {window}, threshold: "> {1000 + number}"',
            f"by: [{by}], slo: {{objective: 90%, windows: [[1d, 2h, 9.0], [7d, 1d, 9.5]]}}",
        )[number // 5 % 5]
        lines.append(f"      - {{alert: R{number}, {body}{over}}}")
    return "\n".join(lines)


async def _passes(store: ReadStore, text: str, marks: Mapping[str, Watermark], now_ms: int, what: str) -> list[Row]:
    """The first pass of a process, which reads baselines, and the next one."""
    rules, problems = parse_rules([("many.yaml", text)])
    if problems:
        raise RuntimeError(str(problems[0]))
    factory = detector_factory(load_plugins(), context_of(ManualClock(), NullMetrics()))
    memory = Memory()
    families = {"runs": marks, "jobs": marks}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows: list[Row] = []
    for name, at_ms in (("first", now_ms), ("next", now_ms + 300_000)):
        shared = Pass(Reader(store, owners=Owners()), store, cast("Any", families), factory, at_ms, memory)
        began, used = time.perf_counter(), time.process_time()
        results = await judge_all(rules, shared, {})
        seconds, used = time.perf_counter() - began, time.process_time() - used
        for result in results:
            if isinstance(result, Failed):
                raise result.error
        title = f"{name} pass of {RULES} rules over {GROUPS:,} groups, {what}"
        rows.append(row(title, seconds, "s", target="at most 10", met=seconds <= 10))
        rows.append(row("its processor time", used, "s"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    rows.append(row("memory that the passes took", grown, "MB", target="at most 150", met=grown <= 150))
    return rows


async def over_store(path: Path, what: str) -> list[Row]:
    """Rules about every job of a store whose projects are known up to times that differ by minutes."""
    store = SqliteStore(path, clock=SystemClock(), metrics=NullMetrics())
    await store.open()
    marks = {slug(n): Watermark("circleci", NOW_MS - n % 11 * MINUTE_MS) for n in range(1, PROJECTS + 1)}
    try:
        return await _passes(store, _rules("project, workflow, job", ", over: jobs"), marks, NOW_MS, what)
    finally:
        await store.close()


def run(*, long: bool) -> list[Row]:
    """With sums from memory; over a store `insights` does the same."""
    del long
    store = _Store()
    marks = {name: Watermark("circleci", _NOW_MS) for name in store.projects}
    text = _rules("project, workflow", "")
    return asyncio.run(_passes(cast("ReadStore", store), text, marks, _NOW_MS, "sums from memory"))
