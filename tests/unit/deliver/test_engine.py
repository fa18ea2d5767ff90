"""The engine as a whole: a store of lists, scripted sinks, virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from headgate.deliver import DeliveryEngine, EngineOptions
from tests.unit.deliver.fakes import FakeSink, FakeStore, Figures, LoopClock, ScriptedSignal, entry, run_virtual


def make_engine(store, *sinks, **more):
    """An engine that starts every signal at the oldest record."""
    more.setdefault("metrics", Figures())
    return DeliveryEngine(
        store,
        {sink.name: sink for sink in sinks},
        clock=more.pop("clock", None) or LoopClock(),
        starts={sink.name: "retained" for sink in sinks},
        **more,
    )


@asynccontextmanager
async def running(engine):
    """Run the engine beside the test; stop it at the end."""
    task = asyncio.create_task(engine.run())
    await asyncio.sleep(0)
    try:
        yield engine
    finally:
        await engine.stop()
        await task


async def until_drained(engine, seconds=3600):
    """Let time pass until everything is delivered."""
    async with asyncio.timeout(seconds):
        await asyncio.sleep(0.01)
        while not await engine.drained():
            await asyncio.sleep(0.1)


def test_a_backlog_is_delivered_once_and_the_cursor_follows():
    """Every record reaches the signal once, and the store knows."""

    async def scenario():
        store = FakeStore(live=[entry(seq) for seq in range(1, 101)])
        signal = ScriptedSignal()
        engine = make_engine(store, FakeSink("a", signal))
        async with running(engine):
            await until_drained(engine)
        assert sorted(signal.ids) == sorted(f"live-{seq}" for seq in range(1, 101))
        assert store.cursor["a.main", "live"] == (100, ())
        assert store.accepted == {"a.main": 100}
        assert signal.most_in_flight >= 2

    run_virtual(scenario())
