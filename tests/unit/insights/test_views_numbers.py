"""Every number of the views equals an independent count over the same facts."""

import math
import shutil
from collections import defaultdict
from dataclasses import replace

import pytest
from tests.unit.insights.world import DAY, HOUR, NOW, World, keep, sqlite

from headgate.core.times import format_ms
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.kpi import make_kpi
from headgate.insights.owners import Owners, parse_owner
from headgate.insights.views.ask import query_page, series_page
from headgate.insights.views.builds import builds_page, project_builds
from headgate.insights.views.credits import CREDITS_BY, credits_page
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.overview import overview
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.runs import runs_page
from headgate.insights.views.window import Window, read_window
from headgate.insights.views.workflow import workflow_page

WEB = "gh/acme/web"
WINDOW = read_window(None, None, "4d", now_ms=NOW)
FAILED = {"failed", "timedout", "infrastructure_fail"}
OWNERS = Owners([parse_owner({"workflow": "ship"}, "release"), parse_owner({"project": WEB}, "web")])


@pytest.fixture(scope="module")
def world():
    return World(260)


@pytest.fixture(scope="module")
def kept(world, tmp_path_factory):
    return keep(tmp_path_factory.mktemp("world"), world)


@pytest.fixture
async def lens(kept, tmp_path):
    shutil.copy(kept, tmp_path)
    store = sqlite(tmp_path)
    await store.open()
    yield Lens(store, NOW, owners=OWNERS)
    await store.close()


def team(project, workflow):
    return "release" if workflow == "ship" else "web" if project == WEB else ""


def inside(things, window=WINDOW, **where):
    """Of runs or jobs of the truth those that ended in a window and are so."""
    found = []
    for one in things:
        run = one.get("run", one)
        told = {"default": run["branch"] == "main", "team": team(run["project"], run["workflow"]), **run, **one}
        told["job"] = one.get("name")
        if window.since_ms <= one["stopped"] < window.until_ms and all(told[k] == v for k, v in where.items()):
            found.append(one)
    return found


def nearest(values, q):
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def check(shown, runs, start="created", suffix=""):
    """Shown figures are those of these runs or jobs, counted one by one."""
    ok = [one for one in runs if one["status"] == "success"]
    bad = [one for one in runs if one["status"] in FAILED]
    ran = [one for one in runs if one["status"] != "not_run"]
    assert (len(ran) or None) == shown["runs" + suffix].value
    assert shown["success_rate" + suffix].n == len(ok) + len(bad)
    assert shown["success_rate" + suffix].value == (len(ok) / (len(ok) + len(bad)) if ok or bad else None)
    if "credits" + suffix in shown:
        assert shown["credits" + suffix].value == (sum(one["credits"] for one in runs) if ran else None)
    for name, q in (("duration_p50", 0.5), ("duration_p95", 0.95)):
        if name + suffix in shown:
            value = shown[name + suffix].value
            exact = nearest([one["stopped"] - one[start] for one in ok], q) / 1000 if ok else None
            assert value is exact is None or math.isclose(exact, value, rel_tol=0.0101)


async def test_the_overview_is_counted_right(world, lens):
    """Totals, each project, and the window before."""
    page = await overview(lens, window=WINDOW)
    check(page.totals, inside(world.runs))
    before = [one for one in inside(world.runs, WINDOW.previous) if one["status"] != "not_run"]
    assert len(before) == page.totals["runs"].previous
    assert {"gh/acme/api", WEB, "gh/beta/app"} == {one.project for one in page.projects}
    for card in page.projects:
        check(card.figures, inside(world.runs, project=card.project))
        jobs = [one for one in inside(world.jobs, project=card.project) if one["type"] == "build"]
        queue = nearest([one["started"] - one["queued"] for one in jobs], 0.5) / 1000
        assert math.isclose(queue, card.figures["queue_p50"].value, rel_tol=0.0101)


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        (Filters(branch_class="@default"), {"default": True}),
        (Filters(branch="fix/a"), {"branch": "fix/a"}),
        (Filters(trigger="api", branch="main"), {"trigger": "api", "branch": "main"}),
        (Filters(org="gh/beta"), {"project": "gh/beta/app"}),
        (Filters(team="release"), {"team": "release"}),
    ],
    ids=["class", "branch", "trigger and branch", "org", "team"],
)
async def test_filters_take_what_they_say(world, lens, filters, where):
    """Each of them, and two together."""
    page = await overview(lens, window=WINDOW, filters=filters)
    check(page.totals, inside(world.runs, **where))


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        (Filters(branch="fix/a"), {"branch": "fix/a"}),
        (Filters(branch="none"), {"branch": "none"}),
        (Filters(branch_class="@other"), {"default": False}),
        (Filters(trigger="schedule"), {"trigger": "schedule"}),
        (Filters(branch="fix/b", trigger="api"), {"branch": "fix/b", "trigger": "api"}),
        (Filters(team="release"), {"team": "release"}),
        (Filters(team="web", org="gh/acme"), {"team": "web"}),
    ],
    ids=["branch", "no branch", "class", "trigger", "trigger and branch", "team", "team and org"],
)
async def test_filters_take_the_same_of_each_project(world, lens, filters, where):
    """Its figures, its last runs and its branches; those are not counted by trigger alone."""
    page = await projects_page(lens, window=WINDOW, filters=filters)
    assert len(page.projects) == page.total
    assert {one["project"] for one in inside(world.runs, **where)} <= {one.project for one in page.projects}
    for card in page.projects:
        runs = inside(world.runs, project=card.project, **where)
        check(card.figures, runs)
        newest = sorted(runs, key=lambda one: (one["stopped"], one["id"]), reverse=True)[:5]
        assert [one["id"] for one in newest] == [one.id for one in card.last_runs]
        branches = len({one["branch"] for one in runs if one["status"] != "not_run"})
        assert (None if filters.trigger and not filters.branch else branches) == card.branches


async def test_projects_have_branches_and_last_builds(world, lens):
    """Page by page, by slug."""
    first = await projects_page(lens, window=WINDOW, limit=2)
    second = await projects_page(lens, window=WINDOW, limit=2, cursor=first.next)
    cards = [*first.projects, *second.projects]
    assert (["gh/acme/api", WEB, "gh/beta/app"], 3, None) == ([one.project for one in cards], first.total, second.next)
    for card in cards:
        runs = inside(world.runs, project=card.project)
        check(card.figures, runs)
        assert len({one["branch"] for one in runs}) == card.branches
        newest = sorted(runs, key=lambda one: (one["stopped"], one["id"]), reverse=True)[:5]
        assert [one["id"] for one in newest] == [one.id for one in card.last_runs]
        assert card.last_run == card.last_runs[0]


async def test_a_project_is_counted_right(world, lens):
    """As a whole, by workflow, by branch and by day."""
    page = await project_page(lens, project="github/acme/web", window=WINDOW, step="1d", builds=500)
    runs = inside(world.runs, project=WEB)
    check(page.figures, runs)
    for line in page.workflows:
        check(line.figures, [one for one in runs if one["workflow"] == line.workflow])
    assert {one["branch"] for one in runs} == {one.branch for one in page.branches}
    for line in page.branches:
        check(line.figures, [one for one in runs if one["branch"] == line.branch])
    assert [one.id for one in page.last_builds] == [
        one["id"] for one in sorted(runs, key=lambda one: one["stopped"], reverse=True)
    ]
    plots(page.plot, runs, DAY)


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        (Filters(), {}),
        (Filters(branch="fix/a"), {"branch": "fix/a"}),
        (Filters(branch_class="@default"), {"default": True}),
        (Filters(trigger="api"), {"trigger": "api"}),
    ],
    ids=["all", "branch", "class", "trigger"],
)
async def test_each_workflow_has_its_last_run(world, lens, filters, where):
    """However few of the last builds are asked for."""
    page = await project_page(lens, project=WEB, window=WINDOW, step="1d", filters=filters, builds=1)
    assert {"build", "ship"} == {line.workflow for line in page.workflows}
    for line in page.workflows:
        runs = inside(world.runs, project=WEB, workflow=line.workflow, **where)
        assert line.last_run is not None
        assert max(runs, key=lambda one: one["stopped"])["id"] == line.last_run.id


def plots(plot, runs, length, suffix=""):
    """Each point counts the runs that ended in its step."""
    steps = defaultdict(list)
    for one in runs:
        steps[format_ms(max(WINDOW.since_ms, one["stopped"] // length * length))].append(one)
    lines = {line.metric: line for line in plot.lines}
    assert set(steps) <= set(plot.at)
    for place, at in enumerate(plot.at):
        ok = sum(one["status"] == "success" for one in steps[at])
        judged = ok + sum(one["status"] in FAILED for one in steps[at])
        ran = sum(one["status"] != "not_run" for one in steps[at])
        assert (ran or None) == lines["runs" + suffix].values[place]
        assert (judged, ok / judged if judged else None) == (
            lines["success_rate" + suffix].n[place],
            lines["success_rate" + suffix].values[place],
        )


@pytest.mark.parametrize(("step", "length"), [("1h", HOUR), ("1d", DAY)])
async def test_a_workflow_is_counted_right(world, lens, step, length):
    """Its figures, its charts in either step, its jobs."""
    page = await workflow_page(lens, project=WEB, workflow="build", window=WINDOW, step=step)
    runs = inside(world.runs, project=WEB, workflow="build")
    check(page.figures, runs)
    plots(page.plot, runs, length)
    jobs = [one for one in inside(world.jobs, project=WEB, workflow="build") if one["type"] == "build"]
    for line in page.jobs:
        if line.job != "hold":
            check(line.figures, [one for one in jobs if one["name"] == line.job], "started", "_of_jobs")


async def test_a_job_is_counted_right(world, lens):
    """Its figures, its charts, by machine size, and its last runs."""
    page = await job_page(lens, project=WEB, workflow="build", job="test", window=WINDOW, step="1d", limit=500)
    jobs = inside(world.jobs, project=WEB, workflow="build", job="test")
    check(page.figures, jobs, "started", "_of_jobs")
    plots(page.plot, jobs, DAY, "_of_jobs")
    assert {one["class"] for one in jobs} == {one.resource_class for one in page.resource_classes}
    for line in page.resource_classes:
        check(line.figures, [one for one in jobs if one["class"] == line.resource_class], "started", "_of_jobs")
    assert {one["id"] for one in jobs} == {one.id for one in page.runs}


async def test_runs_are_all_there_once_whatever_the_page(world, lens):
    """Filters that no index knows too."""
    for filters, where in (
        (Filters(), {}),
        (Filters(branch="fix/b", trigger="api"), {"branch": "fix/b", "trigger": "api"}),
    ):
        found, cursor = [], None
        while True:
            page = await runs_page(lens, project=WEB, window=WINDOW, filters=filters, cursor=cursor, limit=7)
            found += [one.id for one in page.runs]
            cursor = page.next
            if cursor is None:
                break
        runs = sorted(inside(world.runs, project=WEB, **where), key=lambda one: one["stopped"], reverse=True)
        assert [one["id"] for one in runs] == found


@pytest.mark.parametrize("by", CREDITS_BY)
async def test_credits_add_up(world, lens, by):
    """Each group, their shares, and the whole, of runs or of jobs."""
    page = await credits_page(lens, by=by, window=WINDOW, step="1d", limit=500)
    of_jobs = page.metric == "credits_of_jobs"
    things = [one for one in (world.jobs if of_jobs else world.runs) if one.get("type") != "approval"]
    things = inside(things)
    expected = defaultdict(int)
    for one in things:
        run = one.get("run", one)
        names = {
            "project": run["project"],
            "workflow": run["workflow"],
            "branch": run["branch"],
            "team": team(run["project"], run["workflow"]),
            "job": one.get("name"),
            "resource_class": one.get("class"),
        }
        expected[tuple(names[name] for name in sorted(page.lines[0].labels))] += one["credits"]
    shown = {tuple(line.labels[name] for name in sorted(line.labels)): line.credits.value for line in page.lines}
    assert {key: n for key, n in expected.items() if n} == {key: n for key, n in shown.items() if n}
    assert sum(expected.values()) == page.total.value
    assert math.isclose(1, sum(line.share or 0 for line in page.lines))
    assert sum(value or 0 for value in page.plot.lines[0].values) == page.total.value


async def test_a_query_is_what_pages_show(world, lens):
    """By group and in steps; the groups in pages, highest first."""
    window = Window(WINDOW.since_ms, NOW)
    by = ["project", "workflow"]
    whole = await query_page(lens, metric="runs", by=by, where=["team!=web"], window=window, step="1d")
    runs = [one for one in inside(world.runs, window) if team(one["project"], one["workflow"]) != "web"]
    expected = defaultdict(int)
    for one in runs:
        expected[one["project"], one["workflow"]] += one["status"] != "not_run"
    assert expected == {(one.labels["project"], one.labels["workflow"]): one.value for one in whole.groups}
    assert sorted(expected.values(), reverse=True) == [one.value for one in whole.groups]
    assert [one.labels for one in whole.groups] == [line.labels for line in whole.plot.lines]
    assert [one.value for one in whole.groups] == [sum(v or 0 for v in line.values) for line in whole.plot.lines]
    asked = {"metric": "runs", "by": by, "where": ["team!=web"], "window": window, "limit": 2}
    first = await query_page(lens, **asked)
    second = await query_page(lens, **asked, cursor=first.next)
    assert whole.groups[:4] == (*first.groups, *second.groups)


async def test_a_metric_that_is_read_run_by_run_has_a_plot_of_few_points(lens):
    """Each point is what the metric is over that step."""
    window = Window(NOW // DAY * DAY - 2 * DAY, NOW // DAY * DAY)
    found = await query_page(lens, metric="rerun_waste", by=[], where=[], window=window, step="1d")
    (line,) = found.plot.lines
    for at, value in zip(range(window.since_ms, window.until_ms, DAY), line.values, strict=True):
        alone = await query_page(lens, metric="rerun_waste", by=[], where=[], window=Window(at, at + DAY))
        assert ([value] if value is not None else []) == [one.value for one in alone.groups]


async def test_a_formula_has_a_plot_too(world, lens):
    """Each point is the formula over the points of its metrics."""
    kpi = make_kpi(
        "credits_each", "credits / runs", form="number", unit="1", doc="", higher_is_worse=True, catalogue=CATALOGUE
    )
    asked = {"by": ["project"], "where": [], "window": WINDOW, "step": "1d"}
    found = await query_page(replace(lens, catalogue=CATALOGUE.extended([kpi])), metric="credits_each", **asked)
    for line in found.plot.lines:
        for at, value in zip(found.plot.at, line.values, strict=True):
            runs = [
                one
                for one in inside(world.runs, **line.labels)
                if format_ms(max(WINDOW.since_ms, one["stopped"] // DAY * DAY)) == at
            ]
            ran = sum(one["status"] != "not_run" for one in runs)
            assert (sum(one["credits"] for one in runs) / ran if ran else None) == value


async def test_builds_are_the_last_ones(world, lens):
    """However short the window is: of the default branch, of a chosen one; medians by day are those of the days."""
    page = await project_builds(lens, project=WEB, window=read_window(None, None, "2h", now_ms=NOW), branch="fix/a")
    newest = sorted((one for one in world.runs if one["project"] == WEB), key=lambda one: -one["stopped"])
    ran = [one for one in newest if one["stopped"] < NOW]
    assert [one["id"] for one in ran if one["branch"] == "main"][:50] == [one.id for one in page.default_builds]
    assert [one["id"] for one in ran if one["branch"] == "fix/a"] == [one.id for one in page.branch_builds]
    assert {"main", "fix/a", "fix/b"} == set(page.branches)
    whole = await project_builds(lens, project=WEB, window=read_window(None, None, "400d", now_ms=NOW))
    assert (90, ()) == (len(whole.days.at) - 1, whole.branch_builds)
    counted = {line.metric: sum(line.n) for line in whole.days.lines}
    assert counted["duration_p50"] == sum(one["status"] == "success" and one["stopped"] < NOW for one in newest)


async def test_builds_of_all_projects_are_counted_right(world, lens):
    """Each project once, page by page, with the median of its successful runs and its branches."""
    first = await builds_page(lens, window=WINDOW, limit=2)
    second = await builds_page(lens, window=WINDOW, cursor=first.next, limit=2)
    lines = [*first.projects, *second.projects]
    assert (3, None) == (len(lines), second.next)
    for line in lines:
        runs = inside(world.runs, project=line.project)
        times = sorted((one["stopped"] - one["created"]) / 1000 for one in runs if one["status"] == "success")
        middle = times[math.ceil(len(times) / 2) - 1]
        assert line.build_time.value == pytest.approx(middle, rel=0.0101)
        assert line.branches == len({one["branch"] for one in runs if one["status"] != "not_run"})
        assert line.last_build is not None
        assert line.last_build.id == max(runs, key=lambda one: one["stopped"])["id"]
        assert (0, 0, 0) == (line.running, line.queued, line.on_hold)


async def test_rows_of_a_series_are_the_plot(lens):
    """Each point of each line of a query, once; a refusal of it is one of theirs."""
    rows = await series_page(lens, metric="runs", by=("project",), where=(), window=WINDOW, step="1d")
    page = await query_page(lens, metric="runs", by=("project",), where=(), window=WINDOW, step="1d")
    points = {
        (at, line.labels["project"]): value
        for line in page.plot.lines
        for at, value in zip(page.plot.at, line.values, strict=True)
    }
    assert (points, page.total, None) == (
        {(one.at, one.labels["project"]): one.value for one in rows.rows},
        rows.total,
        rows.next,
    )
    assert len(points) == len(rows.rows)
    assert sorted(one.at for one in rows.rows) == [one.at for one in rows.rows]
    assert "1h" == (await series_page(lens, metric="runs", by=(), where=(), window=Window(NOW - HOUR, NOW))).step
