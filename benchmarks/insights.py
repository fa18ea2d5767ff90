"""Reading for rules and pages: 2,000 groups over 1 million jobs of 90 days (`--long`: 10 million), beside its peers.

`--store DIR` keeps the store that is filled, so that the next run reads it at once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bigdetails import add_details
from benchmarks.bigstore import NOW_MS, PROJECTS, Filled, filled, slug
from benchmarks.many_rules import over_store
from benchmarks.pages import measure_pages
from benchmarks.peers import duckdb_seconds, naive_seconds, scan_seconds
from benchmarks.report import Row, row
from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.rollup import Measure
from headgate.core.tally import Dimension, TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.store import SqliteStore

JOBS = 1_000_000
_ROUNDS = 5
_BY: tuple[Dimension, ...] = ("project", "workflow", "job")
_WITH_BINS: frozenset[Measure] = frozenset({"duration_ok", "queue"})


def _bounds(length_ms: int) -> dict[str, tuple[int, int]]:
    """Up to some minutes ago, by project, as watermarks have it."""
    ends = {slug(project): NOW_MS - project % 11 * MINUTE_MS for project in range(1, PROJECTS + 1)}
    return {name: (end - length_ms, end) for name, end in ends.items()}


async def _seconds(ask: Callable[[], Awaitable[Any]]) -> float:
    took = []
    for _ in range(_ROUNDS):
        begin = time.monotonic()
        await ask()
        took.append(time.monotonic() - begin)
    return median(took)


async def _measure(found: Filled, added: float) -> list[Row]:
    jobs = found.jobs
    rows = [row("load of the machine, one minute", os.getloadavg()[0], "")]
    rows += [
        row(f"store of {jobs:,} jobs", found.size / 1e6, "MB"),
        row("its filling, 0 where it was there", found.seconds + added, "s"),
    ]
    store = SqliteStore(found.path, clock=SystemClock(), metrics=NullMetrics())
    await store.open()
    begin = time.monotonic()
    await store.trim({}, now_ms=NOW_MS)
    rows.append(row("adding up of longer stretches, once", time.monotonic() - begin, "s"))
    rows += await _sums(store, found)
    rows += await _details(store, found)
    rows += await measure_pages(store, found.path)
    await store.close()
    rows += await over_store(found.path, f"store of {jobs:,} jobs")
    return [*rows, row("load of the machine, one minute", os.getloadavg()[0], "")]


async def _details(store: SqliteStore, found: Filled) -> list[Row]:
    """What stands behind pages, of a month, beside the question that somebody would ask who knows no sums."""
    since_ms, bounds = NOW_MS - 30 * DAY_MS, _bounds(30 * DAY_MS)
    asks: dict[str, Callable[[], Awaitable[Any]]] = {
        "repeats": lambda: store.repeat_sums(bounds, by=()),
        "bills": lambda: store.usage_sums(bounds),
        "failed jobs": lambda: store.failed_jobs(bounds, limit=1_000),
    }
    return [
        row(
            f"{name} of 30 d",
            await _seconds(ask),
            "s",
            peer=("a plain question in SQLite", naive_seconds(found.path, name, since_ms, NOW_MS)),
        )
        for name, ask in asks.items()
    ]


async def _sums(store: SqliteStore, found: Filled) -> list[Row]:
    rows = []
    for name, length, bins, most in (
        ("24 h", DAY_MS, frozenset(), 0.3),
        ("24 h with quantiles", DAY_MS, _WITH_BINS, 0.3),
        ("28 d", 28 * DAY_MS, frozenset(), 1.0),
        ("28 d with quantiles", 28 * DAY_MS, _WITH_BINS, 1.0),
    ):
        query = TallyQuery("job", _bounds(length), _BY, bins)  # type: ignore[arg-type]  # an empty set is one of measures
        took = await _seconds(lambda query=query: store.tallies(query))
        groups, since_ms = len(await store.tallies(query)), NOW_MS - length
        title = f"tallies of {groups:,} groups over {name}"
        duck = duckdb_seconds(found.path, since_ms, NOW_MS, quantiles=bool(bins))
        peer = ("DuckDB", duck) if duck is not None else None
        rows.append(row(title, took, "s", peer=peer, target=f"<= {most} s", met=took <= most))
        if not bins:
            scan = scan_seconds(found.path, since_ms, NOW_MS)
            rows.append(row(title, took, "s", peer=("full scan in SQLite", scan)))
    query = TallyQuery("job", _bounds(HOUR_MS), ("project", "resource_class"))
    rows.append(row("tallies by a fact's dimension over 1 h", await _seconds(lambda: store.tallies(query)), "s"))
    asked: dict[str, Any] = {"project": slug(7), "workflow": "w1", "job": "j1", "statuses": {"success"}}
    took = await _seconds(lambda: store.series("job", **asked, before_ms=NOW_MS, limit=200))
    return [*rows, row("newest 200 of one job", took, "s")]


def run(*, long: bool, store: Path | None = None) -> list[Row]:
    """Medians of five. `store`: a folder in which the store is kept."""
    jobs = JOBS * 10 if long else JOBS
    with tempfile.TemporaryDirectory(prefix="headgate-insights-") as scratch:
        folder = store or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = filled(folder, jobs)
        added = add_details(found.path)
        return asyncio.run(_measure(found, added))
