"""Captured answers of API v2 and v1.1, with expectations written by hand from the files."""

import json
from pathlib import Path

import pytest

from headgate.core.errors import Unparsable
from headgate.core.merge import EMPTY, ProjectRef, merge
from headgate.core.times import parse_ms as ms
from headgate.sources.circleci import normalize
from headgate.sources.circleci.normalize import Context
from headgate.sources.circleci.normalize_v1 import build
from headgate.sources.circleci.vcs import Privacy

SAMPLES = Path(__file__).parents[3] / "data" / "circleci"
CTX = Context(host="circleci.com", observed_ms=1_700_000_000_000)
PROJECT_ID = "918df292-936a-41b2-8174-696c6cdd6cf5"
OWNER = ProjectRef(
    "circleci.com",
    "gh/coldgust/coldgust.github.io",
    "gh/coldgust",
    PROJECT_ID,
    "69dad4c8-00c3-4d4a-a368-4a9cc1599781",
    "master",
)


def _load(name):
    return json.loads((SAMPLES / name).read_bytes())


def _items(name):
    return _load(f"api-v2/{name}.json")["items"]


def test_project():
    """GET /project/{slug} gives ids, slugs and the default branch."""
    assert normalize.project(_load("api-v2/project.json"), "circleci.com") == OWNER
    with pytest.raises(Unparsable):
        normalize.project({"id": PROJECT_ID}, "circleci.com")


def test_pipeline():
    """An ordinary pipeline of a list."""
    found = normalize.pipeline(_items("pipelines-list")[1], OWNER, CTX)
    assert (found.kind, found.key, found.source, found.terminal) == (
        "pipeline",
        "7fcc1623-edcc-4a76-ad20-cd81aa83519f",
        "v2",
        False,
    )
    assert found.fields == {
        "number": 9,
        "state": "created",
        "created_at": ms("2023-03-25T18:13:21.590Z"),
        "trigger_type": "webhook",
        "ref_name": "master",
        "ref_type": "branch",
        "revision": "49874a6ac988e2b3434501d4a4554c54583e6820",
        "repository_url": "https://github.com/coldgust/coldgust.github.io",
        "author_login": "coldgust",
        "commit_subject": "add circle",
    }


def test_errored_pipeline():
    """A pipeline without configuration: no vcs, a trigger nobody documented, blank actor, and why it failed."""
    found = normalize.pipeline(_items("pipelines-list")[0], OWNER, CTX)
    assert found.fields == {
        "number": 10,
        "state": "errored",
        "created_at": ms("2023-03-25T18:13:43.446Z"),
        "trigger_type": "Decoupled Ingestion System",
        "revision": "6ba0cdaf7e7791c5bc5aa89a13b9cd184f8ad296",
        "errors": [{"type": "config-fetch", "message": "Failed to fetch config.yml file."}],
    }


def test_recorded_page_of_pipelines():
    """All 20 pipelines of the recorded page are read, scheduled ones too."""
    found = [normalize.pipeline(item, OWNER, CTX) for item in _items("pipelines-page-with-token")]
    assert len(found) == 20
    assert all(one.fields["ref_name"] and one.fields["number"] for one in found)


def test_workflow():
    """A workflow of a list ends with a terminal status and carries what its pipeline knows."""
    parent = {"number": 469, "created_at": 1, "ref_name": "master", "ref_type": "branch", "trigger_type": "webhook"}
    (item,) = _items("pipeline-workflows-page")
    found = normalize.workflow(item, OWNER, CTX, parent)
    assert (found.key, found.source, found.terminal) == ("fc3a4ac2-8cf7-44c6-bda0-284592a4bccc", "v2", True)
    assert found.fields == {
        "name": "build",
        "status": "success",
        "created_at": ms("2020-11-03T11:35:07Z"),
        "stopped_at": ms("2020-11-03T11:36:35Z"),
        "pipeline_id": "9c053b8f-67fc-4543-a6a9-51b9540692f4",
        "pipeline_number": 469,
        "started_by": "9c373331-d0f7-45e1-afe6-4a5c75e00d10",
        "ref_name": "master",
        "ref_type": "branch",
        "trigger_type": "webhook",
    }


def test_workflow_with_blank_times():
    """Blank text instead of a time or a user is nothing."""
    found = normalize.workflow(_items("workflows-list")[-1], OWNER, CTX)
    assert found.fields == {
        "name": "workflow",
        "status": "failed",
        "pipeline_id": "f5a2a6e8-4430-4935-8bec-77ca2b26c61d",
        "pipeline_number": 16,
    }


RUN_ID = "0b1a0d6e-8f6f-4f0e-9d9e-000000000001"


def _run(**fields):
    given = {"id": RUN_ID, "pipeline_id": PROJECT_ID, "created_at": "2026-01-02T03:04:05Z", **fields}
    return normalize.workflow(given, OWNER, CTX)


@pytest.mark.parametrize(
    ("status", "stopped", "terminal"),
    [
        ("success", "2026-01-02T04:00:00Z", True),
        ("not_run", None, True),
        ("failed", "2026-01-02T04:00:00Z", True),
        ("error", None, True),
        ("canceled", "2026-01-02T04:00:00Z", True),
        ("unauthorized", None, True),
        ("running", None, False),
        ("failing", None, False),
        ("on_hold", "2026-01-02T04:00:00Z", False),
        ("a-new-word", None, False),
        ("a-new-word", "2026-01-02T04:00:00Z", True),
        (None, "2026-01-02T04:00:00Z", False),
    ],
)
def test_workflow_ends_by_its_status(status, stopped, terminal):
    """The word decides; one nobody knows is final once there is an end; an end without ending is not kept."""
    found = _run(status=status, stopped_at=stopped)
    assert (terminal, terminal and stopped is not None) == (found.terminal, "stopped_at" in found.fields)
    assert found.fields.get("status") == status


def test_jobs_of_a_workflow():
    """Captured jobs, with and without created_at."""
    (item,) = _items("workflow-jobs-page")
    found = normalize.job(item, _run(created_at="2020-11-03T11:35:07Z"), OWNER, CTX)
    assert (found.key, found.source, found.terminal) == ("d800dca5-1f82-4ed1-b19e-eb101952a6a0", "v2", True)
    assert found.fields == {
        "number": 699,
        "name": "r-release",
        "type": "build",
        "status": "success",
        "started_at": ms("2020-11-03T11:35:10Z"),
        "stopped_at": ms("2020-11-03T11:36:35Z"),
        "workflow_id": RUN_ID,
        "pipeline_id": PROJECT_ID,
    }
    listed = [normalize.job(one, _run(created_at=None), OWNER, CTX) for one in _items("workflow-jobs-list")]
    assert [one.fields["number"] for one in listed] == [2, 5, 7, 3, 9, 6, 4, 1, 8]
    assert all("created_at" in one.fields for one in listed)


JOB = {"id": "7124cb89-1b64-44a5-b67e-9e91e6e861bb", "name": "hold", "status": "on_hold", "type": "approval"}


def test_approval_without_number():
    """An approval has no number and may not have begun."""
    found = normalize.job({**JOB, "started_at": None}, _run(), OWNER, CTX)
    assert found.fields.keys() == {"name", "type", "status", "workflow_id", "pipeline_id"}
    assert not found.terminal


@pytest.mark.parametrize(
    "given",
    [{"requires": {"b": ["success"], "a": ["success"]}}, {"requires": ["b", "a"]}, {"dependencies": ["b", "a", "b"]}],
    ids=["map", "list", "older name"],
)
def test_requires_is_sorted(given):
    """What a job waits for, in all three shapes, in one order."""
    assert normalize.job({**JOB, **given}, _run(), OWNER, CTX).fields["requires"] == ["a", "b"]


def test_job_taken_over_by_a_rerun_keeps_its_workflow():
    """A rerun from failed lists jobs that ended before it was created; they belong to the workflow that ran them."""
    taken = normalize.job({**JOB, "status": "success", "started_at": "2026-01-02T03:00:00Z"}, _run(), OWNER, CTX)
    own = normalize.job({**JOB, "status": "success", "started_at": "2026-01-02T03:04:05Z"}, _run(), OWNER, CTX)
    assert ("workflow_id" in taken.fields, own.fields["workflow_id"]) == (False, RUN_ID)


def test_job_detail():
    """Queue time, machine, contexts; the key comes from who asked; it is what release waits for under `each` alone."""
    given = _load("api-v2/job-details-docs.json") | {"parallelism": 3, "status": "success", "number": 7}
    found = normalize.job_detail(given, "the-key", OWNER, Context("circleci.com", 5, profile="each"))
    assert (found.key, found.source, found.terminal, found.enriches) == ("the-key", "detail", True, True)
    assert found.fields == {
        "number": 7,
        "name": "string",
        "status": "success",
        "created_at": ms("2020-01-13T18:51:40Z"),
        "queued_at": ms("2020-01-13T18:51:40Z"),
        "started_at": ms("2020-01-24T11:33:40Z"),
        "stopped_at": ms("2020-01-13T18:51:40Z"),
        "resource_class": "string",
        "executor": "string",
        "parallelism": 3,
        "contexts": ["string"],
        "messages": ["string"],
    }
    assert not normalize.job_detail(given, "the-key", OWNER, CTX).enriches


def test_job_detail_before_dispatch():
    """Most of it is missing while the job waits; nothing is invented."""
    given = {"number": 7, "name": "x", "status": "queued", "queued_at": "2026-01-02T03:04:05Z", "executor": None}
    found = normalize.job_detail(given, "the-key", OWNER, CTX)
    assert (found.terminal, found.fields.keys()) == (False, {"number", "name", "status", "queued_at"})


# --- v1.1 ---------------------------------------------------------------------------------------------------------


def test_builds_of_2026():
    """The newest shape: the workflow with branch and author, the job with its queue time."""
    (row,) = _load("api-v1.1/project-recent-builds-2026.json")
    run, job = build(row, OWNER, CTX)
    assert (run.kind, run.key, run.source, run.terminal, run.enriches) == (
        "workflow",
        "554add22-7ae2-44b9-a64b-db4335b0f291",
        "v1.1",
        False,
        True,
    )
    assert run.fields == {
        "name": "ci",
        "revision": "015931442ef425507ddaaec5d5b0cf3d15db87a6",
        "repository_url": "https://github.com/CircleCI-Public/circleci-cli",
        "ref_name": "proposal/compare-config",
        "ref_type": "branch",
        "author_login": "cloverfern",
        "author_name": "Fernando",
        "commit_subject": "Add circleci run compare",
    }
    assert (job.key, job.terminal, job.enriches) == ("7124cb89-1b64-44a5-b67e-9e91e6e861bb", True, True)
    assert job.fields == {
        "number": 51953,
        "name": "dry-run",
        "status": "success",
        "queued_at": ms("2026-10-02T15:55:59.164Z"),
        "started_at": ms("2026-10-02T15:56:28.443Z"),
        "stopped_at": ms("2026-10-02T15:58:36.384Z"),
        "workflow_id": "554add22-7ae2-44b9-a64b-db4335b0f291",
        "parallelism": 1,
    }


def test_builds_of_2021():
    """Two builds of two workflows; the second failed."""
    rows = _load("api-v1.1/project-recent-builds.json")
    found = [one for row in rows for one in build(row, OWNER, CTX) if one.kind == "job"]
    assert [
        (8, "success", ms("2021-07-25T19:05:57.081Z")),
        (2, "failed", ms("2021-07-25T17:21:27.309Z")),
    ] == [(one.fields["number"], one.fields["status"], one.fields["queued_at"]) for one in found]


def test_build_of_the_time_before_workflows():
    """Without a UUID a build is keyed by project and number; without a project id it cannot be kept."""
    row = _load("api-v1.1/build-1.0-style.json")
    (job,) = build(row, OWNER, CTX)
    assert (job.key, job.terminal) == (f"{PROJECT_ID}#140", True)
    assert job.fields["stopped_at"] == ms("2016-07-25T17:07:31.761Z")
    assert build(row, ProjectRef("circleci.com", "gh/a/b", "gh/a"), CTX) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "fixed"}, ("fixed", True)),
        ({"status": "infrastructure_fail"}, ("infrastructure_fail", True)),
        ({"status": None, "outcome": "timedout"}, ("timedout", True)),
        ({"status": "running", "outcome": None, "stop_time": None}, ("running", False)),
        ({"status": "not_running", "outcome": None, "stop_time": None}, ("not_running", False)),
        ({"status": None, "outcome": None}, (None, False)),
    ],
)
def test_build_status(changes, expected):
    """`status`, else `outcome`; their word is kept."""
    (row,) = _load("api-v1.1/project-recent-builds-2026.json")
    job = build(row | changes, OWNER, CTX)[1]
    assert expected == (job.fields.get("status"), job.terminal)


def test_single_build_knows_its_machine():
    """Lists have `picard: null`; the single build names the class and executor; a retry names what it repeats."""
    row = _load("api-v1.1/build-detail-with-steps.json")
    job = build(row | {"retry_of": 5}, OWNER, CTX)[1]
    assert (job.fields["executor"], job.fields["resource_class"], job.fields["rerun_of"]) == (
        row["picard"]["executor"],
        row["picard"]["resource_class"]["class"],
        5,
    )


def test_build_obeys_privacy_and_profile():
    """E-mail addresses are dropped unless kept; only under profile `batch` does release wait for v1.1."""
    (row,) = _load("api-v1.1/project-recent-builds-2026.json")
    ctx = Context("circleci.com", 1, Privacy(email="keep", name="drop"), "each")
    run, job = build(row, OWNER, ctx)
    assert (run.fields["author_email"], "author_name" in run.fields) == ("author@example.com", False)
    assert (run.enriches, job.enriches) == (False, False)


@pytest.mark.parametrize("row", [{}, {"workflows": None}, {"workflows": {"workflow_id": "x"}}, {"build_num": "x"}])
def test_row_that_names_nothing(row):
    """A row without ids gives nothing and breaks nothing."""
    assert build(row, OWNER, CTX) == []


def test_tag_build():
    """A tag push has no branch."""
    (row,) = _load("api-v1.1/project-recent-builds-2026.json")
    run = build(row | {"branch": None, "vcs_tag": "v1"}, OWNER, CTX)[0]
    assert (run.fields["ref_name"], run.fields["ref_type"]) == ("v1", "tag")


def test_queue_time_survives_every_other_source():
    """v2 knows no queue time and v1.1 has the milliseconds: together the better of each."""
    (row,) = _load("api-v1.1/project-recent-builds-2026.json")
    old = build(row, OWNER, CTX)[1]
    listed = {"id": old.key, "status": "success", "type": "build", "stopped_at": "2026-10-02T15:58:36Z"}
    new = normalize.job(listed, _run(created_at="2026-10-02T15:56:00Z"), OWNER, CTX)
    known = merge(merge(EMPTY, new), old)
    assert (known.values["stopped_at"], known.values["type"]) == (ms("2026-10-02T15:58:36.384Z"), "build")
    assert "queued_at" in known.values
