"""The engine on the real store: what the list of fakes cannot get wrong."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.deliver.fakes import FakeSink, ScriptedSignal

from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import Limits
from headgate.core.record import Record
from headgate.core.storeport import AlertChange
from headgate.core.verdicts import Reject, SendResult
from headgate.deliver import DeliveryEngine, EngineOptions
from headgate.store.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path):
    """An open store with 300 records in lane live; signals of sink `a` exist before them."""
    made = SqliteStore(tmp_path / "headgate.db", clock=SystemClock(), metrics=NullMetrics())
    await made.open()
    yield made
    await made.close()


async def append(store, count, *, first=1):
    """Records by way of the only unit that appends without facts."""
    records = [
        Record(
            id=f"00000000-0000-5000-8000-{number:012d}",
            schema=1,
            kind="alert",
            occurred_at="2026-11-20T10:02:10.000Z",
            observed_at="2026-11-20T10:02:11.000Z",
            sources=["test"],
            tenant="circleci.com",
            attributes={"test.number": number},
        )
        for number in range(first, first + count)
    ]
    await store.transition(AlertChange(records=records))


def make(store, signal):
    """An engine that looks into the store often."""
    return DeliveryEngine(
        store,
        {"a": FakeSink("a", signal)},
        clock=SystemClock(),
        metrics=NullMetrics(),
        starts={"a": "retained"},
        options=EngineOptions(poll_seconds=0.05, linger_seconds=0.0, outcome_seconds=0.01),
    )


async def drain(engine):
    """Run until everything is delivered, then stop."""
    task = asyncio.create_task(engine.run())
    async with asyncio.timeout(20):
        while not task.done():
            await asyncio.sleep(0.01)
            if (await engine.snapshot()) and await engine.drained():
                break
    snapshot = await engine.snapshot()
    await engine.stop()
    await task
    return snapshot["a"]["main"]


async def test_backlog_dead_letters_replay_and_restart(store):
    """One life delivers with a rejection, the next goes on where it ended, requeued letters and replays arrive."""

    def script(batch, call):
        return SendResult(rejected={i: Reject("mapper", 400, "no") for i, one in enumerate(batch) if one.seq == 17})

    await append(store, 300)
    first = ScriptedSignal(script=script, limits=Limits(max_records=50), seconds=0.0)
    status = await drain(make(store, first))
    assert (status.state, status.cursor, status.waiting, status.accepted, status.dead) == ("ok", 300, 0, 299, 1)
    assert len(first.accepted) == 299

    await append(store, 10, first=301)
    (letter,) = await store.dead_letters()
    await store.requeue_dead([letter.id])
    second = ScriptedSignal(limits=Limits(max_records=50), seconds=0.0)
    status = await drain(make(store, second))
    while await store.dead_letters():
        status = await drain(make(store, second))
    assert (status.cursor, status.waiting) == (310, 0)
    assert [one.record_id for one in second.accepted if one.lane == "dead"] == [letter.record_id]
    assert [one.seq for one in second.accepted if one.lane == "live"] == list(range(301, 311))

    replay = await store.open_replay("a.main", since_ms=0, until_ms=2_000_000_000_000)
    third = ScriptedSignal(limits=Limits(max_records=50), seconds=0.0)
    status = await drain(make(store, third))
    assert replay.total == 310
    assert len(third.accepted) == 310
    assert await store.replays() == []
    bodies = {one.record_id: one.body for one in (*first.accepted, *second.accepted)}
    assert all(bodies[one.record_id] == one.body for one in third.accepted)
