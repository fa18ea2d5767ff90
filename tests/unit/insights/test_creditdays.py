"""Up to when credits are told, however long ago that was."""

import pytest

from headgate.core.clock import ManualClock
from headgate.core.times import DAY_MS
from headgate.insights.creditdays import credits_told
from headgate.store import MemoryStore
from headgate.testing.store_data import NOW, PROJECT, job, made_id, merge, pipeline, seen, workflow


@pytest.mark.parametrize(("age_days", "told"), [(1, True), (20, True), (40, False)])
async def test_the_newest_day_of_credits_is_found_wherever_it_is(age_days, told):
    """Within the window; credits that are older than it tell nothing."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    ended_ms = NOW - age_days * DAY_MS
    await merge(store, pipeline(), workflow(), job(stopped_at=ended_ms, started_at=ended_ms - 9, credits=5))
    found = await credits_told(store, {PROJECT.slug: (NOW - 30 * DAY_MS, NOW + 1)})
    until_ms = ended_ms // DAY_MS * DAY_MS + DAY_MS
    assert [(one.until_ms, one.awaited) for one in found.values()] == ([(until_ms, until_ms <= NOW)] if told else [])
    await store.close()


@pytest.mark.parametrize(("credits_age", "told_age"), [(9, 9), (9, 2), (9, 0), (None, 5), (None, None)])
async def test_a_day_that_cost_nothing_is_told_where_the_export_has_rows_of_it(credits_age, told_age):
    """Whether there are credits of earlier days or none at all."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    await merge(store, pipeline(), workflow(stopped_at=NOW, credits=0))
    if credits_age is not None:
        ended_ms = NOW - credits_age * DAY_MS
        await merge(store, job(stopped_at=ended_ms, started_at=ended_ms - 9, credits=5))
    for number in range(0 if told_age is None else told_age, 12 if told_age is not None else 0, 3):
        row = {"job_name": "test", "stopped_at": NOW - number * DAY_MS, "total_credits": 0}
        await merge(store, seen("usage", made_id(31, number), row))
    found = await credits_told(store, {PROJECT.slug: (NOW - 30 * DAY_MS, NOW + 1)})
    until_ms = None if told_age is None else (NOW - told_age * DAY_MS) // DAY_MS * DAY_MS + DAY_MS
    expected = [] if until_ms is None else [(until_ms, until_ms <= NOW)]
    assert expected == [(one.until_ms, one.awaited) for one in found.values()]
    await store.close()


async def test_rows_of_old_days_alone_take_one_question(monkeypatch):
    """However long the window; a row that goes meanwhile is not looked for any further."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    ended_ms = NOW - 399 * DAY_MS
    await merge(store, seen("usage", made_id(31, 1), {"job_name": "test", "stopped_at": ended_ms}))
    asked = []
    for name in ("usage_sums", "usage_days", "usage_loads"):
        question = getattr(store, name)

        def ask(*words, question=question):
            asked.append(words)
            assert len(asked) == 1
            return question(*words)

        monkeypatch.setattr(store, name, ask)
    (found,) = (await credits_told(store, {PROJECT.slug: (NOW - 400 * DAY_MS, NOW)})).values()
    assert ended_ms // DAY_MS * DAY_MS + DAY_MS == found.until_ms
    await store.close()
