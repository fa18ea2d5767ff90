"""Questions about one of many projects, which are answered another way than those about all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.core.clock import ManualClock
from headgate.core.detailrows import FailedJob
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork, Store
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import MemoryStore, Quota, SqliteStore
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
        pytest.param(
            {slug: (NOW - number * HOUR_MS, NOW - HOUR_MS) for number, slug in enumerate(_SLUGS)}, id="each its own"
        ),
        pytest.param({"gh/acme/none": (0, NOW)}, id="unknown"),
    ],
)
async def test_failed_jobs_are_the_same_by_name_and_by_time(
    stores: tuple[Store, Store], bounds: dict[str, tuple[int, int]]
) -> None:
    """Page by page, newest first; equal to a look at every job."""
    disk, memory = stores
    oracle = list(await memory.failed_jobs(bounds, limit=1_000))
    found: list[FailedJob] = []
    before: tuple[int, str] | None = None
    while page := await disk.failed_jobs(bounds, before=before, limit=3):
        found += page
        before = (page[-1].row.stopped_ms, page[-1].row.job_id)
    assert [(one.row.stopped_ms, one.row.job_id) for one in oracle] == [
        (one.row.stopped_ms, one.row.job_id) for one in found
    ]
    assert bool(oracle) is ("gh/acme/none" not in bounds)


async def test_deployments_of_one_project_are_those_of_all_without_the_others(stores: tuple[Store, Store]) -> None:
    """Of a project that nobody knows there are none."""
    for store in stores:
        every = list(await store.deployments_between(0, NOW + 1, limit=99))
        assert len(_SLUGS) == len(every)
        mine = list(await store.deployments_between(0, NOW + 1, limit=99, project=_SLUGS[3]))
        assert mine == [one for one in every if one.project == _SLUGS[3]]
        assert list(await store.deployments_between(0, NOW + 1, limit=99, project="gh/acme/none")) == []
