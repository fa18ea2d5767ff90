"""The writer: flush before answer, groups, savepoints, full disks, failed flushes, the lock."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from headgate.core.errors import StoreBusy, StoreError, StoreFailed, StoreFull, StoreLocked
from headgate.core.ports import Delivery
from headgate.core.storeport import MergeWork
from headgate.store import SqliteStore
from headgate.testing.store_data import AT_ONCE, LOGS, NOW, job, merge, pipeline, read, workflow

Make = Callable[..., SqliteStore]
ONE = Delivery("ci", NOW, "job-completed", "application/json", b"{}")


class _File(apsw.VFSFile):
    """A file of SQLite's that says what is done to it, and fails when told."""

    def __init__(self, shim: "Shim", name: Any, flags: list[int]) -> None:
        self._shim = shim
        self._name = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        if self._shim.fail_write and self._name.endswith("-wal"):
            raise self._shim.fail_write
        self._shim.events.append(("write", self._name))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        if self._shim.fail_sync:
            raise apsw.IOError("the flush failed")
        self._shim.events.append(("sync", self._name))
        super().xSync(flags)


class Shim(apsw.VFS):
    """A file system that records writes and flushes in order."""

    def __init__(self, name: str) -> None:
        self.events: list[tuple[str, str]] = []
        self.fail_sync = False
        self.fail_write: Exception | None = None
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:  # noqa: N802  # SQLite's name
        return _File(self, name, flags)


@pytest.fixture
def shim(request: pytest.FixtureRequest) -> Iterator[Shim]:
    """A recording file system, registered while the test runs."""
    one = Shim(f"shim-{request.node.name}")
    yield one
    one.unregister()


async def test_an_answer_comes_after_the_flush(make: Make, tmp_path: Path, shim: Shim) -> None:
    """When `accept` or a merge returns, the last thing that happened to the WAL is a flush of what was written."""
    store = make(tmp_path / "headgate.db", vfs=shim.name)
    await store.open()
    for unit in (lambda: store.accept([ONE]), lambda: merge(store, pipeline(), workflow(), job())):
        shim.events.clear()
        await unit()
        wal = [what for what, name in shim.events if name.endswith("-wal")]
        assert "write" in wal
        assert wal[-1] == "sync"
    await store.close()


async def test_many_deliveries_share_a_flush(make: Make, tmp_path: Path, shim: Shim) -> None:
    """A hundred at once cost a few flushes, and none is answered without one."""
    store = make(tmp_path / "headgate.db", vfs=shim.name)
    await store.open()
    await store.accept([ONE])
    shim.events.clear()
    await asyncio.gather(*(store.accept([ONE]) for _ in range(100)))
    assert 1 <= sum(what == "sync" for what, _ in shim.events) < 20
    assert (await store.figures()).inbox_waiting == 101
    await store.close()


async def test_a_failed_flush_is_final(make: Make, tmp_path: Path, shim: Shim) -> None:
    """Everybody gets StoreFailed, now and later; `failed` says why; what was answered before is there after a start."""
    store = make(tmp_path / "headgate.db", vfs=shim.name)
    await store.open()
    await store.accept([ONE])
    shim.fail_sync = True
    results = await asyncio.gather(store.accept([ONE]), merge(store, pipeline()), return_exceptions=True)
    assert [StoreFailed, StoreFailed] == [type(result) for result in results]
    assert isinstance(await asyncio.wait_for(store.failed(), 5), StoreFailed)
    with pytest.raises(StoreFailed):
        await store.accept([ONE])
    await store.close()
    shim.fail_sync = False
    again = make(tmp_path / "headgate.db")
    await again.open()
    assert (await again.figures()).inbox_waiting >= 1
    await again.close()


async def test_a_full_disk_refuses_the_unit_alone(make: Make, tmp_path: Path, shim: Shim) -> None:
    """Nothing of it is kept, the ballast is given back, and the next unit works."""
    store = make(tmp_path / "headgate.db", vfs=shim.name, ballast=4096)
    await store.open()
    store._files.fill_ballast()
    assert (tmp_path / "headgate.db.ballast").exists()  # a test
    await store.accept([ONE])
    shim.fail_write = apsw.FullError("no space")
    with pytest.raises(StoreFull):
        await merge(store, pipeline(), workflow(), job())
    with pytest.raises(StoreFull):
        await store.accept([ONE])
    assert store.space_level() == "refuse"
    assert not (tmp_path / "headgate.db.ballast").exists()  # a test
    shim.fail_write = None
    assert await read(store) == []
    assert sum((await merge(store, pipeline(), workflow(), job())).released.values()) == 2
    await store.accept([ONE])
    assert (await store.figures()).inbox_waiting == 2
    await store.close()


async def test_a_file_that_somebody_holds_is_no_fault_of_the_unit(make: Make, tmp_path: Path, shim: Shim) -> None:
    """Who waits is told to try again, so that no delivery is set aside for it; the store is not given up."""
    store = make(tmp_path / "headgate.db", vfs=shim.name)
    await store.open()
    await store.accept([ONE])
    shim.fail_write = apsw.BusyError("held")
    results = await asyncio.gather(
        *(store.accept([ONE]) for _ in range(3)), merge(store, pipeline()), return_exceptions=True
    )
    assert [StoreBusy] * 4 == [type(result) for result in results]
    shim.fail_write = None
    await merge(store, pipeline(), workflow(), inbox_done=[1])
    assert (await store.figures()).inbox_waiting == 0
    await store.close()


async def test_large_deliveries_are_read_a_few_at_a_time(store: SqliteStore) -> None:
    """One read of the inbox is bounded by bytes, not by rows alone, and always gets on."""
    large = Delivery("ci", NOW, "", "application/json", b"x" * 3 * 1024 * 1024)
    await store.accept([large] * 7)
    rows = await store.inbox(1000)
    assert [1, 2, 3] == [row.id for row in rows]
    await merge(store, inbox_done=[1, 2, 3])
    assert [4, 5, 6] == [row.id for row in await store.inbox(1000)]


async def test_one_bad_unit_fails_alone_in_its_group(store: SqliteStore) -> None:
    """Units that wait together are committed together; one that raises takes nothing with it."""
    bad = job(no_field=1)
    ids = [f"77777777-7777-4777-8777-{number:012d}" for number in range(6)]
    works = [merge(store, bad if number == 3 else workflow(ids[number])) for number in range(6)]
    results = await asyncio.gather(*works, merge(store, pipeline()), return_exceptions=True)
    assert [position for position, result in enumerate(results) if isinstance(result, KeyError)] == [3]
    assert (await store.figures()).facts["workflow"] == 5
    entries = await read(store)
    assert list(range(1, len(entries) + 1)) == [entry.seq for entry in entries]


async def test_a_bad_delivery_fails_alone(store: SqliteStore) -> None:
    """The others of its group are kept."""
    bad = Delivery("ci", "no time", "", "", b"")  # type: ignore[arg-type]  # what a test is for
    results = await asyncio.gather(
        store.accept([ONE]), store.accept([bad]), store.accept([ONE]), return_exceptions=True
    )
    assert [position for position, result in enumerate(results) if result is not None] == [1]
    assert (await store.figures()).inbox_waiting == 2


async def test_a_second_store_on_the_file_is_refused(make: Make, store: SqliteStore, tmp_path: Path) -> None:
    """StoreLocked, and the first goes on."""
    with pytest.raises(StoreLocked):
        await make(tmp_path / "headgate.db").open()
    await store.ping()


async def test_what_was_stored_is_there_after_a_restart(make: Make, tmp_path: Path) -> None:
    """Facts, log, cursor, inbox; the same observations again change nothing."""
    path = tmp_path / "headgate.db"
    store = make(path)
    await store.open()
    await store.open_signals([LOGS], now_ms=NOW)
    await store.accept([ONE, ONE, ONE])
    await merge(store, pipeline(), workflow(), job(), inbox_done=[1, 3])
    before = await store.figures()
    await store.close()
    again = make(path)
    await again.open()
    after = await again.figures()
    assert (before.facts, before.statuses, before.log_head, 1, before.store_id, 1) == (
        after.facts,
        after.statuses,
        after.log_head,
        after.inbox_waiting,
        after.store_id,
        after.epoch,
    )
    result = await merge(again, pipeline(), workflow(), job(), inbox_done=[2])
    assert (dict(result.released), result.amended, result.unchanged) == ({}, 0, 3)
    await again.accept([ONE])
    assert [row.id for row in await again.inbox(10)] == [4]
    await again.close()


async def test_a_closed_store_answers_nothing(make: Make, tmp_path: Path) -> None:
    """StoreError before open and after close; nothing hangs."""
    store = make(tmp_path / "headgate.db")
    with pytest.raises(StoreError, match="not open"):
        await store.accept([ONE])
    await store.open()
    with pytest.raises(StoreError, match="open already"):
        await store.open()
    waiting = [asyncio.ensure_future(store.accept([ONE])) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*waiting)
    with pytest.raises(StoreError, match="not open"):
        await store.figures()


async def test_a_canceled_wait_harms_nobody(store: SqliteStore) -> None:
    """The unit may have happened; the writer goes on."""
    unit = asyncio.ensure_future(store.merge_and_release(MergeWork("ci", [pipeline()], AT_ONCE, NOW, 0)))
    await asyncio.sleep(0)
    unit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unit
    await store.ping()


async def test_damage_found_by_a_reader_is_final(make: Make, tmp_path: Path) -> None:
    """A question that runs into damage fails the store, and the next start reads the file through."""

    def stumble(_db: object) -> None:
        raise apsw.CorruptError("a bad page")

    store = make(tmp_path / "headgate.db")
    await store.open()
    with pytest.raises(StoreFailed):
        await store._ask(stumble)
    assert isinstance(await asyncio.wait_for(store.failed(), 5), StoreFailed)
    with pytest.raises(StoreFailed):
        await store.accept([ONE])
    assert store._files.suspect()
    await store.close()
    again = make(tmp_path / "headgate.db")
    await again.open()
    assert not again._files.suspect()
    await again.close()
