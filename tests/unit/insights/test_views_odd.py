"""Views of little, of nothing and of hostile names; what goes on now; what got worse; one run."""

from dataclasses import replace

import orjson
import pytest
from tests.unit.insights.fakes import WEB, outcome
from tests.unit.insights.world import NOW as WORLD_NOW
from tests.unit.insights.world import World, tell

from headgate.core.clock import ManualClock
from headgate.core.merge import Observation, ProjectRef
from headgate.core.release import ReleasePolicy
from headgate.core.runrows import LiveRow
from headgate.core.storeport import MergeWork
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.insights.failing import FailingTest, rank_failing
from headgate.insights.views.ask import query_page, series_page
from headgate.insights.views.credits import credits_page
from headgate.insights.views.figures import Trend
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.live import STUCK_SECONDS, now_view
from headgate.insights.views.overview import overview
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.refusal import Refused
from headgate.insights.views.run import run_page
from headgate.insights.views.runs import runs_page
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.window import read_window
from headgate.insights.views.workflow import workflow_page
from headgate.insights.views.worse import find_worse, with_causes
from headgate.store import MemoryStore
from headgate.testing.store_data import JOB, NOW, PROJECT, WORKFLOW, job, merge, pipeline, seen, workflow

WINDOW = read_window(None, None, "7d", now_ms=NOW)
MARKUP = "<script>alert('x')</script>&\"%0a{{7*7}}"
NAMES = {
    "markup": MARKUP,
    "right to left": "\u202egnp.exe \u05d0\u05d1",
    "long": "b" * 300,
    "separators": "a,b|c=d\n\te/../f",
}


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    yield made
    await made.close()


def lens(store):
    return Lens(store, NOW)


def id_of(number):
    return f"00000000-0000-4000-8000-{number:012d}"


async def all_pages(store, name="build", task="test", project=PROJECT.slug):
    """Every page about a project, as data that JSON can hold."""
    at, asked = lens(store), {"project": project, "window": WINDOW}
    pages = [
        await overview(at, window=WINDOW),
        await projects_page(at, window=WINDOW),
        await project_page(at, step="1d", **asked),
        await workflow_page(at, workflow=name, step="1d", **asked),
        await job_page(at, workflow=name, job=task, step="1d", **asked),
        await runs_page(at, **asked),
        await page_of_tests(at, **asked),
        await credits_page(at, by="job", step="1d", **asked),
    ]
    return [orjson.loads(orjson.dumps(page)) for page in pages]


@pytest.mark.parametrize("evil", NAMES.values(), ids=NAMES)
async def test_names_are_kept_as_they_are(store, evil):
    """In every place that somebody outside can write: branch, workflow, job, step, author, commit message, test."""
    mine = pipeline(ref_name=evil, commit_subject=evil, author_login=evil, trigger_type=evil)
    step = seen("step", id_of(1), {"job_id": JOB, "name": evil, "status": "failed", "stopped_at": NOW - 1})
    told = {"job_id": JOB, "name": evil, "class_name": evil, "file": evil, "result": "fail", "stopped_at": NOW}
    test = seen("test_result", id_of(2), told | {"test_id": id_of(3), "run_ms": 5})
    await merge(store, mine, workflow(name=evil), job(name=evil, resource_class=evil, credits=3), step, test)
    _, cards, page, flow, one, runs, tests, money = await all_pages(store, evil, evil)
    assert (evil, evil) == (cards["projects"][0]["last_run"]["branch"], page["workflows"][0]["workflow"])
    assert (evil, evil) == (page["branches"][0]["branch"], flow["jobs"][0]["job"])
    assert (evil, evil) == (one["job"], one["resource_classes"][0]["resource_class"])
    assert (evil, evil) == (runs["runs"][0]["trigger"], money["lines"][0]["labels"]["job"])
    assert (f"{evil}.{evil}", evil) == (tests["failing"][0]["name"], tests["slowest"][0]["file"])
    run = await run_page(lens(store), run=WORKFLOW)
    assert (evil,) * 5 == (run.branch, run.author, run.subject, run.jobs[0].job, run.jobs[0].steps[0].step)
    filtered = await runs_page(
        lens(store), project=PROJECT.slug, window=WINDOW, filters=Filters(branch=evil, trigger=evil)
    )
    assert [WORKFLOW] == [one.id for one in filtered.runs]


async def test_without_anything_there_is_an_empty_overview(store):
    """No project, no value, no failure."""
    page = await overview(lens(store), window=WINDOW)
    assert ((), (), 0) == (page.projects, page.worse, len(page.now.rows))
    assert {None} == {one.value for one in page.totals.values()}
    assert () == (await projects_page(lens(store), window=WINDOW)).projects
    with pytest.raises(Refused, match="no data"):
        await project_page(lens(store), project="gh/acme/web", window=WINDOW, step="1d")


async def test_a_project_without_runs_in_the_window(store):
    """It is listed, its page has no value, nor has that of its workflow; others are not known."""
    old = NOW - 90 * DAY_MS
    await merge(store, pipeline(), workflow(created_at=old - 1, stopped_at=old))
    (card,) = (await projects_page(lens(store), window=WINDOW)).projects
    assert ("idle", 0, None, None) == (card.health, card.branches, card.last_run, card.figures["runs"].value)
    page = await project_page(lens(store), project=PROJECT.slug, window=WINDOW, step="1d")
    assert ((), (), "idle") == (page.workflows, page.last_builds, page.health)
    assert {None} == {value for line in page.plot.lines for value in line.values}
    of = await workflow_page(lens(store), project=PROJECT.slug, workflow="build", window=WINDOW, step="1d")
    assert ((), "idle", None) == (of.jobs, of.health, of.figures["runs"].value)
    with pytest.raises(Refused) as refused:
        await workflow_page(lens(store), project=PROJECT.slug, workflow="ship", window=WINDOW, step="1d")
    assert ("unknown-workflow", ()) == (refused.value.kind, refused.value.valid)


async def test_one_run_is_a_whole_page(store):
    """Quantiles of one value are that value; there is nothing to compare it with."""
    await merge(store, pipeline(), workflow(credits=7), job(queued_at=NOW - 6_000, credits=7))
    _, _, page, flow, one, runs, _, money = await all_pages(store)
    for figures in (page["figures"], flow["figures"]):
        assert (1.0, 1.0, 7.0) == tuple(figures[name]["value"] for name in ("runs", "success_rate", "credits"))
        assert figures["duration_p50"]["value"] == figures["duration_p95"]["value"] == pytest.approx(8, rel=0.0101)
        assert (None, None, "unknown") == tuple(figures["runs"][name] for name in ("previous", "change", "direction"))
    assert (1, 1.0) == (len(one["runs"]), one["runs"][0]["queue"])
    assert (1, None, 1.0) == (len(runs["runs"]), runs["next"], money["lines"][0]["share"])


async def test_when_everything_failed(store):
    """Success is 0, not unknown; durations of successes are unknown, not 0."""
    ends = [workflow(id_of(number), status="failed", stopped_at=NOW - number) for number in range(5)]
    await merge(store, pipeline(), *ends, job(status="failed", workflow_id=id_of(0)))
    overall, cards, page, flow, _, _, _, _ = await all_pages(store)
    for figures in (overall["totals"], cards["projects"][0]["figures"], page["figures"], flow["figures"]):
        assert (0.0, 5.0, None) == tuple(
            figures[name]["value"] for name in ("success_rate", "failed_runs", "duration_p95")
        )
    assert ("bad", "bad") == (overall["projects"][0]["health"], page["health"])


async def test_what_was_skipped_is_there_without_a_value(store):
    """A workflow and a job that never ran are known: their runs are listed, and nothing counts."""
    await merge(store, pipeline(), workflow(status="not_run"), job(status="not_run"))
    overall, _, page, flow, one, runs, _, _ = await all_pages(store)
    for figures in (overall["totals"], page["figures"], flow["figures"]):
        assert None is figures["runs"]["value"]
    assert ([WORKFLOW], [JOB]) == ([run["id"] for run in runs["runs"]], [run["id"] for run in one["runs"]])
    assert [WORKFLOW] == [run["id"] for run in page["last_builds"]]


async def test_builds_of_a_branch_are_as_many_as_asked_for(store):
    """However many of other branches came after them; jobs too."""
    places = ["rare" if number % 10 == 0 else "main" for number in range(40)]
    runs = [workflow(id_of(n), ref_name=name, stopped_at=NOW - 40 + n) for n, name in enumerate(places)]
    jobs = [job(id_of(100 + n), workflow_id=id_of(n), number=n, stopped_at=NOW - 40 + n) for n in range(40)]
    await store.merge_and_release(MergeWork("ci", [pipeline(), *runs, *jobs], ReleasePolicy("none"), NOW, 0))
    asked = {"project": PROJECT.slug, "window": WINDOW, "step": "1d", "filters": Filters(branch="rare")}
    page = await project_page(lens(store), builds=3, **asked)
    assert [id_of(30), id_of(20), id_of(10)] == [one.id for one in page.last_builds]
    found = await job_page(lens(store), workflow="build", job="test", limit=3, **asked)
    assert [id_of(130), id_of(120), id_of(110)] == [one.id for one in found.runs]


# -- now


def live(kind, status, ago_seconds, **more):
    base = {"id": f"{kind}{ago_seconds}", "project": WEB, "workflow": "build", "job": "", "ref": "main"}
    times = {"since_ms": NOW - ago_seconds * 1000, "created_ms": 0}
    return LiveRow(kind=kind, status=status, theirs=status, branch_class=1, url="", **(base | times | more))


def test_what_goes_on_is_counted_and_what_is_stuck_comes_first():
    """By what is usual there; what waits for a person is never stuck; what was not read is counted."""
    rows = [
        live("workflow", "running", 100),
        live("workflow", "running", 2 * STUCK_SECONDS, workflow="slow"),
        live("workflow", "running", STUCK_SECONDS + 1),
        live("workflow", "on_hold", 9 * DAY_MS),
        live("job", "queued", STUCK_SECONDS + 2, job="test"),
    ]
    usual = {(WEB, "slow"): STUCK_SECONDS, (WEB, "build"): 60.0}
    counts = {"running": 3, "queued": 5, "on_hold": 1}
    now = now_view(rows, now_ms=NOW, usual_run=usual, usual_wait={WEB: 5.0}, counts=counts, most=5)
    assert (3, 5, 1, 2, 4, 4) == (now.running, now.queued, now.on_hold, now.stuck, now.unlooked, now.more)
    assert [True, True, False, False, False] == [one.stuck for one in now.rows]
    assert (STUCK_SECONDS + 2, "job", format_ms(NOW - (STUCK_SECONDS + 2) * 1000)) == (
        now.rows[0].seconds, now.rows[0].kind, now.rows[0].since,
    )  # fmt: skip


# -- worse


def trend(value, previous, n=100, previous_n=100):
    return Trend(value, n, None, False, previous, previous_n, value - previous, "worse")


def group(name, **figures):
    even = {"success_rate": trend(0.9, 0.9), "duration_p95": trend(60, 60), "credits": trend(10, 10)}
    return (("project", WEB), ("workflow", name)), even | figures


def test_what_got_worse_is_more_than_chance():
    """A drop of few runs, a small one, and what got better are left out; the worst is first."""
    groups = dict(
        [
            group("same"),
            group("dropped", success_rate=trend(0.5, 0.95)),
            group("few", success_rate=trend(0.5, 0.9, 4, 4)),
            group("chance", success_rate=trend(0.82, 0.9, 12, 12)),
            group("slower", duration_p95=trend(120, 60)),
            group("better", duration_p95=trend(30, 60), success_rate=trend(1.0, 0.5)),
        ]
    )
    assert [("dropped", "success_rate"), ("slower", "duration_p95")] == [
        (one.workflow, one.metric) for one in find_worse(groups, most=9)
    ]
    assert 1 == len(find_worse(groups, most=1))


def test_jobs_that_grew_are_the_reason():
    """Of the same workflow, largest first; one that is new grew from nothing, and one that grew little is none."""
    slower = find_worse(dict([group("build", duration_p95=trend(120, 60))]), most=9)
    none = Trend(None, 0, None, False, None, 0, None, "unknown")

    def line(workflow_name, name, one, wait=none):
        figures = {"duration_p95_of_jobs": one, "approval_wait_p95": wait, "failed_runs_of_jobs": trend(1, 0)}
        return (("job", name), ("project", WEB), ("workflow", workflow_name)), figures

    new = Trend(40, 9, None, False, None, 0, None, "unknown")
    jobs = dict(
        [
            line("build", "test", trend(90, 40)),
            line("build", "lint", trend(5, 6)),
            line("build", "docs", trend(10.9, 5)),
            line("build", "hold", none, trend(66, 60)),
            line("build", "new", new),
            line("other", "test", trend(900, 1)),
        ]
    )
    (told,) = with_causes(slower, jobs)
    assert [("test", 50), ("new", 40), ("hold", 6)] == [(one.job, one.change) for one in told.because]
    assert "approval_wait_p95" == told.because[-1].metric
    failing = find_worse(dict([group("build", success_rate=trend(0.5, 0.9))]), most=9)
    assert 3 == len(with_causes(failing, jobs)[0].because)


async def reasons(store, of):
    """Each reason that the overview gives, with what the page of its job says under the same filters."""
    await tell(store, World(400).told())
    window, at = read_window(None, None, "4d", now_ms=WORLD_NOW), Lens(store, WORLD_NOW)
    worse = (await overview(at, window=window, filters=of)).worse
    assert worse
    for one in worse:
        for cause in one.because:
            place = {"project": one.project, "workflow": one.workflow, "job": cause.job}
            figures = (await job_page(at, **place, window=window, step="1d", filters=replace(of, org=""))).figures
            yield cause, figures[cause.metric]


@pytest.mark.parametrize("of", [Filters(), Filters(branch_class="@default"), Filters(org="gh/beta")])
async def test_reasons_are_of_what_filters_take(store, of):
    """What a job is said to have grown from and to is what its own page says with the same filters."""
    found = [(cause.value, cause.previous, figure) async for cause, figure in reasons(store, of)]
    assert found
    assert all((value, previous) == (figure.value, figure.previous) for value, previous, figure in found)


@pytest.mark.parametrize("of", [Filters(branch="main"), Filters(trigger="api")])
async def test_reasons_of_a_branch_are_on_other_pages(store, of):
    """Those of all branches would be wrong, and reading all jobs of a branch slow."""
    assert [] == [cause async for cause, _ in reasons(store, of)]


# -- one run and tests


async def test_a_run_is_a_waterfall(store):
    """Waits, approvals and execution in seconds from its begin; the path by what jobs require; steps of each job."""
    ids = [id_of(number) for number in range(4)]
    begin = NOW - 100_000

    def told(place, name, times, **more):
        fields = {"name": name, "workflow_id": WORKFLOW, "status": "success"}
        fields |= dict(zip(("queued_at", "started_at", "stopped_at"), (begin + 1000 * at for at in times), strict=True))
        return seen("job", ids[place], fields | more, terminal=True)

    hold = {"name": "hold", "type": "approval", "workflow_id": WORKFLOW, "status": "success", "requires": [ids[0]]}
    hold |= {"started_at": begin + 20_000, "stopped_at": begin + 50_000}
    step = {
        "job_id": ids[0],
        "name": "make",
        "status": "success",
        "started_at": begin + 4000,
        "stopped_at": begin + 9000,
    }
    await merge(
        store,
        pipeline(),
        workflow(created_at=begin, stopped_at=begin + 90_000),
        told(0, "build", (0, 2, 20), number=1),
        told(1, "lint", (0, 1, 10)),
        seen("job", ids[2], hold, terminal=True),
        told(3, "deploy", (50, 60, 90), requires=[ids[2]]),
        seen("step", id_of(9), step),
    )
    page = await run_page(lens(store), run=WORKFLOW)
    build, lint, held, deploy = (next(one for one in page.jobs if one.id == name) for name in ids)
    assert ((ids[0], ids[2], ids[3]), True, 90.0) == (page.critical_path, page.critical_path_known, page.duration)
    assert (2.0, 18.0, 10.0, 20.0) == (build.queue, build.duration, build.exclusive, build.critical_share)
    assert (False, 0.0) == (lint.critical, lint.critical_share)
    assert (None, None, 30.0, 30.0) == (held.queue, held.duration, held.approval_wait, held.critical_share)
    assert (50.0, 60.0, 90.0, 10.0) == (deploy.begin, deploy.started, deploy.ended, deploy.queue)
    (made,) = build.steps
    assert ("make", 4.0, 5.0) == (made.step, made.begin, made.duration)
    assert build.url.endswith(f"{WORKFLOW}/jobs/1")
    with pytest.raises(Refused, match="nothing is known"):
        await run_page(lens(store), run="nothing")


async def test_time_of_which_nothing_is_known_is_charged_to_no_job(store):
    """History has no approvals: between two jobs there may have been one."""
    begin = NOW - 9_000_000

    def told(place, name, *times, **more):
        fields = {"name": name, "workflow_id": WORKFLOW, "status": "success"} | more
        fields |= dict(zip(("queued_at", "started_at", "stopped_at"), (begin + 1000 * at for at in times), strict=True))
        return seen("job", id_of(place), fields, terminal=True)

    history = (told(0, "build", 0, 5, 400), told(1, "deploy", 8900, 8906, 9000))
    await merge(store, pipeline(), workflow(created_at=begin, stopped_at=NOW), *history)
    page = await run_page(lens(store), run=WORKFLOW)
    shares = {job.job: job.critical_share for job in page.jobs}
    assert ({"build": 400.0, "deploy": 100.0}, 8500.0, False) == (shares, page.critical_gap, page.approvals_known)
    await merge(store, told(0, "build", 0, 5, 400, type="build"))
    assert (await run_page(lens(store), run=WORKFLOW)).approvals_known


async def test_a_run_that_goes_on_is_told_up_to_now(store):
    """What waits or runs has lasted until now; what has not begun has no time."""
    late = {"name": "ship", "number": 8, "workflow_id": WORKFLOW, "status": "blocked"}
    await merge(store, pipeline(), workflow(ended=False), job(ended=False), seen("job", id_of(1), late))
    page = await run_page(Lens(store, NOW + HOUR_MS), run=WORKFLOW)
    running, blocked = sorted(page.jobs, key=lambda one: one.job, reverse=True)
    assert (False, None, 3608.0, 3605.0) == (page.ended, page.stopped_at, page.duration, running.duration)
    assert (None, None, None, False) == (blocked.started, blocked.queue, blocked.duration, blocked.critical)


def test_failing_tests_are_those_that_never_passed_on_a_commit():
    """On most commits first; what passed there too is flaky, not failing."""
    tests = {}
    for one in (
        outcome("a", "r1", 0, 1),
        outcome("b", "r1", 0, 2),
        outcome("b", "r2", 0, 1),
        outcome("c", "r1", 1, 1),
    ):
        tests.setdefault(one.test_id, FailingTest(WEB, one.test_id, one.name)).add(one)
    assert [("b", 2, 3), ("a", 1, 1)] == [(one.name, one.commits, one.failed) for one in rank_failing(tests.values())]


async def test_lists_of_tests_go_on_where_the_page_ended(store):
    """One list or all of them; filters that tests do not know are refused."""
    await merge(store, pipeline(revision="r"), workflow(), job())
    for number in range(5):
        told = {"job_id": JOB, "name": f"t{number}", "result": "fail", "run_ms": 1000 * number, "stopped_at": NOW}
        await merge(store, seen("test_result", id_of(number), told | {"test_id": id_of(50 + number)}))
    asked = {"window": WINDOW, "lists": ("slowest",), "limit": 3}
    first = await page_of_tests(lens(store), **asked)
    second = await page_of_tests(lens(store), cursor=first.next, **asked)
    assert ["t4", "t3", "t2", "t1", "t0"] == [one.name for one in (*first.slowest, *second.slowest)]
    assert ((), 5, 5, None) == (first.failing, first.tests, first.failing_tests, second.next)
    with pytest.raises(Refused, match="branch"):
        await page_of_tests(lens(store), window=WINDOW, filters=Filters(branch="main"))


async def test_runs_of_one_millisecond_are_each_on_one_page(store):
    """However many there are, and whatever the page's length."""
    ends = [workflow(id_of(number), stopped_at=NOW - number // 9) for number in range(20)]
    await store.merge_and_release(MergeWork("ci", [pipeline(), *ends], ReleasePolicy("none"), NOW, 0))
    found, cursor = [], None
    while True:
        page = await runs_page(lens(store), project=PROJECT.slug, window=WINDOW, cursor=cursor, limit=2)
        found += [one.id for one in page.runs]
        cursor = page.next
        if cursor is None:
            break
    assert (20, 20) == (len(found), len(set(found)))


async def test_runs_take_one_question(store, monkeypatch):
    """However rare those are that are asked for: the store finds them, and the answer is whole."""
    ends = [workflow(id_of(number), stopped_at=NOW - number, ref_name="main") for number in range(30)]
    ends[-1] = workflow(id_of(29), stopped_at=NOW - 29, ref_name="fix", status="failed")
    await store.merge_and_release(MergeWork("ci", [pipeline(), *ends], ReleasePolicy("none"), NOW, 0))
    newest, limits = store.newest_runs, []

    async def counted(names, **asked):
        limits.append(asked["limit"])
        return await newest(names, **asked)

    monkeypatch.setattr(store, "newest_runs", counted)
    for more in ({"filters": Filters(branch="fix")}, {"status": "failure"}):
        page = await runs_page(lens(store), project=PROJECT.slug, window=WINDOW, limit=2, **more)
        assert ([id_of(29)], None) == ([one.id for one in page.runs], page.next)
    assert [3, 3] == limits


async def test_a_project_by_any_form_of_its_slug(store):
    """One that is not known is answered with the nearest names."""
    other = ProjectRef("circleci.com", "gh/acme/webapp", "gh/acme", None)
    await merge(store, pipeline(), Observation("pipeline", id_of(1), other, "v2", NOW, False, {"number": 1}))
    assert "gh/acme/web" == (await lens(store).project("github/acme/web")).project
    with pytest.raises(Refused) as refused:
        await lens(store).project("gh/acme/wep")
    assert ("project", ("gh/acme/web", "gh/acme/webapp")) == (refused.value.parameter, refused.value.valid)


async def test_no_duration_of_a_run_is_negative(store):
    """Where clocks of machines differ something ends before it begins: it has taken nothing, as lists say."""
    held = {"type": "approval", "created_at": NOW - 9_000, "started_at": NOW - 5_000, "stopped_at": NOW - 8_000}
    worked = {"queued_at": NOW - 5_000, "started_at": NOW - 9_000, "stopped_at": NOW - 15_000}
    step = {"job_id": JOB, "name": "make", "node": 0, "started_at": NOW + 1_000, "stopped_at": NOW - 3_000}
    await merge(
        store,
        pipeline(),
        workflow(created_at=NOW - 10_000, stopped_at=NOW - 20_000),
        job(created_at=NOW - 10_000, **worked),
        job(id_of(1), name="hold", **held),
        seen("step", id_of(9), step),
    )
    page = await run_page(lens(store), run=WORKFLOW)
    assert 0 == page.duration == (await runs_page(lens(store), project="gh/acme/web", window=WINDOW)).runs[0].duration
    by_name = {one.job: one for one in page.jobs}
    assert (0, 0) == (by_name["test"].queue, by_name["test"].duration)
    assert 0 == by_name["hold"].approval_wait
    assert [0] == [one.duration for one in by_name["test"].steps]


async def test_an_approval_runs_beside_nobody(store):
    """A person waits or works elsewhere: a job beside ran alone, and the approval did not run."""
    hold = {"name": "hold", "type": "approval", "started_at": NOW - 100_000, "stopped_at": NOW}
    built = {"queued_at": NOW - 100_000, "started_at": NOW - 100_000, "stopped_at": NOW - 40_000}
    run = workflow(created_at=NOW - 100_000, stopped_at=NOW)
    await merge(store, pipeline(), run, job(**built), job(id_of(1), **hold))
    page = await run_page(lens(store), run=WORKFLOW)
    assert {"test": 60.0, "hold": 0.0} == {one.job: one.exclusive for one in page.jobs}
    assert {"test": None, "hold": 100.0} == {one.job: one.approval_wait for one in page.jobs}


async def test_plots_and_rows_have_every_group_of_the_page(store):
    """However many a page has; the rest is counted and comes with the following pages."""
    for number in range(250):
        pushed = pipeline(id_of(number), ref_name=f"b{number:03}")
        at = {"created_at": NOW - 9_000, "stopped_at": NOW - 1_000 - number}
        await merge(store, pushed, workflow(id_of(1000 + number), pipeline_id=id_of(number), **at))
    asked = {"metric": "runs", "by": ["branch"], "where": [], "window": WINDOW, "step": "1d"}
    whole = await query_page(lens(store), **asked, limit=500)
    assert [250, 250] == [len(whole.groups), len(whole.plot.lines)]
    first = await series_page(lens(store), **asked)
    second = await series_page(lens(store), **asked, cursor=first.next)
    pages = (first, second)
    assert [(250, 200), (250, 50)] == [(one.total, len({row.labels["branch"] for row in one.rows})) for one in pages]
    assert (250, None) == (sum(row.value or 0 for one in pages for row in one.rows), second.next)
