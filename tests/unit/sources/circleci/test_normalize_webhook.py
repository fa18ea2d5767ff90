"""Every captured or documented webhook, with expectations written by hand from the files."""

import json
from pathlib import Path

import pytest

from headgate.core.errors import Unparsable
from headgate.core.merge import ProjectRef
from headgate.core.times import parse_ms as ms
from headgate.sources.circleci.normalize import Context, decode, webhook
from headgate.sources.circleci.vcs import Privacy

SAMPLES = Path(__file__).parents[3] / "data" / "circleci" / "webhooks"
CTX = Context(host="circleci.com", observed_ms=1_700_000_000_000)


def _load(name):
    return decode((SAMPLES / f"{name}.json").read_bytes())


def _said(name, ctx=CTX):
    return [(found.kind, found.key, found.terminal, dict(found.fields)) for found in webhook(_load(name), ctx)]


DOCS_VCS = {
    "ref_name": "main",
    "ref_type": "branch",
    "revision": "1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
    "repository_url": "https://github.com/circleci/webhook-service",
    "author_name": "Author Name",
    "commit_subject": "Description of change",
    "trigger_type": "webhook",
}
DOCS_PIPELINE = "1285fe1d-d3a6-44fc-8886-8979558254c4"
HOOK_VCS = {
    "ref_name": "main",
    "ref_type": "branch",
    "revision": "71eb8857ea7e13f36021af32f3b7cc9304b491dd",
    "repository_url": "https://github.com/DavidS/circleci-hook",
    "author_name": "David Schmitt",
    "commit_subject": "chore: implement basic event debugging and the PingEvent",
    "trigger_type": "webhook",
}
HOOK_PIPELINE = "2bed20e7-711a-45cf-b7e8-017a0575a26c"
RERUN_VCS = {
    "ref_name": "main",
    "ref_type": "branch",
    "revision": "a5e30a908224e46626a796d058289475f6d387b5",
    "repository_url": "https://github.com/zulip-testing/circleci-webhook-test",
    "author_name": "Hari Prashant Bhimaraju",
    "commit_subject": ".circleci: Update Webhook URL.",
    "trigger_type": "webhook",
}
RERUN_PIPELINE = "877c620f-900a-455b-ad51-1a772b5a3eab"
GITLAB_DOCS_VCS = {
    "ref_name": "main",
    "ref_type": "branch",
    "revision": "850a1519f25d14e968649cc420d1bd381715c05c",
    "repository_url": "https://gitlab.com/circleci/hello-world",
    "author_login": "username",
    "author_name": "Commit Author",
    "commit_subject": "Update README.md",
    "trigger_type": "gitlab",
}
GITLAB_DOCS_PIPELINE = "37c74cb7-d64d-4032-8731-1cb95bfef921"
GITLAB_VCS = {
    "ref_name": "main",
    "ref_type": "branch",
    "revision": "c31f86994c54672f97b5bd5e544315b7bd40e4c1",
    "repository_url": "https://gitlab.com/zulip-testing/circleci-webhook-test",
    "author_login": "hariprashant1",
    "author_name": "Hari Prashant Bhimaraju",
    "commit_subject": "app: Enhance message within hello().",
    "trigger_type": "gitlab",
}
GITLAB_PIPELINE = "18448206-98fd-4ed2-abef-896da41340c0"
APP_VCS = {
    "ref_name": "circleci-project-setup",
    "ref_type": "branch",
    "revision": "9e2e4bed59d2e6c51d00e0e0b49f1b79ff146ab1",
    "commit_subject": "CircleCI Commit",
    "trigger_type": "api",
}
APP_PIPELINE = "5c8229b0-194a-4942-bddd-2b6a40c5ab35"
BITBUCKET_VCS = {
    "ref_name": "master",
    "ref_type": "branch",
    "revision": "cab5eacb4ccee2710529894425341fa20a48fe6a",
    "repository_url": "https://bitbucket.org/hariprashant1/circleci-webhook-testing",
    "trigger_type": "api",
}
BITBUCKET_PIPELINE = "20d131f5-8cc3-472e-ac7f-346c7f6f2a49"

EXPECTED = {
    "docs-github-oauth-workflow-completed": [
        ("pipeline", DOCS_PIPELINE, False, {**DOCS_VCS, "number": 130, "created_at": ms("2021-09-01T22:49:03.544Z")}),
        (
            "workflow",
            "fda08377-fe7e-46b1-8992-3a7aaecac9c3",
            True,
            {
                **DOCS_VCS,
                "name": "build-test-deploy",
                "status": "success",
                "created_at": ms("2021-09-01T22:49:03.616Z"),
                "stopped_at": ms("2021-09-01T22:49:34.170Z"),
                "pipeline_id": DOCS_PIPELINE,
                "pipeline_number": 130,
            },
        ),
    ],
    "docs-github-oauth-job-completed": [
        ("pipeline", DOCS_PIPELINE, False, {**DOCS_VCS, "number": 130, "created_at": ms("2021-09-01T22:49:03.544Z")}),
        (
            "workflow",
            "fda08377-fe7e-46b1-8992-3a7aaecac9c3",
            False,
            {
                **DOCS_VCS,
                "name": "welcome",
                "created_at": ms("2021-09-01T22:49:03.616Z"),
                "pipeline_id": DOCS_PIPELINE,
                "pipeline_number": 130,
            },
        ),
        (
            "job",
            "8b91f9a8-7975-4e60-916c-f0152ccbc937",
            True,
            {
                "number": 136,
                "name": "test",
                "status": "success",
                "started_at": ms("2021-09-01T22:49:28.841Z"),
                "stopped_at": ms("2021-09-01T22:49:34.170Z"),
                "workflow_id": "fda08377-fe7e-46b1-8992-3a7aaecac9c3",
                "pipeline_id": DOCS_PIPELINE,
            },
        ),
    ],
    "real-github-oauth-workflow-completed": [
        ("pipeline", HOOK_PIPELINE, False, {**HOOK_VCS, "number": 10, "created_at": ms("2022-08-27T20:25:40.570Z")}),
        (
            "workflow",
            "410c427b-40a8-4bb4-9d42-5561f5bce5ba",
            True,
            {
                **HOOK_VCS,
                "name": "production",
                "status": "success",
                "created_at": ms("2022-08-27T20:25:40.675Z"),
                "stopped_at": ms("2022-08-27T20:26:31.289Z"),
                "pipeline_id": HOOK_PIPELINE,
                "pipeline_number": 10,
            },
        ),
    ],
    "real-github-oauth-job-completed": [
        ("pipeline", HOOK_PIPELINE, False, {**HOOK_VCS, "number": 10, "created_at": ms("2022-08-27T20:25:40.570Z")}),
        (
            "workflow",
            "410c427b-40a8-4bb4-9d42-5561f5bce5ba",
            False,
            {
                **HOOK_VCS,
                "name": "production",
                "created_at": ms("2022-08-27T20:25:40.675Z"),
                "pipeline_id": HOOK_PIPELINE,
                "pipeline_number": 10,
            },
        ),
        (
            "job",
            "20e45d7e-e4a7-4aa3-8f92-fd6d9d01da75",
            True,
            {
                "number": 10,
                "name": "rust/lint-test-build",
                "status": "success",
                "started_at": ms("2022-08-27T20:25:43.007Z"),
                "stopped_at": ms("2022-08-27T20:26:31.289Z"),
                "workflow_id": "410c427b-40a8-4bb4-9d42-5561f5bce5ba",
                "pipeline_id": HOOK_PIPELINE,
            },
        ),
    ],
    "real-github-oauth-job-completed-rerun": [
        ("pipeline", RERUN_PIPELINE, False, {**RERUN_VCS, "number": 4, "created_at": ms("2022-09-20T12:48:46.741Z")}),
        (
            "workflow",
            "7381218b-d04c-4aa3-b8b8-8c00a9319d1f",
            False,
            {
                **RERUN_VCS,
                "name": "sample",
                # 5 min 40 s after its pipeline: a rerun starts when it was created, not when its pipeline was.
                "created_at": ms("2022-09-20T12:54:26.737Z"),
                "pipeline_id": RERUN_PIPELINE,
                "pipeline_number": 4,
            },
        ),
        (
            "job",
            "bc772f25-9fd4-49f3-a3b8-d5a0cb5a2ab6",
            True,
            {
                "number": 6,
                "name": "build-and-test",
                "status": "success",
                "started_at": ms("2022-09-20T12:54:28.900Z"),
                "stopped_at": ms("2022-09-20T12:54:38.599Z"),
                "workflow_id": "7381218b-d04c-4aa3-b8b8-8c00a9319d1f",
                "pipeline_id": RERUN_PIPELINE,
            },
        ),
    ],
    "docs-gitlab-workflow-completed": [
        (
            "pipeline",
            GITLAB_DOCS_PIPELINE,
            False,
            {**GITLAB_DOCS_VCS, "number": 1, "created_at": ms("2022-04-13T11:10:18.804Z")},
        ),
        (
            "workflow",
            "c2006ece-778d-49fc-9e6e-b9965f72bee9",
            True,
            {
                **GITLAB_DOCS_VCS,
                "name": "build",
                "status": "failed",
                "created_at": ms("2022-05-27T16:20:07.631Z"),
                "stopped_at": ms("2022-05-27T16:20:13.812Z"),
                "pipeline_id": GITLAB_DOCS_PIPELINE,
                "pipeline_number": 1,
            },
        ),
    ],
    # The documented GitLab job has no workflow at all.
    "docs-gitlab-job-completed": [
        (
            "pipeline",
            GITLAB_DOCS_PIPELINE,
            False,
            {**GITLAB_DOCS_VCS, "number": 1, "created_at": ms("2022-04-13T11:10:18.804Z")},
        ),
        (
            "job",
            "2fc6977d-7e45-4271-b355-0ea894d82017",
            True,
            {
                "number": 1,
                "name": "say-hello",
                "status": "success",
                "started_at": ms("2022-07-11T12:16:37.435Z"),
                "stopped_at": ms("2022-07-11T12:16:59.982Z"),
                "pipeline_id": GITLAB_DOCS_PIPELINE,
            },
        ),
    ],
    "real-gitlab-job-completed": [
        ("pipeline", GITLAB_PIPELINE, False, {**GITLAB_VCS, "number": 3, "created_at": ms("2022-09-30T21:03:00.809Z")}),
        (
            "workflow",
            "b23ceb64-127a-4075-a27c-d204a7a0a3b3",
            False,
            {
                **GITLAB_VCS,
                "name": "sample",
                "created_at": ms("2022-09-30T21:03:00.929Z"),
                "pipeline_id": GITLAB_PIPELINE,
                "pipeline_number": 3,
            },
        ),
        (
            "job",
            "fa6d0b0f-473d-40ea-b1ed-da1e89298f47",
            True,
            {
                "number": 2,
                "name": "build-and-test",
                "status": "success",
                "started_at": ms("2022-09-30T21:03:03.359Z"),
                "stopped_at": ms("2022-09-30T21:03:15.017Z"),
                "workflow_id": "b23ceb64-127a-4075-a27c-d204a7a0a3b3",
                "pipeline_id": GITLAB_PIPELINE,
            },
        ),
    ],
    # Blank names and addresses are missing, not empty; the time in Go's own text does not matter.
    "real-github-app-job-completed": [
        ("pipeline", APP_PIPELINE, False, {**APP_VCS, "number": 5, "created_at": ms("2024-12-18T17:23:29.629Z")}),
        (
            "workflow",
            "c5aa9edf-4de9-43fd-b50e-2bfd75e32cb1",
            False,
            {
                **APP_VCS,
                "name": "say-hello-workflow",
                "created_at": ms("2024-12-18T18:51:06.137Z"),
                "pipeline_id": APP_PIPELINE,
                "pipeline_number": 5,
            },
        ),
        (
            "job",
            "00f06c85-7476-4a75-ba64-7daa608dc61e",
            True,
            {
                "number": 12,
                "name": "say-hello",
                "status": "success",
                "started_at": ms("2024-12-18T18:51:09.357Z"),
                "stopped_at": ms("2024-12-18T18:51:31.300Z"),
                "workflow_id": "c5aa9edf-4de9-43fd-b50e-2bfd75e32cb1",
                "pipeline_id": APP_PIPELINE,
            },
        ),
    ],
    "real-bitbucket-api-trigger-null-commit": [
        (
            "pipeline",
            BITBUCKET_PIPELINE,
            False,
            {**BITBUCKET_VCS, "number": 2, "created_at": ms("2022-11-07T11:45:36.570Z")},
        ),
        (
            "workflow",
            "baa45986-84db-47a0-bc6c-89e9fe751bc9",
            True,
            {
                **BITBUCKET_VCS,
                "name": "sample",
                "status": "success",
                "created_at": ms("2022-11-07T11:45:36.683Z"),
                "stopped_at": ms("2022-11-07T11:45:46.906Z"),
                "pipeline_id": BITBUCKET_PIPELINE,
                "pipeline_number": 2,
            },
        ),
    ],
    "real-ping": [],
}

PROJECTS = {
    "real-github-oauth-job-completed": ProjectRef(
        "circleci.com",
        "gh/DavidS/circleci-hook",
        "gh/DavidS",
        "1fbc30b3-cdb4-4874-a42e-abb81ffd0364",
        "b689dafb-ccea-4a88-8d20-f380ef2b439c",
    ),
    "real-bitbucket-api-trigger-null-commit": ProjectRef(
        "circleci.com",
        "bb/hariprashant1/circleci-webhook-testing",
        "bb/hariprashant1",
        "171594bb-8f19-4010-a3f6-5ae0007e109a",
        "c6f6a77e-03f9-4d15-ba42-7ccb1b765dd8",
    ),
    "real-github-app-job-completed": ProjectRef(
        "circleci.com",
        "circleci/9z8PamRuKaKWrW91o7Kqvn/AHWysFUuUfBgs6VeUqm6tg",
        "circleci/9z8PamRuKaKWrW91o7Kqvn",
        "4b309fd6-d103-401a-bee5-1de19651d969",
        "48c30eda-389d-48a8-ac64-7091f80c69df",
        "master",
    ),
}


def test_every_sample_has_an_expectation():
    """A new sample without expectation fails here."""
    assert set(EXPECTED) == {path.stem for path in SAMPLES.glob("*.json")}


@pytest.mark.parametrize("name", EXPECTED)
def test_sample(name):
    """Each sample gives exactly the observations written down for it, in this order."""
    assert EXPECTED[name] == _said(name)


@pytest.mark.parametrize("name", EXPECTED)
def test_sample_is_stamped(name):
    """Every observation names its source and the arrival; none of a webhook's is what release waits for."""
    for found in webhook(_load(name), CTX):
        assert ("webhook", CTX.observed_ms, False) == (found.source, found.observed_ms, found.enriches)


@pytest.mark.parametrize("name", PROJECTS)
def test_project_of_sample(name):
    """Slugs are short, ids are kept, the default branch comes where trigger parameters tell it."""
    assert {PROJECTS[name]} == {found.project for found in webhook(_load(name), CTX)}


# --- Shapes beyond the samples ------------------------------------------------------------------------------------


def _changed(name, **parts):
    payload = json.loads((SAMPLES / f"{name}.json").read_bytes())
    for path, value in parts.items():
        *parents, last = path.split("__")
        at = payload
        for parent in parents:
            at = at[parent]
        if value is ...:
            at.pop(last, None)
        else:
            at[last] = value
    return payload


def _only(kind, payload, ctx=CTX):
    return [found for found in webhook(payload, ctx) if found.kind == kind]


RUN = "real-github-oauth-workflow-completed"
JOB = "real-github-oauth-job-completed"
APP = "real-github-app-job-completed"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"pipeline__vcs__branch": None, "pipeline__vcs__tag": "v1.2"}, ("v1.2", "tag")),
        ({"pipeline__vcs__branch": None}, (None, None)),
        ({"pipeline__vcs__branch": "  "}, (None, None)),
        ({"pipeline__vcs": ...}, (None, None)),
        ({"pipeline__vcs": None}, (None, None)),
        ({"pipeline__vcs": "nonsense"}, (None, None)),
    ],
    ids=["tag", "tag without key", "blank", "no vcs", "null vcs", "text vcs"],
)
def test_ref_of_vcs(parts, expected):
    """A tag is a tag; what is not said is missing."""
    (run,) = _only("workflow", _changed(RUN, **parts))
    assert expected == (run.fields.get("ref_name"), run.fields.get("ref_type"))


@pytest.mark.parametrize(
    ("branch", "tag", "ref", "expected"),
    [
        ("main", "", "refs/heads/main", ("main", "branch")),
        ("", "", "refs/heads/feat/x", ("feat/x", "branch")),
        ("", "v1", "refs/tags/v1", ("v1", "tag")),
        ("", "", "refs/tags/v2", ("v2", "tag")),
        ("v3", "", "refs/tags/v3", ("v3", "tag")),
        ("", "", "refs/pull/7/head", ("pull/7/head", "branch")),
        ("", "", "", (None, None)),
    ],
)
def test_ref_of_trigger_parameters(branch, tag, ref, expected):
    """Branch, else tag, else the full ref."""
    git = {"branch": branch, "tag": tag, "ref": ref}
    payload = _changed(APP, pipeline__trigger_parameters={"git": git})
    (run,) = _only("workflow", payload)
    assert expected == (run.fields.get("ref_name"), run.fields.get("ref_type"))


def test_author_login_of_trigger_parameters():
    """`git.author_login` names the author of GitHub App pipelines."""
    git = {"author_login": "octo", "commit_author_name": "Octo Cat", "commit_message": "one\n\ntwo"}
    (run,) = _only("workflow", _changed(APP, pipeline__trigger_parameters={"git": git}))
    assert tuple(run.fields[name] for name in ("author_login", "author_name", "commit_subject")) == (
        "octo",
        "Octo Cat",
        "one",
    )


@pytest.mark.parametrize("status", ["failed", "canceled", "unauthorized", "error", "a-new-word"])
def test_workflow_completed_is_terminal_with_any_word(status):
    """Also a status nobody documented ends a workflow that CircleCI calls completed, and is kept."""
    (run,) = _only("workflow", _changed(RUN, workflow__status=status))
    assert (True, status) == (run.terminal, run.fields["status"])


def test_failing_is_not_an_end():
    """`failing` is a running workflow, whatever the type of the webhook says."""
    (run,) = _only("workflow", _changed(RUN, workflow__status="failing"))
    assert not run.terminal


@pytest.mark.parametrize("number", [None, "x", True])
def test_job_without_number(number):
    """A job's number may be null."""
    (job,) = _only("job", _changed(JOB, job__number=number))
    assert "number" not in job.fields


def test_upper_case_ids_are_lowered():
    """An id is the same whichever way it is written."""
    payload = _changed(JOB, job__id="20E45D7E-E4A7-4AA3-8F92-FD6D9D01DA75")
    assert [job.key for job in _only("job", payload)] == ["20e45d7e-e4a7-4aa3-8f92-fd6d9d01da75"]


@pytest.mark.parametrize("kind", ["workflow-started", "deploy-completed", "PING"])
def test_unknown_type_says_nothing(kind):
    """A type of the future is no error and gives no observation."""
    assert webhook(_changed(RUN, type=kind), CTX) == []


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (_changed(RUN, type=...), "no_type"),
        (_changed(RUN, type=7), "no_type"),
        (_changed(RUN, project=...), "no_project"),
        (_changed(RUN, project__slug=""), "no_project"),
        (_changed(RUN, workflow=...), "no_workflow"),
        (_changed(RUN, workflow__id="nonsense"), "no_workflow"),
        (_changed(JOB, job=None), "no_job"),
        (_changed(JOB, job__id=5), "no_job"),
    ],
)
def test_unusable_payload_says_why(payload, reason):
    """A signed payload that names nothing is set aside with a fixed reason."""
    with pytest.raises(Unparsable) as error:
        webhook(payload, CTX)
    assert reason == error.value.reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b'{"type": "ping"', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"type": "\xff"}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
    ],
    ids=["empty", "cut", "not text", "bad text inside", "deep", "list", "null", "string"],
)
def test_body_that_is_no_json_object(body, reason):
    """Whatever the bytes, the answer is Unparsable, never another exception."""
    with pytest.raises(Unparsable) as error:
        decode(body)
    assert reason == error.value.reason


def test_personal_data_is_dropped_hashed_or_kept():
    """E-mail addresses are dropped unless the source opts in; a hash is keyed and equal for equal people."""
    keep = Context("circleci.com", 1, Privacy(email="keep", login="drop", name="drop", commit_subject="drop"))
    fields = _only("workflow", _load(RUN), keep)[0].fields
    assert fields["author_email"] == "david@black.co.at"
    assert {"author_name", "commit_subject"}.isdisjoint(fields)
    one, other = (Context("circleci.com", 1, Privacy(email="hash", name="hash", key=key)) for key in (b"a", b"b"))
    hashed = _only("workflow", _load(RUN), one)[0].fields
    assert hashed["author_email"].startswith("hmac:")
    assert hashed == _only("workflow", _load(RUN), one)[0].fields
    assert hashed["author_name"] != _only("workflow", _load(RUN), other)[0].fields["author_name"]
    assert "david" not in json.dumps(dict(hashed)).lower().replace("davids/circleci-hook", "")
