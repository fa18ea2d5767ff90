"""A machine of hypothesis with the store on a file and the reference in memory, which are told the same."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, initialize

from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.testing.store_data import NOW


class TwoStores(RuleBasedStateMachine):
    """`told`: how often both were told something."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        clock = ManualClock(NOW)
        self.disk = SqliteStore(self.folder / "s.db", clock=clock, metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
        self.memory = MemoryStore(clock=clock)
        self.told = 0

    @initialize()
    def open(self) -> None:
        self.loop.run_until_complete(self.disk.open())
        self.loop.run_until_complete(self.memory.open())

    def teardown(self) -> None:
        self.loop.run_until_complete(self.disk.close())
        self.loop.close()
        shutil.rmtree(self.folder)
