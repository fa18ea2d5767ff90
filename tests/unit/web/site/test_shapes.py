"""How views are drawn."""

from __future__ import annotations

import pytest

from headgate.insights.views.figures import Line, Plot, Trend
from headgate.insights.views.run import JobBar, RunPage
from headgate.web.site.shapes import charts, tiles, waterfall


def trend(value=1.0, previous=None, direction="unknown"):
    """A figure beside the one before."""
    change = None if previous is None or value is None else value - previous
    return Trend(value, 9, None, False, previous, 9, change, direction)


def job(name, begin, started, ended, **more):
    """A job that waited from `begin` and ran from `started` to `ended`, seconds."""
    base = {
        "type": "build",
        "status": "success",
        "requires": (),
        "queue": None if started is None else started - (begin or 0),
        "approval_wait": None,
        "duration": None if started is None or ended is None else ended - started,
        "critical": False,
        "critical_share": 0.0,
        "exclusive": 0.0,
        "resource_class": "",
        "executor": "",
        "parallelism": None,
        "credits": None,
        "number": None,
        "url": "",
        "steps": (),
    }
    return JobBar(id=name, job=name, begin=begin, started=started, ended=ended, **(base | more))


def run(*jobs, duration=100.0, path=(), known_holds=True):
    """A run of some jobs."""
    known = dict.fromkeys(("team", "branch", "trigger", "revision", "author", "subject", "rerun_of", "url"), "")
    return RunPage(
        id="r",
        project="gh/acme/web",
        workflow="build",
        branch_class="@default",
        status="success",
        ended=True,
        created_at=None,
        stopped_at=None,
        duration=duration,
        credits=None,
        credits_estimated=False,
        pipeline_number=None,
        attempt=1,
        critical_path=path,
        critical_path_known=True,
        critical_gap=0.0,
        approvals_known=known_holds,
        jobs=jobs,
        failures=(),
        **known,
    )


@pytest.mark.parametrize(
    ("name", "one", "change"),
    [
        ("success_rate", trend(0.8, 0.9, "worse"), "-10.0 pt"),
        ("success_rate", trend(0.8, 0.8, "same"), ""),
        ("runs", trend(20, 10, "better"), "+100 %"),
        ("runs", trend(5000, 1, "better"), "5,000x"),
        ("credits", trend(5, 0, "worse"), "+5"),
        ("duration_p95", trend(None, 5), ""),
    ],
)
def test_a_tile_tells_the_change(name, one, change):
    """Percentages change by points, everything else by share."""
    assert [change] == [tile.change for tile in tiles({name: one})]


def test_tiles_of_jobs_have_the_names_of_those_of_runs():
    """In one order, whatever the view has besides."""
    found = tiles(
        {"queue_p50": trend(), "runs_of_jobs": trend(), "success_rate_of_jobs": trend(), "queue_p95": trend()}
    )
    assert ["Runs", "Success rate", "Queue p95"] == [tile.label for tile in found]


def test_a_chart_has_every_value_of_its_plot():
    """Without runs a count is 0 and a quantile has none."""
    lines = (
        Line("runs", {}, (3.0, None), (3, 0)),
        Line("failed_runs", {}, (1.0, None), (3, 0)),
        Line("duration_p95", {}, (60.0, None), (3, 0)),
    )
    runs, duration = charts(Plot("1d", "x", ("2026-11-19T00:00:00.000Z", "2026-11-20T00:00:00.000Z"), lines))
    assert (("All", "Failed"), [(3.0, 1.0), (0.0, 0.0)]) == (runs.names, [row.values for row in runs.rows])
    assert (("p95",), [(60.0,), (None,)]) == (duration.names, [row.values for row in duration.rows])
    assert (86_400_000, False) == (runs.rows[1].at_ms - runs.rows[0].at_ms, runs.empty)


@pytest.mark.parametrize(
    ("metric", "value", "empty"),
    [("success_rate", 0.0, False), ("success_rate", None, True), ("runs", 0.0, True), ("runs", 2.0, False)],
)
def test_a_rate_of_nothing_is_drawn_and_a_count_of_nothing_is_not(metric, value, empty):
    """All failed is something to see."""
    [chart] = charts(Plot("1d", "x", ("2026-11-19T00:00:00.000Z",), (Line(metric, {}, (value,), (0,)),)))
    assert chart.empty is empty


def test_bars_follow_one_another_in_percent_of_the_run():
    """A wait and then the work, by dependency."""
    first = job("build", 0.0, 10.0, 50.0, critical=True)
    then = job("test", 50.0, 60.0, 100.0, requires=("build",), critical=True)
    fall = waterfall(run(then, first, path=("build", "test")))
    assert [("build", 0, ()), ("test", 1, ("build",))] == [(bar.job.job, bar.depth, bar.after) for bar in fall.bars]
    pieces = [(piece.kind, piece.left, piece.width) for bar in fall.bars for piece in bar.pieces]
    assert [("queue", 0, 10), ("work", 10, 40), ("queue", 50, 10), ("work", 60, 40)] == pieces
    assert (("build", "test"), 20.0, 0.0, 80.0) == (fall.path, fall.queue, fall.hold, fall.work)


def test_what_is_not_known_of_a_path_is_no_zero():
    """Waits of jobs nobody told of, and approvals of a run whose jobs nobody listed."""
    only = job("build", 0.0, 0.0, 50.0, critical=True, queue=None)
    fall = waterfall(run(only, path=("build",), known_holds=False))
    assert (None, None, 50.0) == (fall.queue, fall.hold, fall.work)


def test_bars_stay_within_their_run():
    """Clocks that differ, what a rerun took over, what has not begun, what still waits."""
    fall = waterfall(
        run(
            job("early", -5.0, -5.0, 10.0),
            job("before", -90.0, -90.0, -50.0),
            job("never", None, None, None, status="blocked"),
            job("hold", 20.0, 20.0, None, type="approval", status="on_hold", approval_wait=80.0, queue=None),
            job("queued", 40.0, None, None, status="queued", queue=60.0),
        )
    )
    shown = {bar.job.job: [(one.kind, one.left, one.width) for one in bar.pieces] for bar in fall.bars}
    assert shown["early"] == [("work", 0, 10)]
    assert (shown["before"], [bar.earlier for bar in fall.bars][-1]) == ([], True)
    assert shown["never"] == []
    assert shown["hold"] == [("hold", 20, 80)]
    assert shown["queued"] == [("queue", 40, 60)]


def test_a_circle_of_jobs_and_a_run_of_no_time_are_drawn():
    """What cannot be is shown all the same."""
    fall = waterfall(
        run(job("a", 0.0, 0.0, 0.0, requires=("b",)), job("b", 0.0, 0.0, 0.0, requires=("a",)), duration=None)
    )
    assert [[], []] == [list(bar.pieces) for bar in fall.bars]
