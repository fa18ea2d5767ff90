"""Stores on files for the tests of this folder."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.store import Quota, SqliteStore
from headgate.testing.store_data import NOW

Make = Callable[..., SqliteStore]


@pytest.fixture
def make() -> Make:
    """Builds a store that is not open yet."""

    def build(path: Path, *, vfs: str | None = None, ballast: int = 0, max_bytes: int | None = None) -> SqliteStore:
        quota = Quota(max_bytes=max_bytes, ballast_bytes=ballast)
        return SqliteStore(path, clock=ManualClock(NOW), metrics=NullMetrics(), quota=quota, vfs=vfs)

    return build


@pytest.fixture
async def store(make: Make, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An open, empty store at `headgate.db`."""
    one = make(tmp_path / "headgate.db")
    await one.open()
    yield one
    await one.close()
