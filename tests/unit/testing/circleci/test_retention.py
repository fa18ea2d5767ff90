"""What is past retention is gone from every answer, and a Server keeps longer."""

from dataclasses import replace

import httpx
import pytest

from headgate.testing.circleci import Knobs, Options, Twin
from headgate.testing.circleci.__main__ import options_from, parser
from headgate.testing.circleci.access import Limiter
from headgate.testing.circleci.times import DAY, parse

NOW = parse("2026-11-20T12:00:00Z")
OPTIONS = Options(now_ms=NOW, seed=7, days=6, projects=1, runs_per_day=12.0, knobs=Knobs(late_reruns_per_day=2.0))
SHORT = replace(OPTIONS, knobs=replace(OPTIONS.knobs, retention_days=3))
CLIENT = httpx.Client(trust_env=False)
BASE = "/api/v2/project/gh/acme/web"
BUILDS = "/api/v1.1/project/gh/acme/web"


@pytest.fixture(scope="module", autouse=True)
def _client():
    """Close the connections after the last test."""
    with CLIENT:
        yield


@pytest.fixture(scope="module")
def whole():
    """Run a twin that keeps everything."""
    with Twin(OPTIONS) as made:
        yield made


@pytest.fixture(scope="module")
def short():
    """Run the same twin with three days of retention."""
    with Twin(SHORT) as made:
        yield made


def status(twin, path):
    """Ask without raising; give the status."""
    return CLIENT.get(twin.base_url + path, headers={"circle-token": twin.token}).status_code


def pipelines(twin):
    """Give the pipelines of all pages."""
    items, token = [], None
    while True:
        page = twin.get(f"{BASE}/pipeline", **({"page-token": token} if token else {}))
        items, token = items + page["items"], page["next_page_token"]
        if token is None:
            return items


def builds(twin):
    """Give the builds of all pages."""
    rows = []
    while page := twin.get(BUILDS, limit=100, offset=len(rows)):
        rows += page
    return rows


def kept(text):
    """Say whether a time is within three days."""
    return parse(text) >= NOW - 3 * DAY


def test_lists_end_where_retention_ends(whole, short):
    """Pipelines and builds within it are all there, in the same words."""
    every, left = pipelines(whole), pipelines(short)
    assert [item for item in every if kept(item["created_at"])] == left
    assert 0 < len(left) < len(every)
    rows, remaining = builds(whole), builds(short)
    assert [row for row in rows if kept(row["usage_queued_at"])] == remaining
    assert 0 < len(remaining) < len(rows)


def test_details_past_retention_are_404(whole, short):
    """Pipeline, workflow, its jobs, job, tests, artifacts, build."""
    checked = set()
    for item in pipelines(whole):
        within = kept(item["created_at"])
        wanted = 200 if within else 404
        paths = [f"/api/v2/pipeline/{item['id']}", f"/api/v2/pipeline/{item['id']}/workflow",
                 f"{BASE}/pipeline/{item['number']}"]  # fmt: skip
        assert [wanted] * 3 == [status(short, path) for path in paths]
        for run in whole.get(f"/api/v2/pipeline/{item['id']}/workflow")["items"][:1]:
            expected = 200 if kept(run["created_at"]) else 404
            paths = [f"/api/v2/workflow/{run['id']}", f"/api/v2/workflow/{run['id']}/job"]
            assert [expected] * 2 == [status(short, path) for path in paths]
            checked.add((wanted, expected))
    assert {(200, 200), (404, 404), (404, 200)} == checked  # the last: a rerun of a pipeline that is gone
    for row in builds(whole)[::10]:
        wanted, number = 200 if kept(row["usage_queued_at"]) else 404, row["build_num"]
        paths = [f"{BASE}/job/{number}", f"{BASE}/{number}/tests", f"{BASE}/{number}/artifacts", f"{BUILDS}/{number}"]
        assert [wanted] * 4 == [status(short, path) for path in paths]


def test_the_truth_and_the_export_remember(whole, short):
    """Retention is of the API alone."""
    assert list(whole.truth()) == list(short.truth())
    assert whole.credits() == short.credits()


def test_retention_goes_with_the_clock():
    """What is listed today is gone when its days are over."""
    with Twin(SHORT) as made:
        newest = pipelines(made)[0]["id"]
        made.advance(3.1 * DAY / 1000)
        assert 404 == status(made, f"/api/v2/pipeline/{newest}")


def test_retention_by_mode():
    """90 days, a Server 660, or as the knob has it."""
    given = [options_from(parser().parse_args(text.split())).retention_ms // DAY
             for text in ("", "--mode server", "--mode server --knob retention_days=7")]  # fmt: skip
    assert [90, 660, 7] == given


def test_a_server_answers_v2_and_v11_and_not_what_the_cloud_alone_has(whole):
    """The same bytes; no v3, no job by id."""
    with Twin(replace(OPTIONS, mode="server")) as server:
        job = builds(server)[0]["workflows"]["job_id"]
        for path in (f"{BASE}/pipeline", BUILDS, f"{BASE}/job/1"):
            bodies = {CLIENT.get(twin.base_url + path, headers={"circle-token": twin.token}).content
                      for twin in (whole, server)}  # fmt: skip
            assert 1 == len(bodies)
        assert {404} == {
            status(server, path) for path in (f"/api/v2/jobs/{job}", f"/api/v3/jobs/{job}", "/api/v3/workflows")
        }


def test_a_server_lets_300_pass_at_once():
    """150 a second, with that burst, unless a limit is given."""
    options = [
        options_from(parser().parse_args(text.split())) for text in ("--mode server", "--mode server --rate-limit 9")
    ]
    assert [(150.0, 300.0), (9.0, None)] == [(one.rate_limit, one.rate_burst) for one in options]
    limiter = Limiter(options[0].rate_burst)
    passed = [limiter.take("t", 150.0) for _ in range(300)]
    assert {True} == {good for good, _ in passed}
    assert "300" == passed[0][1]["ratelimit-limit"]


def test_the_burst_is_all_that_passes_at_once():
    """Beyond it comes 429."""
    with Twin(Options(now_ms=NOW, days=1, projects=1, rate_limit=1.0, rate_burst=3.0)) as limited:
        assert [200, 200, 200, 429] == [status(limited, "/api/v2/me") for _ in range(4)]
