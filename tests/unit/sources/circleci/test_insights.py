"""Insights against the twin: what is asked, how often, and what is left out where a right or a thing is missing."""

import pytest
from structlog.testing import capture_logs
from tests.unit.collect.fakes import Recorder

from headgate.core.clock import SystemClock
from headgate.core.errors import SourceRefused
from headgate.core.ports import BuildContext, Scope
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.plugins import build_plugin, load_plugins
from headgate.sources.circleci import CircleCIConfig
from headgate.sources.circleci.config import InsightsConfig
from headgate.sources.circleci.insights import insights_cost
from headgate.testing.circleci import Knobs, Twin

EVERYTHING = ["org", "project", "workflows", "jobs", "series", "tests", "flaky", "branches"]
WINDOWS = ("last-7-days", "last-30-days")
RIGHTS = {"blind": {"lacks": ["insights"]}, "gone": {"revoked": True}}


@pytest.fixture(scope="module")
def twin():
    """A week of four projects: GitHub OAuth, GitHub App, GitLab and Bitbucket."""
    knobs = Knobs(insights_delay=0, flaky_share=1.0, rerun_rate=0.9, branch_success_rate=0.6)
    with Twin(seed=5, days=7, projects=5, runs_per_day=14, rights=RIGHTS, knobs=knobs) as running:
        yield running


@pytest.fixture
async def make(twin):
    """Builds sources that talk to the twin and know its projects, and closes them."""
    made = []

    async def build(**fields):
        settings = {"token": twin.token, "base_url": twin.base_url, "orgs": twin.about()["orgs"], "budget": WIDE}
        config = CircleCIConfig.model_validate(settings | {"poll": {"initial": "30d"}} | fields)
        context = BuildContext(SystemClock(), Recorder(), "headgate/test")
        source = build_plugin(load_plugins().find("source", "circleci"), "ci", config, context)
        made.append(source)
        return source

    yield build
    twin.clear_faults()
    for source in made:
        await source.aclose()


WIDE = {"per_second": 100_000, "burst": 10_000}


async def _read(source, scope, since_ms=None):
    return [one async for part in source.insights(scope, since_ms=since_ms) for one in part]


def _find(found, subject, **fields):
    return [
        one
        for one in found
        if one.kind == "insight"
        and one.fields["subject"] == subject
        and all(one.fields.get(name) == value for name, value in fields.items())
    ]


async def _scope(source, slug):
    return next(scope for scope in await source.scopes() if scope.slug == slug)


async def test_figures_of_a_project_are_those_that_circleci_gives(make, twin):
    """Workflows, jobs, series, summaries, the page, tests, flaky tests and branches, value by value."""
    source = await make(insights={"parts": EVERYTHING, "windows": WINDOWS})
    found = await _read(source, await _scope(source, "gh/acme/web"))
    base = "/api/v2/insights/gh/acme/web"
    everywhere = {"all-branches": "true"}
    for window in WINDOWS:
        given = twin.get(f"{base}/workflows", **everywhere, **{"reporting-window": window})["items"]
        assert given
        for item in given:
            (one,) = _find(found, "workflow", window=window, workflow_name=item["name"])
            durations = item["metrics"]["duration_metrics"]
            told = one.fields["numbers"]
            assert item["metrics"]["success_rate"] == told["success_rate"]
            assert item["metrics"]["total_credits_used"] == told["total_credits_used"]
            assert durations["p95"] == told["duration_p95_s"]
            assert durations["standard_deviation"] == told["duration_stddev_s"]
            jobs = twin.get(f"{base}/workflows/{item['name']}/jobs", **everywhere, **{"reporting-window": window})
            assert {job["name"]: job["metrics"]["total_runs"] for job in jobs["items"]} == {
                one.fields["job_name"]: one.fields["numbers"]["total_runs"]
                for one in _find(found, "job", window=window, workflow_name=item["name"])
            }
    names = [item["name"] for item in given]
    page = twin.get("/api/v2/insights/pages/gh/acme/web/summary", **{"reporting-window": WINDOWS[0]})
    (whole,) = _find(found, "project", window=WINDOWS[0])
    assert page["project_data"]["metrics"]["total_runs"] == whole.fields["numbers"]["total_runs"]
    assert page["project_data"]["trends"]["total_runs"] == whole.fields["numbers"]["trend_total_runs"]
    assert sorted(names) == sorted(
        one.fields["workflow_name"] for one in _find(found, "project_workflow", window=WINDOWS[0])
    )
    assert "main" in {one.fields["ref_name"] for one in _find(found, "project_branch")}
    summary = twin.get(f"{base}/workflows/{names[0]}/summary", **everywhere)
    (one,) = _find(found, "workflow_summary", workflow_name=names[0])
    assert summary["metrics"]["completed_runs"] == one.fields["numbers"]["completed_runs"]
    assert summary["trends"]["mttr"] == one.fields["numbers"]["trend_mttr"]
    series = twin.get(f"/api/v2/insights/time-series/gh/acme/web/workflows/{names[0]}/jobs")["items"]
    assert sorted(item["metrics"]["total_runs"] for item in series) == sorted(
        one.fields["numbers"]["total_runs"] for one in _find(found, "job", window="day", workflow_name=names[0])
    )
    assert _find(found, "job", window="hour")
    flaky = twin.get(f"{base}/flaky-tests")
    (count,) = _find(found, "flaky_tests")
    tests = [one for one in found if one.kind == "flaky_test"]
    assert flaky["total_flaky_tests"] == count.fields["numbers"]["total_flaky_tests"] == len(tests) > 0
    assert {item["test_name"] for item in flaky["flaky_tests"]} == {one.fields["name"] for one in tests}
    (count,) = _find(found, "branches")
    assert len(twin.get(f"{base}/branches")["branches"]) == count.fields["numbers"]["branches"]
    metrics = twin.get(f"{base}/workflows/{names[0]}/test-metrics", **everywhere)
    (one,) = _find(found, "tests", workflow_name=names[0])
    assert metrics["average_test_count"] == one.fields["numbers"]["average_test_count"]
    assert len(found) == len({(one.kind, one.key) for one in found})


async def test_an_organisation_is_told_with_each_of_its_projects(make, twin):
    """Names come first, then the figures of each; projects of GitHub Apps are found by name as well."""
    source = await make(insights={"parts": ["org"], "windows": WINDOWS})
    scopes = await source.scopes()
    for org in source.insight_orgs():
        found = await _read(source, org)
        given = twin.get(f"/api/v2/insights/{org.slug}/summary", **{"reporting-window": WINDOWS[0]})
        (whole,) = _find(found, "org", window=WINDOWS[0])
        assert given["org_data"]["metrics"]["total_runs"] == whole.fields["numbers"]["total_runs"]
        assert (org.slug, org.slug, None) == (whole.project.slug, whole.project.org, whole.project.project_id)
        known = {scope.key for scope in scopes if scope.slug.rpartition("/")[0] == org.slug}
        told = _find(found, "org_project", window=WINDOWS[1])
        assert known == {one.project.project_id for one in told}
        assert len(known) == len(given["all_projects"]) == whole.fields["numbers"]["all_projects"]


async def test_the_calls_are_those_that_were_estimated(make, twin):
    """`insights_cost` counts each call of a reading, for some parts and for all of them."""
    for parts in (EVERYTHING, list(InsightsConfig().parts), ["flaky"], ["jobs"], ["org"], ["project", "branches"]):
        source = await make(insights={"parts": parts, "windows": WINDOWS}, orgs=["gh/acme"], enrich="none")
        scopes = await source.scopes()
        twin.reset_calls()
        workflows = set()
        for scope in [*source.insight_orgs(), *scopes]:
            for one in await _read(source, scope):
                if "workflow_name" in one.fields and one.kind == "insight":
                    workflows.add((one.project.slug, one.fields["workflow_name"]))
        calls = sum(count for route, count in twin.calls().items() if "/insights/" in route)
        config = InsightsConfig(parts=parts, windows=WINDOWS)
        assert insights_cost(config, len(scopes), len(workflows)) == calls, parts


def test_what_insights_costs():
    """By the table of the documentation: 200 projects of two workflows, with the defaults."""
    assert 200 * (2 + 2 + 1) + 400 * (1 + 2 + 1) + 1 + 2 * 4 == insights_cost(InsightsConfig(), 200, 400)
    assert 0 == insights_cost(InsightsConfig(parts=()), 200, 400)
    assert 3 == insights_cost(InsightsConfig(parts=("org",)), 0, 0)
    assert 0 == insights_cost(InsightsConfig(parts=("org",)), 0, 0, orgs=0)


async def test_series_go_on_where_they_were_read_last(make):
    """Three days are asked for again, because Insights is late; what is older stands."""
    source = await make(insights={"parts": ["series"]})
    scope = await _scope(source, "gh/acme/web")
    everything = await _read(source, scope)
    now = SystemClock().now_ms()
    again = await _read(source, scope, since_ms=now)
    days = {one.fields["window_start"] for one in _find(again, "job", window="day")}
    assert days
    assert min(days) == (now - 3 * DAY_MS) // DAY_MS * DAY_MS
    before = {one.key: one.fields for one in everything}
    assert {one.key: one.fields for one in again}.items() <= before.items()  # no interval was told by its end alone
    assert min(days) > min(one.fields["window_start"] for one in _find(everything, "job", window="day"))
    hours = {one.fields["window_start"] for one in _find(again, "job", window="hour")}
    assert now - 50 * HOUR_MS <= min(hours)


async def test_tests_are_not_missed_where_there_is_no_test_insights(make):
    """404 for `circleci/<id>` organisations is as it should be: nobody is told but at debug, and the rest is there."""
    source = await make(insights={"parts": ["workflows", "tests", "flaky"]})
    scope = next(scope for scope in await source.scopes() if scope.slug.startswith("circleci/"))
    with capture_logs() as logs:
        found = await _read(source, scope)
    assert _find(found, "workflow")
    assert not _find(found, "tests")
    assert {"debug"} == {line["log_level"] for line in logs if line["event"] == "insights_left_out"}
    assert {"tests", "flaky"} == {line["part"] for line in logs if line["event"] == "insights_left_out"}


async def test_a_missing_right_is_said_once(make, twin):
    """403: nothing is told of the project but what to do; later ones say nothing more, and no source is refused."""
    source = await make(token="blind")
    scopes = await source.scopes()
    twin.reset_calls()
    with capture_logs() as logs:
        assert [] == [one for scope in scopes for one in await _read(source, scope)]
    said = [line for line in logs if line["event"] == "insights_left_out" and line["log_level"] == "warning"]
    assert [("project", "no_access")] == [(line["part"], line["reason"]) for line in said]
    assert "give the token's user access" in said[0]["fix"]
    assert source.usage().refused is None
    assert len(scopes) == sum(count for route, count in twin.calls().items() if "/insights/" in route)


async def test_a_dead_token_is_no_missing_right(make, twin):
    """It concerns everything, so it is raised for the engine to hold the source."""
    source = await make()
    scope = (await source.scopes())[0]
    twin.put_faults({"token_expired": {"rate": 1.0}})
    with pytest.raises(SourceRefused, match="expired"):
        await _read(source, scope)


async def test_switched_off(make, twin):
    """`off` in words and as YAML reads it; and without a token there is nothing to ask."""
    assert [None, None, None, 86_400_000] == [
        (await make(insights={"every": "off"})).insights_every_ms,
        (await make(insights={"every": False})).insights_every_ms,
        (await make(token=None, orgs=[])).insights_every_ms,
        (await make()).insights_every_ms,
    ]
    source = await make(insights={"parts": []})
    twin.reset_calls()
    assert [] == await _read(source, Scope("gh/acme", "gh/acme"))
    assert {} == dict(twin.calls())
