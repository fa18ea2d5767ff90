"""Where an audit has proven that webhooks come, less is asked, and nothing is believed for longer than the proof."""

import pytest
from tests.unit.collect.fakes import NOW, PROJECT, Rig, workflow

from headgate.collect.pacing import TRUST_SECONDS
from headgate.collect.revisit import Revisiter
from headgate.collect.walk import try_walk
from headgate.core.audits import Kept
from headgate.core.merge import EMPTY, Observation, merge
from headgate.core.ports import RunRef, Scope, WalkPage
from headgate.core.storeport import SourceCursor
from headgate.core.times import MINUTE_MS


@pytest.fixture
def rig():
    """A walked scope whose webhooks were proven to come just now."""
    made = Rig()
    state = made.state()
    state.walked, state.proven_at, state.ends_told = True, made.clock.monotonic(), True
    state.walked_at = made.clock.monotonic()
    made.polled.discovered = made.polled.revisited = True
    return made


def know(rig, *runs):
    """Runs that are kept."""
    for run in runs:
        rig.store.facts[run.kind, run.key] = merge(EMPTY, run)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"walked": False}, False),
        ({"ends_told": False}, False),
        ({"proven_at": None}, False),
        ({"proven_at": -TRUST_SECONDS}, False),
    ],
    ids=["all", "not walked", "no workflow ended", "not proven", "proven long ago"],
)
def test_when_webhooks_are_relied_on(rig, change, expected):
    """After a walk, a proof that is not old, and a workflow that ended by webhook; a strange scope never."""
    change = {
        name: value + rig.clock.monotonic() if name == "proven_at" and value else value
        for name, value in change.items()
    }
    for name, value in change.items():
        setattr(rig.state(), name, value)
    assert expected is rig.polled.is_told("p1")
    assert not rig.polled.is_told("elsewhere")


def test_a_told_scope_is_known_up_to_now(rig):
    """Rules need not wait for a walk; without a proof it is the last walk that counts."""
    rig.polled.cursors["p1"] = SourceCursor("ci", "p1", 1, None, NOW - 7)
    rig.clock.advance(TRUST_SECONDS - 1)
    assert rig.polled.complete_ms() == {"gh/a/b": rig.clock.now_ms()}
    rig.clock.advance(1)
    assert rig.polled.complete_ms() == {"gh/a/b": NOW - 7}


async def test_walks_of_a_told_scope_are_an_hour_apart_and_begin_again_without_proof(rig):
    """The list alone is read then, and everything below it again once webhooks are missed."""
    below = []

    async def walk(scope, *, after, since_ms, below: bool, seen=below):
        seen.append(below)
        yield WalkPage((), None, True)

    rig.source.walk = walk
    for _ in range(59):
        rig.clock.advance(60)
        rig.state().proven_at = rig.clock.monotonic()
        await try_walk(rig.polled, rig.state(), rig.intake)
    assert below == []
    rig.clock.advance(60)
    await try_walk(rig.polled, rig.state(), rig.intake)
    assert below == [False]
    rig.state().proven_at = None
    rig.polled.told_by_webhooks([workflow("w1")])
    rig.clock.advance(60)
    await try_walk(rig.polled, rig.state(), rig.intake)
    assert below == [False, True]


async def test_a_run_is_left_to_its_webhooks_until_they_stop(rig):
    """Each webhook of its pipeline puts the question off; a quarter of an hour without any brings it."""
    run = workflow("w1", created_ms=NOW)
    know(rig, run)
    revisiter = Revisiter(rig.store, rig.intake, rig.polled)
    for _ in range(3):
        rig.polled.told_by_webhooks([run])
        rig.clock.advance(13 * 60)
        rig.state().proven_at = rig.clock.monotonic()
        assert await revisiter.once() == 0
    rig.source.revisits = {"w1": [run]}
    rig.clock.advance(60 + 1)
    assert await revisiter.once() == 1


@pytest.mark.parametrize(("age_ms", "wait_seconds"), [(0, 14 * 60), (10 * MINUTE_MS, 4 * 60), (20 * MINUTE_MS, 0)])
async def test_a_run_without_any_webhook_is_asked_about_by_its_age(rig, age_ms, wait_seconds):
    """Listed late or early: within a quarter of an hour of when it was made."""
    rig.source.revisits = {"w1": [workflow("w1", created_ms=NOW - age_ms)]}
    know(rig, workflow("w1", created_ms=NOW - age_ms))
    revisiter = Revisiter(rig.store, rig.intake, rig.polled)
    assert await revisiter.once() == 0
    rig.clock.advance(wait_seconds - 1 if wait_seconds else 0)
    assert await revisiter.once() == (0 if wait_seconds else 1)
    rig.clock.advance(1)
    assert await revisiter.once() == (1 if wait_seconds else 0)


async def test_an_end_that_no_webhook_told_of_ends_the_trust(rig):
    """Until a workflow ends by webhook again."""
    stopped = {"stopped_at": NOW - 5 * MINUTE_MS, "status": "success", "pipeline_id": "pl-w1"}
    rig.source.revisits = {"w1": [Observation("workflow", "w1", PROJECT, "v2", NOW, True, stopped)]}
    know(rig, workflow("w1", created_ms=NOW - 60 * MINUTE_MS))

    async def kept(kind, keys):
        return {}

    rig.store.kept = kept
    revisiter = Revisiter(rig.store, rig.intake, rig.polled)
    await revisiter.once()
    assert await revisiter.once() == 1
    assert not rig.polled.is_told("p1")
    rig.polled.told_by_webhooks([workflow("w2", terminal=True)])
    assert rig.polled.is_told("p1")


async def test_an_ended_run_whose_answer_brings_nothing_is_asked_about_once_an_hour(rig):
    """However often the store names it."""

    async def unasked(source, *, since_ms, limit):
        return [RunRef("gh/a/b", "p1", "pl-w1", "w1", NOW)]

    rig.store.unasked = unasked
    rig.source.revisits = {"w1": [workflow("w1", terminal=True)]}
    rig.store.kept = unasked_kept
    revisiter = Revisiter(rig.store, rig.intake, rig.polled)
    for _ in range(90):
        rig.state().proven_at = rig.clock.monotonic()
        await revisiter.once()
        rig.clock.advance(60)
    assert len(rig.asked("revisit")) == 2


async def unasked_kept(kind, keys):
    """All of them, with their end."""
    return {key: Kept(ended=True, announced=True, rerun=False) for key in keys}


def test_a_delivery_of_a_strange_project_changes_no_scope(rig):
    """What is not walked has no pace."""
    rig.polled.scopes = {"p9": rig.polled.scopes["p1"]}
    rig.polled.scopes["p9"].scope = Scope("p9", "gh/a/z")
    rig.clock.advance(500)
    rig.polled.told_by_webhooks([workflow("w1", terminal=True)])
    assert rig.state(Scope("p9", "gh/a/z")).active_at == 0.0
