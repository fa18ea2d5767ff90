"""HEAD is GET without a body, wherever GET is answered."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.unit.web.site.test_routes import PROJECT, Bench
from tests.unit.web.test_parameters import addresses

from headgate.testing.store_data import job, merge, pipeline, workflow
from headgate.web.exports import add_exports
from headgate.web.guard import Guard
from headgate.web.insights import add_insights

# Of this moment, so that two answers differ.
_MOVING = {"x-request-id"}


@pytest.fixture
async def http():
    made = Bench()
    add_insights(made.app, made.lens)
    add_exports(made.app, made.answers, made.lens)
    await made.store.open()
    await merge(made.store, pipeline(), workflow(), job())
    transport = httpx.ASGITransport(Guard(made.app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        client.addresses = addresses(made.app)  # type: ignore[attr-defined]  # for the test below
        yield client


async def test_everything_that_get_answers_is_answered_to_head(http):
    """With the same status and headers, refusals too, and not a byte of body."""
    asked = [f"/project?project={PROJECT}", "/static/page.css", "/api/v1/openapi.json", "/nowhere", *http.addresses]
    for path in asked:
        if path == "/api/v1/live":
            continue
        whole, bare = await http.get(path), await http.head(path)
        assert (whole.status_code, b"") == (bare.status_code, bare.content), path
        expected, headers = ({k: v for k, v in one.headers.items() if k not in _MOVING} for one in (whole, bare))
        assert expected == headers, path


async def test_a_tag_that_is_known_is_not_modified_for_head_too(http):
    """As for GET."""
    tag = (await http.head("/api/v1/insights/overview")).headers["etag"]
    assert 304 == (await http.head("/api/v1/insights/overview", headers={"if-none-match": tag})).status_code


async def test_every_answer_of_the_api_has_a_tag(http):
    """It is known again by it, with the headers that it had; what is made while it is sent has none."""
    sent = {"/api/v1/live", "/api/v1/export/runs"}
    asked = [
        path for path in (*http.addresses, "/api/v1/openapi.json") if path.startswith("/api/") and path not in sent
    ]
    answered = 0
    for path in asked:
        answer = await http.get(path)
        if answer.status_code != 200:
            assert "etag" not in answer.headers
            continue
        answered += 1
        again = await http.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (304, b"") == (again.status_code, again.content), path
        kept = {"content-security-policy", "etag", "cache-control", "vary"}
        assert {k: answer.headers[k] for k in kept} == {k: again.headers[k] for k in kept}, path
    assert 20 < answered


async def test_large_answers_are_packed(http):
    """For those who can read that, whatever route they are of."""
    for path in ("/api/v1/openapi.json", "/api/v1/export", "/api/v1/metrics"):
        packed = await http.get(path, headers={"accept-encoding": "gzip"})
        plain = await http.get(path, headers={"accept-encoding": "identity"})
        assert ("gzip", plain.content) == (packed.headers["content-encoding"], packed.content), path
        assert "content-encoding" not in plain.headers


async def test_what_changes_something_has_no_tag(http):
    """Nobody asks for it again."""
    answer = await http.post("/api/v1/deadletters/purge", json={"ids": [1]}, headers={"x-headgate-request": "1"})
    assert (200, False) == (answer.status_code, "etag" in answer.headers)


async def test_an_answer_without_end_is_over_after_its_headers(http):
    """Events are told as long as somebody listens, which nobody does."""
    async with asyncio.timeout(5):
        answer = await http.head("/api/v1/live")
    assert (200, "text/event-stream; charset=utf-8") == (answer.status_code, answer.headers["content-type"])


async def test_a_post_is_not_answered_to_head(http):
    """405 says which methods there are."""
    answer = await http.head("/silences")
    assert (405, "POST") == (answer.status_code, answer.headers["allow"])
    assert "GET, HEAD" == (await http.post("/projects", headers={"x-headgate-request": "1"})).headers["allow"]
