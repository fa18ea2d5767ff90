"""A store filled in bulk, as merging would have left it: the store's own tables, contributions and rollups.

100 projects of 4 workflows with 5 jobs each, on the default branch and others, busier by day than by night; tests of
the last month, runs that go on. Filled once for each folder: a store that is there is used again.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.rollup import contribution
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS
from headgate.store import SqliteStore
from headgate.store.rollups import Rollups
from headgate.store.schema import KIND_NUMBER, OWN_COLUMNS, set_up
from headgate.store.session import Session
from headgate.store.sql import Database, insert

__all__ = ["NOW_MS", "PROJECTS", "Filled", "Filler", "filled", "slug"]

DAYS = 90
PROJECTS, WORKFLOWS, NAMES = 100, 4, 5
NOW_MS = 1_795_000_000_000 + 17 * MINUTE_MS
_STAMPS = bytes(64)
_TEST_DAYS, _TESTS, _TESTED = 30, 40, 25  # tests of a run, and every how manieth run has them
_LIVE = 60  # runs that have not ended
_FORM = 3  # of what is written here; another one is filled anew
_OWN = (*OWN_COLUMNS,)
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "pipeline": ("number", "created_at", "trigger_type", "ref_name", "revision"),
    "workflow": (
        *("name", "status", "created_at", "stopped_at", "pipeline_id", "pipeline_number", "trigger_type", "ref_name"),
        *("revision", "attempt", "rerun_of", "credits", "credits_estimated"),
    ),
    "job": (
        *("number", "name", "type", "status", "queued_at", "started_at", "stopped_at", "workflow_id", "pipeline_id"),
        *("resource_class", "executor", "credits"),
    ),
    "test_result": ("job_id", "class_name", "name", "file", "result", "run_ms", "stopped_at", "test_id"),
}
_STATUSES = (("success", 93), ("failed", 5), ("canceled", 1.5), ("infrastructure_fail", 0.5))
_CLASSES = ("small", "medium", "large")
_TRIGGERS = (("webhook", 80), ("scheduled_pipeline", 15), ("api", 5))
_WORDS = (
    *("circleci.com", "ci", "build", "docker", "pass", "fail", "running", "on_hold", "queued", "main"),
    *(name for name, _ in (*_STATUSES, *_TRIGGERS)),
    *_CLASSES,
)
# Share of a day's runs that begin in each UTC hour.
_BUSY = tuple(accumulate([1.0] * 7 + [2.5] * 11 + [1.5] * 6))


@dataclass(frozen=True, slots=True)
class Filled:
    """A store. `seconds`: that it took to fill, 0 where it was there; `size`: bytes."""

    path: Path
    jobs: int
    seconds: float
    size: int


def slug(project: int) -> str:
    """A project by its number, from 1."""
    return f"gh/acme/project-{project:03d}"


def filled(folder: Path, jobs: int) -> Filled:
    """The store of so many jobs in a folder."""
    path = folder / f"headgate-{jobs}.db"
    done = path.with_suffix(f".form{_FORM}")
    began = time.monotonic()
    if not done.exists():
        for old in folder.glob(f"{path.stem}.*"):
            old.unlink()
        asyncio.run(_make(path))
        _fill(path, jobs)
        done.touch()
        return Filled(path, jobs, time.monotonic() - began, path.stat().st_size)
    return Filled(path, jobs, 0.0, path.stat().st_size)


async def _make(path: Path) -> None:
    store = SqliteStore(path, clock=SystemClock(), metrics=NullMetrics())
    await store.open()
    await store.close()


def _fill(path: Path, jobs: int) -> None:
    """Without indexes and triggers, which are made at the end: the one is ten times faster, the other needs them.

    Triggers take notes away of what was added up before, and nothing was.
    """
    db = Database(str(path))
    set_up(db, writer=True)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-400000")
    tables = ", ".join(f"'{table}'" for table in _FIELDS)
    dropped = db.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
        f" AND tbl_name IN ({tables}) ORDER BY type"
    ).fetchall()
    for what, name, _ in dropped:
        db.execute(f"DROP {what} {name}")
    Filler(db).fill(jobs)
    db.execute("PRAGMA temp_store=FILE")
    for _, _, sql in dropped:
        db.execute(sql)
    db.execute("PRAGMA optimize")
    db.wal_checkpoint()
    db.close()


class Filler:
    """Writes runs of five jobs each, oldest first."""

    def __init__(self, db: Database, seed: int = 7) -> None:
        self._db = db
        self._session = Session(db).load()
        self._rollups = Rollups()
        self._random = random.Random(seed)
        draw = self._random
        self._rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _FIELDS}
        self._number = 0
        words = (*(f"w{n}" for n in range(WORKFLOWS)), *(f"j{n}" for n in range(NAMES)), *_WORDS)
        words += (*(f"suite.Class{n}" for n in range(_TESTS)), *(f"tests/test_{n}.py" for n in range(_TESTS)))
        self._dims = {word: self._session.dim(0, word) for word in words}
        # Spans are drawn once: drawing them again for each job would take longer than everything else.
        self._waits = [round(draw.lognormvariate(8, 1)) for _ in range(1 << 12)]
        self._spans = [draw.lognormvariate(11, 0.15) for _ in range(1 << 12)]

    def fill(self, jobs: int) -> None:
        """All of it, a transaction for each day."""
        self._db.execute("BEGIN")
        for project in range(1, PROJECTS + 1):
            named = (project, "circleci.com", str(project), slug(project), 0, "gh/acme", None, "main")
            self._db.execute("INSERT INTO dim_project VALUES (?, ?, ?, ?, ?, ?, ?, ?)", named)
            self._db.execute(
                "INSERT INTO dim_project_slug VALUES (?, ?, ?, ?)", ("circleci.com", slug(project), project, 0)
            )
        self._db.execute("COMMIT")
        runs = jobs // NAMES // DAYS
        for day in range(DAYS):
            start = (NOW_MS // DAY_MS - DAYS + 1 + day) * DAY_MS
            for begun in sorted(start + self._moment() for _ in range(runs)):
                if begun < NOW_MS - HOUR_MS // 3:
                    self._run(begun, day)
            self.flush()
            print(f"filled day {day + 1} of {DAYS}", file=sys.stderr, flush=True)
        self._live()
        self.flush()

    def _moment(self) -> int:
        hour = bisect(_BUSY, self._random.random() * _BUSY[-1])
        return round((hour + self._random.random()) * HOUR_MS)

    def _one_of(self, chances: tuple[tuple[str, float], ...]) -> str:
        at = self._random.random() * 100
        for name, chance in chances:
            at -= chance
            if at < 0:
                return name
        return chances[0][0]

    def _branch(self, day: int) -> str:
        return f"feature-{day // 3 * 5 + self._random.randrange(40)}" if self._random.random() < 0.5 else "main"

    def _key(self) -> bytes:
        return self._random.getrandbits(128).to_bytes(16, "big")

    def _begin(self, begun: int, day: int) -> tuple[int, str, str, bytes, tuple[Any, ...]]:
        """Project, workflow, branch, the pipeline's id, and what its workflow takes from it."""
        rng, dims = self._random, self._dims
        project, workflow = rng.randrange(1, PROJECTS + 1), f"w{rng.randrange(WORKFLOWS)}"
        branch, revision, pipeline = self._branch(day), f"{rng.getrandbits(160):040x}", self._key()
        if branch not in dims:
            dims[branch] = self._session.dim(0, branch)
        self._number += 1
        trigger = dims[self._one_of(_TRIGGERS)]
        told = (self._number, begun, trigger, dims[branch], revision)
        self._rows["pipeline"].append((*self._own(pipeline, project, 0, 0), *told))
        return project, workflow, branch, pipeline, (pipeline, self._number, trigger, dims[branch], revision)

    def _run(self, begun: int, day: int) -> None:
        project, workflow, branch, pipeline, told = self._begin(begun, day)
        tested = day >= DAYS - _TEST_DAYS and self._random.randrange(_TESTED) == 0
        place = project, self._dims[workflow], int(branch == "main")
        self.end_run(begun, place, pipeline, told, tested=tested)

    def end_run(
        self,
        begun: int,
        place: tuple[int, int, int],
        pipeline: bytes,
        told: tuple[Any, ...],
        *,
        tested: bool = False,
        repeats: bytes | None = None,
    ) -> None:
        """A run with its five jobs. `place`: project, name and class; `told`: of its pipeline; `repeats`: which run."""
        rng, dims = self._random, self._dims
        project, name, main = place
        key, verdict, at, spent = self._key(), "success", begun, 0
        for position in range(NAMES):
            queued, started = at, at + self._waits[rng.getrandbits(12)]
            scale = (1.0, 1.22, 1.49, 1.82, 2.2, 2.7, 3.3)[project % 7] * (1 + position / 4)
            at = min(started + round(self._spans[rng.getrandbits(12)] * scale), NOW_MS - 1)
            started = min(started, at)
            status = self._one_of(_STATUSES)
            verdict = status if status != "success" and verdict == "success" else verdict
            size = _CLASSES[(position + (rng.random() < 0.1)) % 3]
            cost = (at - started) // 6000 + 1
            spent += cost
            values = {
                "status": status,
                "type": "build",
                "queued_at": queued,
                "started_at": started,
                "stopped_at": at,
                "credits": cost,
            }
            job, job_key = dims[f"j{position}"], self._key()
            self._count("job", values, (project, name, job, main))
            self._rows["job"].append(
                (
                    *self._own(job_key, project, main, name),
                    *(self._number * NAMES + position, job, dims["build"], dims[status], queued, started, at, key),
                    *(pipeline, dims[size], dims["docker"], cost),
                )
            )
            if tested and position == 1:
                self._tests(job_key, project, at, failed=status == "failed")
        self._number += 1
        verdict = {"infrastructure_fail": "failed"}.get(verdict, verdict)
        values = {"status": verdict, "created_at": begun, "stopped_at": at, "credits": spent, "credits_estimated": True}
        if repeats is not None:
            values["rerun_of"] = repeats.hex()
        self._count("workflow", values, (project, name, 0, main))
        attempt = 1 if repeats is None else 2
        self._rows["workflow"].append(
            (
                *self._own(key, project, main, name),
                *(name, dims[verdict], begun, at, *told, attempt, repeats, spent, 1),
            )
        )

    def _count(self, kind: Any, values: dict[str, Any], place: tuple[int, int, int, int]) -> None:
        part = contribution(kind, values, terminal=True)
        assert part is not None
        self._rollups.add((KIND_NUMBER[kind], *place), part, 1)

    def _own(self, key: bytes, project: int, branch_class: int, run: int, *, ended: int = 1) -> tuple[Any, ...]:
        host, source = self._dims["circleci.com"], self._dims["ci"]
        return (None, key, host, project, source, ended, 1, 0, 2 * ended, None, branch_class, run, 0, _STAMPS)

    def _tests(self, job: bytes, project: int, at: int, *, failed: bool) -> None:
        rng, dims = self._random, self._dims
        for number in range(_TESTS):
            bad = (failed and number == project % _TESTS) or (number % 13 == 0 and rng.random() < 0.03)
            test = (project * 1000 + number).to_bytes(16, "big")
            self._rows["test_result"].append(
                (
                    *self._own(self._key(), project, 0, 0),
                    *(job, dims[f"suite.Class{number}"], f"test_number_{number}", dims[f"tests/test_{number}.py"]),
                    *(dims["fail" if bad else "pass"], rng.randrange(5, 3000), at, test),
                )
            )

    def _live(self) -> None:
        """Runs that go on, with a job that runs and one that waits."""
        dims = self._dims
        for number in range(_LIVE):
            begun = NOW_MS - (number + 1) * MINUTE_MS
            project, workflow, branch, pipeline, told = self._begin(begun, DAYS - 1)
            key, name, main = self._key(), dims[workflow], int(branch == "main")
            self._rows["workflow"].append(
                (
                    *self._own(key, project, main, name, ended=0),
                    *(name, dims["running"], begun, None, *told, 1, None, None, None),
                )
            )
            for position, status in enumerate(("running", "queued")):
                self._number += 1
                started = begun + MINUTE_MS if status == "running" else None
                self._rows["job"].append(
                    (
                        *self._own(self._key(), project, main, name, ended=0),
                        *(
                            self._number * NAMES,
                            dims[f"j{position}"],
                            dims["build"],
                            dims[status],
                            begun,
                            started,
                            None,
                        ),
                        *(key, pipeline, dims["medium"], dims["docker"], None),
                    )
                )

    def flush(self) -> None:
        """Write what was gathered, in one transaction."""
        self._db.execute("BEGIN")
        for kind, rows in self._rows.items():
            insert(self._db, f"INSERT INTO {kind} ({', '.join((*_OWN, *_FIELDS[kind]))})", rows)
            self._session.count(f"fact:{kind}", len(rows))
            rows.clear()
        self._rollups.flush(self._session)
        self._session.flush()
        self._db.execute("COMMIT")
        self._db.wal_checkpoint()
