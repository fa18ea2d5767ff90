"""Start always works: a damaged file is set aside, what can be read is kept, what is missing is counted."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import pytest

from headgate.core.errors import StoreError
from headgate.core.ids import record_id
from headgate.core.ports import Delivery
from headgate.core.storeport import Outcomes, SignalSpec
from headgate.core.verdicts import Reject
from headgate.store import SqliteStore
from headgate.testing.store_data import LOGS, NOW, job, merge, pipeline, read, workflow

Make = Callable[..., SqliteStore]
RUNS = 12
SAMPLES = int(os.environ.get("HEADGATE_TEST_FLIPS", "40"))


def _id(number: int) -> str:
    return f"77777777-7777-4777-8777-{number:012d}"


async def _fill(store: SqliteStore) -> None:
    await store.open_signals([LOGS, SignalSpec("b", "x", "")], now_ms=NOW)
    await store.accept([Delivery("ci", NOW, "job-completed", "application/json", b"x" * 900) for _ in range(30)])
    ids = [row.id for row in await store.inbox(30)]
    seen = [workflow(_id(number)) for number in range(RUNS)]
    seen += [job(_id(100 + number), workflow_id=_id(number), number=number) for number in range(RUNS)]
    await merge(store, pipeline(), *seen, inbox_done=ids[:10], inbox_dead=[(ids[12], "bad")])
    entries = await read(store)
    await store.record_outcomes([Outcomes(LOGS.key, "live", 5, (7,), 5, [(entries[6], Reject("bad"), 1)])])


async def _build(make: Make, path: Path) -> None:
    store = make(path)
    await store.open()
    await _fill(store)
    await store.close()


async def _opens(make: Make, path: Path) -> bool:
    """Open, ask for everything, take one delivery, merge, close; True if the store had to be salvaged."""
    store = make(path)
    await store.open()
    figures = await store.figures()
    rows = await store.inbox(1000)
    assert len(rows) == figures.inbox_waiting
    await store.cursors()
    await store.explain(_id(3))
    await store.recent_runs(50)
    for lane in ("live", "backfill"):
        await read(store, lane)
    await store.dead_letters()
    await store.open_signals([LOGS], now_ms=NOW)
    await store.accept([Delivery("ci", NOW, "", "", b"")])
    await merge(store, workflow(_id(900)), job(_id(901), workflow_id=_id(900)), pipeline())
    await store.close()
    return figures.epoch > 1


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


def _beside(path: Path, pattern: str) -> list[Path]:
    return list(path.parent.glob(path.name + pattern))


def _copy(origin: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return Path(shutil.copyfile(origin, folder / "headgate.db"))


def _flipped(origin: Path, folder: Path, position: int) -> Path:
    path = _copy(origin, folder)
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0xFF]))
    return path


async def _flip(make: Make, origin: Path, folder: Path, positions: Sequence[int]) -> int:
    salvaged = 0
    for position in positions:
        salvaged += await _opens(make, _flipped(origin, folder, position))
    return salvaged


async def test_a_flipped_byte_never_stops_the_start(make: Make, tmp_path: Path) -> None:
    """Any byte may be wrong (here: a sample): the store opens, answers and takes new work."""
    origin = tmp_path / "origin.db"
    await _build(make, origin)
    used = [position for position, byte in enumerate(origin.read_bytes()) if byte]
    assert await _flip(make, origin, tmp_path / "head", [p for p in used if p < 100][::4]) > 3
    assert await _flip(make, origin, tmp_path / "body", used[:: len(used) // SAMPLES]) > SAMPLES // 12


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_every_flipped_byte(make: Make, tmp_path: Path) -> None:
    """All bytes of the file, one after the other."""
    origin = tmp_path / "origin.db"
    await _build(make, origin)
    assert await _flip(make, origin, tmp_path / "work", range(origin.stat().st_size)) > 0


async def _cut(make: Make, origin: Path, folder: Path, lengths: range) -> None:
    for length in lengths:
        path = _copy(origin, folder)
        with path.open("r+b") as file:
            file.truncate(length)
        await _opens(make, path)


async def test_a_cut_file_never_stops_the_start(make: Make, tmp_path: Path) -> None:
    """Whatever length is left of it (here: a sample)."""
    origin = tmp_path / "origin.db"
    await _build(make, origin)
    size = origin.stat().st_size
    await _cut(make, origin, tmp_path / "work", range(0, size, size // 20))


@pytest.mark.long
@pytest.mark.timeout(7200)
async def test_every_length(make: Make, tmp_path: Path) -> None:
    """All lengths of the file."""
    origin = tmp_path / "origin.db"
    await _build(make, origin)
    await _cut(make, origin, tmp_path / "work", range(origin.stat().st_size))


async def test_a_cut_wal_never_stops_the_start(make: Make, tmp_path: Path) -> None:
    """A WAL that ends anywhere, or is not one, leaves a store that opens with what was committed before."""
    live = tmp_path / "live.db"
    store = make(live)
    await store.open()
    await _fill(store)
    wal, base = _bytes(Path(f"{live}-wal")), _bytes(live)
    await store.close()
    for length in range(0, len(wal), len(wal) // 12):
        for content in (wal[:length], wal[:length] + b"\xff" * 100):
            folder = tmp_path / "work"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "headgate.db").write_bytes(base)
            (folder / "headgate.db-wal").write_bytes(content)
            await _opens(make, folder / "headgate.db")


async def test_what_can_be_read_is_kept(make: Make, tmp_path: Path) -> None:
    """One ruined page of the log: all else survives, the loss is a gap, numbers resume above everything."""
    path = tmp_path / "headgate.db"
    await _build(make, path)
    data = bytearray(path.read_bytes())
    target = data.index(record_id("workflow", "circleci.com", _id(8)).encode() + b"workflow")
    page = target // 4096
    data[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    store = make(path)
    await store.open()
    kept = [entry.seq for entry in await read(store)]
    lost = sorted(set(range(1, 2 * RUNS + 1)) - set(kept))
    assert 0 < len(lost) < 2 * RUNS
    figures = await store.figures()
    assert (figures.facts["workflow"], figures.facts["job"], figures.epoch) == (RUNS, RUNS, 2)
    assert 19 == figures.inbox_waiting == len(await store.inbox(100))
    assert (figures.inbox_dead, len(await store.dead_letters())) == (1, 1)
    gaps = [gap for gap in await store.gaps(50) if gap.sink == "b"]
    assert len(lost) == sum(gap.count for gap in gaps)
    behind = {one.signal: one for one in await store.cursors() if one.lane == "live"}
    assert len(kept) == behind["b.x"].waiting
    again = await merge(store, *(workflow(_id(number)) for number in range(RUNS)))
    assert dict(again.released) == {}
    await merge(store, workflow(_id(900)))
    assert (await read(store))[-1].seq == 2 * RUNS + 1
    assert (tmp_path / "headgate.db.damaged-1").exists()
    await store.close()


async def test_a_ruined_schema_loses_no_rows(make: Make, tmp_path: Path) -> None:
    """The first page is known beforehand: with its bytes gone the rows are still found."""
    path = tmp_path / "headgate.db"
    await _build(make, path)
    with path.open("r+b") as file:
        file.write(b"\x00" * 4096)
    store = make(path)
    await store.open()
    figures = await store.figures()
    assert (figures.facts["workflow"], figures.facts["job"], figures.inbox_waiting) == (RUNS, RUNS, 19)
    assert len(await read(store)) == 2 * RUNS
    await store.close()


async def test_a_record_whose_fact_was_lost_does_not_leave_twice(make: Make, tmp_path: Path) -> None:
    """The fact comes back by polling; its record is known."""
    path = tmp_path / "headgate.db"
    store = make(path)
    await store.open()
    await merge(store, pipeline(), workflow(), job())
    await store.close()
    db = apsw.Connection(str(path))
    page = (db.execute("SELECT pageno FROM dbstat WHERE name = 'job'").get - 1) * 4096
    db.close()
    data = bytearray(path.read_bytes())
    data[page : page + 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    store = make(path)
    await store.open()
    assert (await store.figures()).facts["job"] == 0
    again = await merge(store, pipeline(), workflow(), job())
    assert (dict(again.released), len(await read(store))) == ({}, 2)
    assert (await merge(store, job(at=NOW + 1, resource_class="large"))).amended == 1
    await store.close()


async def test_damage_seen_while_running_is_salvaged_at_the_next_start(make: Make, tmp_path: Path) -> None:
    """A note beside the file makes the next start read it through, however large it is."""
    path = tmp_path / "headgate.db"
    await _build(make, path)
    shutil.copyfile(path, f"{path}.suspect")
    assert not await _opens(make, path)
    assert not _beside(path, ".suspect")


async def test_a_place_that_cannot_be_used_is_named(make: Make, tmp_path: Path) -> None:
    """A folder in place of the file, or a file in place of the folder: StoreError with the path."""
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match=r"folder\.db is not a file"):
        await make(tmp_path / "folder.db").open()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        await make(tmp_path / "file" / "x.db").open()


async def test_a_newer_store_is_left_alone(make: Make, tmp_path: Path) -> None:
    """A schema from the future is refused and nothing is set aside."""
    path = tmp_path / "headgate.db"
    await _build(make, path)
    db = apsw.Connection(str(path))
    db.execute("PRAGMA user_version=999")
    db.execute("UPDATE meta SET value = 999 WHERE key = 'schema'")
    db.close()
    with pytest.raises(StoreError, match="schema 999"):
        await make(path).open()
    assert not _beside(path, ".damaged*")


async def test_a_record_without_its_fact_is_unknown(make: Make, tmp_path: Path) -> None:
    """After damage a record may be known to have left while its fact is gone: nothing is known about it, no error."""
    path = tmp_path / "headgate.db"
    await _build(make, path)
    db = apsw.Connection(str(path))
    db.execute("UPDATE released SET fact = 0")
    db.close()
    store = make(path)
    await store.open()
    assert await store.explain(record_id("workflow", "circleci.com", _id(3))) == []
    await store.close()
