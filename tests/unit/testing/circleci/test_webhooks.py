"""Deliveries: keys of the real ones of each kind of project, schema, headers, signature."""

import json
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator

from headgate.testing.circleci import Knobs, Options, signature
from headgate.testing.circleci.model import Job
from headgate.testing.circleci.times import DAY, parse
from headgate.testing.circleci.webhooks import body, headers
from headgate.testing.circleci.world import World

DATA = Path(__file__).parents[3] / "data" / "circleci"
SCHEMA = Draft202012Validator(json.loads((DATA / "openapi" / "webhook-delivery.schema.json").read_text()))
NOW = parse("2026-11-20T12:00:00Z")


def real(name):
    """Read a captured delivery."""
    return json.loads((DATA / "webhooks" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def events():
    """Give what finishes within five days, as (what, its delivery)."""
    world = World(Options(now_ms=NOW, seed=4, days=2, projects=4, knobs=Knobs(tag_rate=0.1, api_rate=0.2)))
    return [(done, json.loads(body(world, done))) for _, done in world.take_events(NOW + 5 * DAY)]


def paths(value, prefix=""):
    """Give the paths of all keys of nested objects."""
    if not isinstance(value, dict):
        return set()
    return {f"{prefix}{key}" for key in value} | {
        path for key, inner in value.items() for path in paths(inner, f"{prefix}{key}.")
    }


def pushed(events, kind, slug_start, trigger):
    """Give a delivery of a kind of project whose job was the last of its workflow, on a branch."""
    return next(
        said
        for done, said in events
        if said["type"] == kind
        and said["project"]["slug"].startswith(slug_start)
        and said["pipeline"]["trigger"]["type"] == trigger
        and "stopped_at" in said["workflow"]
        and (done.workflow if isinstance(done, Job) else done).pipeline.branch
    )


@pytest.mark.parametrize(
    ("sample", "slug_start", "trigger"),
    [
        ("real-github-oauth-job-completed", "github/", "webhook"),
        ("real-github-oauth-job-completed-rerun", "github/", "webhook"),
        ("real-github-oauth-workflow-completed", "github/", "webhook"),
        ("docs-github-oauth-workflow-completed", "github/", "webhook"),
        ("real-github-app-job-completed", "circleci/", "github_app"),
        ("real-gitlab-job-completed", "circleci/", "gitlab"),
        ("real-bitbucket-api-trigger-null-commit", "bitbucket/", "api"),
    ],
)
def test_keys_are_those_of_captured_deliveries(events, sample, slug_start, trigger):
    """Not one more, not one less, at any depth."""
    known = real(sample)
    assert paths(known) == paths(pushed(events, known["type"], slug_start, trigger))


def test_an_api_trigger_has_a_null_commit(events):
    """Every field of the commit is there and null, as in the captured one."""
    said = pushed(events, "workflow-completed", "bitbucket/", "api")
    assert (
        real("real-bitbucket-api-trigger-null-commit")["pipeline"]["vcs"]["commit"] == said["pipeline"]["vcs"]["commit"]
    )


def test_times_have_the_precision_of_captured_deliveries(events):
    """Lengths of the texts, Go text included."""
    known, said = (
        real("real-github-app-job-completed"),
        pushed(events, "job-completed", "circleci/", "github_app"),
    )
    for path in (
        ("happened_at",),
        ("pipeline", "created_at"),
        ("workflow", "stopped_at"),
        ("job", "started_at"),
    ):
        ours, theirs = said, known
        for key in path:
            ours, theirs = ours[key], theirs[key]
        assert len(theirs) == len(ours)
    ours = said["pipeline"]["trigger_parameters"]["circleci"]["event_time"]
    assert len("2024-12-18 17:23:29.361740256 +0000 UTC") == len(ours)


def test_every_delivery_validates(events):
    """All against the schema; statuses are the words webhooks know."""
    for _, said in events:
        SCHEMA.validate(said)
    words = {said["job"]["status"] for _, said in events if "job" in said}
    assert {"success", "failed", "canceled"} >= words
    words = {said["workflow"]["status"] for _, said in events if "job" not in said}
    assert {"success", "failed", "error", "canceled", "unauthorized"} >= words


def test_jobs_that_ran_are_told_and_no_others(events):
    """No approval, nothing that never started; each thing once."""
    jobs = [done for done, _ in events if isinstance(done, Job)]
    assert all(job.ran for job in jobs)
    assert any(job.status == "canceled" for job in jobs)
    ids = [said["id"] for _, said in events]
    assert len(set(ids)) == len(ids)


def test_the_workflow_follows_its_last_job(events):
    """Some 35 ms later."""
    at = {id(done): parse(said["happened_at"][:23] + "Z") for done, said in events}
    ends = [done for done, _ in events if not isinstance(done, Job) and done.jobs and done.status == "success"]
    for run in ends:
        last = max((job for job in run.jobs if job.workflow is run and job.ran), key=lambda job: job.stopped)
        if last.stopped == run.stopped and id(last) in at:
            assert 35 == at[id(run)] - at[id(last)]


def test_tags_come_in_both_forms(events):
    """With a tag and no branch, or with a null branch and no tag."""
    forms = {
        frozenset({"branch", "tag"} & said["pipeline"]["vcs"].keys())
        for done, said in events
        if "vcs" in said["pipeline"] and (done.workflow if isinstance(done, Job) else done).pipeline.tag
    }
    assert {frozenset({"tag"}), frozenset({"branch"})} == forms


@pytest.mark.parametrize(
    ("text", "secret", "expected"),
    [
        ("hello world", "secret", "734cc62f32841568f45715aeb9f4d7891324e6d948e4c6c60c0621cdac48623a"),
        ("lalala", "another-secret", "daa220016c8f29a8b214fbfc3671aeec2145cfb1e6790184ffb38b6d0425fa00"),
        (
            "an-important-request-payload",
            "hunter123",
            "9be2242094a9a8c00c64306f382a7f9d691de910b4a266f67bd314ef18ac49fa",
        ),
        ("foo", "secret", "773ba44693c7553d6ee20f61ea5d2757a9a4f4a44d2841ae4e95b52e4cd62db4"),
    ],
)
def test_signatures_are_the_published_ones(text, secret, expected):
    """The four vectors of CircleCI's documentation (Outbound webhooks)."""
    assert f"v1={expected}" == signature(secret, text.encode())


def test_headers_are_the_documented_ones():
    """A signature only with a secret."""
    plain = {
        "content-type": "application/json",
        "user-agent": "CircleCI-Webhook/1.0",
        "circleci-event-type": "ping",
    }
    assert plain == headers("ping", b"{}", None)
    assert plain | {"circleci-signature": signature("s", b"{}")} == headers("ping", b"{}", "s")
