"""API v1.1: the keys of real answers, paging by offset, filters."""

import json
from pathlib import Path

import pytest

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.evidence import steps
from headgate.testing.circleci.times import parse
from headgate.testing.circleci.world import World

DATA = Path(__file__).parents[3] / "data" / "circleci" / "api-v1.1"
REAL_ROW = json.loads((DATA / "project-recent-builds.json").read_text())[0]
REAL_BUILD = json.loads((DATA / "build-detail-with-steps.json").read_text())
WEB = "/api/v1.1/project/gh/acme/web"


def all_rows(twin, path=WEB):
    """Give all builds, 100 at a time."""
    rows = []
    while page := twin.get(path, limit=100, offset=len(rows)):
        rows += page
    return rows


def test_rows_have_the_keys_of_real_ones(twin):
    """A row of 2026 has all keys of 2021 but two."""
    gone = {"has_artifacts", "no_dependency_cache"}
    row = twin.get(WEB, limit=1)[0]
    assert REAL_ROW.keys() - gone == row.keys()
    assert REAL_ROW["workflows"].keys() == row["workflows"].keys()
    assert REAL_ROW["user"].keys() == row["user"].keys()
    pushed = next(row for row in all_rows(twin) if row["all_commit_details"])
    assert REAL_ROW["all_commit_details"][0].keys() == pushed["all_commit_details"][0].keys()


def test_a_single_build_has_the_keys_of_a_real_one(twin):
    """Steps and actions included."""
    build = twin.get(f"{WEB}/5")
    assert REAL_BUILD.keys() == build.keys()
    assert REAL_BUILD["picard"].keys() == build["picard"].keys()
    assert REAL_BUILD["picard"]["resource_class"].keys() == build["picard"]["resource_class"].keys()
    actions = [action for step in build["steps"] for action in step["actions"]]
    assert {frozenset(REAL_BUILD["steps"][0]["actions"][0])} == {frozenset(action) for action in actions}
    assert build["start_time"] == actions[0]["start_time"]
    assert build["stop_time"] == actions[-1]["end_time"]


def test_paging_gives_every_build_once(twin):
    """Thirty by default, a hundred at most, newest first."""
    assert 30 == len(twin.get(WEB))
    assert 100 == len(twin.get(WEB, limit=1000))
    numbers = [row["build_num"] for row in all_rows(twin)]
    assert list(range(len(numbers), 0, -1)) == numbers


def test_filters_and_branches(twin):
    """Only builds of that kind or branch come."""
    assert {"failed", "infrastructure_fail", "timedout"} >= {r["status"] for r in twin.get(WEB, filter="failed")}
    assert {"success", "fixed"} == {r["status"] for r in twin.get(WEB, filter="successful", limit=100)}
    assert {"finished"} == {row["lifecycle"] for row in twin.get(WEB, filter="completed")}
    assert {"main"} == {row["branch"] for row in twin.get(f"{WEB}/tree/main")}
    feature = next(row["branch"] for row in all_rows(twin) if row["branch"] and "/" in row["branch"])
    assert {feature} == {row["branch"] for row in twin.get(f"{WEB}/tree/{feature.replace('/', '%2F')}")}


def test_shallow_rows_leave_out_the_commits(twin):
    """What collection needs is still there."""
    full, shallow = twin.get(WEB, limit=1)[0], twin.get(WEB, limit=1, shallow="true")[0]
    assert {
        "all_commit_details",
        "all_commit_details_truncated",
        "circle_yml",
    } == full.keys() - shallow.keys()


def test_odd_rows_are_there():
    """Canceled before the start, infrastructure failures, fixed builds, API triggers without a commit."""
    with Twin(seed=1, days=9, projects=1, knobs=Knobs(cancel_rate=0.3, queue_seconds=40)) as odd:
        rows = all_rows(odd)
    assert any(row["status"] == "fixed" and row["outcome"] == "success" for row in rows)
    assert any(row["infrastructure_fail"] for row in rows)
    assert any(row["status"] == "canceled" and row["start_time"] is None for row in rows)
    assert any(row["why"] == "api" and row["subject"] is None for row in rows)
    assert any(row["vcs_tag"] and row["branch"] is None for row in rows)


def test_durations_follow_from_the_times(twin):
    """Milliseconds between start and stop."""
    for row in twin.get(WEB, limit=100):
        if row["start_time"] and row["stop_time"]:
            assert parse(row["stop_time"]) - parse(row["start_time"]) == row["build_time_millis"]


def test_followed_projects_show_their_branches(twin):
    """Branch names are escaped, and each has a few recent builds."""
    projects = twin.get("/api/v1.1/projects")
    assert 4 == len(projects)
    web = next(project for project in projects if project["reponame"] == "web")
    assert 5 == len(web["branches"]["main"]["recent_builds"])
    assert any("%2F" in name for name in web["branches"])


@pytest.mark.parametrize("query", [{"limit": "x"}, {"offset": "x"}], ids=["limit", "offset"])
def test_numbers_that_are_none_are_refused(twin, query):
    """400, not a server error."""
    with pytest.raises(Exception, match="400"):
        twin.get(WEB, **query)


def test_machines_of_a_parallel_job_have_steps_of_their_own():
    """With the knob each machine has every step, within the job's time, and the first one ends last."""
    options = Options(now_ms=1_795_000_000_000, days=2, projects=1, knobs=Knobs(split_steps=True))
    world = World(options)
    build = next(job for job in world.histories[0].builds if job.spec.parallelism > 1 and job.status == "success")
    found = steps(world, build, options.now_ms)
    assert {build.spec.parallelism} == {len(step["actions"]) for step in found}
    nodes = list(zip(*(step["actions"] for step in found), strict=True))
    ends = [actions[-1]["end_time"] for actions in nodes]
    assert max(ends) == ends[0] > ends[1]
    assert [[node] * len(found) for node in range(len(nodes))] == [[one["index"] for one in node] for node in nodes]
    assert all(sorted(node, key=lambda one: one["start_time"]) == list(node) for node in nodes)
