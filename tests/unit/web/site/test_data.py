"""The page of what is kept: what it tells admins of the trail."""

from __future__ import annotations

from collections import Counter

import httpx
import pytest
from tests.unit.web.access.bench import ACCESS, ADMIN, READER, bearer
from tests.unit.web.site.test_routes import Bench

from headgate.app.operations import StoreOperations
from headgate.core.clock import ManualClock
from headgate.core.trail import TrailEntry
from headgate.web.access.gate import Gate
from headgate.web.access.trail import Trail
from headgate.web.guard import Guard
from headgate.web.operations import Problem


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


async def test_backups_that_were_made_are_listed_however_much_was_read_since(bench):
    """Those alone: what was refused is in the trail as what was asked for."""
    store, clock = bench.store, ManualClock()
    bench.answers.trail = StoreOperations(store, clock).trail
    trail = Trail(store.append_trail, clock)
    guard = Guard(bench.app, gate=Gate(clock, ACCESS), trail=trail, clock=clock)
    ours = {"x-headgate-request": "1"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1") as http:
        await http.post("/api/v1/backup", json={"path": "/backups/made.db"}, headers=bearer(ADMIN) | ours)
        await http.post("/api/v1/backup", json={"path": "/backups/viewer.db"}, headers=bearer(READER) | ours)
        bench.answers.error = Problem("refused", "it exists")
        await http.post("/api/v1/backup", json={"path": "/backups/refused.db"}, headers=bearer(ADMIN) | ours)
        bench.answers.error = None
        await store.append_trail([TrailEntry(1, "eve", "token", "", "read", f"/run/{n}", 200) for n in range(1001)])
        page = (await http.get("/data", headers=bearer(ADMIN))).text
    listed = page[page.index('id="backups-title"') : page.index('id="configuration-title"')]
    assert "/backups/made.db" in listed
    assert 1 == listed.count("<td>backup</td>")
    assert {"POST": 2, "backup": 1, "read": 1001} == Counter(
        one.action for one in await store.trail(since_ms=0, limit=9999)
    )
