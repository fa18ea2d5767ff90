"""Reading for rules and pages: 2,000 groups over 1 million jobs of 90 days (`--long`: 10 million), beside a full scan.

The store is filled in bulk, with the store's own tables, contributions and rollups: what merging would have left.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Row, row
from benchmarks.views import measure_views
from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.rollup import contribution
from headgate.core.tally import TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.store import SqliteStore
from headgate.store.rollups import Rollups
from headgate.store.schema import KIND_NUMBER, OWN_COLUMNS, set_up
from headgate.store.session import Session
from headgate.store.sql import Database, insert

JOBS = 1_000_000
DAYS = 90
PROJECTS, WORKFLOWS, NAMES = 100, 4, 5
_NOW = 1_795_000_000_000 + 17 * MINUTE_MS
_ROUNDS = 5
_STAMPS = bytes(64)
_RUN_FIELDS = ("name", "status", "created_at", "stopped_at", "credits")
_JOB_FIELDS = ("number", "name", "status", "queued_at", "started_at", "stopped_at", "workflow_id", "credits")


def _slug(project: int) -> str:
    return f"gh/acme/project-{project:03d}"


class _Filler:
    """Writes runs of five jobs each, oldest first."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._session = Session(db).load()
        self._rollups = Rollups()
        self._random = random.Random(7)
        self._runs: list[tuple[Any, ...]] = []
        self._jobs: list[tuple[Any, ...]] = []
        self._number = 0
        words = [f"w{number}" for number in range(WORKFLOWS)] + [f"j{number}" for number in range(NAMES)]
        self._dims = {word: self._session.dim(0, word) for word in (*words, "success", "failed", "ci", "circleci.com")}

    def fill(self, jobs: int) -> None:
        """All of it, a transaction for each day."""
        self._db.execute("BEGIN")
        for project in range(1, PROJECTS + 1):
            named = (project, "circleci.com", str(project), _slug(project), 0, "gh/acme", None, "main")
            self._db.execute("INSERT INTO dim_project VALUES (?, ?, ?, ?, ?, ?, ?, ?)", named)
        self._db.execute("COMMIT")
        runs = jobs // NAMES // DAYS
        for day in range(DAYS):
            start = _NOW - (DAYS - day) * DAY_MS
            for number in range(runs):
                self._run(start + number * DAY_MS // runs)
            self._flush()

    def _run(self, begun: int) -> None:
        rng = self._random
        project, workflow = rng.randrange(1, PROJECTS + 1), f"w{rng.randrange(WORKFLOWS)}"
        branch_class = int(rng.random() < 0.5)
        self._number += 1
        key, name = self._number.to_bytes(16, "big"), self._dims[workflow]
        ended, at = True, begun
        for position in range(NAMES):
            queued, started = at, at + round(rng.lognormvariate(8, 1))
            at = started + round(rng.lognormvariate(11 + project % 7 / 5 + position / 5, 0.15))
            ok = rng.random() < 0.95
            ended = ended and ok
            values = {
                "status": "success" if ok else "failed",
                "queued_at": queued,
                "started_at": started,
                "stopped_at": at,
            }
            job = self._dims[f"j{position}"]
            self._count("job", values | {"credits": 10}, (project, name, job, branch_class))
            own = self._own(rng.randbytes(16), project, branch_class, name)
            self._jobs.append(
                (*own, self._number, job, self._dims[str(values["status"])], queued, started, at, key, 10)
            )
        status = "success" if ended else "failed"
        values = {"status": status, "created_at": begun, "stopped_at": at}
        self._count("workflow", values, (project, name, 0, branch_class))
        own = self._own(key, project, branch_class, name)
        self._runs.append((*own, name, self._dims[status], begun, at, 50))

    def _count(self, kind: Any, values: dict[str, Any], place: tuple[int, int, int, int]) -> None:
        part = contribution(kind, values, terminal=True)
        assert part is not None
        self._rollups.add((KIND_NUMBER[kind], *place), part, 1)

    def _own(self, key: bytes, project: int, branch_class: int, run: int) -> tuple[Any, ...]:
        host, source = self._dims["circleci.com"], self._dims["ci"]
        return (None, key, host, project, source, 1, 1, 0, 2, None, branch_class, run, 0, _STAMPS)

    def _flush(self) -> None:
        self._db.execute("BEGIN")
        for kind, fields, rows in (("workflow", _RUN_FIELDS, self._runs), ("job", _JOB_FIELDS, self._jobs)):
            insert(self._db, f"INSERT INTO {kind} ({', '.join((*OWN_COLUMNS, *fields))})", rows)
            rows.clear()
        self._rollups.flush(self._db)
        self._db.execute("COMMIT")
        self._db.wal_checkpoint()


def _bounds(length_ms: int) -> dict[str, tuple[int, int]]:
    """Up to some minutes ago, by project, as watermarks have it."""
    ends = {_slug(project): _NOW - project % 11 * MINUTE_MS for project in range(1, PROJECTS + 1)}
    return {slug: (end - length_ms, end) for slug, end in ends.items()}


async def _seconds(ask: Callable[[], Awaitable[Any]]) -> float:
    took = []
    for _ in range(_ROUNDS):
        begin = time.monotonic()
        await ask()
        took.append(time.monotonic() - begin)
    return median(took)


def _scan(path: Path, sql: str, bound: tuple[Any, ...]) -> float:
    """Seconds of the same question asked of every row."""
    db = Database(str(path))
    begin = time.monotonic()
    db.execute(sql, bound).fetchall()
    took = time.monotonic() - begin
    db.close()
    return took


_SUMS = (
    "SELECT _project, _run, name, count(*), sum(status = 1), sum(credits), avg(stopped_at - started_at)"
    " FROM job NOT INDEXED WHERE _terminal AND stopped_at >= ? AND stopped_at < ? GROUP BY 1, 2, 3"
)
_NEWEST = (
    "SELECT * FROM job NOT INDEXED WHERE _terminal AND _project = 7 AND _run = (SELECT id FROM dim WHERE text = 'w1')"
    " AND name = (SELECT id FROM dim WHERE text = 'j1') ORDER BY stopped_at DESC LIMIT 200"
)


async def _measure(path: Path, jobs: int) -> list[Row]:
    store = SqliteStore(path, clock=SystemClock(), metrics=NullMetrics())
    await store.open()
    await store.close()
    db = Database(str(path))
    set_up(db, writer=True)
    begin = time.monotonic()
    _Filler(db).fill(jobs)
    db.execute("PRAGMA optimize")
    db.wal_checkpoint()
    filled = time.monotonic() - begin
    size = db.pragma("page_count") * db.pragma("page_size")
    db.close()
    rows = [
        row(f"store of {jobs:,} jobs", size / 1e6, "MB"),
        row("its filling", filled, "s"),
    ]
    await store.open()
    by = ("project", "workflow", "job")
    for name, length, bins, most in (
        ("24 h", DAY_MS, (), 0.3),
        ("24 h with quantiles", DAY_MS, ("duration_ok",), 0.3),
        ("28 d", 28 * DAY_MS, (), 1.0),
        ("28 d with quantiles", 28 * DAY_MS, ("duration_ok", "queue"), 1.0),
    ):
        query = TallyQuery("job", _bounds(length), by, frozenset(bins))  # type: ignore[arg-type]  # names of measures
        took = await _seconds(lambda query=query: store.tallies(query))
        peer = _scan(path, _SUMS, (_NOW - length, _NOW))
        groups = len(await store.tallies(query))
        title = f"tallies of {groups:,} groups over {name}"
        rows.append(
            row(title, took, "s", peer=("full scan, no quantiles", peer), target=f"<= {most} s", met=took <= most)
        )
    query = TallyQuery("job", _bounds(HOUR_MS), ("project", "resource_class"))
    rows.append(row("tallies by a fact's dimension over 1 h", await _seconds(lambda: store.tallies(query)), "s"))
    asked = {
        "project": _slug(7),
        "workflow": "w1",
        "job": "j1",
        "statuses": {"success"},
        "before_ms": _NOW,
        "limit": 200,
    }
    took = await _seconds(lambda: store.series("job", **asked))
    rows.append(row("newest 200 of one job", took, "s", peer=("full scan", _scan(path, _NEWEST, ()))))
    rows += await measure_views(store, _NOW, _slug(7))
    await store.close()
    return rows


def run(*, long: bool) -> list[Row]:
    """Medians of five."""
    with tempfile.TemporaryDirectory(prefix="headgate-insights-") as folder:
        return asyncio.run(_measure(Path(folder) / "headgate.db", JOBS * 10 if long else JOBS))
