"""Detail is fetched by profile, never more often than promised, and never waited for beyond the due time."""

import asyncio

import pytest
import structlog
from tests.unit.collect.fakes import NOW, Rig, job, until

from headgate.collect.due import DueReleaser
from headgate.collect.enrich import Enricher
from headgate.core.errors import SourceUnavailable, StoreFailed
from headgate.core.ports import Enrichment
from headgate.core.storeport import MergeResult


async def _seed(rig, *numbers):
    await rig.intake.merge(rig.polled, [job(number) for number in numbers])


async def test_profile_none_asks_nothing():
    """Facts leave at once and nobody is asked."""
    rig = Rig()
    await _seed(rig, 1)
    assert await Enricher(rig.store, rig.intake, rig.polled).once() == 0
    assert (rig.source.asked, rig.store.released) == ([], {("job", "j1")})


async def test_batch_asks_once_for_many():
    """One call tells about all waiting jobs of a scope; they leave with it, and what is gone leaves without."""
    rig = Rig(profile="batch")
    await _seed(rig, 1, 2, 3)
    assert (rig.store.released, rig.intake.wanted.is_set()) == (set(), True)
    rig.source.recent = [Enrichment([job(2, enriches=True), job(3, enriches=True)], ("j1",), "beyond_page")]
    enricher = Enricher(rig.store, rig.intake, rig.polled)
    await enricher.once()
    assert rig.asked("recent") == []  # others may end in the next seconds
    rig.clock.advance(5)
    await enricher.once()
    assert rig.asked("recent") == [("recent", "p1", (1, 2, 3))]
    assert {("job", "j1"), ("job", "j2"), ("job", "j3")} == rig.store.released
    assert rig.metrics.counts["headgate_source_missing_detail_total", "ci", "beyond_page"] == 1


async def test_batch_keeps_to_its_interval():
    """However many jobs end, a scope costs one call per interval; each still comes before its record is due."""
    rig = Rig(profile="batch")
    enricher = Enricher(rig.store, rig.intake, rig.polled)
    for number in range(600):
        rig.source.recent = [Enrichment([job(one, enriches=True) for one in range(number + 1)])]
        await _seed(rig, number)
        await enricher.once()
        rig.clock.advance(1)
    assert len(rig.asked("recent")) <= 600 / 48 + 1
    waits = rig.store.due
    assert all(due - NOW - number * 1000 == 60_000 for number, due in enumerate(waits.values()))
    left = {key for key in rig.store.facts if key not in rig.store.released}
    assert len(left) <= 48


async def test_hurry_asks_at_once_and_soon_again():
    """When nothing is live nobody waits for company."""
    rig = Rig(profile="batch")
    await _seed(rig, 1)
    enricher = Enricher(rig.store, rig.intake, rig.polled, hurry=True)
    await enricher.once()
    await enricher.once()
    rig.clock.advance(1)
    await enricher.once()
    assert len(rig.asked("recent")) == 2


async def test_each_asks_once_per_job():
    """One call per job, 404 lets it go without, and a failure is tried again later."""
    rig = Rig(profile="each")
    await _seed(rig, 1, 2, 3)
    rig.source.details = {1: Enrichment([job(1, enriches=True)]), 3: SourceUnavailable("busy")}
    enricher = Enricher(rig.store, rig.intake, rig.polled)
    await enricher.once()
    await enricher.once()
    assert sorted(number for _, number in rig.asked("detail")) == [1, 2, 3]
    assert {("job", "j1"), ("job", "j2")} == rig.store.released
    assert rig.metrics.counts["headgate_source_missing_detail_total", "ci", "retention"] == 1
    rig.clock.advance(15)
    await enricher.once()
    assert len(rig.asked("detail")) == 4


async def test_failed_enrichment_leaves_the_record_to_its_due_time():
    """When the API fails the record still leaves when it is due."""
    rig = Rig(profile="batch", wait_ms=60_000)
    await _seed(rig, 1)
    rig.source.recent = [SourceUnavailable("down"), ZeroDivisionError()]
    enricher = Enricher(rig.store, rig.intake, rig.polled, hurry=True)
    for _ in range(2):
        await enricher.once()
        rig.clock.advance(2)
    assert rig.store.released == set()
    rig.clock.advance(60)
    task = asyncio.create_task(DueReleaser(rig.store, rig.intake, {"ci": rig.polled}, rig.clock).run())
    async with asyncio.timeout(5):
        await until(lambda: rig.store.released)
    task.cancel()
    assert {("job", "j1")} == rig.store.released


async def test_refused_source_is_not_asked():
    """Probing is the walk's business."""
    rig = Rig(profile="batch")
    await _seed(rig, 1)
    rig.polled.refused = "token_expired"
    assert await Enricher(rig.store, rig.intake, rig.polled, hurry=True).once() == 1
    assert rig.source.asked == []


async def test_failed_store_ends_it():
    """StoreFailed is raised as itself."""
    rig = Rig(profile="batch")
    await _seed(rig, 1)
    rig.store.failing = [StoreFailed("flush")]
    with pytest.raises(StoreFailed):
        await Enricher(rig.store, rig.intake, rig.polled, hurry=True).once()


# --- The timer ----------------------------------------------------------------------------------------------------


async def test_due_times_are_restored_from_the_store():
    """What waited when the last process ended is released by the new one, at the time that was stored."""
    old = Rig(profile="batch")
    await _seed(old, 1)
    rig = Rig(profile="batch")
    rig.store.facts, rig.store.due = old.store.facts, old.store.due
    rig.clock.advance(59.99)
    task = asyncio.create_task(DueReleaser(rig.store, rig.intake, {"ci": rig.polled}, rig.clock).run())
    async with asyncio.timeout(5):
        await until(lambda: rig.intake.due.get("ci") == NOW + 60_000)
        assert rig.store.released == set()
        rig.clock.advance(0.02)
        await until(lambda: rig.store.released)
    task.cancel()


async def test_failing_release_is_tried_again_and_an_earlier_due_time_stands():
    """A store without space delays the release; what merges find due meanwhile is not forgotten."""
    rig = Rig(profile="batch")
    releaser = DueReleaser(rig.store, rig.intake, {"ci": rig.polled}, rig.clock)

    async def release_due(policy, source, **how):
        rig.intake.release_at("ci", NOW + 10)
        raise ZeroDivisionError

    rig.store.release_due = release_due
    rig.intake.due["ci"] = NOW
    await releaser._release("ci")
    assert rig.intake.due["ci"] == NOW + 10


async def test_what_a_removed_source_left_is_released_when_its_time_has_come():
    """Its due times are read at start; nobody is asked about its facts any more."""
    rig, asked = Rig(profile="batch"), []

    async def due_sources():
        return ["ci", "old"]

    async def release_due(policy, source, *, now_ms, **how):
        asked.append((source, policy.profile, how["live_after_ms"] < now_ms))
        return MergeResult()

    rig.store.due_sources, rig.store.release_due = due_sources, release_due
    task = asyncio.create_task(DueReleaser(rig.store, rig.intake, {"ci": rig.polled}, rig.clock).run())
    await until(lambda: len(asked) == 2)
    task.cancel()
    await asyncio.wait([task])
    assert asked == [("ci", "batch", True), ("old", "none", True)]


def test_records_withheld_are_said_and_counted():
    """A fact that our code cannot render is a line in the log with its key, and a figure."""
    rig = Rig()
    with structlog.testing.capture_logs() as logs:
        rig.intake.take("ci", MergeResult(withheld=(("job", "j1", "KeyError('x')"),)))
    assert [(log["event"], log["key"]) for log in logs] == [("record_withheld", "j1")]
    assert rig.metrics.counts["headgate_records_withheld_total", "ci", "job"] == 1
