"""Every adapter of the store port keeps the port's contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.store import MemoryStore, Quota, SqliteStore
from headgate.testing.store_suite import NOW, StoreSuite


class TestSqlite(StoreSuite):
    """The contract on a file."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        """An empty store."""
        path = tmp_path / "headgate.db"
        store = SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=Quota(ballast_bytes=0))
        await store.open()
        yield store
        await store.close()


class TestMemory(StoreSuite):
    """The contract in memory."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[MemoryStore]:
        """An empty store."""
        store = MemoryStore(clock=ManualClock(NOW))
        await store.open()
        yield store
        await store.close()
