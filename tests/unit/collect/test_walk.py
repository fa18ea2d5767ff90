"""One walk: pages into the store, the cursor with the last one, and every way to be cut short."""

import asyncio

import pytest
from tests.unit.collect.fakes import NOW, SCOPE, Rig, job

from headgate.collect.walk import try_walk, walk_scope
from headgate.core.errors import SourceRefused, SourceUnavailable, StoreFailed, StoreFull
from headgate.core.ports import WalkPage
from headgate.core.storeport import SourceCursor
from headgate.core.times import DAY_MS


def _page(*numbers, high=None, last=False, capped=False):
    return WalkPage([job(number) for number in numbers], high, last, capped)


THREE = [_page(9, 8, high=30), _page(7, 6, high=20), _page(5, high=10, last=True)]


async def test_cursor_moves_with_the_last_page():
    """Every page is merged with the highest mark so far; `high` and `complete_ms` move in the last transaction."""
    rig = Rig()
    rig.source.pages = {"p1": [THREE]}
    assert await walk_scope(rig.polled, rig.state(), rig.intake)
    assert [work.cursor for work in rig.store.works] == [
        SourceCursor("ci", "p1", None, 30, None),
        SourceCursor("ci", "p1", None, 30, None),
        SourceCursor("ci", "p1", 30, None, NOW),
    ]
    assert {("job", f"j{number}") for number in range(5, 10)} == rig.store.released
    assert rig.state().walked


async def test_next_walk_starts_at_the_cursor():
    """The first walk reaches `initial` back; the next one ends at `high`."""
    rig = Rig(initial_ms=DAY_MS)
    rig.source.pages = {"p1": [THREE, [_page(high=None, last=True)]]}
    await walk_scope(rig.polled, rig.state(), rig.intake)
    rig.clock.advance(60)
    await walk_scope(rig.polled, rig.state(), rig.intake)
    first, second = rig.asked("walk")
    assert (first, second[2]) == (("walk", "p1", None, NOW - DAY_MS), 30)
    assert rig.store.cursors["p1"] == SourceCursor("ci", "p1", 30, None, NOW + 60_000)


@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_interrupted_walk_moves_no_cursor_and_repeats(cut):
    """A walk that breaks after any page keeps what it merged, moves nothing, and begins anew; nothing is skipped."""
    rig = Rig()
    rig.store.cursors["p1"] = rig.polled.cursors["p1"] = SourceCursor("ci", "p1", 4, None, NOW - 5)
    rig.source.pages = {"p1": [[*THREE[:cut], SourceUnavailable("broke")], THREE]}
    await try_walk(rig.polled, rig.state(), rig.intake)
    kept = rig.store.cursors["p1"]
    assert (kept.high, kept.complete_ms, rig.state().walked) == (4, NOW - 5, False)
    await try_walk(rig.polled, rig.state(), rig.intake)
    assert [after for _, _, after, _ in rig.asked("walk")] == [4, 4]
    assert (30, {("job", f"j{number}") for number in range(5, 10)}) == (
        rig.store.cursors["p1"].high,
        rig.store.released,
    )


@pytest.mark.parametrize("cut", [1, 2, 3])
async def test_store_that_fails_between_pages_moves_no_cursor(cut):
    """What the store refused is walked again."""
    rig = Rig()
    rig.source.pages = {"p1": [THREE]}
    rig.store.failing = [*[None] * (cut - 1), StoreFull("no space")]
    await try_walk(rig.polled, rig.state(), rig.intake)
    assert rig.state().walked is False
    assert rig.store.cursors.get("p1", SourceCursor("ci", "p1")).high is None
    await try_walk(rig.polled, rig.state(), rig.intake)
    assert rig.store.cursors["p1"].high == 30


async def test_canceled_walk_moves_no_cursor():
    """Cancellation goes through, and leaves the cursor where it was."""
    rig = Rig()
    hang = asyncio.Event()

    async def walk(scope, *, after, since_ms, below):
        yield THREE[0]
        hang.set()
        await asyncio.get_running_loop().create_future()

    rig.source.walk = walk
    task = asyncio.create_task(try_walk(rig.polled, rig.state(), rig.intake))
    await hang.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.store.cursors["p1"].high is None


async def test_capped_walk_moves_no_cursor():
    """A walk cut by the page cap keeps its records and repeats."""
    rig = Rig()
    rig.source.pages = {"p1": [[_page(9, high=30), _page(8, high=20, capped=True)]]}
    assert not await walk_scope(rig.polled, rig.state(), rig.intake)
    assert (rig.store.cursors["p1"].high, rig.store.cursors["p1"].complete_ms) == (None, None)
    assert len(rig.store.released) == 2


async def test_walk_without_a_last_page_is_not_complete():
    """A source that just stops has not said that there is no more."""
    rig = Rig()
    rig.source.pages = {"p1": [[_page(9, high=30)]]}
    assert not await walk_scope(rig.polled, rig.state(), rig.intake)
    assert rig.store.cursors["p1"].high is None


async def test_large_page_is_merged_in_pieces_and_the_cursor_comes_last():
    """A piece never holds the writer long, and the cursor is stored after all pieces."""
    rig = Rig()
    rig.source.pages = {"p1": [[_page(*range(450), high=3, last=True)]]}
    await walk_scope(rig.polled, rig.state(), rig.intake)
    assert [(len(work.observations), work.cursor is not None) for work in rig.store.works] == [
        (200, False),
        (200, False),
        (50, True),
    ]


async def test_live_is_by_the_sources_clock():
    """What ends half an hour before now, by CircleCI's clock, is backfill."""
    rig = Rig()
    rig.source.skew_ms = -3_600_000
    await walk_scope(rig.polled, rig.state(), rig.intake)
    assert rig.store.works[0].live_after_ms == NOW - 3_600_000 - 1_800_000


async def test_refused_token_stops_the_source_and_is_probed_slowly():
    """A dead token is shown once; one question a minute asks whether it still is; an answer ends it."""
    rig = Rig()
    dead = SourceRefused("no", reason="token_expired", fix="new token")
    rig.source.pages = {"p1": [[dead], [dead], THREE]}
    refused = ("headgate_source_refused", "ci", "token_expired")
    for seconds in (0, 1, 30, 30, 1, 60, 0):
        rig.clock.advance(seconds)
        await try_walk(rig.polled, rig.state(), rig.intake)
        if rig.polled.refused:
            assert rig.metrics.gauges[refused] == 1
    assert (len(rig.asked("walk")), rig.polled.refused, rig.metrics.gauges[refused]) == (4, "", 0)


async def test_refused_scope_harms_no_other():
    """No access to one project holds that project alone, for a minute."""
    rig = Rig()
    other = type(SCOPE)("p2", "gh/a/c")
    rig.source.pages = {"p1": [[SourceRefused("no", reason="no_access", fix="grant")]]}
    for _ in range(3):
        await try_walk(rig.polled, rig.state(), rig.intake)
        await try_walk(rig.polled, rig.state(other), rig.intake)
    walked = [key for _, key, *_ in rig.asked("walk")]
    assert (walked.count("p1"), walked.count("p2")) == (1, 3)
    assert (rig.state().trouble, rig.state(other).walked) == ("no_access", True)
    rig.clock.advance(61)
    await try_walk(rig.polled, rig.state(), rig.intake)
    assert len(rig.asked("walk")) == 5


async def test_unavailable_waits_as_long_as_asked():
    """`retry_after` of the source holds the scope."""
    rig = Rig()
    rig.source.pages = {"p1": [[SourceUnavailable("busy", retry_after=90)], THREE]}
    for seconds in (0, 89, 2):
        rig.clock.advance(seconds)
        await try_walk(rig.polled, rig.state(), rig.intake)
    assert (len(rig.asked("walk")), rig.state().walked, rig.state().trouble) == (2, True, "")


async def test_a_bug_in_a_source_is_survived_and_a_failed_store_is_not():
    """Any exception of a source is logged; StoreFailed ends the process."""
    rig = Rig()
    rig.source.pages = {"p1": [[ZeroDivisionError()], THREE]}
    await try_walk(rig.polled, rig.state(), rig.intake)
    rig.store.failing = [StoreFailed("flush")]
    with pytest.raises(StoreFailed):
        await try_walk(rig.polled, rig.state(), rig.intake)


async def test_merging_stands_back_for_webhooks_but_not_for_ever():
    """While webhooks come in a burst the merge waits; a flood holds it up for a bounded time only."""
    rig = Rig()
    rig.store.bursts = [True, True, True, False]
    await walk_scope(rig.polled, rig.state(), rig.intake)
    assert len(rig.slept) == 2
    rig.store.bursts = [True] * 100_000
    await walk_scope(rig.polled, rig.state(), rig.intake)
    assert 5.0 <= sum(rig.slept[2:]) < 5.1


async def test_a_value_that_breaks_our_code_is_left_out_of_its_page():
    """The rest of the page is kept and the cursor moves; the page is not asked for again for ever."""
    rig = Rig()
    rig.store.failing = [ZeroDivisionError(), None, ZeroDivisionError(), None, None]
    rig.source.pages = {"p1": [[WalkPage((job(1), job(2), job(3)), 7, True)]]}
    await walk_scope(rig.polled, rig.state(), rig.intake)
    assert [[one.key for one in work.observations] for work in rig.store.works] == [["j1"], ["j3"], []]
    assert rig.store.works[-1].cursor.high == 7
