"""Runs a delivery engine beside a test, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from tests.unit.deliver.fakes import Figures, InlineExecutor, LoopClock

from headgate.deliver import DeliveryEngine


def make_engine(store, *sinks, **more):
    """An engine that starts every signal at the oldest record."""
    more.setdefault("metrics", Figures())
    return DeliveryEngine(
        store,
        {sink.name: sink for sink in sinks},
        clock=more.pop("clock", None) or LoopClock(),
        starts={sink.name: "retained" for sink in sinks},
        executor=InlineExecutor(),
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
        pause = 0.1
        while not await engine.drained():
            await asyncio.sleep(pause)
            pause = min(5.0, 1.1 * pause)
