"""A body is read up to a bound, whichever route it is sent to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.unit.web.test_api import Answers, Health

from headgate.core.clock import ManualClock
from headgate.insights.views.lens import Lens
from headgate.store import MemoryStore
from headgate.web.api import build_app
from headgate.web.bodies import MOST_BYTES
from headgate.web.guard import Guard
from headgate.web.metricpages import MetricPages
from headgate.web.operations import ChosenLetters
from headgate.web.site.routes import add_pages

OURS = {"x-headgate-request": "1", "content-type": "application/json"}
PIECE = 65_536


class Sent:
    """A body without end; `bytes`: of it that were taken."""

    def __init__(self) -> None:
        self.bytes = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """One after the other."""
        while True:
            self.bytes += PIECE
            yield b" " * PIECE


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
async def http(answers):
    store = MemoryStore(clock=ManualClock())
    await store.open()
    app = build_app(answers, Health(), MetricPages(bytes, lambda _: b""), version="0")
    add_pages(app, answers, lambda: Lens(store, 0), "0")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Guard(app)), base_url="http://127.0.0.1") as made:
        yield made


@pytest.mark.parametrize("path", ["silences", "alerts/f/ack", "deadletters/purge", "deaddeliveries/purge", "audits"])
async def test_a_body_beyond_the_bound_is_refused_and_not_read_on(http, answers, path):
    """413 says what the most is; the connection ends, so that nothing more of it arrives."""
    sent = Sent()
    answer = await http.post(f"/api/v1/{path}", content=sent.pieces(), headers=OURS)
    assert (413, "body", "close") == (answer.status_code, answer.json()["error"], answer.headers["connection"])
    assert "1024 KiB are the most" in answer.json()["detail"]
    assert MOST_BYTES + PIECE >= sent.bytes
    assert [] == answers.asked


async def test_a_body_within_the_bound_is_read(http, answers):
    """To its last byte."""
    ids = json.dumps({"ids": list(range(10_000))}).encode()
    answer = await http.post("/api/v1/deadletters/purge", content=ids.ljust(MOST_BYTES), headers=OURS)
    assert (200, ("purge_dead", ChosenLetters(tuple(range(10_000))))) == (answer.status_code, answers.asked[-1])


@pytest.mark.parametrize(("path", "status"), [("/api/v1/deployments", 400), ("/silences", 413)])
async def test_lower_bounds_stay_what_they_are(http, path, status):
    """A deployment and a form are told so in their own words, and sooner."""
    sent = Sent()
    kind = "application/json" if path.startswith("/api/") else "application/x-www-form-urlencoded"
    answer = await http.post(path, content=sent.pieces(), headers=OURS | {"content-type": kind})
    assert (status, 2 * PIECE) == (answer.status_code, sent.bytes)
    assert "64 KiB" in answer.text
