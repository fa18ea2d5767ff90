"""Insights of the twin: what it lists, leaves out and computes."""

import json
from collections import Counter
from pathlib import Path
from statistics import median

import httpx
import pytest

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.insight_runs import Run
from headgate.testing.circleci.insight_stats import measure, ratio
from headgate.testing.circleci.times import DAY, HOUR, SECOND, parse

SAMPLES = Path(__file__).parents[3] / "data" / "circleci" / "api-v2"
NOW = parse("2026-11-20T12:00:00Z")
WEB = "/api/v2/insights/gh/acme/web"
MAIN = f"{WEB}/workflows/build-test-deploy"
SERIES = "/api/v2/insights/time-series/gh/acme/web/workflows/build-test-deploy/jobs"
LIVELY = {"seed": 11, "projects": 1, "runs_per_day": 20.0, "now_ms": NOW}


@pytest.fixture(scope="module")
def lively():
    """Run a frozen twin with 70 days of one project, whose Insights have no delay and pages of 40."""
    with Twin(Options(**LIVELY, days=70, knobs=Knobs(insights_delay=0, insights_page=40, tag_rate=0.1))) as running:
        yield running


@pytest.fixture(scope="module")
def truth(lively):
    """All workflows that ended, by id."""
    return {line["provider_id"]: line for line in lively.truth() if line["kind"] == "workflow"}


def walk(twin, path, **query):
    """Give the items of all pages."""
    items, token = [], None
    while True:
        page = twin.get(path, **query, **({"page-token": token} if token else {}))
        items += page["items"]
        token = page["next_page_token"]
        if token is None:
            return items


def dates(first, last):
    """Ask for the runs from one day's noon to another's."""
    return {"start-date": f"{first}T12:00:00Z", "end-date": f"{last}T12:00:00Z"}


def status(twin, path, **query):
    """Give the status of an answer."""
    return httpx.get(twin.base_url + path, params=query, headers={"circle-token": twin.token}).status_code


def shape(value):
    """Give the keys and kinds of a JSON value; a list has the shape of its first item, a null none."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_runs_are_those_the_truth_says_insights_can_tell(lively, truth):
    """Same ids, and every knowable value equal; nothing that runs, nothing of a tag."""
    names = [item["name"] for item in walk(lively, f"{WEB}/workflows", **{"all-branches": "true"})]
    assert ["build-test-deploy", "docs", "nightly"] == names
    listed = {
        run["id"]: (name, run)
        for name in names
        for run in walk(lively, f"{WEB}/workflows/{name}", **{"all-branches": "true"})
    }
    assert {key for key, line in truth.items() if line["knowable"]["insights"]} == listed.keys()
    assert {"branch"} == {truth[key]["final"]["vcs.ref.head.type"] for key in listed}
    for key, (name, run) in listed.items():
        line = truth[key]
        told = {
            "cicd.pipeline.name": name,
            "cicd.pipeline.run.id": key,
            "circleci.status": run["status"],
            "headgate.status": line["final"]["headgate.status"],
            "vcs.ref.head.name": run["branch"],
            "vcs.ref.head.type": "branch",
            "circleci.created_at": run["created_at"],
            "circleci.stopped_at": run["stopped_at"],
            "circleci.duration_ms": parse(run["stopped_at"]) - parse(run["created_at"]),
            "circleci.credits": run["credits_used"],
        }
        assert {attribute: line["final"][attribute] for attribute in line["knowable"]["insights"]} == told
        assert told["circleci.duration_ms"] // SECOND == run["duration"]
        assert line["credits"] == run["credits_used"]


def test_runs_come_newest_first_in_pages_of_the_size_set(lively):
    """Each run once; the last page has no token; a token of another list is refused."""
    first = lively.get(MAIN, **{"all-branches": "true"})
    assert 40 == len(first["items"])
    items = walk(lively, MAIN, **{"all-branches": "true"})
    assert sorted((item["created_at"] for item in items), reverse=True) == [item["created_at"] for item in items]
    assert len(items) == len({item["id"] for item in items})
    other = lively.get(SERIES)["next_page_token"]
    assert [400, 400] == [status(lively, MAIN, **{"page-token": token}) for token in (other[:-3], "xyz")]
    assert 400 == status(lively, f"{WEB}/workflows", **{"page-token": first["next_page_token"]})


def test_new_runs_do_not_disturb_a_walk():
    """What ends between two pages neither repeats nor skips a run."""
    with Twin(Options(**LIVELY, days=4, knobs=Knobs(insights_delay=0, insights_page=9))) as twin:
        before = [run["id"] for run in walk(twin, MAIN, **{"all-branches": "true"})]
        page = twin.get(MAIN, **{"all-branches": "true"})
        twin.advance(DAY // SECOND)
        seen = [run["id"] for run in page["items"]]
        rest = {"all-branches": "true", "page-token": page["next_page_token"]}
        seen += [run["id"] for run in twin.get(MAIN, **rest)["items"]]
    assert before[9] in seen
    assert len(seen) == len(set(seen))


def test_the_default_branch_alone_is_meant_unless_asked(lively):
    """One branch, another one, or all; the branches are listed, also of one workflow."""
    assert {"main"} == {run["branch"] for run in walk(lively, MAIN)}
    branches = lively.get(f"{WEB}/branches")
    assert {"org_id", "project_id", "branches"} == branches.keys()
    assert "main" in branches["branches"]
    other = next(name for name in branches["branches"] if name.startswith("feature/"))
    assert {other} == {run["branch"] for run in walk(lively, MAIN, branch=other)}
    everything = {run["branch"] for run in walk(lively, MAIN, **{"all-branches": "true"})}
    assert {"main", other} < everything <= set(branches["branches"])
    assert ["main"] == lively.get(f"{WEB}/branches", **{"workflow-name": "nightly"})["branches"]


def test_figures_of_a_workflow_follow_from_its_runs(lively):
    """Counts, rate with canceled runs in it, throughput, median and credits."""
    since = "2026-11-13T12:00:00Z"
    runs = walk(lively, MAIN, **{"start-date": since})
    found = {item["name"]: item for item in walk(lively, f"{WEB}/workflows", **{"reporting-window": "last-7-days"})}
    item = found["build-test-deploy"]
    metrics = item["metrics"]
    good = sum(run["status"] == "success" for run in runs)
    assert metrics["total_runs"] >= len(runs)
    assert (good, sum(run["status"] == "failed" for run in runs)) == (
        metrics["successful_runs"],
        metrics["failed_runs"],
    )
    assert good / len(runs) == metrics["success_rate"]
    assert sum(run["credits_used"] for run in runs) == metrics["total_credits_used"]
    assert int(median(run["duration"] for run in runs)) == metrics["duration_metrics"]["median"]
    assert min(run["created_at"] for run in runs) == item["window_start"]


def test_figures_of_jobs_count_each_build_once(lively):
    """Runs and credits by job are those of the truth, though reruns list builds of earlier runs again."""
    runs, spent = Counter(), Counter()
    for line in lively.truth():
        final = line["final"]
        main = final["cicd.pipeline.name"] == "build-test-deploy" and final["vcs.ref.head.type"] == "branch"
        if line["kind"] == "job" and main and "circleci.duration_ms" in final:
            runs[final["cicd.pipeline.task.name"]] += 1
            spent[final["cicd.pipeline.task.name"]] += line["credits"]
    jobs = {job["name"]: job["metrics"] for job in walk(lively, f"{MAIN}/jobs", **{"all-branches": "true"})}
    assert runs.keys() == jobs.keys()  # without the approval
    assert spent == {name: metrics["total_credits_used"] for name, metrics in jobs.items()}
    going_on = {name: metrics["total_runs"] - runs[name] for name, metrics in jobs.items()}
    assert set(going_on.values()) <= {0, 1}


def test_success_rate_counts_canceled_runs():
    """Two of four ended well, one was canceled, one goes on: two of three."""
    runs = [Run(0, SECOND, word, 1) for word in ("success", "canceled", "success")] + [Run(5, 0, "", 0)]
    found = measure(runs)
    assert (2 / 3, 4, 3, 0, 3) == (found.success_rate, found.total, found.completed, found.failed, found.credits)


def test_throughput_and_recovery_are_computed_as_in_the_real_sample():
    """82 runs in 6.8 days are 11.71 a day, one run in 26 minutes is one a day; recovery is from failure to success."""
    sample = json.loads((SAMPLES / "insights-workflows-metrics.json").read_text())
    for item in sample["items"]:
        start, end = parse(item["window_start"]), parse(item["window_end"])
        total = item["metrics"]["total_runs"]
        runs = [Run(start, end if at == 0 else start + SECOND, "success", 1) for at in range(total)]
        assert item["metrics"]["throughput"] == measure(runs).throughput
    bad, worse, good = Run(0, HOUR, "failed", 0), Run(0, 2 * HOUR, "failed", 0), Run(0, 4 * HOUR, "success", 0)
    assert (1, 3 * 3600) == (measure([good, bad, worse]).recoveries, measure([bad, worse, good]).mttr)
    assert (0, 0) == (measure([good]).recoveries, measure([good]).mttr)


@pytest.mark.parametrize(
    ("current", "before", "trend"),
    [(3, 2, 1.5), (2, 2, 1.0), (0, 2, 0.0), (None, 2, 0.0), (2, 0, -1.0), (2, None, -1.0), (0, 0, 1.0)],
)
def test_trends_are_ratios(current, before, trend):
    """1.0 is the same, -1.0 is infinite."""
    assert trend == ratio(current, before)


def test_trends_compare_with_the_window_before_up_to_30_days(lively):
    """Runs of seven days divided by those of the seven days before; 60 days are compared with nothing."""
    page = "/api/v2/insights/pages/gh/acme/web/summary"
    week = lively.get(page, **{"reporting-window": "last-7-days"})["project_data"]
    query = {"reporting-window": "last-7-days", "all-branches": "true"}
    items = lively.get(f"{WEB}/workflows", **query)["items"]
    assert sum(item["metrics"]["total_runs"] for item in items) == week["metrics"]["total_runs"]
    spans = [("2026-11-06", "2026-11-13"), ("2026-11-13", "2026-11-20")]
    before, now = (
        sum(
            len(walk(lively, f"{WEB}/workflows/{item['name']}", **dates(*span), **{"all-branches": "true"}))
            for item in items
        )
        for span in spans
    )
    assert now / before == pytest.approx(week["trends"]["total_runs"], rel=0.05)  # those that run are not listed
    long = lively.get(page, **{"reporting-window": "last-60-days"})["project_data"]
    assert {-1.0} == set(long["trends"].values())


def test_a_page_names_all_workflows_and_details_those_asked_for(lively):
    """Workflows and branches are described when they are named."""
    page = "/api/v2/insights/pages/gh/acme/web/summary"
    bare = lively.get(page)
    assert ([], []) == (bare["project_workflow_data"], bare["project_workflow_branch_data"])
    assert ["build-test-deploy", "docs", "nightly"] == bare["all_workflows"]
    assert "main" in bare["all_branches"]
    named = lively.get(page, **{"workflow-names": "nightly", "branches": "main"})
    assert ["nightly"] == [item["workflow_name"] for item in named["project_workflow_data"]]
    branch = named["project_workflow_branch_data"]
    assert [("nightly", "main")] == [(item["workflow_name"], item["branch"]) for item in branch]
    assert named["project_workflow_data"][0]["metrics"] == branch[0]["metrics"]


def test_an_organization_has_no_project_data_unless_projects_are_named(twin):
    """The names of all projects are there in any case."""
    path = "/api/v2/insights/gh/acme/summary"
    assert ([], ["web"]) == tuple(twin.get(path)[key] for key in ("org_project_data", "all_projects"))
    named = twin.get(path, **{"project-names": "web"})
    assert ["web"] == [item["project_name"] for item in named["org_project_data"]]
    for name, value in named["org_project_data"][0]["metrics"].items():
        assert named["org_data"]["metrics"][name] == value


def test_a_summary_has_90_days_and_nulls_where_nothing_ran(lively):
    """Completed runs are those of the list; on a branch without runs of it everything nullable is null."""
    told = lively.get(f"{MAIN}/summary", **{"all-branches": "true"})
    assert len(walk(lively, MAIN, **{"all-branches": "true"})) == told["metrics"]["completed_runs"]
    assert ["build-test-deploy", "docs", "nightly"] == told["workflow_names"]
    empty = lively.get(f"{WEB}/workflows/nightly/summary", branch="no-such-branch")["metrics"]
    assert {None} == {empty[name] for name in ("mttr", "completed_runs", "total_credits_used")}
    assert {None} == set(empty["duration_metrics"].values())
    assert (0, 0.0) == (empty["total_runs"], empty["success_rate"])


def test_running_workflows_count_but_have_no_durations():
    """Of runs that take days, totals are there and statistics are null."""
    knobs = Knobs(insights_delay=0, duration_factor=500.0, tag_rate=0, errored_rate=0, cancel_rate=0, error_rate=0)
    with Twin(seed=3, days=1, projects=1, runs_per_day=40, now_ms=NOW, knobs=knobs) as young:
        items = young.get(f"{WEB}/workflows", **{"all-branches": "true"})["items"]
        metrics = next(item["metrics"] for item in items if item["name"] == "nightly")
        runs = young.get(f"{WEB}/workflows/nightly", **{"all-branches": "true"})["items"]
        jobs = young.get(f"{WEB}/workflows/nightly/jobs")["items"]
    assert [] == runs
    assert metrics["total_runs"] > 0
    nullable = ("mttr", "total_recoveries", "total_credits_used")
    assert {None} == {metrics[name] for name in nullable} | set(metrics["duration_metrics"].values())
    assert {None} == {value for job in jobs for value in job["metrics"]["duration_metrics"].values()}


@pytest.mark.parametrize(
    ("mode", "delay", "until"),
    [
        ("cloud", 86_400.0, NOW - DAY),
        ("cloud", 3_600.0, NOW - HOUR),
        ("server", 86_400.0, parse("2026-11-20T03:00:00Z")),
        ("server", 0.0, NOW),
    ],
)
def test_what_ended_lately_is_not_in_it_yet(mode, delay, until):
    """On the cloud for the delay, on a Server until the rebuild at 03:00; the truth agrees."""
    with Twin(Options(**LIVELY, days=3, mode=mode, knobs=Knobs(insights_delay=delay))) as twin:
        names = [item["name"] for item in walk(twin, f"{WEB}/workflows", **{"all-branches": "true"})]
        paths = [f"{WEB}/workflows/{name}" for name in names]
        got = {run["id"]: run for path in paths for run in walk(twin, path, **{"all-branches": "true"})}
        ended = {line["provider_id"]: line for line in twin.truth() if line["kind"] == "workflow"}
    in_time = {
        key
        for key, line in ended.items()
        if parse(line["final"]["circleci.stopped_at"]) <= until and line["final"]["vcs.ref.head.type"] == "branch"
    }
    assert in_time == got.keys() == {key for key, line in ended.items() if line["knowable"]["insights"]}
    assert len(in_time) > 10


def test_hourly_series_of_a_server_are_rebuilt_at_minute_35():
    """Daily figures end at 03:00, hourly ones at 11:35."""
    with Twin(Options(**LIVELY, days=3, mode="server")) as twin:
        ends = [
            max(item["max_ended_at"] for item in walk(twin, SERIES, granularity=granularity))
            for granularity in ("daily", "hourly")
        ]
    assert ends[0] <= "2026-11-20T03:00:00.000Z" < ends[1] <= "2026-11-20T11:35:00.000Z"


def test_series_have_one_item_per_job_and_interval(lively):
    """Hours of two days or days of 90, newest first, that add up to the list of jobs."""
    hourly = walk(lively, SERIES, granularity="hourly")
    assert all(item["timestamp"].endswith(":00:00Z") for item in hourly)
    assert min(item["min_started_at"] for item in hourly) >= "2026-11-18T12:00:00.000Z"
    daily = walk(lively, SERIES)
    places = [(item["timestamp"], item["name"]) for item in daily]
    assert len(places) == len(set(places))
    assert sorted((day for day, _name in places), reverse=True) == [day for day, _name in places]
    assert all(day.endswith("T00:00:00Z") for day, _name in places)
    jobs = {job["name"]: job["metrics"]["total_runs"] for job in walk(lively, f"{MAIN}/jobs")}
    added = dict.fromkeys(jobs, 0)
    for item in daily:
        added[item["name"]] += item["metrics"]["total_runs"]
    assert jobs == added


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        (MAIN, {"end-date": "2026-11-01T00:00:00Z"}, 400),
        (MAIN, {"start-date": "2026-06-01T00:00:00Z", "end-date": "2026-11-01T00:00:00Z"}, 400),
        (MAIN, {"start-date": "2026-08-22T12:00:00Z"}, 200),
        (MAIN, {"start-date": "2026-08-22T11:59:59Z"}, 400),
        (MAIN, {"start-date": "yesterday"}, 400),
        (f"{WEB}/workflows", {"reporting-window": "last-8-days"}, 400),
        (SERIES, {"granularity": "weekly"}, 400),
        (f"{WEB}/workflows/release", {}, 404),
        (f"{WEB}/workflows/nothing/jobs", {}, 404),
        ("/api/v2/insights/gh/acme/nothing/workflows", {}, 404),
        ("/api/v2/insights/gh/nobody/summary", {}, 404),
        ("/api/v2/insights/github/acme/web/workflows", {}, 200),
    ],
)
def test_questions_without_an_answer(lively, path, query, expected):
    """Wrong dates, windows and names; a workflow that only tags start is unknown to Insights."""
    assert expected == status(lively, path, **query)


def test_dates_limit_the_list(lively):
    """From the first moment on, up to but without the second."""
    runs = walk(lively, MAIN, **dates("2026-11-10", "2026-11-12"))
    everything = [run["created_at"] for run in walk(lively, MAIN)]
    wanted = [at for at in everything if "2026-11-10T12" <= at < "2026-11-12T12"]
    assert wanted == [run["created_at"] for run in runs]
    edge = everything[3]
    assert [edge] == [run["created_at"] for run in walk(lively, MAIN, **{"start-date": edge})][-1:]
    query = {"start-date": "2026-11-01T00:00:00Z", "end-date": edge}
    assert everything[4] == lively.get(MAIN, **query)["items"][0]["created_at"]


def test_keys_and_kinds_are_those_of_the_real_samples(lively):
    """What is there besides came to the API after the samples were taken."""
    real = {
        name: shape(json.loads((SAMPLES / f"insights-{name}.json").read_text()))
        for name in ("workflow-runs", "workflows-metrics", "workflow-jobs-shape")
    }
    runs, workflows, jobs = (
        shape(lively.get(path) | {"next_page_token": None}) for path in (MAIN, f"{WEB}/workflows", f"{MAIN}/jobs")
    )
    assert "str" == runs["items"][0].pop("branch")
    assert "bool" == type(lively.get(MAIN)["items"][0]["is_approval"]).__name__
    assert runs["items"][0].pop("is_approval")
    assert "str" == workflows["items"][0].pop("project_id")
    assert "number" == workflows["items"][0]["metrics"].pop("total_recoveries")
    assert real == {"workflow-runs": runs, "workflows-metrics": workflows, "workflow-jobs-shape": jobs}
