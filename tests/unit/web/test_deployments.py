"""Deployments that are told through the API: kept before the answer, once each, refused with words."""

import json

import httpx
import pytest
from tests.unit.collect.fakes import FakeSource

from headgate.app.operations import StoreOperations
from headgate.app.running import Running
from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.record import decode_record
from headgate.store.memory import MemoryStore
from headgate.testing.store_data import NOW
from headgate.web.api import build_app
from headgate.web.metricpages import MetricPages, ci_page

TOLD = {
    "id": "release-17",
    "project": "github/acme/web",
    "environment": "production",
    "status": "succeeded",
    "revision": "35edfe7",
    "version": "1.7.0",
    "started_at": "2026-11-18T10:00:00Z",
    "stopped_at": "2026-11-18T10:02:10Z",
    "url": "https://deploys.example/17",
}


@pytest.fixture
async def store():
    """An open one."""
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    return made


@pytest.fixture
async def client(store):
    """The API over it, with one source."""
    sources = {"ci": FakeSource(host="circleci.com")}
    running = Running(sources=lambda: dict(sources), app_urls=lambda: dict.fromkeys(sources, "https://ci.example"))
    operations = StoreOperations(store, store.clock, running)
    app = build_app(operations, None, MetricPages(Telemetry().page, lambda name: ci_page({}, name)), version="0")
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as made:
        made.sources = sources
        yield made


async def _tell(client, **fields):
    told = {key: value for key, value in (TOLD | fields).items() if value is not None}
    return await client.post("/api/v1/deployments", json=told)


async def _records(store):
    found = []
    for lane in ("live", "backfill"):
        found += [decode_record(entry.body) for entry in await store.read_log("", lane, 0, limit=99, max_bytes=1 << 30)]
    return found


async def test_a_deployment_is_kept_before_the_answer(client, store):
    """Its record is in the log when the 201 comes, with every value that was told."""
    answer = await _tell(client)
    assert answer.status_code == 201
    (record,) = await _records(store)
    assert answer.json() == {"id": record.id, "new": True}
    assert (record.kind, record.project, record.sources, record.tenant) == (
        "deployment",
        "gh/acme/web",
        ["call"],
        "circleci.com",
    )
    assert record.occurred_at == "2026-11-18T10:02:10.000Z"
    assert record.attributes == {
        "circleci.deployment.origin": "call",
        "circleci.deployment.url": "https://deploys.example/17",
        "circleci.deployment.version": "1.7.0",
        "circleci.duration_ms": 130_000,
        "circleci.started_at": "2026-11-18T10:00:00.000Z",
        "circleci.stopped_at": "2026-11-18T10:02:10.000Z",
        "deployment.environment.name": "production",
        "deployment.name": "web",
        "deployment.status": "succeeded",
        "vcs.ref.head.revision": "35edfe7",
    }


async def test_the_same_id_is_the_same_deployment(client, store):
    """A caller that got no answer tells it again: 200, and no second record, also without an end of its own."""
    first = await _tell(client, stopped_at=None)
    store.clock.advance(60)
    again = await _tell(client, stopped_at=None)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {"id": first.json()["id"], "new": False}
    assert len(await _records(store)) == 1
    assert (await _tell(client, id="release-18")).status_code == 201
    assert len(await _records(store)) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": None}, "id: Field required"),
        ({"project": "web"}, "project: Value error, write the project's slug, such as gh/acme/web"),
        ({"status": "done"}, "status: Input should be 'succeeded' or 'failed'"),
        ({"stopped_at": "yesterday"}, "stopped_at: Value error, write a time as RFC 3339"),
        ({"job_id": "8"}, "job_id: String should match pattern"),
        ({"url": "javascript:alert(1)"}, "url: String should match pattern"),
        ({"enviroment": "x"}, "enviroment: Extra inputs are not permitted"),
        ({"environment": ""}, "environment: String should have at least 1 character"),
    ],
)
async def test_a_body_that_cannot_be_used_is_a_400(client, store, fields, words):
    """The field and what is wrong with it; nothing is kept."""
    answer = await _tell(client, **fields)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid")
    assert words in answer.json()["detail"]
    assert await _records(store) == []


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"\xff", json.dumps({"id": "x" * 70_000}).encode()])
async def test_what_is_no_such_object_is_a_400(client, body):
    """Not JSON, no object, too long."""
    answer = await client.post("/api/v1/deployments", content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid")


async def test_with_several_circlecis_the_source_is_named(client, store):
    """Else nobody knows whose project it is."""
    client.sources["server"] = FakeSource(host="ci.example")
    answer = await _tell(client)
    assert answer.status_code == 404
    assert "known: ci, server" in answer.json()["detail"]
    assert (await _tell(client, source="server")).status_code == 201
    assert [record.tenant for record in await _records(store)] == ["ci.example"]
