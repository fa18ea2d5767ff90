"""Sums by trigger, size of the machine and branch: read where they are whole, and never where a fact changed."""

import asyncio
import copy
import shutil
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.core.clock import ManualClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.rollup import MEASURES
from headgate.core.storeport import MergeWork, Store
from headgate.core.tally import Dimension, TallyQuery
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.store.cuts import cut_of
from headgate.store.reconcile import reconcile
from headgate.store.sql import Database
from headgate.store.tallies import tallies
from headgate.testing.store_data import NOW

_REF = ProjectRef("circleci.com", "gh/a/one", "gh/a", "00000000-0000-4000-8000-0000000000a1")
_DAY = NOW // DAY_MS * DAY_MS
_BEGIN = _DAY - 40 * DAY_MS
_SIZES = ("small", "large")
_WHOLE = (1 << 63) - 1
_NAMED = ("trigger", "branch", "branch_class", "workflow")


def _id(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


class _Both:
    """A store on disk and its oracle in memory, told the same."""

    def __init__(self, path: Path, memory: MemoryStore | None = None, told: int = 0) -> None:
        clock = ManualClock(NOW)
        self.path = path
        self.disk = SqliteStore(path, clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
        self.memory = memory or MemoryStore(clock=clock)
        self.stores: tuple[Store, ...] = (self.disk, self.memory)
        self.told = told

    def _seen(self, kind: Any, number: int, ref: ProjectRef, fields: dict[str, Any]) -> Observation:
        """Newer than all before."""
        self.told += 1
        return Observation(kind, _id(len(kind), number), ref, "v2", NOW + self.told, kind != "pipeline", fields)

    async def _merge(self, seen: list[Observation]) -> None:
        for store in self.stores:
            await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    async def tell(self, kind: str, number: int, *, ref: ProjectRef = _REF, **fields: Any) -> None:
        """One observation."""
        await self._merge([self._seen(kind, number, ref, fields)])

    async def fill(self) -> None:
        """Runs every 7 hours, with a job each; pipelines say branch and trigger."""
        seen = []
        for number in range(120):
            at = _BEGIN + number * 7 * HOUR_MS
            branch = "main" if number % 2 else f"fix-{number % 3}"
            above = {"ref_name": branch, "trigger_type": "api" if number % 5 else "push"}
            run = {"name": f"w{number % 2}", "pipeline_id": _id(8, number), "created_at": at - 9_000, "stopped_at": at}
            job = {"name": "test", "workflow_id": _id(8, number), "started_at": at - 7_000, "credits": number}
            job |= {"status": "failed", "resource_class": _SIZES[number % 2], "stopped_at": at - 5}
            for kind, told in (("pipeline", above), ("workflow", run | {"status": "success"}), ("job", job)):
                seen.append(self._seen(kind, number, _REF, told))
        await self._merge(seen)

    async def add_up(self) -> None:
        await self.disk.trim({}, now_ms=NOW)

    def asked(self) -> list[TallyQuery]:
        """A few weeks, cut at odd times, by each dimension."""
        found = []
        for slug in (_REF.slug, "gh/a/new"):
            for since_ms, until_ms in ((_BEGIN + 5 * HOUR_MS + 1, _DAY - 3 * HOUR_MS), (_BEGIN - DAY_MS, NOW + DAY_MS)):
                bounds = {slug: (since_ms, until_ms)}
                for by in (("trigger",), ("project", "branch", "branch_class"), ("day", "branch")):
                    found += [TallyQuery(kind, bounds, by, frozenset(MEASURES)) for kind in ("job", "workflow")]  # type: ignore[arg-type]  # names
                found.append(TallyQuery("job", bounds, ("org", "resource_class"), frozenset(MEASURES)))
                found.append(TallyQuery("workflow", bounds, ("workflow", "trigger"), frozenset(MEASURES)))
        assert all(cut_of(query) for query in found)
        return found

    async def agree(self) -> None:
        """Whatever is asked, and of one value alone."""
        for query in self.asked():
            expected = await self.memory.tallies(query)
            assert expected == await self.disk.tallies(query)
            for place, name in enumerate(query.by):
                for value in (
                    {key[place] for key in expected}
                    if name in ("trigger", "branch", "branch_class", "workflow")
                    else ()
                ):
                    one = await self.disk.tallies(replace(query, only=((name, value),)))
                    assert one == {key: tally for key, tally in expected.items() if key[place] == value}

    def noted(self) -> set[tuple[int, int]]:
        """Stretches that are whole: hours and number."""
        with closing(Database(str(self.path))) as db:
            return set(db.execute("SELECT hours, bucket FROM cut_built WHERE upto = ?", (_WHOLE,)))

    def forge(self) -> None:
        """Sums that nobody could count, so that it shows who reads them."""
        with closing(Database(str(self.path))) as db:
            db.execute("UPDATE rollup_cut SET n = n + 1000")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> _Both:
    """Filled, and all that is over added up; to be copied."""
    one = _Both(tmp_path_factory.mktemp("cuts") / "s.db")

    async def fill() -> None:
        for store in one.stores:
            await store.open()
        await one.fill()
        await one.add_up()
        await one.disk.close()

    asyncio.run(fill())
    return one


@pytest.fixture
async def both(filled: _Both, tmp_path: Path) -> AsyncIterator[_Both]:
    """A copy."""
    one = _Both(Path(shutil.copy(filled.path, tmp_path)), copy.deepcopy(filled.memory), filled.told)
    await one.disk.open()
    yield one
    await one.disk.close()


async def test_sums_are_those_of_facts(both: _Both) -> None:
    """For odd bounds, by each dimension, and of one value alone."""
    await both.agree()


async def test_what_is_added_up_is_read(both: _Both) -> None:
    """Facts answer for the edges alone."""
    both.forge()
    for query in both.asked():
        if _REF.slug in query.bounds:
            found = await both.disk.tallies(query)
            assert any(tally.n > 1000 for tally in found.values()), query


def _touched(before: set[tuple[int, int]], after: set[tuple[int, int]], *ends_ms: int) -> bool:
    hours = {at_ms // HOUR_MS for at_ms in ends_ms}
    return before - after == {(length, hour // length) for length in (1, 6, 24, 96, 384) for hour in hours} & before


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        pytest.param("pipeline", {"trigger_type": "schedule"}, id="a trigger that was told later"),
        pytest.param("pipeline", {"ref_name": "other"}, id="a branch that was told otherwise"),
        pytest.param("workflow", {"trigger_type": "schedule"}, id="a trigger that the workflow told"),
        pytest.param("job", {"resource_class": "huge"}, id="another machine"),
        pytest.param("job", {"credits": 4_000}, id="another bill"),
        pytest.param("workflow", {"name": "renamed"}, id="another name"),
    ],
)
async def test_what_changes_takes_the_note_away(both: _Both, kind: str, fields: dict[str, Any]) -> None:
    """Of every stretch that has the run or its job, and of no other; later they are added up again."""
    before = both.noted()
    await both.tell(kind, 40, **fields)
    job_ms = _BEGIN + 40 * 7 * HOUR_MS - 5  # in the hour before the one in which its run ended
    assert _touched(before, both.noted(), job_ms, *(() if kind == "job" else (job_ms + 5,)))
    await both.agree()
    await both.add_up()
    assert before == both.noted()
    await both.agree()


async def test_another_default_branch_takes_notes_away(both: _Both) -> None:
    """The classes of its runs change."""
    await both.tell("pipeline", 0, ref=replace(_REF, default_branch="fix-0"))
    assert both.noted() < {*both.noted(), (1, _BEGIN // HOUR_MS), (6, _BEGIN // HOUR_MS // 6)}
    await both.agree()
    await both.add_up()
    await both.agree()


async def test_a_renamed_project_keeps_its_sums(both: _Both) -> None:
    """They are kept by number."""
    before = both.noted()
    await both.tell("pipeline", 500, ref=replace(_REF, slug="gh/a/new"), created_at=NOW)
    assert before == both.noted()
    await both.agree()


async def test_two_projects_that_are_one(both: _Both) -> None:
    """A slug was used before its id was known: nothing that was added up holds."""
    nameless = replace(_REF, slug="gh/a/new", project_id=None)
    at = _BEGIN + 9 * DAY_MS
    for number in (900, 901):
        await both.tell("workflow", number, ref=nameless, status="failed", stopped_at=at, trigger_type="api")
    await both.add_up()
    assert both.noted()
    await both.tell("pipeline", 501, ref=replace(nameless, project_id=_REF.project_id), created_at=NOW)
    assert both.noted() == set()
    await both.agree()
    await both.add_up()
    await both.agree()


async def test_sums_go_with_their_facts(both: _Both) -> None:
    """What retention cuts is not whole any more; what begins after it is."""
    for store in both.stores:
        await store.trim({"facts": 20 * DAY_MS + HOUR_MS}, now_ms=NOW)
    before_ms = NOW - 20 * DAY_MS - HOUR_MS
    assert both.noted()
    assert all(bucket * length * HOUR_MS >= before_ms for length, bucket in both.noted())
    await both.agree()
    with closing(Database(str(both.path))) as db:
        assert db.execute("SELECT min(bucket) FROM rollup_cut WHERE hours = 6").get * 6 * HOUR_MS >= before_ms


async def test_dropped_days_are_not_counted(both: _Both) -> None:
    """Sums that are kept for a shorter time take those by cuts with them."""
    await both.disk.trim({"rollups": 10 * DAY_MS}, now_ms=NOW)
    for length, bucket in both.noted():
        assert (bucket + 1) * length * HOUR_MS > NOW - 11 * DAY_MS
    query = TallyQuery("job", {_REF.slug: (0, NOW)}, ("trigger",))
    found = await both.disk.tallies(query)
    expected = await both.memory.tallies(replace(query, bounds={_REF.slug: (_DAY - 10 * DAY_MS, NOW)}))
    assert expected == found


async def test_days_without_runs_after_dropped_ones(tmp_path: Path) -> None:
    """A stretch that begins with them is known to be whole, and what is older than the first run goes."""
    begin = (NOW // DAY_MS // 16 - 2) * 16
    disk = SqliteStore(tmp_path / "h.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await disk.open()
    days = [begin - 1, *range(begin + 2, begin + 18)]
    runs = [
        Observation(
            "workflow",
            _id(1, number),
            _REF,
            "v2",
            NOW,
            True,
            {"name": "w", "status": "success", "created_at": day * DAY_MS, "stopped_at": day * DAY_MS + 9_000}
            | {"trigger_type": "api"},
        )
        for number, day in enumerate(days)
    ]
    await disk.merge_and_release(MergeWork("ci", runs, ReleasePolicy("none"), NOW, 0))
    await disk.trim({}, now_ms=NOW)
    query = TallyQuery("workflow", {_REF.slug: (0, NOW)}, ("trigger",))
    assert (await disk.tallies(query))[("api",)].n == len(days)
    kept = NOW - begin * DAY_MS
    await disk.trim({"facts": kept, "rollups": kept}, now_ms=NOW)
    assert (await disk.tallies(query))[("api",)].n == len(days) - 1
    await disk.close()


@pytest.mark.parametrize("kind", ["job", "workflow"])
async def test_one_value_is_found_by_the_key(both: _Both, kind: Any) -> None:
    """Nothing but rows of that trigger is read of the sums, and of facts at the edges nothing is scanned."""
    query = TallyQuery(
        kind, {_REF.slug: (_BEGIN + 5 * HOUR_MS + 1, _DAY)}, ("project", "trigger"), only=(("trigger", "api"),)
    )
    with closing(Database(str(both.path))) as db:
        asked: list[tuple[str, Any]] = []
        db.exec_trace = lambda _cursor, sql, bound: asked.append((sql, bound)) or True
        assert tallies(db, query)
        db.exec_trace = None
        statement, bound = next((sql, bound) for sql, bound in asked if "rollup_cut" in sql)
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", bound)]
    wanted = "SEARCH r USING PRIMARY KEY (hours=? AND bucket=? AND kind=? AND cut=? AND project=? AND value=?)"
    assert wanted in plan
    assert not [step for step in plan if step.startswith(("SCAN f", "SCAN w", "SCAN pl", "SCAN r"))]


async def test_a_salvage_takes_all_notes_away(both: _Both) -> None:
    """Rows may be missing of facts and of sums."""
    await both.disk._unit("salvage", lambda session, _: reconcile(session, NOW))
    assert both.noted() == set()
    await both.agree()
    await both.add_up()
    await both.agree()


async def test_notes_outlive_a_restart(both: _Both) -> None:
    """And still go where a fact changes."""
    before = both.noted()
    await both.disk.close()
    await both.disk.open()
    assert before == both.noted()
    await both.tell("pipeline", 40, trigger_type="schedule")
    assert before > both.noted()
    await both.agree()


@pytest.mark.parametrize(
    ("kind", "by", "expected"),
    [
        ("job", ("project", "trigger"), "trigger"),
        ("job", ("org", "day", "branch", "branch_class"), "branch"),
        ("job", ("resource_class",), "resource_class"),
        ("workflow", ("project", "trigger", "workflow"), "trigger"),
        ("workflow", ("job", "branch"), "branch"),
        ("workflow", ("resource_class",), None),
        ("job", ("workflow", "trigger"), None),
        ("job", ("job", "resource_class"), None),
        ("job", ("hour", "trigger"), None),
        ("job", ("trigger", "branch"), None),
        ("job", ("project",), None),
    ],
)
def test_one_cut_at_a_time_is_kept(kind: Any, by: tuple[Dimension, ...], expected: str | None) -> None:
    """Of jobs those of a project together; two cuts at once are counted from facts."""
    assert expected == cut_of(TallyQuery(kind, {}, by))
