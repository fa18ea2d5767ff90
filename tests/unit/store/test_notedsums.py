"""What is remembered of sums of stretches that are over: asked twice, after changes, where it is too much."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.insights import world
from tests.unit.insights.world import HOUR, NOW, World

from headgate.core.rollup import MEASURES
from headgate.core.tally import TallyQuery
from headgate.core.times import DAY_MS
from headgate.store import SqliteStore, tallies
from headgate.store.cover import Source
from headgate.store.notedsums import NotedRows, NotedSums

ROWS: NotedRows = {(1,): ((1, 2), (None,))}
QUESTIONS = [
    TallyQuery("workflow", {}, ("project", "workflow"), frozenset(MEASURES)),
    TallyQuery("job", {}, (), frozenset(MEASURES)),
    TallyQuery("job", {}, ("day", "project")),
    TallyQuery("job", {}, ("project", "trigger"), frozenset(MEASURES)),
    TallyQuery("workflow", {}, ("branch", "project"), frozenset({"duration_ok"}), (("branch", "main"),)),
]


def test_what_was_not_asked_for_longest_makes_room() -> None:
    """By bytes; what is too large for all of it is not kept, and known to be so."""
    sums = NotedSums(most=11_000)
    sums.put("a", ROWS, numbers=1)
    sums.put("b", ROWS, numbers=1)
    assert sums.get("a") is ROWS
    sums.put("c", {(number,): ((1,), (bytes(500),)) for number in range(5)}, numbers=1)
    assert [True, False, True] == [sums.get(name) is not None for name in "abc"]
    sums.put("huge", {(number,): ROWS[1,] for number in range(20)}, numbers=1)
    assert [True, True, False] == [sums.get(name) is not None for name in ("a", "c", "huge")]
    assert [True, False, False] == [sums.too_large(name) for name in ("huge", "a", "b")]


def test_questions_without_an_answer_take_room_too() -> None:
    """Anybody may ask for branches that are not there."""
    sums = NotedSums(most=100_000)
    for number in range(200):
        sums.put(number, {}, numbers=100)
    kept = [number for number in range(200) if sums.get(number) is not None]
    assert list(range(180, 200)) == kept


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some weeks of the made-up history, added up; to be copied."""
    folder = tmp_path_factory.mktemp("noted")

    async def fill() -> None:
        made = world.sqlite(folder)
        await made.open()
        await world.tell(made, World(150, days=24).told())
        await made.trim({}, now_ms=NOW)
        await made.close()

    asyncio.run(fill())
    return folder / "h.db"


@pytest.fixture
async def store(filled: Path, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A copy."""
    shutil.copy(filled, tmp_path)
    made = world.sqlite(tmp_path)
    await made.open()
    yield made
    await made.close()


def asked(days: int) -> list[TallyQuery]:
    """Every question over the days before two hours ago, of all projects."""
    bounds = dict.fromkeys(world.PROJECTS, (NOW - days * DAY_MS - HOUR // 2, NOW - 2 * HOUR + 1))
    return [TallyQuery(one.kind, bounds, one.by, one.bins, one.only) for one in QUESTIONS]


async def test_a_second_answer_reads_no_stretch_that_is_over(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hour and no longer stretch that is noted; and it is the same."""
    first = [await store.tallies(query) for query in asked(20)]
    assert all(first)
    read: list[Mapping[Source, int]] = []
    rows = tallies._Asked._rows

    def watched(self: Any, buckets: Any, facts: Any) -> Any:
        read.append(Counter(source for (source, _, numbers) in buckets for _ in numbers))
        return rows(self, buckets, facts)

    monkeypatch.setattr(tallies._Asked, "_rows", watched)
    assert first == [await store.tallies(query) for query in asked(20)]
    assert [{}] * len(QUESTIONS) == read


@pytest.mark.parametrize("back", [0, 3, 20])
async def test_a_late_change_is_in_the_next_answer(store: SqliteStore, tmp_path: Path, back: int) -> None:
    """A run that ended hours or days ago is told late, before and after sums are added up again."""
    before = [await store.tallies(query) for query in asked(23)]
    late = World(1, days=2, seed=9)
    del late.jobs[1:]
    for one in (*late.runs, *late.jobs):
        for name in {"created", "queued", "started", "stopped"}.intersection(one):
            one[name] -= back * DAY_MS
    late.runs[0] |= {"id": world.key(1, 7_001), "pipeline": world.key(2, 7_001), "branch": "main", "status": "success"}
    late.jobs[0]["id"] = world.key(3, 7_001)
    await world.tell(store, late.told())
    changed = [await store.tallies(query) for query in asked(23)]
    assert all(one != other for one, other in zip(before, changed, strict=True))
    await store.trim({}, now_ms=NOW)
    assert changed == [await store.tallies(query) for query in asked(23)]
    fresh = world.sqlite(tmp_path / "copy")
    (tmp_path / "copy").mkdir()
    await fresh.open()
    await world.tell(fresh, [*World(150, days=24).told(), *late.told()])
    assert changed == [await fresh.tallies(query) for query in asked(23)]
    await fresh.close()


async def test_what_is_too_large_is_answered_all_the_same(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one statement from the second time on."""
    first = [await store.tallies(query) for query in asked(20)]
    monkeypatch.setattr(store, "_noted_sums", NotedSums(most=4_000))
    refused: list[bool] = []
    too_large = NotedSums.too_large
    monkeypatch.setattr(NotedSums, "too_large", lambda *told: refused.append(too_large(*told)) or refused[-1])
    for query, expected in zip(asked(20), first, strict=True):
        assert [expected] * 2 == [await store.tallies(query), await store.tallies(query)]
    assert sum(refused) == len(QUESTIONS)


async def test_groups_are_in_one_order(store: SqliteStore) -> None:
    """Whether or not something ran in the last hours."""
    query = TallyQuery("job", dict.fromkeys(world.PROJECTS, (0, NOW)), ("project", "job"))
    order = list(await store.tallies(query))
    shorter = {slug: (0, NOW - (number + 1) * DAY_MS - 1) for number, slug in enumerate(world.PROJECTS)}
    assert order == list(await store.tallies(TallyQuery("job", shorter, query.by)))


async def test_a_lost_counter_gives_no_version_twice(store: SqliteStore) -> None:
    """As in a store that was repaired by hand: every stretch is added up again, and a late change is seen."""
    assert store._db is not None
    store._db.execute("DELETE FROM counter WHERE name = 'notes:put'")
    await store.close()
    await store.open()
    versions = "SELECT version FROM span_built UNION ALL SELECT version FROM cut_built"
    before = {row[0] for row in store._db.execute(versions)}
    late = World(1, days=2, seed=9)
    late.runs[0] |= {"id": world.key(1, 7_001), "pipeline": world.key(2, 7_001)}
    await world.tell(store, late.told())
    kept = {row[0] for row in store._db.execute(versions)}
    await store.trim({}, now_ms=NOW)
    after = {row[0] for row in store._db.execute(versions)}
    assert kept < before
    assert after - kept
    assert before.isdisjoint(after - kept)


async def test_questions_that_differ_in_one_thing_have_their_own_answers(store: SqliteStore) -> None:
    """In what is counted, in projects, in what is wanted alone, in measures."""
    (first, *others), window = world.PROJECTS, (NOW - 20 * DAY_MS, NOW - 2 * HOUR)
    every, some = dict.fromkeys(world.PROJECTS, window), dict.fromkeys(others, window)
    questions = [
        TallyQuery("job", every, ("branch",)),
        TallyQuery("workflow", every, ("branch",)),
        TallyQuery("job", some, ("branch",)),
        TallyQuery("job", {first: window}, ("branch",)),
        TallyQuery("job", every, ("branch",), only=(("branch", "main"),)),
        TallyQuery("job", every, ("branch",), frozenset({"queue"})),
    ]
    answers = [await store.tallies(query) for query in questions]
    for query, answer in zip(questions, answers, strict=True):
        store._noted_sums = NotedSums()
        assert answer == await store.tallies(query)
    assert all(one != answers[0] for one in answers[1:])
