"""What is read again by itself: once a day, neither twice nor never across restarts."""

import asyncio

import pytest
from tests.unit.collect.test_backfill import NOW, Bench, until

from headgate.collect.refresh import Refresher
from headgate.collect.requests import BACKFILLS
from headgate.core.feeds import Refresh
from headgate.core.times import DAY_MS

WANTED = Refresh(DAY_MS, 4 * DAY_MS, ("runs",))


@pytest.fixture
async def bench():
    made = Bench()
    made.clock.__init__(NOW, jitter=0.5)
    await made.store.open()
    return made


def refresher(bench):
    """As after a start."""
    bench.start()
    return Refresher(bench.store, bench.polled, WANTED, bench.backfiller)


async def asked(bench):
    """Requests that were stored."""
    return await BACKFILLS.load(bench.store, "ci")


async def test_it_is_asked_for_once_a_day(bench):
    """The first time within an hour of the first start, then at the same time of each day."""
    one = refresher(bench)
    for minute in range(3 * 24 * 60):
        await one.once()
        if minute % 7 == 0:  # a restart changes nothing
            one = refresher(bench)
        bench.clock.advance(60)
    requests = await asked(bench)
    assert [request.created_ms - NOW for request in requests] == [day * DAY_MS + 1_800_000 for day in range(3)]
    first = requests[0]
    assert (first.feeds, first.until_ms - first.since_ms, first.state) == (("runs",), 4 * DAY_MS, "waiting")


async def test_days_that_were_missed_are_asked_for_once(bench):
    """After a week of rest the next one comes at its usual time."""
    await refresher(bench).once()
    bench.clock.advance(7 * 86_400)
    one = refresher(bench)
    await one.once()
    await one.once()
    assert len(await asked(bench)) == 1
    bench.clock.advance(1_800)
    await one.once()
    assert len(await asked(bench)) == 2


async def test_the_backfiller_reads_it(bench):
    """The request is worked off like any other."""
    one = refresher(bench)
    await one.once()
    bench.clock.advance(3_600)
    running = [asyncio.create_task(bench.backfiller.run()), asyncio.create_task(one.run())]
    async with asyncio.timeout(5):
        await until(lambda: bench.feed.asked)
        while any(request.state != "done" for request in await asked(bench)):  # noqa: ASYNC110  # no event
            await asyncio.sleep(0)
    for task in running:
        task.cancel()
    assert await bench.kept() == 3 * 4
