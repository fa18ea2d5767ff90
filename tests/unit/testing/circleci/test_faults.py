"""Misbehaviour of the API on request."""

import json

import httpx
import pytest

from headgate.testing.circleci import Options, Twin
from headgate.testing.circleci.faults import LISTS, Faults
from headgate.testing.circleci.ids import Ids, Place
from headgate.testing.circleci.times import parse

LIST = "/api/v2/project/gh/acme/web/pipeline"
BUILDS = "/api/v1.1/project/gh/acme/web"


CLIENT = httpx.Client(trust_env=False)


@pytest.fixture(scope="module")
def running():
    """Run a twin for faults."""
    with Twin(Options(now_ms=parse("2026-11-20T12:00:00Z"), seed=7, days=6, projects=1)) as made, CLIENT:
        yield made


@pytest.fixture
def bad(running):
    """Give the twin, and make it behave well again after the test."""
    yield running
    running.clear_faults()
    running.reset_calls()


def ask(twin, path=LIST):
    """Ask without raising."""
    return CLIENT.get(twin.base_url + path, headers={"circle-token": twin.token})


@pytest.mark.parametrize(
    ("style", "expected", "json_body"),
    [
        ("retry_after", {"retry-after": "3"}, True),
        ("reset", {"ratelimit-reset": "3", "ratelimit-remaining": "0", "ratelimit-limit": "51"}, True),
        (
            "x_reset",
            {"x-ratelimit-reset": "3", "x-ratelimit-remaining": "0", "x-ratelimit-limit": "51"},
            True,
        ),
        ("none", {}, True),
        ("text", {}, False),
    ],
)
def test_rate_limited_in_every_style(bad, style, expected, json_body):
    """429, with the wait where the style says, as often as counted."""
    bad.put_faults({"rate_limited": {"count": 1, "style": style, "seconds": 3}})
    answer = ask(bad)
    limits = {key: value for key, value in answer.headers.items() if "retry" in key or "ratelimit" in key}
    assert (429, expected) == (answer.status_code, limits)
    assert json_body == answer.headers["content-type"].startswith("application/json")
    assert 200 == ask(bad).status_code


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"server_error": {"count": 1}}, 500),
        ({"server_error": {"count": 1, "status": 503}}, 503),
        ({"token_expired": {"count": 1}}, 401),
        ({"not_found": {"count": 1}}, 404),
    ],
    ids=["500", "503", "expired", "404"],
)
def test_errors(bad, fault, status):
    """Once, then all is well."""
    bad.put_faults(fault)
    assert [status, 200] == [ask(bad).status_code, ask(bad).status_code]


def test_a_cut_body_is_not_json(bad):
    """Half of the answer, in a response that is valid HTTP."""
    bad.put_faults({"cut_body": {"count": 1}})
    cut = ask(bad)
    assert 200 == cut.status_code
    with pytest.raises(json.JSONDecodeError):
        cut.json()


def test_a_cut_connection(bad):
    """The connection breaks in the middle of the answer."""
    bad.put_faults({"cut_body": {"count": 1, "style": "connection"}})
    with pytest.raises(httpx.RemoteProtocolError):
        ask(bad)


def test_a_page_token_repeats(bad):
    """The token that was asked with comes back as the next one."""
    token = ask(bad).json()["next_page_token"]
    bad.put_faults({"repeated_page_token": {"count": 1}})
    assert token == ask(bad, f"{LIST}?page-token={token}").json()["next_page_token"]
    assert token != ask(bad, f"{LIST}?page-token={token}").json()["next_page_token"]


def test_slow_answers_take_their_time(bad):
    """A client that waits less gives up."""
    bad.put_faults({"slow": {"count": 1, "seconds": 5}})
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(bad.base_url + LIST, headers={"circle-token": bad.token}, timeout=0.05)


def test_a_rate_strikes_about_as_often_and_always_the_same(bad):
    """The coin is seeded: putting the fault again repeats the run."""
    runs = []
    for _ in range(2):
        bad.put_faults({"server_error": {"rate": 0.3}})
        runs.append([ask(bad, "/api/v2/me").status_code for _ in range(60)])
    assert runs[0] == runs[1]
    assert 8 <= runs[0].count(500) <= 30


def test_routes_limit_a_fault(bad):
    """Only path templates that contain the text are hit."""
    bad.put_faults({"not_found": {"rate": 1, "routes": "/workflow"}})
    assert 200 == ask(bad).status_code
    item = next(item for item in ask(bad).json()["items"] if item["state"] == "created")
    assert 404 == ask(bad, f"/api/v2/pipeline/{item['id']}/workflow").status_code


def test_a_list_hides_runs_which_are_still_there(bad):
    """A hidden pipeline is missing from the v2 list each time, but can be had by id."""
    before = [item["id"] for item in ask(bad).json()["items"]]
    bad.put_faults({"list_hides": {"count": 2, "list": "v2"}})
    shown = [item["id"] for item in ask(bad).json()["items"]]
    assert before[2:] == shown[: len(before) - 2]
    assert shown == [item["id"] for item in ask(bad).json()["items"]]
    assert 200 == ask(bad, f"/api/v2/pipeline/{before[0]}").status_code


def test_the_v11_list_hides_all_builds_of_a_run(bad):
    """By rate: the same runs each time, and v2 still lists them."""
    before = {row["workflows"]["workflow_id"] for row in ask(bad, f"{BUILDS}?limit=100").json()}
    bad.put_faults({"list_hides": {"rate": 0.4, "list": "v1.1"}})
    shown = [row["workflows"]["workflow_id"] for row in ask(bad, f"{BUILDS}?limit=100").json()]
    hidden = before - set(shown)
    assert hidden
    assert 100 == len(shown)
    assert 200 == ask(bad, f"/api/v2/workflow/{hidden.pop()}").status_code


def test_one_list_hides_a_share_of_runs_and_the_others_none():
    """By rate: about that share, the same runs in whatever order they are asked for."""
    ids = Ids(7)
    runs = [ids.make(Place(2, 0, number)) for number in range(2000)]
    hidden = []
    for order in (runs, runs[::-1]):
        for which in LISTS:
            faults = Faults(7, ids)
            faults.put({"list_hides": {"rate": 0.02, "list": which}})
            assert not any(faults.hides(other, run) for other in set(LISTS) - {which} for run in runs)
            hidden.append({run for run in order if faults.hides(which, run)})
    assert all(hidden[0] == one for one in hidden)
    assert 20 <= len(hidden[0]) <= 60


@pytest.mark.parametrize(
    "wanted",
    [
        {"nonsense": {"rate": 1}},
        {"slow": {}},
        {"slow": {"rate": 1, "count": 1}},
        {"rate_limited": {"rate": 1, "style": "odd"}},
        {"list_hides": {"rate": 1}},
        {"list_hides": {"rate": 1, "list": "v3"}},
        {"export_columns": {"rate": 1, "style": "odd"}},
        {"export_columns": {"rate": 1, "column": "NOTHING"}},
        {"slow": {"rate": "x"}},
        {"slow": 1},
        [],
    ],
)
def test_faults_nobody_knows_are_refused(bad, wanted):
    """400 with the reason, and nothing changes."""
    answer = httpx.put(f"{bad.base_url}/_twin/faults", json=wanted)
    assert 400 == answer.status_code
    assert answer.json()["message"]
    assert {} == httpx.get(f"{bad.base_url}/_twin/faults").json()


def test_calls_are_counted_by_route(bad):
    """Templates, not paths; refused calls too; what is under /_twin is not counted."""
    ask(bad)
    ask(bad, f"{LIST}?branch=main")
    ask(bad, f"{BUILDS}/1")
    httpx.get(f"{bad.base_url}/api/v2/me")
    counted = {
        "/api/v1.1/project/{project-slug}/{number}": 1,
        "/api/v2/me": 1,
        "/api/v2/project/{project-slug}/pipeline": 2,
    }
    assert counted == bad.calls()
    bad.reset_calls()
    assert {} == bad.calls()


def test_the_rate_limit_is_enforced():
    """Beyond the burst comes 429 with Retry-After; each answer has both families of headers."""
    with Twin(days=1, projects=1, rate_limit=5.0) as limited:
        answers = [ask(limited, "/api/v2/me") for _ in range(8)]
    assert [200] * 5 == [answer.status_code for answer in answers[:5]]
    assert 429 == answers[7].status_code
    assert "1" == answers[7].headers["retry-after"]
    assert [("5", "4"), ("5", "3")] == [
        (answer.headers["ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) for answer in answers[:2]
    ]


def test_without_a_limit_no_headers_tell_one(bad):
    """`off` means off."""
    assert not [name for name in ask(bad).headers if "ratelimit" in name]
