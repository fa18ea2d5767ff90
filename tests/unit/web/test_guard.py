"""What stands before page and API: host names, tokens, forged requests, headers."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import httpx
import pytest
import structlog

from headgate.core.clock import ManualClock
from headgate.web.access.gate import Gate
from headgate.web.access.grants import Access, TokenGrant, digest_of
from headgate.web.asgi import Receive, Scope, Send, answer_json
from headgate.web.guard import Guard


async def inner(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer_json(send, 200, {"ok": True})


def guarded(*tokens: str, hosts: Sequence[str] | None = ()) -> Guard:
    """A guard who lets in who has one of these tokens."""
    grants = tuple(TokenGrant("token", "admin", digest_of(token)) for token in tokens)
    return Guard(inner, hosts=hosts, gate=Gate(ManualClock(), Access(grants)))


def client(guard: Guard, base: str = "http://127.0.0.1:8080") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=base)


@pytest.mark.parametrize(
    ("base", "status"),
    [
        ("http://127.0.0.1:8080", 200),
        ("http://localhost:1", 200),
        ("http://[::1]:80", 200),
        ("http://ci.example", 200),
        ("http://evil.example", 421),
        ("http://127.0.0.1.evil.example:8080", 421),
    ],
)
async def test_only_known_names_are_served_on_loopback(base: str, status: int) -> None:
    """A page of somebody else cannot rebind its name to us."""
    async with client(Guard(inner, hosts=["ci.example"]), base) as http:
        answer = await http.get("/")
    assert status == answer.status_code


async def test_any_name_is_served_beyond_loopback_where_tokens_protect() -> None:
    """`hosts` None: the name says nothing there."""
    async with client(guarded("secret-token", hosts=None), "http://any.example") as http:
        assert (await http.get("/", headers={"authorization": "Bearer secret-token"})).status_code == 200


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer secret-token", 200),
        ("bearer other-token", 200),
        (basic("secret-token"), 200),
        ("Bearer secret-toke", 401),
        ("Bearer ", 401),
        (basic(""), 401),
        ("Basic %%%", 401),
        ("secret-token", 401),
        ("", 401),
    ],
)
async def test_tokens(authorization: str, status: int) -> None:
    """Any configured token opens, as Bearer or as a browser's password."""
    async with client(guarded("secret-token", "other-token")) as http:
        answer = await http.get("/api/v1/status", headers={"authorization": authorization})
    assert status == answer.status_code
    assert (status == 401) == ("www-authenticate" in answer.headers)


async def test_health_needs_no_token() -> None:
    """Probes have none."""
    async with client(guarded("secret-token")) as http:
        assert [(await http.get(path)).status_code for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 401]


@pytest.mark.parametrize(("headers", "status"), [({}, 403), ({"x-headgate-request": "1"}, 200)])
async def test_a_change_needs_our_header(headers: dict[str, str], status: int) -> None:
    """A form of another site cannot send it."""
    async with client(Guard(inner)) as http:
        assert status == (await http.post("/api/v1/reload", headers=headers)).status_code


async def test_every_answer_has_the_security_headers() -> None:
    """Refusals too; no script but our own."""
    async with client(guarded("t")) as http:
        for answer in (await http.get("/livez"), await http.get("/")):
            policy = answer.headers["content-security-policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert ("nosniff", "DENY") == (answer.headers["x-content-type-options"], answer.headers["x-frame-options"])


async def test_every_answer_has_a_request_id_that_its_log_lines_carry() -> None:
    """The caller's own if it is harmless, else one of ours; a refusal has one too."""
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with client(Guard(inner, prefix="p")) as http:
            ours = await http.get("/")
            theirs = await http.post("/", headers={"x-request-id": "abc-1", "x-headgate-request": "1"})
            refused = await http.post("/", headers={"x-request-id": "bad id"})
    assert [answer.headers["x-request-id"] for answer in (ours, theirs, refused)] == ["p-1", "abc-1", "p-2"]
    assert [(line["request_id"], line["status"]) for line in lines] == [("abc-1", 200), ("p-2", 403)]


async def test_an_answer_says_itself_how_long_it_may_be_kept() -> None:
    """Once; all others may not be kept."""

    async def kept(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer_json(send, 200, {}, ((b"cache-control", b"private, no-cache"),))

    for app, expected in ((kept, ["private, no-cache"]), (inner, ["no-store"])):
        async with client(Guard(app)) as http:
            answer = await http.get("/")
        assert expected == answer.headers.get_list("cache-control")
        assert "DENY" == answer.headers["x-frame-options"]


async def test_refusals_are_pages_for_people_and_problems_for_scripts() -> None:
    """By what they can read; what a page loads by itself is a script."""
    cases = [("/", "text/html,*/*", "html"), ("/", "*/*", "problem"), ("/api/v1/status", "text/html", "problem")]
    async with client(Guard(inner), "http://evil.example") as http:
        for path, accept, kind in cases:
            answer = await http.get(path, headers={"accept": accept})
            assert 421 == answer.status_code
            assert kind in answer.headers["content-type"]
            assert "http.hosts" in answer.text
