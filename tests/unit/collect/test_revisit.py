"""Runs that have not ended are asked about until they have, or are gone."""

import asyncio

import pytest
from tests.unit.collect.fakes import NOW, Rig, workflow

from headgate.collect import revisit
from headgate.collect.revisit import Revisiter
from headgate.core.errors import SourceUnavailable, StoreFailed, StoreFull
from headgate.core.ports import RunRef
from headgate.core.storeport import SourceCursor
from headgate.core.times import DAY_MS, HOUR_MS, MINUTE_MS


def _revisiter(rig, *runs):
    rig.polled.discovered = True
    rig.state()
    rig.store.facts.clear()
    for run in runs:
        rig.store.facts[run.kind, run.key] = _known(run)
    return Revisiter(rig.store, rig.intake, rig.polled, sleep=rig.sleep)


def _known(observation):
    from headgate.core.merge import EMPTY, merge

    return merge(EMPTY, observation)


async def test_everything_unfinished_is_asked_about_after_a_start():
    """What happened while we were away is asked for at once."""
    rig = Rig()
    rig.source.revisits = {"w1": [workflow("w1", terminal=True)], "w2": [workflow("w2")]}
    revisiter = _revisiter(rig, workflow("w1"), workflow("w2"))
    assert await revisiter.once() == 2
    assert (rig.store.facts["workflow", "w1"].terminal, rig.polled.revisited) == (True, True)
    assert await revisiter.once() == 0


async def test_without_anything_to_poll_nobody_is_asked():
    """A source without a token takes webhooks alone."""
    rig = Rig()
    revisiter = _revisiter(rig, workflow("w1"))
    rig.polled.scopes.clear()
    assert (await revisiter.once(), await revisiter.waiting(), rig.asked("revisit")) == (0, 0, [])


async def test_run_on_hold_for_a_month_is_closed():
    """An approval given after 30 days ends the workflow within the hour."""
    rig = Rig()
    old = workflow("w1", created_ms=NOW - 30 * DAY_MS)
    rig.source.revisits = {"w1": [old]}
    revisiter = _revisiter(rig, old)
    await revisiter.once()
    rig.clock.advance(3599)
    assert await revisiter.once() == 0
    rig.source.revisits["w1"] = [workflow("w1", terminal=True, created_ms=NOW - 30 * DAY_MS)]
    rig.clock.advance(2)
    assert await revisiter.once() == 1
    assert rig.store.facts["workflow", "w1"].terminal


async def test_the_oldest_of_very_many_have_their_turn(monkeypatch):
    """A few at a time, each once an hour at most, and the next process goes on where this one was."""
    monkeypatch.setattr(revisit, "_LIMIT", 3)
    monkeypatch.setattr(revisit, "_TURN", 2)
    rig = Rig()
    runs = [workflow(f"w{n}", created_ms=NOW - 30 * DAY_MS - n // 3) for n in range(10)]
    rig.source.revisits = {run.key: [run] for run in runs}
    revisiter = _revisiter(rig, *runs)

    async def asked(seconds):
        before = len(rig.asked("revisit"))
        rig.clock.advance(seconds)
        await revisiter.once()
        return {key for _, key in rig.asked("revisit")[before:]}

    assert [{"w2", "w1", "w0", "w5", "w4"}, set(), {"w3", "w8"}] == [await asked(after) for after in (0, 14, 1)]
    revisiter, rig.polled.revisited = Revisiter(rig.store, rig.intake, rig.polled, sleep=rig.sleep), False
    assert [{"w2", "w1", "w0", "w7", "w6"}, {"w9"}, set()] == [await asked(after) for after in (0, 15, 3000)]
    assert {"w5", "w4"} <= await asked(600)
    rig.source.revisits["w9"] = [workflow("w9", terminal=True, created_ms=NOW - 30 * DAY_MS - 3)]
    for _ in range(9):
        await asked(900)
    assert rig.store.facts["workflow", "w9"].terminal


async def test_turns_of_old_runs_take_a_tenth_of_the_budget(monkeypatch):
    """Two questions take a call each and one for each workflow: four, so the next waits forty seconds."""
    monkeypatch.setattr(revisit, "_LIMIT", 3)
    monkeypatch.setattr(revisit, "_TURN", 2)
    rig = Rig()
    rig.source.per_second = 1.0
    runs = [workflow(f"w{n}", created_ms=NOW - 30 * DAY_MS - n // 3) for n in range(10)]
    rig.source.revisits = {run.key: [run] for run in runs}
    revisiter = _revisiter(rig, *runs)
    counts = []
    for seconds in (0, 15, 24, 1):
        rig.clock.advance(seconds)
        before = len(rig.asked("revisit"))
        await revisiter.once()
        counts.append(len(rig.asked("revisit")) - before)
    assert counts == [5, 0, 0, 2]


async def test_new_runs_wait_their_interval():
    """A run that was just walked is not asked about in the same minute."""
    rig = Rig()
    revisiter = _revisiter(rig)
    await revisiter.once()
    rig.source.revisits = {"w1": [workflow("w1")]}
    rig.store.facts["workflow", "w1"] = _known(workflow("w1"))
    assert await revisiter.once() == 0
    rig.clock.advance(59)
    assert await revisiter.once() == 0
    rig.clock.advance(2)
    assert await revisiter.once() == 1


async def test_workflows_of_one_pipeline_are_one_question():
    """A pipeline's answer tells of all its workflows."""
    rig = Rig()
    rig.polled.discovered = True
    rig.state()

    async def unfinished(source, **lately):
        return [RunRef("gh/a/b", "p1", "pl", key, NOW - age) for key, age in (("w1", 9000), ("w2", 5000))]

    rig.store.unfinished = unfinished
    rig.source.revisits = {"w2": [workflow("w1", terminal=True), workflow("w2", terminal=True)]}
    assert await Revisiter(rig.store, rig.intake, rig.polled).once() == 1
    assert rig.asked("revisit") == [("revisit", "w2")]


@pytest.mark.parametrize(("age_ms", "gone"), [(9 * MINUTE_MS, set()), (11 * MINUTE_MS, {"w1"})], ids=["young", "old"])
async def test_run_that_is_not_found(age_ms, gone):
    """An old run that is not found is gone, and counted; a young one may only be too new."""
    rig = Rig()
    await _revisiter(rig, workflow("w1", created_ms=NOW - age_ms)).once()
    assert gone == rig.store.gone
    assert len(gone) == rig.metrics.counts.get(("headgate_source_missing_detail_total", "ci", "gone"), 0)


async def test_trouble_with_one_run_harms_no_other():
    """An unavailable run, a bug and a full store leave the others; a failed store ends all."""
    rig = Rig()
    rig.source.revisits = {
        "w1": SourceUnavailable("x"),
        "w2": ZeroDivisionError(),
        "w3": [workflow("w3", terminal=True)],
    }
    revisiter = _revisiter(rig, workflow("w1"), workflow("w2"), workflow("w3"))
    await revisiter.once()
    assert rig.store.facts["workflow", "w3"].terminal
    for error, raised in ((StoreFull("x"), False), (StoreFailed("x"), True)):
        rig.store.failing = [error]
        rig.source.revisits = {"w1": [workflow("w1")]}
        rig.polled.revisited = False
        again = _revisiter(rig, workflow("w1"))
        if raised:
            with pytest.raises(ExceptionGroup) as group:
                await again.once()
            assert group.group_contains(StoreFailed)
        else:
            await again.once()


async def test_nothing_is_asked_while_it_makes_no_sense():
    """Before discovery, while the source refuses us, and while the store is nearly full."""
    rig = Rig()
    revisiter = _revisiter(rig, workflow("w1"))
    for change in ({"discovered": False}, {"discovered": True, "refused": "token_expired"}):
        for name, value in change.items():
            setattr(rig.polled, name, value)
        assert await revisiter.once() == 0
    rig.polled.refused, rig.store.level = "", "pause"
    assert await revisiter.once() == 0
    rig.store.level = "ok"
    assert await revisiter.once() == 1


def _lately(rig, runs=list):
    """Let the store name these runs; what it is asked for is noted, oldest question first."""
    asked = []

    async def unfinished(source, *, ended_since_ms, empty_since_ms, limit):
        asked.append((NOW - ended_since_ms, NOW - empty_since_ms))
        return runs()

    rig.store.unfinished = unfinished
    rig.polled.discovered = True
    rig.state()
    return asked


def _ended(age_ms):
    return RunRef("gh/a/b", "p1", "pl", "w1", NOW - age_ms, ended=True)


async def test_an_outage_is_looked_back_over():
    """What ended while nobody could be asked is asked about, also by the next process, and then let go."""
    rig = Rig()
    asked = _lately(rig)
    await Revisiter(rig.store, rig.intake, rig.polled).once()
    rig.clock.advance(5 * DAY_MS / 1000)
    again = Revisiter(rig.store, rig.intake, rig.polled)
    await again.once()
    await again.once()
    usual = (30 * HOUR_MS, HOUR_MS)
    since_then = tuple(back - 5 * DAY_MS for back in usual)
    assert asked == [usual, usual, since_then]


@pytest.mark.parametrize(("cursors", "days"), [({}, 30), ({"p1": SourceCursor("ci", "p1", 1)}, 0)])
async def test_a_new_store_is_looked_over_as_far_back_as_webhooks_may_tell(cursors, days):
    """They come before the first walk, which may be late; what an older version kept was asked about in its time."""
    rig = Rig()
    asked = _lately(rig)
    rig.polled.cursors = cursors
    revisiting = asyncio.create_task(Revisiter(rig.store, rig.intake, rig.polled, sleep=rig.sleep).run())
    for _ in range(5):
        await asyncio.sleep(0)
    revisiting.cancel()
    assert asked[0] == (days * DAY_MS + 30 * HOUR_MS, days * DAY_MS + HOUR_MS)


async def test_nothing_is_let_go_that_was_not_answered():
    """A question that fails is asked again, however long it fails; what was answered once holds up nothing."""
    rig = Rig()
    asked = _lately(rig, lambda: [_ended(2 * HOUR_MS)])
    rig.source.revisits = {"w1": SourceUnavailable("x")}
    revisiter = Revisiter(rig.store, rig.intake, rig.polled)
    for _ in range(3):
        await revisiter.once()
        rig.clock.advance(3 * DAY_MS / 1000)
    assert asked[-1] == (32 * HOUR_MS, 3 * HOUR_MS)
    rig.source.revisits = {"w1": [workflow("w1", terminal=True)]}
    await revisiter.once()
    await revisiter.once()
    assert asked[-1] == (30 * HOUR_MS - 9 * DAY_MS, HOUR_MS - 9 * DAY_MS)


async def test_in_a_hurry_what_failed_or_came_meanwhile_is_waited_for():
    """Open at the start, or told of by a webhook since: asked until it is answered, and again once it has ended."""
    rig = Rig()
    runs = [RunRef("gh/a/b", "p1", "pl", "w1", NOW)]
    _lately(rig, lambda: runs)
    rig.source.revisits = {"w1": SourceUnavailable("x")}
    revisiter = Revisiter(rig.store, rig.intake, rig.polled, hurry=True)
    assert (await revisiter.once(), await revisiter.waiting()) == (1, 1)
    rig.source.revisits = {"w1": [workflow("w1")], "w2": [workflow("w2")]}
    assert (await revisiter.once(), await revisiter.waiting()) == (1, 0)
    runs[:] = [_ended(0)]
    assert (await revisiter.waiting(), await revisiter.once(), await revisiter.waiting()) == (1, 1, 0)
    runs.append(RunRef("gh/a/b", "p1", "pl-w2", "w2", NOW))
    assert await revisiter.waiting() == 0
    rig.polled.told_by_webhooks([workflow("w2")])
    assert (await revisiter.waiting(), await revisiter.once(), await revisiter.waiting()) == (1, 1, 0)


async def test_ended_runs_of_old_pipelines_are_asked_about_where_walks_tell_of_new_ones():
    """A rerun of an old pipeline is on no page of a walk; the walk has its time to tell of others first."""
    rig = Rig()
    _lately(rig)
    rig.state()

    async def unasked(source, *, since_ms, limit):
        return [RunRef("gh/a/b", "p1", f"pl-{key}", key, NOW - age, ended=True) for key, age in runs.items()]

    rig.store.unasked, runs = unasked, {"w1": 0, "w2": 3 * MINUTE_MS}
    rig.source.revisits = {"w1": [workflow("w1", terminal=True)], "w2": [workflow("w2", terminal=True)]}
    revisiter = Revisiter(rig.store, rig.intake, rig.polled)
    rig.polled.told_by_webhooks([workflow("w1")])
    assert (await revisiter.once(), rig.asked("revisit")) == (1, [("revisit", "w2")])
    rig.clock.advance(121)
    assert (await revisiter.once(), rig.asked("revisit")[1:]) == (1, [("revisit", "w1")])
    rig.clock.advance(61)
    assert await revisiter.once() == 0
