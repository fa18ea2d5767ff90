"""The ways in which somebody is known, through the guard: each, and how each fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.web.access.bench import (
    ACCESS,
    ADMIN,
    ANNA,
    BADGES,
    BROWSER,
    COMMAND,
    METRICS,
    PASSWORD,
    READER,
    Bench,
    basic,
    bearer,
)

from headgate.web.access.grants import OPEN, Access
from headgate.web.access.limits import Limits
from headgate.web.access.ways import _pair


@pytest.fixture
async def bench():
    made = Bench()
    async with made.http:
        yield made


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        (bearer(ADMIN), "root admin token"),
        (basic("anybody", ADMIN), "root admin token"),
        (bearer(READER), "reader viewer token"),
        (basic("anna", PASSWORD), "anna operator password"),
        (basic("paul", "plain password"), "paul viewer password"),
        (bearer(COMMAND), "command admin command"),
        (bearer(COMMAND) | {"x-headgate-user": "erik"}, "erik admin command"),
    ],
)
async def test_who_shows_a_secret_is_known(bench, headers, known):
    """By the name, the role and the way."""
    answer = (await bench.http.get("/api/v1/status", headers=headers)).json()
    assert known == f"{answer['name']} {answer['role']} {answer['via']}"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(""),
        bearer(PASSWORD),
        bearer(ADMIN + "x"),
        basic("anna", "wrong"),
        basic("anna", ""),
        basic("", PASSWORD),
        basic("Anna", PASSWORD),
        basic("paul", PASSWORD),
        basic("nobody", PASSWORD),
        {"authorization": "Basic !!!"},
        {"authorization": "Basic YW5uYQ=="},
        {"authorization": ADMIN},
        {"authorization": "Digest x"},
        {"x-forwarded-user": "anna", "x-groups": "ops"},
        {"x-headgate-user": "root"},
        {"cookie": "headgate=x; headgate-form=y"},
    ],
)
async def test_who_shows_none_is_nobody(bench, headers):
    """401 as a problem, with how to do it; nothing behind the guard hears of it."""
    answer = await bench.http.post("/api/v1/reload", headers=headers | {"x-headgate-request": "1"})
    assert (401, "application/problem+json") == (answer.status_code, answer.headers["content-type"])
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert {"type", "title", "status", "detail", "error"} == set(answer.json())
    assert [] == bench.done


async def test_a_wrong_secret_is_not_made_good_by_a_session(bench):
    """Who wants to be known as somebody else is told."""
    await bench.log_in(READER)
    assert 200 == (await bench.http.get("/api/v1/status")).status_code
    assert 401 == (await bench.http.get("/api/v1/status", headers=bearer("wrong"))).status_code


# -- the reverse proxy


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"x-forwarded-user": "erik", "x-groups": "x, ops"}, "erik admin"),
        ({"x-forwarded-user": "zoë".encode(), "x-groups": b"dev"}, "zoë viewer"),
        ({"x-forwarded-user": "erik", "x-groups": "dev", **bearer(ADMIN)}, "erik viewer"),
        ({"x-groups": "ops", **bearer(READER)}, "reader viewer"),
    ],
)
async def test_a_trusted_proxy_says_who_somebody_is(bench, headers, known):
    """With a role by group; its word comes first, and who it does not name may show a token."""
    async with bench.browser(peer="10.0.0.1") as http:
        answer = (await http.get("/api/v1/status", headers=headers)).json()
    assert known == f"{answer['name']} {answer['role']}"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-forwarded-user": "erik"}, 401),
        ({"x-forwarded-user": "erik", "x-groups": "guests"}, 401),
        ({"x-forwarded-user": "", "x-groups": "ops"}, 401),
        ({"x-forwarded-user": "e" * 201, "x-groups": "ops"}, 401),
        ({"x-forwarded-user": b"\xff\xfe", "x-groups": b"ops"}, 401),
    ],
)
async def test_who_a_proxy_names_without_a_role_is_nobody(bench, headers, status):
    """So is a name that is none."""
    async with bench.browser(peer="10.0.0.1") as http:
        assert status == (await http.get("/api/v1/status", headers=headers)).status_code


async def test_a_header_that_decides_is_there_once(bench):
    """A client's own beside that of the proxy: nobody can tell which is which."""
    async with bench.browser(peer="10.0.0.1") as http:
        twice = [("x-forwarded-user", "eve"), ("x-forwarded-user", "erik"), ("x-groups", "ops")]
        assert 400 == (await http.get("/api/v1/status", headers=twice)).status_code
    for name, first, second in (
        ("authorization", f"Bearer {ADMIN}", "Bearer wrong"),
        ("authorization", "Bearer wrong", f"Bearer {ADMIN}"),
        ("host", "127.0.0.1", "evil.example"),
    ):
        answer = await bench.http.get("/api/v1/status", headers=[(name, first), (name, second)])
        assert (400, "doubled") == (answer.status_code, answer.json()["error"])


async def test_what_only_a_proxy_may_say_reaches_nobody(bench):
    """Neither from a stranger nor from the proxy itself."""
    headers = bearer(ADMIN) | {"x-forwarded-user": "eve", "x-groups": "ops", "x-other": "1"}
    answer = (await bench.http.get("/api/v1/status", headers=headers)).json()
    assert ("root", {"x-other": "1"}) == (answer["name"], answer["seen"])


async def test_limits_and_trail_count_whom_the_proxy_asks_for(bench):
    """The last address of the list, which the proxy wrote; one that is none is not believed."""
    async with bench.browser(peer="10.0.0.1") as http:
        for forwarded in ("203.0.113.7, 198.51.100.9", "198.51.100.9, junk"):
            await http.get("/api/v1/tail", headers=bearer(ADMIN) | {"x-forwarded-for": forwarded})
    await bench.http.get("/api/v1/tail", headers=bearer(ADMIN) | {"x-forwarded-for": "198.51.100.1"})
    await bench.trail.flush()
    assert ["198.51.100.9", "10.0.0.1", "192.0.2.1"] == [one.peer for one in bench.entries]


# -- roles and scopes


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/", "viewer operator admin"),
        ("GET", "/api/v1/insights/run?run=x", "viewer operator admin"),
        ("POST", "/api/v1/deadletters/replay", "operator admin"),
        ("DELETE", "/api/v1/silences/3", "operator admin"),
        ("POST", "/api/v1/sinks/loki/reset", "admin"),
        ("GET", "/api/v1/trail", "admin"),
        ("GET", "/api/v1/unheard-of", "admin"),
    ],
)
async def test_each_role_may_what_it_may(bench, method, path, allowed):
    """The others are told which it needs, and nothing is done."""
    shown = {"viewer": bearer(READER), "operator": basic("anna", PASSWORD), "admin": bearer(ADMIN)}
    for role, headers in shown.items():
        bench.done.clear()
        answer = await bench.http.request(method, path, headers=headers | {"x-headgate-request": "1"})
        assert (200 if role in allowed.split() else 403) == answer.status_code
        if answer.status_code == 403:
            assert "role" == answer.json()["error"]
            assert [] == bench.done


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/metrics", 200),
        ("HEAD", "/metrics", 200),
        ("GET", "/metrics/ci", 200),
        ("GET", "/", 403),
        ("GET", "/api/v1/status", 403),
        ("POST", "/metrics", 403),
        ("GET", "/livez", 200),
    ],
)
async def test_a_limited_token_reads_what_it_is_for(bench, method, path, status):
    """Nothing else, and changes nothing there either."""
    headers = bearer(METRICS) | {"x-headgate-request": "1"}
    assert status == (await bench.http.request(method, path, headers=headers)).status_code
    assert [] == bench.done


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"token={BADGES}", 200),
        (f"project=a&token={BADGES}&token={BADGES}", 401),
        (f"token={ADMIN}", 401),
        (f"token={METRICS}", 403),
        ("token=guess", 401),
        ("token=", 401),
    ],
)
async def test_a_badge_takes_a_limited_token_in_its_address(bench, query, status):
    """Who shows it in a README can send no header; no other token, and nowhere else."""
    assert status == (await bench.http.get(f"/badge/last-run.svg?{query}")).status_code
    assert 401 == (await bench.http.get(f"/metrics?{query}")).status_code


# -- rates


async def test_who_fails_too_often_is_not_even_looked_at(bench):
    """429 with when to come back; a token that was right before goes on, another peer too."""
    assert 200 == (await bench.http.get("/", headers=bearer(READER))).status_code
    for _ in range(5):
        assert 401 == (await bench.http.get("/", headers=bearer("guess"))).status_code
    for headers in (bearer("guess"), bearer(ADMIN), basic("anna", PASSWORD)):
        answer = await bench.http.get("/api/v1/status", headers=headers)
        assert (429, "1") == (answer.status_code, answer.headers["retry-after"])
        assert "application/problem+json" == answer.headers["content-type"]
    assert 200 == (await bench.http.get("/", headers=bearer(READER))).status_code
    assert 200 == (await bench.http.get("/livez")).status_code
    async with bench.browser(peer="192.0.2.2") as http:
        assert 200 == (await http.get("/", headers=bearer(ADMIN))).status_code
    bench.clock.advance(1)
    assert 200 == (await bench.http.get("/", headers=bearer(ADMIN))).status_code


async def test_many_guesses_at_once_do_not_get_around_it(bench):
    """Passwords are looked at two by two, and who has failed meanwhile is not looked at."""
    guesses = [bench.http.get("/", headers=basic("anna", f"guess {number}")) for number in range(20)]
    statuses = [one.status_code for one in await asyncio.gather(*guesses)]
    assert {401, 429} == set(statuses)
    assert statuses.count(401) <= 6


async def test_requests_are_limited_by_who_asks(bench):
    """Generously; health never, this machine's commands never."""
    statuses = [(await bench.http.get("/", headers=bearer(READER))).status_code for _ in range(1001)]
    assert [200] * 1000 + [429] == statuses
    assert 200 == (await bench.http.get("/", headers=bearer(ADMIN))).status_code
    strangers = [(await bench.http.get("/")).status_code for _ in range(201)]
    assert [401] * 200 + [429] == strangers
    assert 200 == (await bench.http.get("/livez")).status_code
    bench.clock.advance(0.01)
    assert 200 == (await bench.http.get("/", headers=bearer(READER))).status_code


# -- changes of the configuration


async def test_a_secret_that_is_granted_no_more_opens_nothing(bench):
    """Also one that was right a moment ago; its sessions end, those of others stay."""
    await bench.log_in(PASSWORD, "anna")
    other = bench.browser()
    await bench.log_in(READER, http=other)
    headers = basic("anna", PASSWORD)
    async with bench.browser() as script:
        assert 200 == (await script.get("/", headers=headers)).status_code
        bench.gate.configure(replace(ACCESS, users=(replace(ANNA, mark=b"2", password=None),)))
        assert 401 == (await script.get("/", headers=headers)).status_code
    assert [401, 200] == [(await http.get("/api/v1/status")).status_code for http in (bench.http, other)]
    bench.gate.configure(Access(tokens=(replace(ACCESS.tokens[1], role="operator"),)))
    assert 401 == (await other.get("/api/v1/status")).status_code
    await other.aclose()


async def test_loopback_without_access_is_open():
    """To an admin called local; commands say their user."""
    bench = Bench(OPEN, peer="127.0.0.1")
    async with bench.http as http:
        found = [(await http.get("/x", headers=one)).json() for one in ({}, bearer(COMMAND), bearer("any"))]
        assert ["local", "command", "local"] == [one["name"] for one in found]
        assert {"admin"} == {one["role"] for one in found}
        assert 303 == (await http.get("/login?next=/alerts", headers=BROWSER)).status_code


# -- nobody becomes somebody

_NAMES = st.sampled_from(
    [
        *("authorization", "cookie", "x-forwarded-user", "x-groups", "x-forwarded-for", "x-forwarded-proto"),
        *("x-headgate-user", "x-headgate-request", "x_forwarded_user", "proxy-authorization", "x-real-ip", "origin"),
        *("sec-fetch-site", "sec-fetch-mode", "accept", "hx-request", "content-type", "forwarded", "x-request-id"),
    ]
)
_VALUES = st.sampled_from(
    [
        *(
            "",
            "root",
            "anna",
            "ops",
            "admin",
            "Bearer",
            "Bearer ",
            "Bearer null",
            "Basic OnJvb3Q=",
            "Basic cm9vdDo=",
            ":",
        ),
        *(
            "10.0.0.1",
            "127.0.0.1",
            "headgate=",
            "headgate=x; headgate=x",
            "__Host-headgate=root",
            "https",
            "same-origin",
        ),
        *(
            "text/html",
            "application/x-www-form-urlencoded",
            "command",
            "1",
            "Basic OjpvcHM=",
            "null",
            "http://127.0.0.1",
        ),
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=8),
    method=st.sampled_from(["GET", "POST", "DELETE", "HEAD", "OPTIONS"]),
    path=st.sampled_from(
        ["/", "/run/1", "/change", "/api/v1/reload", "/api/v1/status", "/metrics", "/login/x", "/static"]
    ),
)
async def test_no_headers_make_an_outsider_somebody(bench, headers, method, path):
    """Whichever, how often and in which order: no handler is reached, and nothing is done."""
    bench.clock.advance(3600)
    before = len(bench.done)
    answer = await bench.http.request(method, path, headers=headers)
    assert answer.status_code in (303, 400, 401, 403, 429) or (answer.status_code == 200 and "refresh" in answer.text)
    assert before == len(bench.done)


@given(st.text())
def test_whatever_stands_in_the_header_is_read_or_not(text):
    """Without an error."""
    pair = _pair(text)
    assert pair is None or len(pair) == 2


async def test_how_often_somebody_may_ask_and_be_wrong_is_configured():
    """A reload with the same limits forgets nothing; with others everybody begins anew."""
    limits = Limits(known=1.0, unknown=1.0, wrong=2)
    bench = Bench(replace(ACCESS, limits=limits))
    async with bench.http:
        known = {"authorization": f"Bearer {READER}"}
        asked = [(await bench.http.get("/api/v1/status", headers=known)).status_code for _ in range(11)]
        assert [200] * 10 + [429] == asked
        bench.gate.configure(replace(ACCESS, limits=limits))
        assert 429 == (await bench.http.get("/api/v1/status", headers=known)).status_code
        bench.gate.configure(replace(ACCESS, limits=replace(limits, known=2.0)))
        assert 200 == (await bench.http.get("/api/v1/status", headers=known)).status_code
    async with bench.browser(peer="192.0.2.9") as http:
        wrong = {"authorization": "Bearer wrong"}
        tries = [(await http.get("/api/v1/status", headers=wrong)).status_code for _ in range(3)]
        assert [401, 401, 429] == tries
