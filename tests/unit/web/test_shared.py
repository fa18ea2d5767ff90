"""What many look at is made once within its period."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.unit.web.site.test_routes import Bench

from headgate.testing.store_data import job, merge, pipeline, workflow
from headgate.web.shared import Shared


class Made:
    """Counts; `broken`: fails instead."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.broken = False

    async def __call__(self, key: str) -> str:
        self.keys.append(key)
        await asyncio.sleep(0)
        if self.broken:
            raise ValueError(key)
        return f"{key}{len(self.keys)}"


async def test_however_many_ask_one_is_made():
    """Of each key; within the period nobody has another one made."""
    made = Made()
    shared = Shared(made, 60.0)
    assert {"a1"} == set(await asyncio.gather(*(shared.get("a") for _ in range(50))))
    assert ("a1", "b2") == (await shared.get("a"), await shared.get("b"))
    assert ["a", "b"] == made.keys


async def test_after_its_period_a_new_one_is_made():
    """What is older is given to nobody."""
    shared = Shared(Made(), 0.0)
    assert ["a1", "a2"] == [await shared.get("a"), await shared.get("a")]


async def test_what_failed_is_made_again():
    """Who waited for it has the next try."""
    made = Made()
    shared = Shared(made, 60.0)
    made.broken = True
    with pytest.raises(ValueError, match="a"):
        await shared.get("a")
    made.broken = False
    assert "a2" == await shared.get("a")


async def test_the_newest_are_kept():
    """Of many, as many as it may keep; of those whose period is over, none."""
    made = Made()
    shared = Shared(made, 60.0, most=2)
    for key in "abca":
        await shared.get(key)
    assert ["a", "b", "c", "a"] == made.keys
    await shared.get("c")
    assert 4 == len(made.keys)
    past = Shared(Made(), 0.0)
    await past.get("a")
    assert not past._made


async def test_who_leaves_takes_it_from_nobody():
    """Another who waits makes it."""
    made = Made()
    shared = Shared(made, 60.0)
    first, second = (asyncio.create_task(shared.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert "a2" == await second
    assert first.cancelled()


async def test_open_pages_cost_what_one_does():
    """What goes on now, and what delivery does, are looked at once for a hundred viewers."""
    bench, looks = Bench(), []
    await bench.store.open()
    await merge(bench.store, pipeline(), workflow(), job())
    live_counts = bench.store.live_counts

    async def counted(run):
        looks.append("now")
        return await live_counts(run)

    bench.store.live_counts = counted
    began = time.monotonic()
    async with bench.http:
        for path in ("/now", "/live", "/live?proven=7d"):
            answers = await asyncio.gather(*(bench.http.get(path) for _ in range(100)))
            assert {200} == {one.status_code for one in answers}
            assert 1 == len({one.text for one in answers})
    # A period is a second, and a busy machine may take some for the three hundred.
    most = 1 + int(time.monotonic() - began)
    assert most < 50
    windows = [one for one in bench.answers.asked if one[0] == "completeness"]
    assert {("completeness", "24h"), ("completeness", "7d")} == set(windows)
    for made in (len(looks), *(bench.answers.asked.count(one) for one in set(windows))):
        assert 1 <= made <= most


async def test_delivery_offers_how_long_back():
    """By the hour of a day, by the day of a week or a month; the part that is renewed stays with it."""
    made = Bench()
    made.answers.full = True
    await made.store.open()
    async with made.http:
        assert "Proven complete, last 24 hours" in await made.text("/delivery")
        page = await made.text("/delivery?proven=30d")
        assert "Proven complete, last 30 days" in page
        assert "By day, from 2026-11-20 UTC" in page
        assert 'data-live="/live?proven=30d"' in (await made.http.get("/delivery?proven=30d")).text
        assert "What would be valid: 7d 24h 30d" in await made.text("/delivery?proven=2d", 400)
