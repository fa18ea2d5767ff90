"""Up to when credits are told, however long ago that was."""

import pytest

from headgate.core.clock import ManualClock
from headgate.core.times import DAY_MS
from headgate.insights.creditdays import credits_told
from headgate.store import MemoryStore
from headgate.testing.store_data import NOW, PROJECT, job, merge, pipeline, workflow


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
