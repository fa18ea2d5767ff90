"""API v2: answers as documented, paging, and what a token may see."""

import json
from pathlib import Path

import httpx
import pytest
from jsonschema_rs import Draft202012Validator

from headgate.testing.circleci import Knobs, Twin

DATA = Path(__file__).parents[3] / "data" / "circleci"
OPENAPI = json.loads((DATA / "openapi" / "circleci-v2-corrected.json").read_text())


def nullable(schema):
    """Write OpenAPI's `x-nullable` as JSON Schema does."""
    if isinstance(schema, list):
        return [nullable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: nullable(value) for key, value in schema.items()}
    return {**made, "type": [made["type"], "null"]} if made.pop("x-nullable", None) else made


def documented(path):
    """Give the schema of a path; one pipeline is an item of the list, whose trigger type is corrected."""
    listed = path == "/pipeline/{pipeline-id}"
    answer = OPENAPI["paths"]["/pipeline" if listed else path]["get"]["responses"]["200"]
    schema = answer["content"]["application/json"]["schema"]
    return schema["properties"]["items"]["items"] if listed else schema


def check(path, value):
    """Assert that an answer is what the document promises for a path."""
    schema = nullable(documented(path))
    Draft202012Validator(schema, validate_formats=True).validate(value)


def slugs(twin: Twin):
    """Give the short slugs of the projects."""
    return twin.about()["projects"]


def walk(twin, path, **query):
    """Give the items of all pages."""
    items, token = [], None
    while True:
        page = twin.get(path, **query, **({"page-token": token} if token else {}))
        items += page["items"]
        token = page["next_page_token"]
        if token is None:
            return items


def test_answers_about_the_user_are_as_documented(twin):
    """User and organizations."""
    check("/me", twin.get("/api/v2/me"))
    check("/me/collaborations", twin.get("/api/v2/me/collaborations"))
    assert twin.about()["orgs"] == [org["slug"] for org in twin.get("/api/v2/me/collaborations")]


@pytest.mark.parametrize("index", range(4), ids=["oauth", "app", "gitlab", "bitbucket"])
def test_answers_about_runs_are_as_documented(twin, index):
    """Project, pipelines, workflows, jobs and details of every kind of project."""
    slug = slugs(twin)[index]
    check("/project/{project-slug}", twin.get(f"/api/v2/project/{slug}"))
    page = twin.get(f"/api/v2/project/{slug}/pipeline")
    check("/project/{project-slug}/pipeline", page)
    for item in page["items"]:
        check("/pipeline/{pipeline-id}", twin.get(f"/api/v2/pipeline/{item['id']}"))
        runs = twin.get(f"/api/v2/pipeline/{item['id']}/workflow")
        check("/pipeline/{pipeline-id}/workflow", runs)
        for run in runs["items"][:1]:
            check("/workflow/{id}", twin.get(f"/api/v2/workflow/{run['id']}"))
            check("/workflow/{id}/job", twin.get(f"/api/v2/workflow/{run['id']}/job"))
    org = slug.rpartition("/")[0]
    check("/pipeline", twin.get("/api/v2/pipeline", **{"org-slug": org}))


@pytest.mark.parametrize("index", range(4), ids=["oauth", "app", "gitlab", "bitbucket"])
def test_answers_about_jobs_are_as_documented(twin, index):
    """Details, tests and artifacts of builds."""
    base = f"/api/v2/project/{slugs(twin)[index]}"
    seen = 0
    for number in range(1, 30):
        check("/project/{project-slug}/job/{job-number}", twin.get(f"{base}/job/{number}"))
        tests = twin.get(f"{base}/{number}/tests")
        check("/project/{project-slug}/{job-number}/tests", tests)
        check("/project/{project-slug}/{job-number}/artifacts", twin.get(f"{base}/{number}/artifacts"))
        seen += len(tests["items"])
    assert seen > 0


@pytest.mark.parametrize("index", range(4), ids=["oauth", "app", "gitlab", "bitbucket"])
@pytest.mark.parametrize("delay", [0.0, 86_400.0], ids=["at-once", "a-day-late"])
def test_answers_of_insights_are_as_documented(index, delay):
    """Every route, with nothing that ended, with running and with ended runs."""
    knobs = Knobs(insights_delay=delay, approval_never_rate=0.3)
    with Twin(seed=7, days=3, projects=4, runs_per_day=25, now_ms=1_795_000_200_000, knobs=knobs) as live:
        slug = slugs(live)[index]
        org, _, _name = slug.rpartition("/")
        base = f"/api/v2/insights/{slug}"
        for window in ("last-24-hours", "last-7-days", "last-90-days"):
            spans = {"reporting-window": window, "all-branches": "true"}
            check("/insights/{project-slug}/workflows", live.get(f"{base}/workflows", **spans))
            summary = live.get(f"/api/v2/insights/{org}/summary", **spans, **{"project-names": "web"})
            check("/insights/{org-slug}/summary", summary)
            named = {"workflow-names": "nightly", "branches": "main"}
            page = live.get(f"/api/v2/insights/pages/{slug}/summary", **spans, **named)
            check("/insights/pages/{project-slug}/summary", page)
        check("/insights/{project-slug}/branches", live.get(f"{base}/branches"))
        for item in live.get(f"{base}/workflows", **{"all-branches": "true"})["items"]:
            check_workflow_insights(live, slug, item["name"], tested=index in {0, 3})
        if index in {0, 3}:
            check("/insights/{project-slug}/flaky-tests", live.get(f"{base}/flaky-tests"))


def check_workflow_insights(twin, slug, name, *, tested):
    """Check all answers about one workflow, on the default branch and on all."""
    path, template = f"{slug}/workflows/{name}", "/insights/{project-slug}/workflows/{workflow-name}"
    for branches in ({}, {"all-branches": "true"}, {"branch": "no-such-branch"}):
        for end in ("", "/jobs", "/summary", *(["/test-metrics"] if tested else [])):
            check(template + end, twin.get(f"/api/v2/insights/{path}{end}", **branches))
    for granularity in ("daily", "hourly"):
        series = twin.get(f"/api/v2/insights/time-series/{path}/jobs", granularity=granularity)
        check("/insights/time-series/{project-slug}/workflows/{workflow-name}/jobs", series)


def test_unfinished_runs_are_as_documented():
    """Right after pipelines started, running, queued and blocked jobs are valid too."""
    with Twin(seed=3, days=1, projects=4, runs_per_day=60, now_ms=1_795_000_200_000) as young:
        states = set()
        for slug in slugs(young):
            for item in young.get(f"/api/v2/project/{slug}/pipeline")["items"]:
                runs = young.get(f"/api/v2/pipeline/{item['id']}/workflow")
                check("/pipeline/{pipeline-id}/workflow", runs)
                for run in runs["items"]:
                    jobs = young.get(f"/api/v2/workflow/{run['id']}/job")
                    check("/workflow/{id}/job", jobs)
                    for job in jobs["items"]:
                        states.add(job["status"])
                        if job["status"] in {"running", "queued"}:
                            path = f"/api/v2/project/{slug}/job/{job['job_number']}"
                            check("/project/{project-slug}/job/{job-number}", young.get(path))
    assert {"running", "blocked"} <= states


def test_pages_hold_twenty_newest_first_and_ignore_limit(twin):
    """The walk gives every pipeline once, by falling number."""
    first = twin.get("/api/v2/project/gh/acme/web/pipeline", limit=3)
    assert 20 == len(first["items"])
    numbers = [item["number"] for item in walk(twin, "/api/v2/project/gh/acme/web/pipeline")]
    assert list(range(len(numbers), 0, -1)) == numbers


def test_an_organization_lists_all_its_projects(twin):
    """Pipelines of an organization are those of its projects, by falling time."""
    items = walk(twin, "/api/v2/pipeline", **{"org-slug": "gh/acme"})
    assert {"gh/acme/web"} == {item["project_slug"] for item in items}
    times = [item["created_at"] for item in items]
    assert sorted(times, reverse=True) == times


def test_a_branch_filter_leaves_the_branch_alone(twin):
    """Only pipelines of that branch come."""
    items = walk(twin, "/api/v2/project/gh/acme/web/pipeline", branch="main")
    assert {"main"} == {item["vcs"]["branch"] for item in items}
    assert items


def test_all_forms_of_a_slug_name_the_same_project(twin):
    """Short, long and escaped."""
    forms = ["gh/acme/web", "github/acme/web", "gh%2Facme%2Fweb"]
    assert 1 == len({twin.get(f"/api/v2/project/{form}")["id"] for form in forms})


def test_odd_pipelines_look_like_the_real_ones(twin):
    """An errored one has no vcs and a trigger of 1970; scheduled and API ones have no commit."""
    items = [item for slug in slugs(twin) for item in walk(twin, f"/api/v2/project/{slug}/pipeline")]
    errored = next(item for item in items if item["state"] == "errored")
    assert "vcs" not in errored
    assert "1970-01-01T00:00:00.000Z" == errored["trigger"]["received_at"]
    assert {"login": "", "avatar_url": None} == errored["trigger"]["actor"]
    scheduled = next(i for i in items if i["trigger"]["type"] == "schedule" and "vcs" in i)
    assert {"login": "Scheduled", "avatar_url": None} == scheduled["trigger"]["actor"]
    assert "commit" not in scheduled["vcs"]


def test_lists_have_whole_seconds_and_pipelines_milliseconds(twin):
    """The precision of each source, and a number for each job but approvals and what never was queued."""
    items = walk(twin, "/api/v2/project/gh/acme/web/pipeline")
    assert {24} == {len(item["created_at"]) for item in items}
    runs = twin.get(f"/api/v2/pipeline/{items[-1]['id']}/workflow")["items"]
    run = next(run for run in runs if run["status"] == "success")
    assert 20 == len(run["created_at"]) == len(run["stopped_at"])
    for job in twin.get(f"/api/v2/workflow/{run['id']}/job")["items"]:
        assert ("job_number" in job) == (job["type"] == "build" and job["status"] != "not_run")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/project/gh/acme/nothing",
        "/api/v2/project/gh/acme/nothing/pipeline",
        "/api/v2/pipeline?org-slug=gh/nobody",
        "/api/v2/pipeline/00000000-0000-4000-8000-000000000000",
        "/api/v2/workflow/00000000-0000-4000-8000-000000000000/job",
        "/api/v2/project/gh/acme/web/job/999999",
        "/api/v2/project/gh/acme/web/999999/tests",
        "/api/v1.1/project/gh/acme/nothing",
        "/api/v1.1/project/gh/acme/web/999999",
        "/api/v2/no/such/route",
    ],
)
def test_unknown_things_are_404_with_a_message(twin, path):
    """The error has CircleCI's shape and the twin's own date."""
    answer = httpx.get(twin.base_url + path, headers={"circle-token": twin.token})
    assert 404 == answer.status_code
    assert {"message"} == answer.json().keys()
    assert "Fri, 20 Nov 2026 12:00:00 GMT" == answer.headers["date"]


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        (None, "/api/v2/me", 401),
        ("wrong", "/api/v2/me", 401),
        ("expired-1", "/api/v2/me", 401),
        ("expired-1", "/api/v1.1/me", 401),
        ("project-1", "/api/v2/me", 403),
        ("project-1", "/api/v1.1/project/gh/acme/web", 200),
        ("noaccess-1", "/api/v2/me", 200),
        ("noaccess-1", "/api/v2/project/gh/acme/web", 404),
        ("noaccess-1", "/api/v2/pipeline?org-slug=gh/acme", 403),
        ("noaccess-1", "/api/v1.1/project/gh/acme/web", 404),
        ("twin-token", "/api/v2/me", 200),
    ],
)
def test_tokens_open_what_they_may(twin, token, path, status):
    """Personal, project, expired, foreign and missing tokens, in both headers."""
    headers = {} if token is None else {"circle-token": token}
    assert status == httpx.get(twin.base_url + path, headers=headers).status_code
    bearer = {} if token is None else {"authorization": f"Bearer {token}"}
    assert status == httpx.get(twin.base_url + path, headers=bearer).status_code


def test_the_same_seed_answers_with_the_same_bytes(twin):
    """Whatever is asked, two twins of one seed and clock agree."""
    with Twin(twin.options) as other:
        for path in ("/api/v2/me", "/api/v2/project/gh/acme/web/pipeline", "/api/v1.1/project/gh/acme/web"):
            bodies = {
                httpx.get(one.base_url + path, headers={"circle-token": one.token}).content for one in (twin, other)
            }
            assert 1 == len(bodies)


def test_what_is_still_to_come_does_not_exist(twin):
    """An id learnt from a twin of the same seed whose clock is ahead is 404, and then exists."""
    with Twin(twin.options) as ahead:
        ahead.advance(3 * 86_400)
        path = f"/api/v2/pipeline/{ahead.get('/api/v2/project/gh/acme/web/pipeline')['items'][0]['id']}"
        assert 200 == httpx.get(ahead.base_url + path, headers={"circle-token": ahead.token}).status_code
    assert 404 == httpx.get(twin.base_url + path, headers={"circle-token": twin.token}).status_code


def test_a_page_token_nobody_gave_is_refused(twin):
    """It is an error, not the first page."""
    path = "/api/v2/project/gh/acme/web/pipeline?page-token=xyz"
    assert 400 == httpx.get(twin.base_url + path, headers={"circle-token": twin.token}).status_code


def test_a_known_path_with_another_method_is_405(twin):
    """The twin is read through GET."""
    answer = httpx.delete(f"{twin.base_url}/api/v2/me", headers={"circle-token": twin.token})
    assert 405 == answer.status_code
