"""Insights' answers become numbers under flat names; null stays absent, and one question has one key a day."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.merge import EMPTY, ProjectRef, merge
from headgate.core.record import encode_record, record_schema
from headgate.core.render import LeafParents, leaf_attributes, make_record
from headgate.core.times import DAY_MS, parse_ms
from headgate.sources.circleci import normalize_insights as shapes
from headgate.sources.circleci.normalize import Context

SAMPLES = Path(__file__).parents[3] / "data" / "circleci" / "api-v2"
PROJECT = "00000000-0000-4000-8000-000000000001"
OWNER = ProjectRef("circleci.com", "gh/acme/web", "gh/acme", PROJECT, default_branch="main")
ORG = ProjectRef("circleci.com", "gh/acme", "gh/acme")
NOW = parse_ms("2020-01-22T10:00:00Z")
CTX = Context("circleci.com", NOW)
WEEK = "last-7-days"


def sample(name):
    """One of CircleCI's own answers."""
    return json.loads((SAMPLES / name).read_text())


def record(observation):
    """The record of one observation."""
    known = merge(EMPTY, observation)
    attributes = leaf_attributes(observation.kind, known, observation.project, LeafParents())
    return make_record(observation.kind, observation.key, known, observation.project, attributes, observed_ms=NOW)


def figures(observation):
    """What the record says under `circleci.insight.`, without the prefix."""
    prefix = "circleci.insight."
    return {
        name.removeprefix(prefix): n for name, n in record(observation).attributes.items() if name.startswith(prefix)
    }


def test_workflow_metrics_of_the_sample():
    """Every value of the captured answer is there, seconds named as such, and its age at the time of asking."""
    found = shapes.workflows(sample("insights-workflows-metrics.json")["items"], OWNER, WEEK, CTX)
    assert ["build", "docker_build", "ecr_gc"] == [one.fields["workflow_name"] for one in found]
    assert {
        "subject": "workflow",
        "window": WEEK,
        "window_start": "2020-01-15T03:20:24.927Z",
        "window_end": "2020-01-21T23:23:04.390Z",
        "delay_ms": NOW - parse_ms("2020-01-21T23:23:04.390Z"),
        "success_rate": 0.5975609756097561,
        "computed_success_rate": 49 / 82,
        "total_runs": 82,
        "failed_runs": 33,
        "successful_runs": 49,
        "throughput": 11.714285714285714,
        "mttr_s": 46466.0,
        "duration_min_s": 8796.0,
        "duration_max_s": 20707.0,
        "duration_median_s": 11656.0,
        "duration_mean_s": 12847.0,
        "duration_p95_s": 18856.0,
        "duration_stddev_s": 3489.0,
        "total_credits_used": 16216608,
    } == figures(found[0])
    assert (1.0, 1, 0.0, 5154) == tuple(
        figures(found[1])[name] for name in ("success_rate", "total_runs", "mttr_s", "total_credits_used")
    )
    assert (167, 23.857142857142858, 72.0) == tuple(
        figures(found[2])[name] for name in ("total_runs", "throughput", "duration_p95_s")
    )


def test_job_metrics_of_the_sample():
    """Zeros are figures like others, and a job knows its workflow."""
    found = shapes.jobs(sample("insights-workflow-jobs-shape.json")["items"], OWNER, "build", WEEK, CTX)
    assert [("build", "job-summary-1"), ("build", "job-summary-2")] == [
        (one.fields["workflow_name"], one.fields["job_name"]) for one in found
    ]
    told = figures(found[0])
    assert {
        "total_runs": 0,
        "success_rate": 0.0,
        "duration_p95_s": 0.0,
        "total_credits_used": 0,
    }.items() <= told.items()
    assert "2019-08-24T14:15:22.000Z" == told["window_end"]


def test_runs_of_the_sample_are_no_aggregates():
    """They are told as workflows (feed_insights); the only number that they share is their credits."""
    assert [] == shapes.workflows(sample("insights-workflow-runs.json")["items"], OWNER, WEEK, CTX)


@pytest.mark.parametrize("hyphens", [False, True], ids=["snake_case", "hyphens"])
def test_flaky_tests_of_the_sample(hyphens):
    """Both spellings of the keys, with and without `time_wasted`."""
    given = sample("insights-flaky-tests-shape.json")
    if hyphens:
        items = [{key.replace("_", "-"): value for key, value in item.items()} for item in given["flaky_tests"]]
        given = {"flaky-tests": [{**items[0], "time-wasted": 12}], "total-flaky-tests": 1}
    test, count = shapes.flaky_tests(given, OWNER, CTX)
    expected = {
        "name": "test_upload_timeout",
        "class_name": "UploadTest",
        "times_flaked": 1,
        "job_name": "integration",
        "job_number": 1240,
        "pipeline_number": 10031,
        "workflow_id": "0f2c9e51-7b0f-45c3-9d4a-6dd6c0e1a2b3",
        "workflow_name": "build-and-test",
        "workflow_created_at": parse_ms("2026-07-27T04:12:00.000Z"),
    }
    assert expected | ({"time_wasted_ms": 12_000} if hyphens else {}) == test.fields
    assert ("flaky_test", True) == (test.kind, test.terminal)
    assert {"subject": "flaky_tests", "total_flaky_tests": 1} == figures(count)


def test_a_test_that_flaked_often_is_one_fact():
    """The latest flake is told, the time wasted is that of all; the key survives another job and another reporter."""
    one = sample("insights-flaky-tests-shape.json")["flaky_tests"][0]
    older = {
        **one,
        "workflow_created_at": "2026-07-20T00:00:00Z",
        "job_name": "old-name",
        "job_number": 9,
        "source": "x",
    }
    items = [{**older, "time_wasted": 5}, {**one, "times_flaked": 2, "time_wasted": 7}, {**one, "test_name": None}]
    test, count = shapes.flaky_tests({"flaky_tests": items, "total_flaky_tests": 1}, OWNER, CTX)
    assert ("integration", 2, 12_000) == tuple(
        test.fields[name] for name in ("job_name", "times_flaked", "time_wasted_ms")
    )
    (alone, _) = shapes.flaky_tests({"flaky_tests": [older], "total_flaky_tests": 1}, OWNER, CTX)
    assert test.key == alone.key
    assert 1 == figures(count)["total_flaky_tests"]


def test_null_statistics_are_absent():
    """Null is not 0: nothing is told of it, and an answer of nulls alone tells nothing at all."""
    nothing = dict.fromkeys(("min", "mean", "median", "p95", "max", "standard_deviation"))
    metrics = {
        "total_runs": 3,
        "mttr": None,
        "total_recoveries": None,
        "completed_runs": None,
        "duration_metrics": nothing,
    }
    assert {"total_runs": 3} == shapes.numbers(metrics)
    assert {"total_runs": 3} == shapes.numbers({**metrics, "duration_metrics": None})
    assert [] == shapes.workflow_summary({"metrics": dict.fromkeys(metrics)}, OWNER, "build", CTX)


def test_windows_without_runs_have_no_window_and_no_delay():
    """CircleCI writes the epoch there; nobody waited 50 years for it."""
    item = {"name": "w", "metrics": {"total_runs": 0}, "window_start": "1970-01-01T00:00:00.000Z"}
    (found,) = shapes.workflows([{**item, "window_end": item["window_start"]}], OWNER, WEEK, CTX)
    assert {"subject": "workflow", "window": WEEK, "total_runs": 0} == figures(found)


def test_org_summary_without_project_names():
    """The organisation's figures, and none of any project; its record has an organisation and no project."""
    trends = {"total_runs": 1.5, "success_rate": -1.0, "total_duration_secs": 1.0}
    metrics = {"total_runs": 9, "success_rate": 1, "total_duration_secs": 70, "total_credits_used": 5, "throughput": 2}
    given = {
        "org_data": {"metrics": metrics, "trends": trends},
        "org_project_data": [],
        "all_projects": ["api", "web"],
    }
    (found,) = shapes.org_summary(given, ORG, {}, WEEK, CTX)
    assert {
        "subject": "org",
        "window": WEEK,
        "total_runs": 9,
        "success_rate": 1.0,
        "duration_total_s": 70.0,
        "total_credits_used": 5,
        "throughput": 2.0,
        "trend_total_runs": 1.5,
        "trend_success_rate": -1.0,
        "trend_duration_total": 1.0,
        "all_projects": 2,
    } == figures(found)
    made = record(found)
    assert ("gh/acme", None, "circleci.com") == (made.org, made.project, made.tenant)
    assert "project" not in json.loads(encode_record(made))


def test_org_summary_with_projects():
    """Each project is told under its own id; a name that nobody knows belongs to nobody."""
    item = {"metrics": {"total_runs": 4}, "trends": {"total_runs": 2.0}}
    given = {"org_project_data": [{"project_name": name, **item} for name in ("web", "secret")]}
    (found,) = shapes.org_summary(given, ORG, {"web": OWNER}, WEEK, CTX)
    assert ("gh/acme/web", "org_project") == (record(found).project, found.fields["subject"])
    assert {"total_runs": 4, "trend_total_runs": 2.0}.items() <= figures(found).items()


def test_project_summary():
    """The project, its workflows and their branches, each a record of its own with trends."""
    metrics = {"total_runs": 4, "p95_duration_secs": 12}
    item = {"workflow_name": "build", "metrics": metrics, "trends": {"p95_duration_secs": 0.5}}
    given = {
        "org_id": "00000000-0000-4000-8000-00000000000a",
        "project_id": PROJECT,
        "project_data": {"metrics": {"total_runs": 8}, "trends": {}},
        "project_workflow_data": [item],
        "project_workflow_branch_data": [{**item, "branch": "main"}],
    }
    whole, workflow, branch = shapes.project_summary(given, replace(OWNER, project_id=None), WEEK, CTX)
    assert (PROJECT, "00000000-0000-4000-8000-00000000000a") == (whole.project.project_id, whole.project.org_id)
    assert {"subject": "project", "window": WEEK, "total_runs": 8} == figures(whole)
    assert {
        "subject": "project_workflow",
        "window": WEEK,
        "total_runs": 4,
        "duration_p95_s": 12.0,
        "trend_duration_p95": 0.5,
    } == figures(workflow)
    assert ("project_branch", "main") == (branch.fields["subject"], branch.fields["ref_name"])


def test_series_have_a_key_for_each_bucket():
    """Whoever asks later asks about the same interval, and says the same."""
    item = {
        "name": "unit",
        "timestamp": "2020-01-20T00:00:00Z",
        "min_started_at": "2020-01-20T01:00:00.000Z",
        "max_ended_at": "2020-01-20T23:00:00.000Z",
        "metrics": {"total_runs": 4, "median_credits_used": 3, "duration_metrics": {"total": 8, "p95": None}},
    }
    (first,) = shapes.intervals([item], OWNER, "build", "day", CTX)
    (later,) = shapes.intervals([item], OWNER, "build", "day", replace(CTX, observed_ms=NOW + 5 * DAY_MS))
    assert (first.key, first.fields) == (later.key, later.fields)
    assert "main" == first.fields["ref_name"]
    assert {
        "subject": "job",
        "window": "day",
        "window_start": "2020-01-20T00:00:00.000Z",
        "window_end": "2020-01-20T23:00:00.000Z",
        "total_runs": 4,
        "median_credits_used": 3,
        "duration_total_s": 8.0,
    } == figures(first)


def test_test_metrics():
    """Sums over the latest runs, and a record for each test of the two lists, once."""
    counts = {"error": 0, "failure": 1, "skipped": 2, "success": 7, "total": 10}
    test = {"test_name": "t", "classname": "C", "file": None, "source": "pytest", "job_name": "unit", "flaky": True}
    test |= {"p95_duration": 1.25, "total_runs": 10, "failed_runs": 3}
    given = {
        "average_test_count": 10,
        "most_failed_tests": [test],
        "most_failed_tests_extra": 0,
        "slowest_tests": [test, {**test, "test_name": "u", "p95_duration": None}],
        "slowest_tests_extra": 4,
        "total_test_runs": 2,
        "test_runs": [{"test_counts": counts}, {"test_counts": counts}],
    }
    whole, first, second = shapes.test_metrics(given, OWNER, "build", CTX)
    assert {
        "subject": "tests",
        "average_test_count": 10,
        "most_failed_tests_extra": 0,
        "slowest_tests_extra": 4,
        "total_test_runs": 2,
        "tests_total": 20,
        "tests_failure": 2,
        "tests_error": 0,
        "tests_skipped": 4,
        "tests_success": 14,
    } == figures(whole)
    assert {"subject": "test", "duration_p95_s": 1.25, "total_runs": 10, "failed_runs": 3} == figures(first)
    assert {
        "cicd.pipeline.name": "build",
        "cicd.pipeline.task.name": "unit",
        "circleci.test.class": "C",
        "circleci.test.source": "pytest",
        "test.case.name": "t",
    }.items() <= record(first).attributes.items()
    assert ("u", False) == (second.fields["test_name"], "duration_p95_s" in figures(second))


def test_branches_are_counted():
    """Only how many there are is a number."""
    given = {"project_id": PROJECT, "branches": ["main", "dev", "", None]}
    (found,) = shapes.branches(given, OWNER, CTX)
    assert {"subject": "branches", "branches": 2} == figures(found)
    assert ["main", "dev"] == shapes.listed(given)


def test_one_question_has_one_key_a_day():
    """The same day amends, the next day is another record; other windows, branches and projects are others."""
    item = {"name": "w", "metrics": {"total_runs": 1}}

    def key(owner=OWNER, window=WEEK, at_ms=NOW, name="w"):
        (found,) = shapes.workflows([{**item, "name": name}], owner, window, replace(CTX, observed_ms=at_ms))
        return found.key

    evening = NOW // DAY_MS * DAY_MS + DAY_MS - 1
    assert key() == key(at_ms=evening) == key(owner=replace(OWNER, slug="gh/acme/renamed"))
    others = [
        key(at_ms=evening + 1),
        key(window="last-30-days"),
        key(owner=replace(OWNER, project_id="00000000-0000-4000-8000-000000000002")),
        key(name="x"),
    ]
    assert 5 == len({key(), *others})


def test_names_fit_the_record_schema_and_no_name_is_above_another():
    """Whatever CircleCI adds: odd names are left out, hyphens become underscores, and nothing is nested."""
    odd = {"New-Figure": 3, "with space": 1, "a.b": 2, "window": 7, "text": "x", "yes": True, "deep": {"n": 1}, "": 1}
    told = shapes.numbers({**odd, "total_runs": "3"}, {"New-Figure": 0.5})
    assert {"new_figure": 3.0, "trend_new_figure": 0.5} == told
    pattern = re.compile(record_schema()["properties"]["attributes"]["propertyNames"]["pattern"])
    for found in shapes.workflows(sample("insights-workflows-metrics.json")["items"], OWNER, WEEK, CTX):
        names = record(found).attributes
        assert all(pattern.fullmatch(name) for name in names)
        assert not [name for name in names if any(other.startswith(f"{name}.") for other in names)]
