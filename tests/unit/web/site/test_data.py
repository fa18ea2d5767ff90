"""The page of what is kept: what it tells admins of the trail."""

from __future__ import annotations

import httpx
import pytest
from tests.unit.web.access.bench import ACCESS, ADMIN, READER, bearer
from tests.unit.web.site.test_routes import Bench

from headgate.core.clock import ManualClock
from headgate.core.trail import TrailEntry
from headgate.web.access.gate import Gate
from headgate.web.access.trail import Trail
from headgate.web.guard import Guard


@pytest.fixture
async def bench():
    made = Bench()
    made.answers.full = True
    await made.store.open()
    return made


async def test_reading_the_trail_on_the_page_is_in_the_trail(bench):
    """Of who may see it; others are shown nothing of it."""
    kept: list[TrailEntry] = []

    async def append(entries):
        kept.extend(entries)

    clock = ManualClock()
    trail = Trail(append, clock)
    guard = Guard(bench.app, gate=Gate(clock, ACCESS), trail=trail, clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1") as http:
        for token in (READER, ADMIN):
            assert 200 == (await http.get("/data", headers=bearer(token))).status_code
    await trail.flush()
    assert [("root", "read", "/data")] == [(one.who, one.action, one.about) for one in kept]
