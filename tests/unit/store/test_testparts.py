"""What came of tests is told alike by both adapters for any bounds and history, whatever was added up meanwhile."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.unit.store.twostores import TwoStores

from headgate.core.clock import ManualClock
from headgate.core.facts import FactKind
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import Quota, SqliteStore, test_queries, testgather, testparts
from headgate.store.live_queries import chosen_outcomes
from headgate.store.notedtests import NotedTests
from headgate.store.schema import encode_key
from headgate.store.sql import Database
from headgate.store.testgather import Collected
from headgate.testing.store_data import NOW

_IDS = ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000a2")
_NAMES = ("gh/a/one", "gh/a/two", "gh/b/three")
_SPANS = 12
_TESTS = [(name, str(number)) for name in _NAMES for number in range(3)]
_at = st.integers(NOW - _SPANS * DAY_MS, NOW) | st.integers(NOW // DAY_MS - _SPANS, NOW // DAY_MS).map(
    lambda day: day * DAY_MS
)


def _key(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8{kind:03d}-{number:012d}"


class _Stores(TwoStores):
    """Two adapters are told the same; after each step they say the same of tests."""

    def __init__(self) -> None:
        super().__init__()
        self.names = dict(zip(_IDS, _NAMES, strict=False))
        self.bounds = self.before = dict.fromkeys(_NAMES, (0, NOW))

    def _tell(self, *seen: tuple[FactKind, str, int, bool, dict[str, Any]]) -> None:
        self.told += 1
        found = []
        for kind, key, number, ended, fields in seen:
            ref = ProjectRef("circleci.com", self.names[_IDS[number % 2]], "gh/a", _IDS[number % 2])
            found.append(Observation(kind, key, ref, "poll", NOW + self.told, ended, fields))
        work = MergeWork("ci", found, ReleasePolicy("none"), NOW, 0)
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.merge_and_release(work))

    @rule(
        first=st.integers(0, 20),
        times=st.lists(_at, min_size=1, max_size=6),
        words=st.lists(st.sampled_from(["pass", "fail", "skip"]), min_size=1, max_size=6),
        form=st.sampled_from([{}, {}, {"file": "a.py"}, {"suite": "s", "class_name": "C"}]),
        spent=st.sampled_from([None, 0, 7, 1_200, 1 << 33]),
    )
    def told_of_results(
        self, first: int, times: list[int], words: list[str], form: dict[str, str], spent: int | None
    ) -> None:
        """Results of jobs, which may be known or not."""
        seen: list[tuple[FactKind, str, int, bool, dict[str, Any]]] = []
        for job, at in enumerate(times, first):
            for place, word in enumerate(words):
                fields = {"job_id": _key(1, job), "stopped_at": at, "result": word, "name": f"t{place % 3}", **form}
                fields |= {"test_id": str(place % 3)} if job % 7 else {}
                fields |= {} if spent is None else {"run_ms": spent + place * job}
                seen.append(("test_result", _key(2, job * 10 + place), job, True, fields))
        self._tell(*seen)

    @rule(first=st.integers(0, 20), n=st.integers(1, 6), status=st.sampled_from(["success", "infrastructure_fail"]))
    def told_of_jobs(self, first: int, n: int, status: str) -> None:
        """Jobs of workflows, or of pipelines alone."""
        seen: list[tuple[FactKind, str, int, bool, dict[str, Any]]] = []
        for job in range(first, first + n):
            parent = {"workflow_id": _key(3, job // 2)} if job % 5 else {"pipeline_id": _key(4, job // 4)}
            fields = {"name": f"j{job % 2}", "status": status, "stopped_at": NOW - job, **parent}
            seen.append(("job", _key(1, job), job, True, fields))
        self._tell(*seen)

    @rule(run=st.integers(0, 12), revision=st.sampled_from([None, "aa", "bb", "cc"]), branch=st.sampled_from("ab"))
    def told_of_a_commit(self, run: int, revision: str | None, branch: str) -> None:
        """Workflows and pipelines say of which commit their jobs are, maybe later."""
        fields: dict[str, Any] = {"ref_name": branch, **({"revision": revision} if revision else {})}
        own = {"name": "build", "status": "success", "stopped_at": NOW, "pipeline_id": _key(4, run // 2)}
        self._tell(
            ("workflow", _key(3, run), run, True, {**fields, **own} if run % 3 else own),
            ("pipeline", _key(4, run // 2), run, True, {"created_at": NOW - DAY_MS, **fields}),
        )

    @rule(which=st.integers(0, 1), name=st.sampled_from(_NAMES))
    def rename(self, which: int, name: str) -> None:
        """A project is called otherwise from now on."""
        if name not in self.names.values():
            self.names[_IDS[which]] = name

    @rule(hours=st.integers(-60, 200))
    def add_up(self, hours: int) -> None:
        """Time passes in which what was over by then is added up."""
        self.loop.run_until_complete(self.disk.trim({}, now_ms=NOW + hours * HOUR_MS))

    @rule(days=st.integers(1, _SPANS), part=st.sampled_from(["facts", "test_results"]))
    def forget(self, days: int, part: str) -> None:
        """Old facts go."""
        for store in (self.disk, self.memory):
            self.loop.run_until_complete(store.trim({part: days * DAY_MS}, now_ms=NOW))

    @rule(times=st.lists(st.tuples(_at, _at, _at), min_size=3, max_size=3))
    def ask(self, times: list[tuple[int, int, int]]) -> None:
        """Choose what is compared from now on."""
        ordered = {name: sorted(one) for name, one in zip(_NAMES, times, strict=True)}
        self.before = {name: (first, second) for name, (first, second, _) in ordered.items()}
        self.bounds = {name: (second, third) for name, (_, second, third) in ordered.items()}

    @invariant()
    def equal(self) -> None:
        """The chosen bounds, and everything."""
        for bounds in (self.bounds, dict.fromkeys(_NAMES, (0, NOW + DAY_MS))):
            self._equal_sums(bounds)
            for ask in ("test_faults", "test_counts"):
                mine, oracle = (getattr(store, ask)(bounds) for store in (self.disk, self.memory))
                assert self.loop.run_until_complete(oracle) == self.loop.run_until_complete(mine)
            for ask in ("test_commits", "outcomes_of"):
                mine, oracle = (getattr(store, ask)(bounds, _TESTS) for store in (self.disk, self.memory))
                assert self.loop.run_until_complete(oracle) == self.loop.run_until_complete(mine)

    def _equal_sums(self, bounds: Bounds) -> None:
        """Run times of more than a month have no place in sums of stretches."""
        wide: set[tuple[str, str]] = set()
        for window in (bounds, self.before):
            outcomes = self.loop.run_until_complete(self.memory.outcomes_of(window, _TESTS))
            wide |= {(one.project, one.test_id) for one in outcomes if one.run_ms >= 1 << 32}
        for branch_class in (None, 0, 1):
            oracle, mine = (
                self.loop.run_until_complete(store.test_sums(bounds, self.before, branch_class=branch_class))
                for store in (self.memory, self.disk)
            )
            assert [one for one in oracle.sums if one[:2] not in wide] == [
                one for one in mine.sums if one[:2] not in wide
            ]
            assert (oracle.faults, oracle.earlier) == (mine.faults, mine.earlier)
            assert (set(oracle.varied) - wide, set(oracle.slower) - wide) == (
                set(mine.varied) - wide,
                set(mine.slower) - wide,
            )


_Stores.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink one takes minutes
)
TestStores = _Stores.TestCase


async def _store(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path / "s.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await store.open()
    return store


_PROJECT = ProjectRef("circleci.com", _NAMES[0], "gh/a", _IDS[0])


async def _merge(
    store: SqliteStore, kind: FactKind, key: str, seen_ms: int = NOW, ref: ProjectRef = _PROJECT, **fields: Any
) -> None:
    seen = [Observation(kind, key, ref, "poll", seen_ms, True, fields)]
    await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))


_FIRST = NOW // (4 * DAY_MS) * 4 * DAY_MS - 4 * DAY_MS


async def _filled(tmp_path: Path) -> SqliteStore:
    """A result each six hours of four days, of one job each, all added up."""
    store = await _store(tmp_path)
    for number in range(16):
        at = _FIRST + number * 6 * HOUR_MS
        await _merge(store, "workflow", _key(3, number), name="w", status="success", stopped_at=at, revision="aa")
        await _merge(store, "pipeline", _key(4, number), created_at=at)
        job = {"name": "j", "status": "success", "stopped_at": at, "workflow_id": _key(3, number)}
        await _merge(store, "job", _key(1, number), **job)
        result = {"job_id": _key(1, number), "stopped_at": at, "result": "pass", "test_id": "1", "run_ms": 100}
        await _merge(store, "test_result", _key(2, number), **result)
    await store.trim({}, now_ms=NOW)
    return store


def _there(tmp_path: Path) -> list[tuple[int, int]]:
    with closing(Database(str(tmp_path / "s.db"))) as db:
        first = _FIRST // HOUR_MS
        return db.execute("SELECT hours, bucket - ? / hours FROM test_part ORDER BY 1, 2", (first,)).fetchall()


_ALL = [*((6, n) for n in range(16)), *((24, n) for n in range(4)), (96, 0)]


async def test_stretches_that_are_over_are_added_up_and_read(tmp_path: Path) -> None:
    """A quarter of a day, a day and four of them; a commit with results in several is put together."""
    store = await _filled(tmp_path)
    assert _ALL == _there(tmp_path)
    bounds = [{_NAMES[0]: (_FIRST + 6 * HOUR_MS, _FIRST + number * DAY_MS)} for number in (1, 3, 4)]
    told = [await store.test_sums(one, {}) for one in bounds]
    assert [3, 11, 15] == [one.passed for over in told for one in over.sums]
    assert [300, 1100, 1500] == [
        one.run_ms for own in bounds for one in await store.test_commits(own, [(_NAMES[0], "1")])
    ]
    with closing(Database(str(tmp_path / "s.db"))) as db:
        db.execute("DROP TRIGGER test_result_went")
        db.execute("DELETE FROM test_result")
    store._noted_tests = NotedTests()
    assert told == [await store.test_sums(one, {}) for one in bounds]
    with closing(Database(str(tmp_path / "s.db"))) as db:
        db.execute("DELETE FROM test_part")
    assert [[], [], []] == [(await store.test_sums(one, {})).sums for one in bounds]
    await store.close()


@pytest.mark.parametrize(
    ("kind", "key", "fields"),
    [
        ("test_result", _key(2, 5), {"result": "fail"}),
        ("test_result", _key(2, 99), {"stopped_at": _FIRST + 30 * HOUR_MS, "test_id": "2", "result": "pass"}),
        ("job", _key(1, 5), {"status": "infrastructure_fail"}),
        ("job", _key(1, 5), {"name": "other"}),
        ("workflow", _key(3, 5), {"revision": "bb"}),
    ],
    ids=["result", "new-result", "status", "name", "revision"],
)
async def test_what_changes_takes_its_stretches_away(
    tmp_path: Path, kind: FactKind, key: str, fields: dict[str, Any]
) -> None:
    """Those with the result alone, and in the same transaction."""
    store = await _filled(tmp_path)
    await _merge(store, kind, key, NOW + 1, **fields)
    assert [one for one in _ALL if one not in {(6, 5), (24, 1), (96, 0)}] == _there(tmp_path)
    await store.trim({}, now_ms=NOW)
    assert _ALL == _there(tmp_path)
    await store.close()


async def test_results_without_an_id_are_looked_at_once(tmp_path: Path) -> None:
    """A stretch that has no others is added up as an empty one, not again and again."""
    store = await _store(tmp_path)
    await _merge(store, "test_result", _key(2, 1), stopped_at=_FIRST, result="pass", run_ms=5)
    await store.trim({}, now_ms=NOW)
    assert [(6, 0), (24, 0), (96, 0)] == _there(tmp_path)
    assert [] == (await store.test_sums({_NAMES[0]: (_FIRST, NOW)}, {})).sums
    await store.close()


async def test_the_newest_hours_are_added_up_by_themselves(tmp_path: Path) -> None:
    """Until the quarter of a day that has them is; then they are in it, and a window may begin at any hour."""
    store = await _store(tmp_path)
    name, quarter = _NAMES[0], _FIRST + 12 * HOUR_MS
    for number in range(12):
        result = {"stopped_at": quarter + number * HOUR_MS // 2, "result": "pass", "test_id": "1", "run_ms": 100}
        await _merge(store, "test_result", _key(2, number), **result)
    await store.trim({}, now_ms=quarter + 5 * HOUR_MS)
    assert [(1, 12 + hour) for hour in range(4)] == _there(tmp_path)
    await _merge(store, "test_result", _key(2, 99), stopped_at=quarter + HOUR_MS, test_id="1", result="fail")
    assert [(1, 12), (1, 14), (1, 15)] == _there(tmp_path)
    await store.trim({}, now_ms=quarter + 8 * HOUR_MS)
    assert [(6, 2)] == _there(tmp_path)
    with closing(Database(str(tmp_path / "s.db"))) as db:
        assert db.execute("SELECT count(*) FROM test_job WHERE hours = 1").get == 0
        db.execute("DROP TRIGGER test_result_went")
        db.execute("DELETE FROM test_result")
    for hour, expected in ((1, [(10, 1)]), (2, [(8, 0)]), (5, [(2, 0)])):
        over = await store.test_sums({name: (quarter + hour * HOUR_MS, NOW)}, {})
        assert expected == [(one.passed, one.failed) for one in over.sums]
    await store.close()


async def test_no_number_of_tests_is_too_many_for_one_question(tmp_path: Path) -> None:
    """A statement has few variables; ids are texts or bytes."""
    store = await _filled(tmp_path)
    other = _key(9, 1)
    await _merge(store, "test_result", _key(2, 99), stopped_at=_FIRST, result="pass", test_id=other)
    tests, window = ["1", other, *map(str, range(2, 99))], (_FIRST, NOW)
    with closing(Database(str(tmp_path / "s.db"))) as db:
        db.limit(apsw.SQLITE_LIMIT_VARIABLE_NUMBER, 32)
        found = test_queries.outcomes_of(db, {_NAMES[0]: window}, [(_NAMES[0], test) for test in tests])
        assert ["1", other] == [one.test_id for one in found]
        assert found == chosen_outcomes(db, _NAMES[0], window, [encode_key(test) for test in tests])
    await store.close()


class _Counted(Collected):
    """A stretch that is in memory; `here`: how many there are."""

    here = 0

    def __init__(self) -> None:
        super().__init__()
        _Counted.here += 1

    def __del__(self) -> None:
        _Counted.here -= 1


async def test_one_project_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the one before it, both windows of each, however many are asked for."""
    for module in (testgather, testparts):
        monkeypatch.setattr(module, "Collected", _Counted)
    store = await _store(tmp_path)
    slugs = [f"gh/a/p{number}" for number in range(9)]
    for number, slug in enumerate(slugs):
        ref = ProjectRef("circleci.com", slug, "gh/a", _key(8, number))
        for place, at in enumerate((_FIRST, _FIRST + DAY_MS)):
            result = {"stopped_at": at, "result": "fail", "test_id": "1", "run_ms": 100}
            await _merge(store, "test_result", _key(2, 2 * number + place), ref=ref, **result)
    before, inside = (dict.fromkeys(slugs, (at, at + DAY_MS)) for at in (_FIRST, _FIRST + DAY_MS))
    with closing(Database(str(tmp_path / "s.db"))) as db:
        told: list[int] = []
        db.exec_trace = lambda *_: told.append(_Counted.here) or True
        over = test_queries.test_sums(db, inside, before, None, NotedTests())
        assert (9, 9, 9) == (len(over.sums), len(over.faults), len(over.earlier))
        assert 1 < max(told) <= 4
        told.clear()
        assert over.faults == test_queries.test_faults(db, inside, NotedTests())
        assert 1 <= max(told) <= 2
        db.exec_trace = None
    await store.close()
