"""Runs that no walk and no webhook tells of."""

from __future__ import annotations

from tests.unit.collect.fakes import Rig, workflow

from headgate.collect.reruns import SWEEP_SECONDS, RerunFinder
from headgate.core.errors import SourceUnavailable
from headgate.core.ports import RecentRuns


def finder(rig: Rig) -> RerunFinder:
    state = rig.state()
    state.walked = True
    rig.polled.scopes = {state.scope.key: state}
    return RerunFinder(rig.store, rig.intake, rig.polled, sleep=rig.sleep)


async def test_an_unknown_run_is_asked_about_and_kept():
    """A rerun of an old pipeline has new builds: its workflow is fetched; known ones are left alone."""
    rig = Rig()
    sweep = finder(rig)
    rig.source.runs = [RecentRuns(("known", "rerun"), 9)]
    rig.store.known_workflows = {"known"}
    rig.source.revisits = {"rerun": [workflow("rerun", terminal=True)]}
    await sweep.once()
    assert [ask for ask in rig.source.asked if ask[0] == "revisit"] == [("revisit", "rerun")]
    assert [one.key for work in rig.store.works for one in work.observations] == ["rerun"]


async def test_the_next_sweep_begins_where_the_last_one_did():
    """One call a quarter of an hour, and only for what is new."""
    rig = Rig()
    sweep = finder(rig)
    rig.source.runs = [RecentRuns((), 9), RecentRuns((), 12)]
    await sweep.once()
    await sweep.once()
    rig.clock.advance(SWEEP_SECONDS + 1)
    await sweep.once()
    assert [ask for ask in rig.source.asked if ask[0] == "runs"] == [("runs", "p1", None), ("runs", "p1", 9)]


async def test_a_sweep_that_fails_is_not_done():
    """Whoever waits for completeness waits for it; it is repeated soon, from the same place."""
    rig = Rig()
    sweep = finder(rig)
    rig.source.runs = [SourceUnavailable("down"), RecentRuns((), 9)]
    await sweep.once()
    (state,) = rig.polled.scopes.values()
    assert not state.swept
    rig.clock.advance(rig.polled.settings.poll_every_ms / 1000 + 1)
    await sweep.once()
    assert state.swept
    assert state.newest == 9


async def test_a_scope_that_was_not_walked_yet_is_not_swept():
    """What the walk will find anyway costs no call."""
    rig = Rig()
    sweep = finder(rig)
    next(iter(rig.polled.scopes.values())).walked = False
    await sweep.once()
    assert rig.source.asked == []
