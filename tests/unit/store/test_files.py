"""Copies of a store: whole or not at all, and never at the cost of the store."""

import asyncio
import shutil
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from headgate.core.errors import StoreError, StoreFull
from headgate.store import SqliteStore, files
from headgate.store.files import copy_out
from headgate.store.sql import Database
from headgate.testing.store_data import NOW, merge, pipeline, workflow


def _disk(free: int) -> object:
    return type("Usage", (), {"free": free})


async def test_a_backup_without_room_is_refused_before_it_is_written(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it needs: on the disk of the store also what keeps the store below `pause`."""
    place = tmp_path / "copies"
    place.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _disk(100_000))
    with pytest.raises(StoreFull, match=r"no space left for the backup .*: it needs \d{6,} bytes and 100000 are free"):
        await store.backup(str(place / "out"))
    assert list(place.iterdir()) == []
    size = (tmp_path / "headgate.db").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _disk(size + 1_000))
    with pytest.raises(StoreFull):
        await store.backup(str(place / "out"))
    monkeypatch.setattr(files, "room_kept", lambda _used: 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: _disk(1 << 40))
    await store.backup(str(place / "out"))
    assert [one.name for one in place.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (apsw.FullError("not an error"), pytest.raises(StoreFull, match="no space left for the backup")),
        (OSError(28, "No space left on device"), pytest.raises(StoreFull, match="no space left for the backup")),
        (OSError(5, "Input/output error"), pytest.raises(OSError, match="Input/output")),
    ],
    ids=["sqlite", "system", "other"],
)
async def test_a_backup_that_fails_leaves_nothing(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, raised: Any
) -> None:
    """Neither the file nor its journal, and a full disk is called that."""
    await merge(store, pipeline(), workflow())
    place = tmp_path / "copies"
    place.mkdir()
    monkeypatch.setattr(files, "_COPY_PAGES", 3)
    steps = 0

    def fail() -> bool:
        nonlocal steps
        steps += 1
        if steps == 3:
            (place / "out.partial-journal").touch()
            raise failure
        return False

    source = Database(str(tmp_path / "headgate.db"))
    with raised:
        copy_out(source, place / "out", NOW, ended=fail)
    source.close()
    assert list(place.iterdir()) == []


async def test_a_backup_ends_with_whoever_waits_for_it_or_with_the_store(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps; what was written meanwhile begins nothing anew, and nothing is left."""
    place = tmp_path / "copies"
    place.mkdir()
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(files, "_COPY_PAGES", 1)
    flush = files._flush

    def slowly(path: Path) -> None:
        begun.set()
        go_on.wait(10)
        flush(path)

    monkeypatch.setattr(files, "_flush", slowly)
    for how in ("cancel", "close"):
        begun.clear()
        go_on.clear()
        backup = asyncio.create_task(store.backup(str(place / how)))
        await asyncio.to_thread(begun.wait, 10)
        await store.ping()
        if how == "cancel":
            backup.cancel()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await backup
            async with asyncio.timeout(10):
                while list(place.iterdir()):  # noqa: ASYNC110  # a thread ends, which has no event
                    await asyncio.sleep(0.01)
        else:
            closing = asyncio.create_task(store.close())
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(StoreError, match="broken off"):
                await backup
            await closing
        assert list(place.iterdir()) == []
