"""Runs that have not ended are asked about until they have, or are gone."""

import pytest
from tests.unit.collect.fakes import NOW, Rig, workflow

from headgate.collect.revisit import Revisiter
from headgate.core.errors import SourceUnavailable, StoreFailed, StoreFull
from headgate.core.ports import RunRef
from headgate.core.times import DAY_MS, MINUTE_MS


def _revisiter(rig, *runs):
    rig.polled.discovered = True
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

    async def unfinished(source, *, limit):
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
