"""Calls an hour: from settings, projects and the last day alone."""

import pytest
from tests.unit.collect.fakes import FakeSource

from headgate.collect import SourceSettings
from headgate.collect.estimate import Activity, Forecaster, estimate_calls
from headgate.collect.state import Polled, ScopeState
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import Scope
from headgate.core.release import ReleasePolicy
from headgate.store import MemoryStore
from headgate.testing.store_data import LOGS, NOW, PROJECT, job, merge, pipeline, workflow

DAY = Activity(runs=240, unsuccessful=24, jobs=1920, seconds=24 * 3600, active=2)


@pytest.mark.parametrize(
    ("settings", "day", "how", "expected"),
    [
        ({}, Activity(), {"projects": 4}, {"walks": 24, "audits": 32}),
        ({}, Activity(), {"projects": 4, "audited": False}, {"walks": 24}),
        ({}, DAY, {"projects": 4}, {"walks": 132, "audits": 32, "runs": 140}),
        ({}, DAY, {"projects": 4, "told": 4}, {"walks": 4, "audits": 32, "runs": 2}),
        ({"ask_unrun": False}, DAY, {"projects": 4, "told": 4}, {"walks": 4, "audits": 32}),
        ({"poll_every_ms": 3_600_000}, Activity(), {"projects": 4}, {"walks": 4, "audits": 32}),
        ({"poll_enabled": False}, DAY, {"projects": 0, "audited": False}, {}),
        ({"policy": ReleasePolicy("batch", 60_000)}, DAY, {"projects": 4, "told": 4}, {"enrichment": 80}),
        ({"policy": ReleasePolicy("each", 60_000)}, DAY, {"projects": 4, "told": 4}, {"enrichment": 80}),
        ({}, DAY, {"projects": 4, "told": 4, "per_job": {"tests": 1.0, "output": 0.1}}, {"details.output": 8}),
    ],
    ids=["quiet", "no audit", "polled", "told", "no unrun", "hourly", "webhooks", "batch", "each", "details"],
)
def test_an_estimate_is_the_sum_of_its_parts(settings, day, how, expected):
    """Each part follows the rhythm that collection has."""
    how = {"told": 0, "audited": True, "per_job": {}, **how}
    settings = {"policy": ReleasePolicy("none", 60_000), **settings}
    found = estimate_calls(SourceSettings(**settings), day, **how)
    assert expected == {part: pytest.approx(found.get(part)) for part in expected}
    if not how["per_job"] and settings["policy"].profile == "none":
        assert set(found) == set(expected)


async def test_the_last_day_and_the_live_rate_are_measured():
    """Runs of the last day make the estimate; calls counted since make the rate."""
    clock = ManualClock(NOW)
    store = MemoryStore(clock=clock)
    await store.open()
    await store.open_signals([LOGS], now_ms=NOW)
    await merge(store, pipeline(), workflow(stopped_at=NOW - 1000), job())
    source = FakeSource(clock=clock)
    source.regular_calls = lambda *, projects, workflows: {"insights": 10 * projects + workflows}
    polled = Polled(source, SourceSettings(), clock, NullMetrics(), discovered=True)
    polled.scopes = {"p": ScopeState(Scope("p", PROJECT.slug))}
    ticks = []

    async def sleep(seconds):
        clock.advance(seconds)
        source.asked += [("walk",)] * 3
        ticks.append(seconds)
        if len(ticks) == 15:
            raise KeyboardInterrupt

    forecaster = Forecaster(store, polled, sleep=sleep)
    with pytest.raises(KeyboardInterrupt):
        await forecaster.run()
    rates = forecaster.rates()
    assert (rates.live, rates.parts["walks"]) == (pytest.approx(180), 60)
    assert rates.parts["insights"] == 11
    assert rates.parts["runs"] > 0
