"""Tallies of both adapters are equal, and equal to counting row by row, for any bounds, grouping and history."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.unit.store.twostores import TwoStores

from headgate.core.clock import ManualClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.rollup import MEASURES, RollupKind
from headgate.core.runrows import JobRow, RunRow
from headgate.core.slug import org_slug
from headgate.core.storeport import MergeWork
from headgate.core.tally import DIMENSIONS, Dimension, TallyQuery, class_name
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.store import Quota, SqliteStore
from headgate.store.schema import migrate
from headgate.store.sql import Database
from headgate.store.tallies import ENDS
from headgate.testing.store_data import NOW

_IDS = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2")
_NAMES = ("gh/a/one", "gh/a/two", "gh/b/three")
_CUTS: tuple[tuple[RollupKind, Dimension], ...] = (
    ("job", "trigger"),
    ("job", "resource_class"),
    ("job", "branch"),
    ("workflow", "trigger"),
    ("workflow", "branch"),
)
_STATUSES = ("success", "success", "failed", "infrastructure_fail", "canceled", "not_run", "running", "odd")
_at = (
    st.integers(NOW - 4 * DAY_MS, NOW)
    | st.integers(NOW - 50 * DAY_MS, NOW)
    | st.sampled_from([NOW // HOUR_MS * HOUR_MS, NOW // DAY_MS * DAY_MS])
)


def _id(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8000-{kind:06d}{number:06d}"


def _value(row: RunRow | JobRow, name: str) -> str:
    values = {
        "org": org_slug(row.project),
        "project": row.project,
        "workflow": row.workflow,
        "job": getattr(row, "job", ""),
        "branch_class": class_name(row.branch_class),
        "branch": row.ref,
        "trigger": row.trigger,
        "resource_class": getattr(row, "resource_class", ""),
        "hour": format_ms(row.stopped_ms // HOUR_MS * HOUR_MS),
        "day": format_ms(row.stopped_ms // DAY_MS * DAY_MS),
    }
    return values[name]


def _slow(rows: Sequence[RunRow | JobRow], query: TallyQuery) -> dict[tuple[str, ...], dict[str, Any]]:
    """Groups, counted from rows alone: sums, and the sorted spans of each measure."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        since_ms, until_ms = query.bounds.get(row.project, (0, 0))
        if not since_ms <= row.stopped_ms < until_ms or getattr(row, "type", "") == "approval":
            continue
        group = found.setdefault(tuple(_value(row, name) for name in query.by), {})
        measured = row.status in ("success", "failure", "error", "timeout")
        duration = row.duration_ms if measured else None
        queue = getattr(row, "queue_ms", None)
        counts = {
            "n": 1,
            "ok": row.status == "success",
            "failed": measured and row.status != "success",
            "errors": row.status == "error",
            "canceled": row.status == "canceled",
            "skipped": row.status == "skipped",
            "credits": row.credits or 0,
            "duration_ms": duration or 0,
            "duration_ok_ms": (duration or 0) * (row.status == "success"),
            "timed": duration is not None,
            "timed_ok": duration is not None and row.status == "success",
            "queue_ms": queue or 0,
            "queued": queue is not None,
        }
        if isinstance(row, RunRow):
            counts["reruns"] = row.attempt > 1
            counts["estimated"] = (row.credits or 0) * row.credits_estimated
        for name, n in counts.items():
            group[name] = group.get(name, 0) + n
        spans = {"duration_ok" if row.status == "success" else "duration_failed": duration, "queue": queue}
        for measure, span in spans.items():
            if span is not None:
                group.setdefault(measure, []).append(span)
    return found


def _holds(found: Mapping[tuple[str, ...], Any], expected: dict[tuple[str, ...], dict[str, Any]]) -> None:
    assert {key for key, tally in found.items() if tally.n} == set(expected)
    for key, group in expected.items():
        for name, value in group.items():
            if name not in MEASURES:
                assert (key, name, value) == (key, name, getattr(found[key], name))
                continue
            for q in (0.01, 0.5, 0.9, 0.95, 1.0):
                exact = sorted(value)[max(1, math.ceil(q * len(value))) - 1] / 1000
                assert math.isclose(found[key].quantile(name, q) or 0, exact, rel_tol=0.0101)


class _Stores(TwoStores):
    """Two adapters are told the same; after each step, some tallies of both are equal and right."""

    def __init__(self) -> None:
        super().__init__()
        self.names = dict(zip(_IDS, _NAMES, strict=False))
        self.query = TallyQuery("job", {})

    def _merge(self, *seen: Observation) -> None:
        work = MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0)
        self.loop.run_until_complete(self.disk.merge_and_release(work))
        self.loop.run_until_complete(self.memory.merge_and_release(work))

    def _seen(
        self, kind: Any, key: str, project: int, *, terminal: bool, default: str | None = None, **fields: Any
    ) -> Observation:
        self.told += 1
        ref = ProjectRef("circleci.com", self.names[_IDS[project]], "gh/a", _IDS[project], None, default)
        known = {name: value for name, value in fields.items() if value is not None}
        return Observation(kind, key, ref, "v2", NOW + self.told, terminal, known)

    @rule(number=st.integers(0, 3), branch=st.sampled_from(["main", "fix"]), trigger=st.sampled_from(["api", "push"]))
    def pipeline(self, number: int, branch: str, trigger: str) -> None:
        """A pipeline tells or corrects what its runs are of; often after they ended."""
        told = {"ref_name": branch, "trigger_type": trigger, "number": number}
        self._merge(self._seen("pipeline", _id(1, number), number % 2, terminal=False, **told))

    @rule(
        number=st.integers(0, 7),
        name=st.sampled_from(["build", "ship"]),
        status=st.sampled_from(_STATUSES),
        times=st.lists(_at, min_size=2, max_size=2),
        spent=st.none() | st.integers(0, 99),
    )
    def workflow(self, number: int, name: str, status: str, times: list[int], spent: int | None) -> None:
        """A run is told, or told otherwise; those of one pipeline may repeat one another."""
        told = {
            "name": name,
            "status": status,
            "created_at": min(times),
            "credits": spent,
            "credits_estimated": number % 3 == 0,
        }
        ended = status != "running"
        if ended:
            told["stopped_at"] = max(times)
        told["pipeline_id"] = _id(1, number % 4)
        self._merge(self._seen("workflow", _id(2, number), number % 2, terminal=ended, **told))

    @rule(
        first=st.integers(0, 9),
        name=st.sampled_from(["test", "lint"]),
        statuses=st.lists(st.sampled_from(_STATUSES), min_size=1, max_size=6),
        times=st.lists(_at, min_size=3, max_size=3),
        more=st.tuples(st.integers(0, 4), st.none() | st.sampled_from(["small", "large"])),
    )
    def jobs(self, first: int, name: str, statuses: list[str], times: list[int], more: tuple[int, str | None]) -> None:
        """Some jobs of neighbouring numbers are told, or told otherwise."""
        queued, started, stopped = sorted(times)
        approval, size = more
        seen = []
        for number, status in enumerate(statuses, first):
            kind = "approval" if number == approval else None
            told = {"name": name, "status": status, "resource_class": size, "type": kind, "queued_at": queued}
            if status not in ("not_run", "canceled"):
                told["started_at"] = started + number
            if status != "running":
                told["stopped_at"] = stopped + number
            above = {"workflow_id": _id(2, number % 8), "number": 100 + number, "credits": number}
            seen.append(self._seen("job", _id(3, number), number % 2, terminal=status != "running", **told, **above))
        self._merge(*seen)

    @rule(which=st.integers(0, 1), branch=st.sampled_from(["main", "fix"]))
    def default(self, which: int, branch: str) -> None:
        """A project tells its default branch, or another one."""
        self._merge(self._seen("pipeline", _id(1, which), which, terminal=False, default=branch))

    @rule(which=st.integers(0, 1), name=st.sampled_from(_NAMES))
    def rename(self, which: int, name: str) -> None:
        """A project is called otherwise from now on, perhaps as another one was."""
        if name not in self.names.values():
            self.names[_IDS[which]] = name
            self._merge(self._seen("pipeline", _id(1, which), which, terminal=False))

    @rule(days=st.integers(-40, 2))
    def add_up(self, days: int) -> None:
        """Some time passes in which sums are added up, of all that was over by then."""
        self.loop.run_until_complete(self.disk.trim({}, now_ms=NOW + days * DAY_MS))

    @rule(
        kind=st.sampled_from(["workflow", "job"]),
        by=st.lists(st.sampled_from(sorted(DIMENSIONS)), unique=True, max_size=4),
        bounds=st.lists(st.tuples(_at, _at), min_size=3, max_size=3),
        bins=st.sets(st.sampled_from(MEASURES)),
    )
    def ask(self, kind: Any, by: list[Any], bounds: list[tuple[int, int]], bins: set[Any]) -> None:
        """Choose what is compared from now on."""
        self.query = TallyQuery(kind, dict(zip(_NAMES, bounds, strict=True)), tuple(by), frozenset(bins))

    @invariant()
    def equal(self) -> None:
        """The chosen question, and everything by project, job and class."""
        always = TallyQuery("job", dict.fromkeys(_NAMES, (0, NOW + DAY_MS)), ("project", "job", "branch_class"))
        cuts = [
            TallyQuery(kind, self.query.bounds or always.bounds, ("project", "branch_class", cut), frozenset(MEASURES))
            for kind, cut in _CUTS
        ]
        for query in (self.query, replace(always, bins=frozenset(MEASURES)), replace(always, kind="workflow"), *cuts):
            oracle = self.loop.run_until_complete(self.memory.tallies(query))
            assert oracle == self.loop.run_until_complete(self.disk.tallies(query))
            if query.bins == frozenset(MEASURES) or not query.bins:
                whole = replace(query, bins=frozenset(MEASURES))
                between = self.memory.jobs_between if query.kind == "job" else self.memory.runs_between
                rows = self.loop.run_until_complete(between(0, NOW + DAY_MS, limit=1_000))
                _holds(self.loop.run_until_complete(self.disk.tallies(whole)), _slow(rows, query))


_Stores.TestCase.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
TestStores = _Stores.TestCase

_DAY = NOW // DAY_MS * DAY_MS


async def test_sums_outlive_their_facts(tmp_path: Path) -> None:
    """After retention, whole days still count, as long as they are kept; an edge counts the day that it cuts."""
    clock = ManualClock(NOW)
    store = SqliteStore(tmp_path / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])
    runs = [
        Observation(
            "workflow", _id(2, hour), ref, "v2", NOW, True, {"status": "success", "stopped_at": _DAY + hour * HOUR_MS}
        )
        for hour in range(12)
    ]
    await store.merge_and_release(MergeWork("ci", runs, ReleasePolicy("none"), NOW, 0))
    query = TallyQuery("workflow", {_NAMES[0]: (_DAY + HOUR_MS + 1, _DAY + 6 * HOUR_MS)})
    assert (await store.tallies(query))[()].n == 4
    await store.trim({"facts": DAY_MS}, now_ms=_DAY + 3 * DAY_MS)
    assert (await store.tallies(query))[()].n == 5
    await store.trim({"facts": DAY_MS}, now_ms=_DAY + 12 * DAY_MS)
    assert (await store.tallies(query))[()].n == 5
    await store.trim({"facts": DAY_MS, "rollups": 211 * DAY_MS}, now_ms=_DAY + 210 * DAY_MS)
    assert (await store.tallies(query))[()].n == 12
    assert await store.trim({"rollups": 11 * DAY_MS}, now_ms=_DAY + 210 * DAY_MS) == {"rollups": 1}
    assert await store.tallies(query) == {}
    await store.close()


@pytest.mark.parametrize("table", ["rollup_day", "rollup_hour"])
def test_the_ends_of_rollups_are_found_without_reading_them(table: str) -> None:
    """Both are looked up in the key: the tables are large, and every sum asks for them."""
    db = Database(":memory:")
    migrate(db)
    plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {ENDS.format(table=table)}")]
    assert 2 == sum(step.startswith(f"SEARCH {table}") for step in plan)
    assert not [step for step in plan if step.startswith(f"SCAN {table}")]
    db.close()


@pytest.mark.parametrize("kind", ["workflow", "job"])
async def test_facts_of_one_project_among_many_are_found_by_their_names(tmp_path: Path, kind: Any) -> None:
    """By branch, which no sum knows, the same as when every fact is looked at; other names may be left out."""
    clock = ManualClock(NOW)
    store = SqliteStore(tmp_path / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    seen = []
    for number in range(60):
        ref = ProjectRef("circleci.com", f"gh/a/p{number % 20}", "gh/a", _id(9, number % 20))
        ended = NOW - number * 7 * HOUR_MS
        run = {"status": "success", "created_at": ended - 5, "stopped_at": ended, "ref_name": f"b{number % 3}"}
        named = {"name": f"w{number % 2}"} if number % 5 else {}
        seen.append(Observation("workflow", _id(2, number), ref, "v2", NOW, True, {**run, **named}))
        job = {"name": f"j{number % 2}", "status": "failed", "started_at": ended - 9, "stopped_at": ended}
        seen.append(Observation("job", _id(3, number), ref, "v2", NOW, True, {**job, "workflow_id": _id(2, number)}))
    await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))
    whole = (NOW - 9 * DAY_MS, NOW + 1)
    query = TallyQuery(
        kind, {f"gh/a/p{number}": whole for number in range(20)}, ("project", "workflow", "job", "branch")
    )
    query = replace(query, bins=frozenset(MEASURES))
    every = await store.tallies(query)
    assert {name for name, _ in query.bounds.items()} == {key[0] for key in every}
    one = replace(query, bounds={"gh/a/p3": whole})
    expected = {key: tally for key, tally in every.items() if key[0] == "gh/a/p3"}
    assert expected == await store.tallies(one)
    found = await store.tallies(replace(one, only=(("workflow", "w1"),)))
    assert {key: tally for key, tally in expected.items() if key[1] == "w1"} == found
    assert await store.tallies(replace(one, only=(("workflow", "nowhere"),))) == {}
    await store.close()


async def test_what_was_added_up_is_read_until_a_fact_changes_in_it(tmp_path: Path) -> None:
    """Longer stretches are noted as whole; a late fact takes the note away, the next trimming brings it back."""
    clock = ManualClock(NOW)
    store = SqliteStore(tmp_path / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])

    async def end(number: int, at_ms: int) -> None:
        told = {"status": "success", "stopped_at": at_ms}
        seen = [Observation("workflow", _id(2, number), ref, "v2", NOW, True, told)]
        await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))

    async def noted() -> int:
        db = Database(str(tmp_path / "s.db"))
        n: int = db.execute("SELECT count(*) FROM span_built WHERE upto = 9223372036854775807").get
        db.close()
        return n

    await end(1, _DAY - 40 * DAY_MS)
    await end(2, _DAY - DAY_MS)
    await store.trim({}, now_ms=_DAY)
    whole = await noted()
    assert whole > 40 * 24 + 160 + 40
    await end(3, _DAY - 40 * DAY_MS + 5)
    assert await noted() == whole - 5
    query = TallyQuery("workflow", {_NAMES[0]: (_DAY - 50 * DAY_MS, NOW)}, ("project",))
    assert (await store.tallies(query))[(_NAMES[0],)].n == 3
    await store.trim({}, now_ms=_DAY)
    assert await noted() == whole
    assert (await store.tallies(query))[(_NAMES[0],)].n == 3
    assert await store.trim({"rollups": 30 * DAY_MS}, now_ms=_DAY) == {"rollups": 1}
    assert (await store.tallies(query))[(_NAMES[0],)].n == 1
    await store.close()


async def test_hours_are_read_wide_where_they_are_added_up(tmp_path: Path) -> None:
    """All jobs of a project in one row, of a workflow and class in one; each by itself where names are asked for."""
    clock = ManualClock(NOW)
    store = SqliteStore(tmp_path / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    ref = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])
    begin = _DAY - 3 * DAY_MS
    seen = [
        Observation("job", _id(3, n), ref, "v2", NOW, True, {"name": f"j{n}", "stopped_at": begin + n * HOUR_MS // 2})
        for n in range(24)
    ]
    await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))
    await store.trim({}, now_ms=NOW)
    bounds = {_NAMES[0]: (begin + HOUR_MS, begin + 2 * HOUR_MS)}
    wanted: list[tuple[tuple[Any, ...], int]] = [(("project",), 1002), (("hour",), 1002), (("branch_class",), 1002)]
    for by, n in (*wanted, (("project", "job"), 2)):
        db = Database(str(tmp_path / "s.db"))
        db.execute("UPDATE rollup_span SET n = n + 1000 WHERE hours = 1 AND n < 1000")
        db.close()
        found = await store.tallies(TallyQuery("job", bounds, by))
        assert n == sum(tally.n for tally in found.values())
    kept = NOW + 199 * DAY_MS
    await store.trim({}, now_ms=kept)
    await store.trim({}, now_ms=NOW + 201 * DAY_MS)
    db = Database(str(tmp_path / "s.db"))
    assert db.execute("SELECT count(*) FROM rollup_span WHERE hours IN (1, 6)").get == 0
    assert db.execute("SELECT count(*) FROM span_built WHERE hours IN (1, 6)").get == 0
    db.close()
    assert (await store.tallies(TallyQuery("job", bounds)))[()].n == 2
    await store.close()
