"""What was judged is what an alert shows: the window that was really judged, and how long nothing has run."""

import msgspec
from tests.unit.alerting.world import HOUR, START, World, run

from headgate.alerting.view import Watermark
from headgate.core.alertdata import decode_alert
from headgate.core.evidence import Evidence
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.views.alert import alert_page
from headgate.insights.views.lens import Lens

WIDENED = """
version: 1
groups:
  - name: main
    rules:
      - alert: Dropped
        metric: success_rate
        by: [project, workflow]
        window: 1h
        min_runs: 10
        compare: {baseline: 6h, drop: 20pp, widen: 2h}
"""
SILENT = """
version: 1
groups:
  - name: main
    match: {workflow: build}
    rules:
      - alert: Silent
        absence: {at_least: 6h}
        by: [project]
"""
COSTLY = """
version: 1
groups:
  - name: main
    rules:
      - alert: Costly
        metric: credits
        by: [project]
        window: 24h
        threshold: {warning: "> 100"}
        min_runs: 1
"""


def alert_of(world):
    """The one alert there is."""
    (row,) = world.store.rows.values()
    return row.fingerprint, decode_alert(row.state_json)


async def measured(world, window_ms):
    """What the catalogue says of the window of this length that ended when the alert was judged last."""
    lens, alert = Lens(world.store, world.clock.now_ms()), alert_of(world)[1]
    (found,) = (
        await lens.reader().measure(
            lens.catalogue.resolve("success_rate", "workflow"),
            by=("project", "workflow"),
            where=(),
            bounds={"gh/acme/web": (alert.at_ms - window_ms, alert.at_ms)},
        )
    ).values()
    return found.value, found.n


async def page_of(world):
    """The page of the alert."""
    return await alert_page(Lens(world.store, world.clock.now_ms()), fingerprint=alert_of(world)[0])


def kept(world):
    """The evidence of its newest line that has some."""
    return msgspec.convert([one["evidence"] for one in world.history() if "evidence" in one][-1], Evidence)


async def six_an_hour(world, hours, status):
    """A run every ten minutes."""
    for _ in range(6 * hours):
        await world.pass_time(1, status)
        await world.pass_time(9, None)
        await world.engine.evaluate_once()


async def test_a_widened_window_is_the_one_that_is_kept():
    """Six runs in the rule's hour are too few: two hours were judged, as alert, evidence and history say."""
    world = World(WIDENED)
    await six_an_hour(world, 8, "success")
    await six_an_hour(world, 2, "failure")
    _, alert = alert_of(world)
    assert ("firing", 2 * HOUR, 2 * HOUR) == (alert.state, alert.window_ms, kept(world).window_ms)
    assert (alert.value, alert.n) == await measured(world, 2 * HOUR)
    assert {2 * HOUR} == {line["window_ms"] for line in world.history()}


async def test_a_window_that_is_judged_later_is_kept_with_the_alert():
    """Runs enough in the rule's hour: that is judged, whatever it fired by."""
    world = World(WIDENED)
    await six_an_hour(world, 8, "success")
    await six_an_hour(world, 2, "failure")
    await world.pass_time(40, "failure")
    _, alert = alert_of(world)
    assert ("firing", HOUR, 2 * HOUR) == (alert.state, alert.window_ms, kept(world).window_ms)
    assert (alert.value, alert.n) == await measured(world, HOUR)


async def test_a_silence_is_drawn_as_the_time_between_runs():
    """With the longest before, the limit and the last run; runs that the rule does not watch break no silence."""
    world = World(SILENT)
    runs = [run(START - (15 * 24 - hour) * HOUR) for hour in range(15 * 24)]
    world.store.runs = [*runs, run(START - HOUR // 2, workflow="nightly")]
    world.clock.advance(3 * 24 * 3600)
    for _ in range(12):
        await world.pass_time(5, None)
    _, alert = alert_of(world)
    assert "firing" == alert.state
    chart = (await page_of(world)).chart
    assert ("silence", "gaps", "duration", "s") == (chart.metric, chart.shows, chart.format, chart.unit)
    last = chart.points[-1]
    assert (format_ms(alert.at_ms), alert.value, 0) == (last.at, last.value, 0)
    assert last.value == (alert.at_ms - START + HOUR) / 1000
    assert {(3600.0, 1)} == {(one.value, one.n) for one in chart.points[:-1]}
    assert (200, runs[-1].workflow_id) == (len(chart.points) - 1, chart.points[-2].run)
    assert [("longest before", 3600.0), ("told beyond", 6 * 3600.0)] == [(one.name, one.value) for one in chart.levels]
    assert ("last run", format_ms(START - HOUR)) in [(one.name, one.at) for one in chart.marks]
    assert "first bad" not in {one.name for one in chart.marks}
    world.store.runs = []
    gone = await page_of(world)
    assert (None, True) == (gone.chart, "no past" in gone.no_chart)


async def test_a_silence_is_drawn_whatever_else_runs_in_the_project():
    """Thousands of runs since hide nothing of the workflow that is silent."""
    world = World(SILENT)
    world.store.runs = [run(START - (15 * 24 - hour) * HOUR) for hour in range(15 * 24)]
    world.store.runs += [run(START + number, workflow="other") for number in range(2_100)]
    world.clock.advance(24 * 3600)
    for _ in range(12):
        await world.pass_time(5, None)
    chart = (await page_of(world)).chart
    assert 200 == len(chart.points) - 1
    assert {3600.0} == {one.value for one in chart.points[:-1]}


async def test_what_was_judged_of_credits_ends_with_the_last_day_that_is_told():
    """Not with the day that is over since, of which nothing is told yet: alert and history say up to when it was."""
    world = World(COSTLY)
    told_ms = START // DAY_MS * DAY_MS
    world.store.runs = [run(told_ms - back * HOUR, credits=10) for back in range(1, 15 * 24)]
    world.clock.advance((told_ms + DAY_MS - START) // 1000 - 1800)  # half an hour before the next day
    for _ in range(12):
        now_ms = world.clock.now_ms()
        world.marks = {"gh/acme/web": Watermark("circleci", told_ms, now_ms - told_ms)}
        await world.pass_time(5, None)
    _, alert = alert_of(world)
    assert ("firing", 240.0, told_ms, DAY_MS) == (alert.state, alert.value, alert.end_ms, alert.window_ms)
    assert alert.at_ms > told_ms + DAY_MS
    assert {told_ms} == {line["at_ms"] for line in world.history()}
