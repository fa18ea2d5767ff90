"""The page of one alert: the evidence drawn again by the definitions of the catalogue, and what is behind it."""

import dataclasses
import itertools

import msgspec
import pytest
from tests.unit.alerting.world import World as Engine
from tests.unit.insights.alarms import FINGERPRINT, GROUP, LABELS, WATCHED, fired, line
from tests.unit.insights.world import DAY, HOUR, NOW, World, key, sqlite, tell

from headgate.core.clock import ManualClock
from headgate.core.evidence import Evidence
from headgate.core.storeport import AlertChange
from headgate.core.times import format_ms, parse_ms
from headgate.insights.match import Matcher
from headgate.insights.metric import Measured
from headgate.insights.views.alert import alert_page
from headgate.insights.views.alertlines import evidence_in
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused
from headgate.store import MemoryStore
from headgate.testing.store_data import PROJECT, merge, seen


@pytest.fixture(scope="module")
def told():
    return list(World(400).told())


@pytest.fixture
async def store(tmp_path, told):
    made = sqlite(tmp_path)
    await made.open()
    await tell(made, told)
    yield made
    await made.close()


async def page(store, evidence=WATCHED, **fields):
    await store.transition(fired(evidence, **fields))
    return await alert_page(Lens(store, NOW), fingerprint=FINGERPRINT)


async def test_the_newest_point_is_the_window_that_was_judged(store):
    """Measured by the catalogue over the same runs; so is each of those before it, which overlap."""
    found = await page(store)
    lens = Lens(store, NOW)
    measured = await lens.reader().measure(
        lens.catalogue.resolve("success_rate", "workflow"),
        by=("project", "workflow"),
        where=(Matcher("branch_class", "=", "@default"),),
        bounds={"gh/acme/web": (NOW - 2 * DAY, NOW)},
    )
    newest = measured[tuple(sorted(GROUP.items()))]
    assert (newest.value, newest.n) == (found.chart.points[-1].value, found.chart.points[-1].n)
    assert (format_ms(NOW), "windows", 2 * 86_400) == (
        found.chart.points[-1].at,
        found.chart.shows,
        found.chart.window_seconds,
    )
    assert len(found.chart.points) > 20
    for one in found.chart.points[-9::4]:
        end = parse_ms(one.at)
        again = await lens.reader().measure(
            lens.catalogue.resolve("success_rate", "workflow"),
            by=("project", "workflow"),
            where=(Matcher("branch_class", "=", "@default"),),
            bounds={"gh/acme/web": (end - 2 * DAY, end)},
        )
        measured = again.get(tuple(sorted(GROUP.items())), Measured(None, 0))
        assert (measured.value, measured.n) == (one.value, one.n)
    assert found.chart.points[0].n
    assert [("warning", 0.7), ("recovers", 0.85)] == [(one.name, one.value) for one in found.chart.levels]
    assert [("first bad", format_ms(NOW - 5 * HOUR)), ("fired", format_ms(NOW - 2 * HOUR))] == [
        (one.name, one.at) for one in found.chart.marks
    ]


async def test_long_windows_stand_one_behind_the_other(store):
    """More of them would cost more than they show."""
    chart = (await page(store, msgspec.structs.replace(WATCHED, window_ms=3 * DAY))).chart
    ends = [parse_ms(one.at) for one in chart.points]
    assert {3 * DAY} == {later - before for before, later in itertools.pairwise(ends[:-1])}
    assert NOW == ends[-1]


@pytest.mark.parametrize("stored", [True, False])
async def test_the_window_that_was_judged_last_is_drawn_whatever_it_fired_by(store, stored):
    """Its length is the alert's own, and that of the newest line where the alert is forgotten."""
    judged = {"window_ms": 5 * DAY} if stored else {}
    change = fired(at_ms=NOW, **judged)
    if not stored:
        last = line("firing", "resolved", rule="Red", labels=LABELS, at_ms=NOW, window_ms=5 * DAY)
        change = dataclasses.replace(change, rows=[], history=[*change.history, (FINGERPRINT, NOW, last)])
    await store.transition(change)
    chart = (await alert_page(Lens(store, NOW), fingerprint=FINGERPRINT)).chart
    lens = Lens(store, NOW)
    measured = await lens.reader().measure(
        lens.catalogue.resolve("success_rate", "workflow"),
        by=("project", "workflow"),
        where=(Matcher("branch_class", "=", "@default"),),
        bounds={"gh/acme/web": (NOW - 5 * DAY, NOW)},
    )
    newest, last = measured[tuple(sorted(GROUP.items()))], chart.points[-1]
    assert (5 * 86_400, newest.value, newest.n) == (chart.window_seconds, last.value, last.n)


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_chart_of_whole_days_ends_with_the_day_that_was_judged(store, forgotten):
    """Which need not be the one before: of that, nothing may have been told yet."""
    end_ms = NOW // DAY * DAY - DAY
    seen = msgspec.structs.replace(WATCHED, metric="credits", window_ms=DAY, whole_days=True, where=())
    change = fired(seen, end_ms=end_ms)
    if forgotten:
        last = line("firing", "resolved", rule="Red", labels=LABELS, at_ms=end_ms, window_ms=DAY)
        change = dataclasses.replace(change, rows=[], history=[*change.history, (FINGERPRINT, NOW, last)])
    await store.transition(change)
    chart = (await alert_page(Lens(store, NOW), fingerprint=FINGERPRINT)).chart
    lens = Lens(store, NOW)
    measured = await lens.reader().measure(
        lens.catalogue.resolve("credits", "workflow"),
        by=("project", "workflow"),
        where=(),
        bounds={"gh/acme/web": (end_ms - DAY, end_ms)},
    )
    newest, last = measured[tuple(sorted(GROUP.items()))], chart.points[-1]
    assert (format_ms(end_ms), newest.value, newest.n) == (last.at, last.value, last.n)


async def test_a_change_is_drawn_over_single_runs(store):
    """Before it the old level holds, since then the new one; the points are the runs that the metric counts."""
    changed = NOW - 2 * DAY
    seen = msgspec.structs.replace(
        WATCHED, kind="detect", metric="duration_p50", runs=10, change_ms=changed, after=300.0, limits={}
    )
    chart = (await page(store, seen, baseline=100.0)).chart
    assert ("runs", 10) == (chart.shows, len(chart.points))
    assert all(one.run and one.value is not None for one in chart.points)
    assert [one.at for one in chart.points] == sorted(one.at for one in chart.points)
    at = format_ms(changed)
    assert [("before", 100.0, None, at), ("since", 300.0, at, None)] == [
        dataclasses.astuple(one) for one in chart.levels
    ]
    assert "change" in {one.name for one in chart.marks}


async def test_a_budget_is_drawn_as_a_sum(store):
    """Day by day since the period began, up to what was judged."""
    seen = Evidence(
        kind="forecast",
        metric="credits",
        over="workflow",
        group={"project": "gh/acme/web"},
        window_ms=31 * DAY,
        since_ms=NOW - 4 * DAY - HOUR,
        limits={"budget": 1e6},
    )
    chart = (await page(store, seen)).chart
    values = [one.value for one in chart.points]
    assert ("sum", 5, True) == (chart.shows, len(values), values == sorted(values))
    assert values[-1] > 0


async def test_what_is_behind_it_and_who_was_told(store):
    """Cause, receivers and the lines of its history, newest first."""
    found = await page(store, held={"mail": "muted by nights"})
    assert (WATCHED.first_bad, WATCHED.suspects, ["test"]) == (
        found.cause.run,
        found.cause.commits,
        [one.job for one in found.cause.grew],
    )
    assert [("pager", "firing", format_ms(NOW - HOUR))] == [(one.notifier, one.state, one.at) for one in found.told]
    assert (("pager",), {"mail": "muted by nights"}) == (found.open_for, found.held)
    assert ["firing", "firing", "pending"] == [one.became for one in found.lines]


async def test_an_alert_that_is_forgotten_is_known_by_its_history(store):
    """With the chart as long as the lines are kept."""
    await store.transition(fired())
    await store.transition(AlertChange(removed=[FINGERPRINT]))
    found = await alert_page(Lens(store, NOW), fingerprint=FINGERPRINT)
    assert ("inactive", "Red", 0.5) == (found.state, found.rule, found.value)
    assert found.chart.points[-1].at == format_ms(NOW - HOUR)


async def test_the_beginning_of_a_fingerprint_is_enough_and_an_unknown_one_names_others(store):
    """As in commands."""
    await store.transition(fired())
    assert (await alert_page(Lens(store, NOW), fingerprint="a1a1")).fingerprint == FINGERPRINT
    with pytest.raises(Refused) as refused:
        await alert_page(Lens(store, NOW), fingerprint="nope")
    assert ("unknown-alert", (FINGERPRINT,)) == (refused.value.kind, refused.value.valid)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"metric": "gone_kpi"}, "has no past"),
        ({"metric": "data_freshness", "group": {"project": "gh/acme/web"}}, "has no past"),
        ({"kind": "stuck", "runs": 100, "group": {}}, "has no past"),
    ],
)
async def test_where_nothing_can_be_drawn_the_page_says_why(store, changed, why):
    """A metric that is no more, one without a past, and groups that are no series."""
    found = await page(store, msgspec.structs.replace(WATCHED, **changed))
    assert found.chart is None
    assert why in found.no_chart


async def test_an_alert_of_an_earlier_release_has_no_evidence(store):
    """It says so instead of guessing."""
    await store.transition(dataclasses.replace(fired(), history=[(FINGERPRINT, 1, line("pending", "firing"))]))
    found = await alert_page(Lens(store, NOW), fingerprint=FINGERPRINT)
    assert (None, None) == (found.chart, found.cause)
    assert "was not kept" in found.no_chart


def test_evidence_is_of_the_newest_episode_and_completed_from_its_beginning():
    """What the first reading found is known later; what an earlier episode found is not taken."""
    newer = Evidence(kind="threshold", metric="runs", over="workflow", group={}, suspects=("c",))
    begun = msgspec.structs.replace(newer, suspects=(), first_bad="w2", first_bad_ms=2)
    older = msgspec.structs.replace(newer, first_bad="w1", last_good="https://x")
    rows = [
        ("f", 3, line("pending", "firing", evidence=newer)),
        ("f", 2, line("inactive", "pending", evidence=begun)),
        ("f", 1, line("inactive", "pending", evidence=older)),
    ]
    found = evidence_in(rows)
    assert ("w2", ("c",), "") == (found.first_bad, found.suspects, found.last_good)
    assert evidence_in([("f", 1, b"{oh"), ("f", 1, line("pending", "firing", evidence={"kind": 3}))]) is None


async def test_the_engine_keeps_what_it_judged():
    """With each move that begins or confirms an alert: metric, window, limits and the first bad run."""
    world = Engine()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    lines = world.history()
    kept = msgspec.convert(lines[0]["evidence"], Evidence)
    assert ("success_rate", 2 * HOUR, {"critical": 0.3, "warning": 0.7, "recovers": 0.85}) == (
        kept.metric,
        kept.window_ms,
        kept.limits,
    )
    assert (("branch_class", "=", "@default"),) == kept.where
    assert kept.first_bad == f"w{kept.first_bad_ms}"
    assert ["evidence" in line for line in lines] == [True, True, False]


async def test_steps_that_grew_are_those_of_the_job_since_the_first_bad_run(tmp_path):
    """The slow step takes nearly all of it; one that takes as long as before is not named."""
    store = MemoryStore(clock=ManualClock(NOW))
    await store.open()
    told = []
    for number in range(12):
        run, job, ended = key(1, number), key(3, number), NOW - (12 - number) * HOUR
        times = {"created_at": ended - 90_000, "stopped_at": ended, "status": "success"}
        of_job = {"workflow_id": run, "name": "test", "started_at": ended - 90_000, "type": "build"}
        told.append(seen("workflow", run, {"name": "build", **times}, terminal=True))
        told.append(seen("job", job, {**of_job, **times}, terminal=True))
        for index, (name, seconds) in enumerate([("install", 10), ("pytest", 20 if number < 6 else 60)]):
            step = {"job_id": job, "index": index, "name": name, "status": "success", "stopped_at": ended}
            step["started_at"] = ended - 1000 * seconds
            told.append(seen("step", f"{job}:{index}", step, terminal=True))
    await merge(store, *told)
    group = {"project": PROJECT.slug, "workflow": "build", "job": "test"}
    watched = msgspec.structs.replace(
        WATCHED, kind="detect", metric="duration_p50", over="jobs", group=group, runs=30, where=(), grew=()
    )
    watched = msgspec.structs.replace(watched, first_bad_ms=NOW - 6 * HOUR, change_ms=NOW - 6 * HOUR, after=60.0)
    found = await page(store, watched, labels={**group, "severity": "warning"})
    assert [("test", "pytest", 20.0, 60.0, 1.0)] == [dataclasses.astuple(one) for one in found.cause.steps]
    assert "" == found.cause.run
