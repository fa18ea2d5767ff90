"""What is remembered of tests: asked twice, after changes, where it is too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headgate.core.clock import ManualClock
from headgate.core.facts import FactKind
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeWork
from headgate.core.times import HOUR_MS
from headgate.store import Quota, SqliteStore, teststretches
from headgate.store.notedtests import NotedTests
from headgate.testing.store_data import NOW

_SLUG = "gh/a/one"
_PROJECT = ProjectRef("circleci.com", _SLUG, "gh/a", "00000000-0000-4000-8000-0000000000a1")
_HOUR = NOW // HOUR_MS * HOUR_MS - 5 * HOUR_MS
_TESTS = [(_SLUG, "1")]
_WINDOW = {_SLUG: (_HOUR - 60 * HOUR_MS + 5, NOW)}
_BEFORE = {_SLUG: (_HOUR - 90 * HOUR_MS, _HOUR - 60 * HOUR_MS + 5)}


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    """An empty one."""
    made = SqliteStore(tmp_path / "s.db", clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
    await made.open()
    yield made
    await made.close()


def _key(kind: int, number: int) -> str:
    return f"00000000-0000-4000-8{kind:03d}-{number:012d}"


async def _merge(store: SqliteStore, kind: FactKind, key: str, seen_ms: int = NOW, **fields: Any) -> None:
    seen = [Observation(kind, key, _PROJECT, "poll", seen_ms, True, fields)]
    await store.merge_and_release(MergeWork("ci", seen, ReleasePolicy("none"), NOW, 0))


async def _commit(store: SqliteStore, number: int, at: int, word: str, *, seen_ms: int = NOW, name: str = "t") -> None:
    """A result of test 1 on a commit of its own."""
    job = {"name": "j", "status": "success", "stopped_at": at, "pipeline_id": _key(4, number)}
    result = {"job_id": _key(1, number), "stopped_at": at, "result": word, "test_id": "1", "run_ms": 100, "name": name}
    await _merge(store, "pipeline", _key(4, number), created_at=at, revision=f"r{number}")
    await _merge(store, "job", _key(1, number), **job)
    await _merge(store, "test_result", _key(2, number), seen_ms, **result)


async def _asked(store: SqliteStore) -> list[Any]:
    sums = [await store.test_sums(_WINDOW, _BEFORE, branch_class=one) for one in (None, 0, 1)]
    faults, counts = await store.test_faults(_WINDOW), await store.test_counts(_WINDOW)
    return [*sums, faults, counts, *[await ask(_WINDOW, _TESTS) for ask in (store.outcomes_of, store.test_commits)]]


async def test_a_second_answer_reads_no_stretch(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of no question, whatever is not added up yet; and it is the same."""
    for number in range(30):
        await _commit(store, number, _HOUR - number * 3 * HOUR_MS, "pass" if number % 4 else "fail")
    await store.trim({}, now_ms=NOW)
    await _commit(store, 99, NOW - 1, "fail")
    first = await _asked(store)
    assert all(first[3:])

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(teststretches._Kept, "_read", refuse)
    assert first == await _asked(store)
    with pytest.raises(AssertionError, match="read again"):
        await store.test_commits(_WINDOW, [(_SLUG, "2")])


@pytest.mark.parametrize("add_up", [True, False])
async def test_a_change_is_in_the_next_answer(store: SqliteStore, *, add_up: bool) -> None:
    """Even of the newest stretch of all, which is added up again at once; or of what is not added up."""
    await _commit(store, 1, _HOUR, "fail")
    for number in (2, 3):
        if add_up:
            await store.trim({}, now_ms=NOW)
        before = await _asked(store)
        await _commit(store, number, _HOUR + number, "fail")
        if add_up:
            await store.trim({}, now_ms=NOW)
        after = await _asked(store)
        assert number - 1 == len(before[-1])
        assert number == len(after[-1]) == len(after[3]) == after[0].sums[0].failed
        store._noted_tests = NotedTests()
        assert after == await _asked(store)


async def test_names_of_one_test_may_change_places(store: SqliteStore) -> None:
    """What is not added up says which names there are, and not whose."""
    for seen_ms, names in ((NOW, "xy"), (NOW + 1, "yx")):
        for number, name in enumerate(names):
            await _commit(store, number, NOW - 1 - number, "fail", seen_ms=seen_ms, name=name)
        assert list(names) == [one.name for one in await store.test_faults(_WINDOW)]


async def test_what_is_too_much_is_answered_all_the_same(store: SqliteStore) -> None:
    """And not kept, as is what was not asked for longest."""
    for number in range(9):
        await _commit(store, number, _HOUR + number, "fail")
    await store.trim({}, now_ms=NOW)
    expected = await _asked(store)
    store._noted_tests = NotedTests(most=3_000)
    assert [expected] * 2 == [await _asked(store), await _asked(store)]
    assert store._noted_tests._bytes <= 3_000


def test_tests_that_are_asked_for_take_room_too() -> None:
    """Anybody may ask for thousands that are not there."""
    noted = NotedTests(most=100_000)
    for number in range(50):
        tests = frozenset(f"{number} {one}" for one in range(100))
        assert noted.of(("commits", _SLUG), tests, [()], list, len) == []
    assert 2 <= len(noted._known) <= 6


async def test_hours_of_one_row_are_told_apart(store: SqliteStore) -> None:
    """A window without the first of them has another answer."""
    quarter = (NOW // (6 * HOUR_MS) - 8) * 6 * HOUR_MS
    for number in range(3):
        await _commit(store, number, quarter + number * HOUR_MS + 1, "fail")
    await store.trim({}, now_ms=NOW)
    windows = [(quarter + one * HOUR_MS, quarter + (one + n) * HOUR_MS) for one in range(3) for n in (1, 2)]
    counted = [[one.revision for one in await store.test_faults({_SLUG: window})] for window in windows]
    assert [["r0"], ["r0", "r1"], ["r1"], ["r1", "r2"], ["r2"], ["r2"]] == counted


async def test_no_number_is_given_out_twice(store: SqliteStore) -> None:
    """Though the stretch with the highest one went, and the counter is lost, as in a store that is older than it."""
    assert store._db is not None
    await _commit(store, 1, _HOUR, "fail")
    await store.trim({}, now_ms=NOW)
    store._db.execute("DELETE FROM counter WHERE name = 'tests:put'")
    await store.close()
    await store.open()
    before = await _asked(store)
    await _commit(store, 2, _HOUR + 1, "fail")
    await store.trim({}, now_ms=NOW)
    after = await _asked(store)
    assert (1, 2) == (len(before[3]), len(after[3]))
