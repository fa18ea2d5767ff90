"""Kept deliveries become facts, and each one is settled exactly once, whatever it holds."""

import asyncio

import msgspec
import pytest
import structlog
from tests.unit.collect.fakes import NOW, Rig, job, until, workflow

from headgate.collect.inbox import InboxMerger
from headgate.core.errors import StoreFailed, StoreFull
from headgate.core.merge import EMPTY, merge
from headgate.core.storeport import NO_SOURCE


def _merger(rig):
    return InboxMerger(rig.store, rig.intake, {"ci": rig.polled}, rig.clock, rig.metrics)


async def test_deliveries_are_merged_and_done():
    """Good ones are done with their facts; unparsable ones are dead with the reason; both in the same piece of work."""
    rig = Rig()
    for body in (b"1 2", b"bad", b"3"):
        rig.store.deliver(body)
    assert await _merger(rig).once() == 3
    assert rig.store.settled == {1: "done", 2: "not_json", 3: "done"}
    assert {("job", "j1"), ("job", "j2"), ("job", "j3")} == rig.store.released
    assert rig.metrics.counts["headgate_inbox_dead_total", "ci", "not_json"] == 1
    assert len(rig.store.works) == 1


async def test_our_own_bug_costs_one_delivery():
    """An exception in normalize marks that delivery `internal` and touches no other; it is not tried again."""
    rig = Rig()
    for body in (b"1", b"bug", b"2"):
        rig.store.deliver(body)
    merger = _merger(rig)
    await merger.once()
    assert rig.store.settled == {1: "done", 2: "internal", 3: "done"}
    assert await merger.once() == 0


async def test_delivery_that_breaks_the_merge_is_found():
    """When a merge fails for a reason that is not the store's, each is merged alone and the culprit is dead."""
    rig = Rig()
    for body in (b"1", b"poison", b"bad", b"2"):
        rig.store.deliver(body)
    await _merger(rig).once()
    assert rig.store.settled == {1: "done", 2: "internal", 3: "not_json", 4: "done"}
    assert {("job", "j1"), ("job", "j2")} == rig.store.released


async def test_full_store_keeps_everything_waiting():
    """Without space nothing is settled, nothing is lost, and the loop goes on when there is space."""
    rig = Rig()
    rig.store.deliver(b"1")
    rig.store.failing = [StoreFull("no space")]
    merger = _merger(rig)
    with pytest.raises(StoreFull):
        await merger.once()
    assert rig.store.settled == {}
    assert await merger.once() == 1


async def test_deliveries_of_a_removed_source_wait_for_it_and_block_nobody():
    """They are set aside, said once; the others go in; they are merged when the source is configured again."""
    rig = Rig()
    rig.store.deliver(b"1", source="gone")
    rig.store.deliver(b"2")
    rig.store.deliver(b"3", source="gone")
    merger = _merger(rig)
    with structlog.testing.capture_logs() as logs:
        assert await merger.once() == 3
        rig.store.deliver(b"4", source="gone")
        assert (await merger.once(), await merger.once()) == (1, 0)
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["deliveries_wait_for_source"]
    assert rig.store.settled == {1: NO_SOURCE, 2: "done", 3: NO_SOURCE, 4: NO_SOURCE}
    assert ("headgate_inbox_dead_total", "gone", NO_SOURCE) not in rig.metrics.counts
    back = InboxMerger(rig.store, rig.intake, {"gone": rig.polled}, rig.clock, rig.metrics)
    assert await back.once() == 3
    assert set(rig.store.settled.values()) == {"done"}
    assert {("job", "j1"), ("job", "j3"), ("job", "j4")} <= rig.store.released


async def test_deliveries_wait_without_any_source():
    """All sources were removed: nothing is tried again and again, nothing is lost."""
    rig = Rig()
    rig.store.deliver(b"1")
    merger = InboxMerger(rig.store, rig.intake, {}, rig.clock, rig.metrics)
    assert (await merger.once(), await merger.once()) == (1, 0)
    assert rig.store.settled == {1: NO_SOURCE}


async def test_many_deliveries_are_merged_in_small_pieces():
    """A thousand deliveries are several short transactions, each with its own inbox rows."""
    rig = Rig()
    for number in range(1000):
        rig.store.deliver(str(number).encode())
    assert await _merger(rig).once() == 1000
    assert max(len(work.observations) for work in rig.store.works) <= 200
    assert sorted(row for work in rig.store.works for row in work.inbox_done) == list(range(1, 1001))


async def test_what_is_said_again_is_merged_once():
    """Of equal sayings about one thing the last seen is merged; different ones all are; every delivery is done."""
    rig = Rig()
    words = {
        b"1": workflow("w"),
        b"2": workflow("w"),
        b"3": workflow("w", terminal=True),
        b"4": workflow("w", created_ms=1),
    }
    seen = {body: msgspec.structs.replace(one, observed_ms=NOW + int(body)) for body, one in words.items()}
    rig.source.normalize = lambda delivery: [seen[delivery.body], job(int(delivery.body))]
    for body in (b"2", b"1", b"3", b"4"):
        rig.store.deliver(body)
    await _merger(rig).once()
    (work,) = rig.store.works
    assert [NOW + 2, NOW + 3, NOW + 4] == [one.observed_ms for one in work.observations if one.kind == "workflow"]
    assert ([1, 2, 3, 4], 7) == (sorted(work.inbox_done), len(work.observations))
    expected = EMPTY
    for one in seen.values():
        expected = merge(expected, one)
    assert rig.store.facts["workflow", "w"] == expected


async def test_it_wakes_and_falls_idle():
    """The loop merges when woken, is idle when there is nothing, and ends when canceled or the store failed."""
    rig = Rig()
    merger = _merger(rig)
    async with asyncio.timeout(5):
        task = asyncio.create_task(merger.run())
        await until(lambda: merger.idle)
        rig.store.deliver(b"1")
        merger.wake()
        await until(lambda: rig.store.settled)
        rig.store.failing = [StoreFailed("flush")]
        rig.store.deliver(b"2")
        merger.wake()
        with pytest.raises(StoreFailed):
            await task
