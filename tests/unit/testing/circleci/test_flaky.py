"""Test results of the twin: flaky tests, who they are, and what Test Insights says about them."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.times import DAY, SECOND, parse

SAMPLES = Path(__file__).parents[3] / "data" / "circleci" / "api-v2"
NOW = parse("2026-11-20T12:00:00Z")
WEB = "gh/acme/web"
SHAKY = {"insights_delay": 0.0, "branch_success_rate": 0.5, "rerun_rate": 0.8, "flaky_share": 0.7}


@pytest.fixture(scope="module")
def shaky():
    """Run a frozen twin with many failures and reruns, four kinds of project, and odd tests."""
    options = Options(now_ms=NOW, seed=4, days=24, projects=4, runs_per_day=8, knobs=Knobs(**SHAKY, odd_tests=0.9))
    with Twin(options) as running:
        yield running


@pytest.fixture(scope="module")
def told(shaky):
    """The truth of all test results of the first project."""
    return list(shaky.tests(WEB))


def flakes_of(told):
    """Find what failed and passed in one commit: (job name, class, file, name) by number of its failed builds."""
    seen = defaultdict(lambda: defaultdict(set))
    for job in told:
        for found in job["results"]:
            key = (job["job_name"], found["classname"], found["file"], found["name"])
            seen[job["revision"], key][found["result"]].add(job["job_number"])
    flaked = defaultdict(set)
    for (_revision, key), words in seen.items():
        if words["success"]:
            flaked[key] |= words["failure"]
    return {key: numbers for key, numbers in flaked.items() if numbers}


def key_of(test, name="name"):
    """Name a test as `flakes_of` does."""
    return test["job_name"], test["classname"] or "", test["file"] or "", test[name]


def test_the_truth_of_results_is_what_the_api_lists(shaky, told):
    """Job by job, whatever its number; time that the API writes as text is a number in the truth."""
    assert len(told) > 100
    texts = 0
    for job in told[::10]:
        listed = shaky.get(f"/api/v2/project/{WEB}/{job['job_number']}/tests")["items"]
        texts += sum(isinstance(item["run_time"], str) for item in listed)
        same = [{**item, "run_time": float(item["run_time"])} for item in listed]
        assert [{key: found[key] for key in same[0]} for found in job["results"]] == same
        assert shaky.get(f"/api/v2/project/{WEB}/job/{job['job_number']}")["name"] == job["job_name"]
    assert texts > 0
    assert [] == [job for job in told if not job["results"]]


def test_a_test_is_the_same_in_every_build(told):
    """Class, file and name stay, and the results of a job are spread over its parallel machines."""
    names, machines = defaultdict(set), defaultdict(set)
    for job in told:
        names[job["job_name"]].add(frozenset((one["classname"], one["file"], one["name"]) for one in job["results"]))
        machines[job["job_name"]] |= {found["node_index"] for found in job["results"]}
    assert {"unit": 1, "integration": 1} == {name: len(names[name]) for name in ("unit", "integration")}
    assert [120] == [len(tests) for tests in names["unit"]]
    assert ({0, 1, 2, 3}, {0}) == (machines["unit"], machines["integration"])


def test_a_failed_job_has_a_failed_test(shaky, told):
    """Exactly one; a job that succeeded has none."""
    ended = {line["provider_id"]: line["final"]["circleci.status"] for line in shaky.truth() if line["kind"] == "job"}
    for job in told:
        bad = sum(found["result"] == "failure" for found in job["results"])
        assert {"failed": 1, "success": 0}[ended[job["job_id"]]] == bad
    assert {"failed", "success"} == {ended[job["job_id"]] for job in told}


def test_flaky_tests_are_those_that_failed_and_passed_in_one_commit(shaky, told):
    """The list has each such failure of a test that flaked within two weeks, the total counts tests."""
    flaked = flakes_of(told)
    answer = shaky.get(f"/api/v2/insights/{WEB}/flaky-tests")
    listed = defaultdict(set)
    for item in answer["flaky_tests"]:
        listed[key_of(item, "test_name")].add(item["job_number"])
        assert len(flaked[key_of(item, "test_name")]) == item["times_flaked"]
    ended = {job["job_number"]: parse(job["stopped_at"]) for job in told}
    fresh = {key for key, numbers in flaked.items() if max(ended[one] for one in numbers) > NOW - 14 * DAY}
    assert {key: flaked[key] for key in fresh} == listed
    assert len(fresh) == answer["total_flaky_tests"] < len(answer["flaky_tests"])
    assert fresh < flaked.keys()
    assert {True, False} == {"time_wasted" in item for item in answer["flaky_tests"]}
    assert None in {item["file"] for item in answer["flaky_tests"]}


def test_the_planted_flaky_tests_are_told(shaky, told):
    """All of them, with what they broke; others that flaked by chance are marked as not planted."""
    flaked = flakes_of(told)
    failed = Counter(
        (job["job_name"], found["classname"], found["file"], found["name"])
        for job in told
        for found in job["results"]
        if found["result"] == "failure"
    )
    listed = {key_of(test): test for test in shaky.flaky() if test["project"] == WEB}
    assert flaked.keys() <= listed.keys()
    for key, test in listed.items():
        assert (failed[key], len(flaked.get(key, ()))) == (test["failed_builds"], test["flakes"])
        assert test["planted"] == ("sometimes" in test["name"])
    assert {True, False} == {test["planted"] for test in listed.values()}


def test_metrics_are_of_the_ten_latest_runs(shaky, told):
    """Counts, failures and flakiness follow from the results of those runs."""
    path = f"/api/v2/insights/{WEB}/workflows/build-test-deploy"
    latest = [run["id"] for run in shaky.get(path, **{"all-branches": "true"})["items"][:10]]
    answer = shaky.get(f"{path}/test-metrics", **{"all-branches": "true"})
    jobs = [job for job in told if job["workflow_id"] in latest]
    words = Counter((job["workflow_id"], found["result"]) for job in jobs for found in job["results"])
    assert {job["workflow_id"] for job in jobs} == {run["workflow_id"] for run in answer["test_runs"]}
    for run in answer["test_runs"]:
        counted = {word: words[run["workflow_id"], word] for word in ("error", "failure", "skipped", "success")}
        assert {**counted, "total": sum(counted.values())} == run["test_counts"]
    assert len(answer["test_runs"]) == answer["total_test_runs"] > 5
    assert sum(words.values()) // answer["total_test_runs"] == answer["average_test_count"]
    failed = Counter(
        (job["job_name"], found["name"]) for job in jobs for found in job["results"] if found["result"] == "failure"
    )
    assert failed == {
        (test["job_name"], test["test_name"]): test["failed_runs"] for test in answer["most_failed_tests"]
    }
    listed = shaky.get(f"/api/v2/insights/{WEB}/flaky-tests")["flaky_tests"]
    flaky = {key_of(item, "test_name") for item in listed}
    assert {True} == {test["flaky"] == (key_of(test, "test_name") in flaky) for test in answer["most_failed_tests"]}
    slowest = [test["p95_duration"] for test in answer["slowest_tests"]]
    assert sorted(slowest, reverse=True) == slowest
    assert 10 == len(slowest)


@pytest.mark.parametrize(
    ("index", "mode", "expected"),
    [(0, "cloud", 200), (1, "cloud", 404), (2, "cloud", 404), (3, "cloud", 200), (0, "server", 404)],
    ids=["oauth", "app", "gitlab", "bitbucket", "server"],
)
def test_test_insights_exist_for_oauth_and_bitbucket_alone(index, mode, expected):
    """Elsewhere they are 404, while the results of a job are there."""
    with Twin(seed=4, days=2, projects=4, mode=mode, now_ms=NOW, knobs=Knobs(**SHAKY)) as twin:
        slug = twin.about()["projects"][index]
        for path in (f"{slug}/flaky-tests", f"{slug}/workflows/build-test-deploy/test-metrics"):
            answer = httpx.get(f"{twin.base_url}/api/v2/insights/{path}", headers={"circle-token": twin.token})
            assert expected == answer.status_code
        assert next(twin.tests(slug))["results"]


def test_what_flaked_less_than_the_delay_ago_is_not_listed(shaky):
    """Insights are a day late for tests too."""
    knobs = replace(shaky.options.knobs, insights_delay=3 * DAY / SECOND)
    with Twin(replace(shaky.options, knobs=knobs)) as late:
        old = late.get(f"/api/v2/insights/{WEB}/flaky-tests")["flaky_tests"]
        ended = {job["job_number"]: parse(job["stopped_at"]) for job in late.tests(WEB)}
    new = shaky.get(f"/api/v2/insights/{WEB}/flaky-tests")["flaky_tests"]
    assert max(ended[item["job_number"]] for item in old) <= NOW - 3 * DAY
    assert max(ended[item["job_number"]] for item in new) > NOW - 3 * DAY


def test_flaky_tests_look_like_the_sample(shaky):
    """The same keys, besides the one that may be missing."""
    sample = json.loads((SAMPLES / "insights-flaky-tests-shape.json").read_text())
    answer = shaky.get(f"/api/v2/insights/{WEB}/flaky-tests")
    assert sample.keys() == answer.keys()
    for item in answer["flaky_tests"]:
        assert sample["flaky_tests"][0].keys() == item.keys() - {"time_wasted"}
        assert len(sample["flaky_tests"][0]["workflow_created_at"]) == len(item["workflow_created_at"])


def test_odd_tests_are_odd_in_every_build(told):
    """Some have parameters in their name, some no file; which ones does not depend on the build."""
    names = {(job["job_name"], found["name"]) for job in told for found in job["results"]}
    assert {name.partition("[")[0] for _job, name in names if "[" in name}
    assert len(names) == len({(job, name.partition("[")[0]) for job, name in names})
    blank = {(job["job_name"], found["name"], found["file"]) for job in told for found in job["results"]}
    assert len(names) == len(blank)
    assert "" in {file for _job, _name, file in blank}


def test_results_of_a_seed_stay_as_they_were(twin):
    """The bytes of test results, pipelines and builds are those of the first release of the twin."""
    digests = {"tests": sha256(), "pipelines": sha256(), "builds": sha256()}
    client = httpx.Client(base_url=twin.base_url, headers={"circle-token": twin.token}, trust_env=False)
    for slug in twin.about()["projects"]:
        paths = {
            "tests": [f"/api/v2/project/{slug}/{number}/tests" for number in range(1, 60)],
            "pipelines": [f"/api/v2/project/{slug}/pipeline"],
            "builds": [f"/api/v1.1/project/{slug}?limit=100"],
        }
        for name, asked in paths.items():
            for path in asked:
                digests[name].update(client.get(path).content)
    client.close()
    assert {
        "tests": "4e480f9a2de1a7c2a53212dbb20ea5a7c98cace83b1fca3295ed7976ea64e62f",
        "pipelines": "0d842e50049abb823595fc5f89554c4f08d133d80735ed6908086ddecc67c58d",
        "builds": "13325e34acdc87c20bac27a224840c132b4ff8f2fcc2208a8477c01e82342138",
    } == {name: digest.hexdigest() for name, digest in digests.items()}


def test_an_unknown_project_has_no_results(twin):
    """The truth of results is per project."""
    for query in ("", "?project=gh/acme/nothing", "?project=web"):
        assert 404 == httpx.get(f"{twin.base_url}/_twin/tests{query}").status_code
