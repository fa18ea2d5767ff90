"""Questions about one of many projects, which are answered another way than those about all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from headgate.core.clock import ManualClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.rollup import MEASURES, RollupKind
from headgate.core.storeport import MergeWork, Store
from headgate.core.tally import DEFAULT_BRANCH, OTHER_BRANCH, Dimension, TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.store.outages import Stretch, runs_in
from headgate.store.sql import Database
from headgate.store.tallies import tallies
from headgate.testing.store_data import NOW

_SLUGS = tuple(f"gh/acme/p{number:02d}" for number in range(12))


def _told() -> list[Observation]:
    """Ten jobs of two workflows of each project, on both classes of branches; some without a name fail too."""
    found = []
    for project, slug in enumerate(_SLUGS):
        ref = ProjectRef("circleci.com", slug, "gh/acme", f"00000000-0000-4000-8000-{project:012d}", "main")
        for number in range(10):
            place = project * 100 + number
            run, at = f"00000000-0000-4000-8001-{place:012d}", NOW - number * 5 * HOUR_MS - project
            name = f"w{number % 2}"
            branch = "main" if number % 3 else "fix"
            run_of = {"name": name, "status": "failed", "created_at": at - 9_000, "stopped_at": at, "ref_name": branch}
            found.append(Observation("workflow", run, ref, "v2", NOW, True, run_of))
            fields = {"status": "failed" if number % 4 else "success", "workflow_id": run, "stopped_at": at}
            fields |= {"name": f"j{number % 3}"} if number != 5 else {}
            key = f"00000000-0000-4000-8002-{place:012d}"
            found.append(Observation("job", key, ref, "v2", NOW, True, fields))
        deployed = {"name": "web", "status": "succeeded", "environment": "production", "stopped_at": NOW - project}
        found.append(
            Observation("deployment", f"00000000-0000-4000-8003-{project:012d}", ref, "v2", NOW, True, deployed)
        )
    return found


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """On disk and in memory, told the same."""
    clock = ManualClock(NOW)
    disk = SqliteStore(tmp_path / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    made = disk, MemoryStore(clock=clock)
    for store in made:
        await store.open()
        await store.merge_and_release(MergeWork("ci", _told(), ReleasePolicy("none"), NOW, 0))
    yield made
    await disk.close()


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param({_SLUGS[3]: (NOW - 2 * DAY_MS, NOW)}, id="one"),
        pytest.param(dict.fromkeys(_SLUGS, (NOW - DAY_MS, NOW + 1)), id="all"),
        pytest.param(dict.fromkeys(_SLUGS[2:], (NOW - DAY_MS, NOW + 1)), id="most"),
        pytest.param(dict.fromkeys(_SLUGS[:4], (NOW - DAY_MS, NOW + 1)), id="some"),
        pytest.param(
            {slug: (NOW - number * HOUR_MS, NOW - HOUR_MS) for number, slug in enumerate(_SLUGS)}, id="each its own"
        ),
        pytest.param({"gh/acme/none": (0, NOW)}, id="unknown"),
    ],
)
async def test_failed_jobs_are_the_same_by_name_and_by_time(
    stores: tuple[Store, Store], bounds: dict[str, tuple[int, int]]
) -> None:
    """Newest first; equal to a look at every job."""
    disk, memory = stores
    for alone in (False, True):
        oracle = list(await memory.failed_jobs(bounds, limit=1_000, alone=alone))
        for limit in (3, 1_000):
            assert oracle[:limit] == list(await disk.failed_jobs(bounds, limit=limit, alone=alone))
    assert bool(oracle) is ("gh/acme/none" not in bounds)


async def test_deployments_of_one_project_are_those_of_all_without_the_others(stores: tuple[Store, Store]) -> None:
    """Of a project that nobody knows there are none."""
    for store in stores:
        every = list(await store.deployments_between(0, NOW + 1, limit=99))
        assert len(_SLUGS) == len(every)
        mine = list(await store.deployments_between(0, NOW + 1, limit=99, project=_SLUGS[3]))
        assert mine == [one for one in every if one.project == _SLUGS[3]]
        assert list(await store.deployments_between(0, NOW + 1, limit=99, project="gh/acme/none")) == []


@pytest.mark.parametrize("projects", [1, 12])
async def test_sums_of_few_projects_and_of_many(stores: tuple[Store, Store], projects: int) -> None:
    """Whether rows are looked up or read one after the other, of all branches and of one class: those of memory."""
    disk, memory = stores
    await disk.trim({}, now_ms=NOW)
    bounds = dict.fromkeys(_SLUGS[:projects], (NOW - 42 * HOUR_MS + 1, NOW - 4 * HOUR_MS))
    dimensions: tuple[tuple[Dimension, ...], ...] = (("project",), ("workflow", "branch"), ("day", "trigger"), ("job",))
    kinds: tuple[RollupKind, ...] = ("job", "workflow")
    for kind, by in product(kinds, dimensions):
        query = TallyQuery(kind, bounds, by, frozenset(MEASURES))
        assert await disk.tallies(query) == await memory.tallies(query)
        query = replace(query, by=(*by, "branch_class"))
        expected = await memory.tallies(query)
        for name in (DEFAULT_BRANCH, OTHER_BRANCH):
            found = await disk.tallies(replace(query, only=(("branch_class", name),)))
            assert found == {key: tally for key, tally in expected.items() if key[-1] == name}
            assert found


@pytest.mark.parametrize(("projects", "how"), [(5, " AND project=?"), (6, ""), (12, "")])
async def test_rows_of_many_projects_are_not_looked_up_one_by_one(
    stores: tuple[Store, Store], tmp_path: Path, projects: int, how: str
) -> None:
    """From half of all projects on."""
    await stores[0].trim({}, now_ms=NOW)
    bounds = dict.fromkeys(_SLUGS[:projects], (NOW // DAY_MS * DAY_MS - DAY_MS, NOW // DAY_MS * DAY_MS))
    with closing(Database(str(tmp_path / "s.db"))) as db:
        asked: list[tuple[str, Any]] = []
        db.exec_trace = lambda _cursor, sql, bound: asked.append((sql, bound)) or True
        assert tallies(db, TallyQuery("job", bounds, ("project",)))
        db.exec_trace = None
        statement, bound = next((sql, bound) for sql, bound in asked if "rollup_span" in sql and "UNION" not in sql)
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", bound)]
    assert f"SEARCH r USING PRIMARY KEY (hours=? AND bucket=? AND kind=? AND wide=?{how})" in plan


async def test_bounds_of_each_project_are_looked_up(stores: tuple[Store, Store], tmp_path: Path) -> None:
    """By an index that is made of them for the question: else each fact is held against those of every project."""
    bounds = {slug: (NOW - (30 + number) * HOUR_MS, NOW) for number, slug in enumerate(_SLUGS)}
    with closing(Database(str(tmp_path / "s.db"))) as db:
        asked: list[tuple[str, Any]] = []
        db.exec_trace = lambda _cursor, sql, bound: asked.append((sql, bound)) or True
        assert tallies(db, TallyQuery("workflow", bounds, ("project", "workflow", "trigger")))
        assert list(runs_in(db, [Stretch(tuple(range(1, 13)), NOW - 30 * HOUR_MS, NOW)]))
        db.exec_trace = None
        wanted = [one for one in asked if "CROSS JOIN spans s" in one[0] or "CROSS JOIN t0 s" in one[0]]
        plans = [[row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bound)] for sql, bound in wanted]
    assert len(plans) == 2
    for plan in plans:
        assert [True] == ["AUTOMATIC" in step for step in plan if step.startswith(("SCAN s", "SEARCH s "))]
