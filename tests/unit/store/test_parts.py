"""Smaller parts: the schema, projects, the quota ladder, copies, trimming, holes, files."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import StoreError
from headgate.core.facts import FIELDS, FactKind
from headgate.core.merge import ProjectRef
from headgate.core.ports import Delivery
from headgate.store import Quota, SqliteStore, restore
from headgate.store.delivery import decode_holes, encode_holes
from headgate.store.projects import Projects
from headgate.store.quota import next_level, share_used
from headgate.store.schema import COLUMNS, decode_key, encode_key, migrate, migrations
from headgate.store.sketches import unpack
from headgate.store.sql import Database
from headgate.testing.store_data import LOGS, NOW, PROJECT, job, merge, pipeline, read, workflow

Make = Callable[..., SqliteStore]


@pytest.mark.parametrize("kind", sorted(FIELDS))
def test_every_field_has_its_column(kind: FactKind) -> None:
    """The tables are those that core.facts declares, column by column in its order."""
    db = Database(":memory:")
    migrate(db)
    names = [row[0] for row in db.execute(f"SELECT name FROM pragma_table_info('{kind}')")]  # noqa: S608  # a constant
    assert list(COLUMNS[kind]) == names


def test_migrations_are_numbered_without_gaps() -> None:
    """1, 2, 3 ...; running them twice changes nothing."""
    assert list(range(1, len(migrations()) + 1)) == [number for number, _ in migrations()]
    db = Database(":memory:")
    assert len(migrations()) == migrate(db) == migrate(db)


def test_every_table_is_strict() -> None:
    """Types are part of what an integrity check finds."""
    db = Database(":memory:")
    migrate(db)
    loose = db.execute(
        "SELECT name FROM pragma_table_list WHERE NOT strict AND type = 'table' AND name NOT GLOB 'sqlite_*'"
    )
    assert loose.fetchall() == []


@given(st.one_of(st.uuids().map(str), st.text(max_size=40), st.uuids().map(lambda one: str(one).upper())))
def test_keys_survive(text: str) -> None:
    """A UUID takes 16 bytes, and whatever it is, it is read back as it was."""
    assert text == decode_key(encode_key(text))


@given(st.sets(st.integers(1, 300)))
def test_holes_survive(holes: set[int]) -> None:
    """Packed as runs, read back sorted."""
    assert tuple(sorted(holes)) == decode_holes(encode_holes(sorted(holes)))


@pytest.mark.parametrize(
    ("now", "share", "expected"),
    [
        ("ok", 0.69, "ok"),
        ("ok", 0.70, "warn"),
        ("ok", 0.96, "refuse"),
        ("warn", 0.69, "warn"),
        ("warn", 0.67, "ok"),
        ("refuse", 0.94, "refuse"),
        ("refuse", 0.92, "pause"),
        ("pause", 0.95, "refuse"),
        ("refuse", 0.10, "ok"),
    ],
)
def test_the_ladder_has_hysteresis(now: str, share: float, expected: str) -> None:
    """Up at once, down only when the use fell clearly below where the rung begins."""
    assert expected == next_level(now, share)  # type: ignore[arg-type]  # names of rungs


@pytest.mark.parametrize(
    ("limit", "used", "free", "expected"),
    [(1000, 500, 10_000, 0.5), (1000, 500, 100, 500 / 600), (None, 500, 500, 0.5), (None, 0, 0, 1.0)],
)
def test_the_share_counts_what_the_disk_can_give(limit: int | None, used: int, free: int, expected: float) -> None:
    """A quota larger than the disk is no quota."""
    assert expected == share_used(Quota(max_bytes=limit), used, free)


async def test_a_small_quota_is_felt(make: Make, tmp_path: Path) -> None:
    """The rung is there as soon as the store is open."""
    store = make(tmp_path / "headgate.db", max_bytes=1000)
    await store.open()
    assert store.space_level() == "refuse"
    await store.close()


def test_projects_meet_by_slug_and_id() -> None:
    """A slug first seen alone is the project that later says it has it, even if that one was known by another slug."""
    book = Projects()
    known = book.resolve(PROJECT, 1)
    alone = book.resolve(ProjectRef("circleci.com", "gh/acme/new", "gh/acme"), 2)
    assert known is not alone
    renamed = ProjectRef("circleci.com", "gh/acme/new", "gh/acme", PROJECT.project_id)
    assert known is book.resolve(renamed, 3)
    assert ([(alone.id, known.id)], "gh/acme/new") == (book.joined, known.slug)
    assert known is book.resolve(ProjectRef("circleci.com", "gh/acme/web", "gh/acme"), 4)
    assert known.slug == "gh/acme/new" or known.slug_ms == 4


async def test_joined_projects_keep_their_runs_and_sums(store: SqliteStore, tmp_path: Path) -> None:
    """Facts and rollups of the nameless project move to the one with the id."""
    alone = ProjectRef("circleci.com", "gh/acme/new", "gh/acme")
    other = "55555555-5555-4555-8555-555555555555"
    await merge(store, pipeline(), workflow())
    await merge(store, msgspec.structs.replace(workflow(other), project=alone))
    renamed = ProjectRef("circleci.com", "gh/acme/new", "gh/acme", PROJECT.project_id)
    await merge(store, msgspec.structs.replace(pipeline(at=NOW + 1), project=renamed))
    assert len(await store.recent_runs(10, project="gh/acme/new")) == 2
    db = sqlite3.connect(tmp_path / "headgate.db")
    assert db.execute("SELECT project, sum(n), sum(ok) FROM rollup_day GROUP BY project").fetchall() == [(1, 2, 2)]
    assert db.execute("SELECT count(*) FROM dim_project").fetchone() == (1,)
    db.close()


async def test_a_late_name_moves_the_sums(store: SqliteStore, tmp_path: Path) -> None:
    """A job's contribution follows the name of its workflow and the branch of its pipeline."""
    await merge(store, workflow(name="build"), job())
    await merge(store, workflow(at=NOW + 1, name="ship"))
    await merge(store, pipeline())
    db = sqlite3.connect(tmp_path / "headgate.db")
    rows = db.execute(
        "SELECT kind, d.text, class, n FROM rollup_hour JOIN dim d ON d.id = run WHERE n != 0 ORDER BY kind"
    ).fetchall()
    assert rows == [(1, "ship", 1, 1), (2, "ship", 1, 1)]
    bins = db.execute("SELECT kind, duration_ok FROM rollup_day WHERE n != 0 ORDER BY kind").fetchall()
    assert [(kind, sum(unpack(packed).values())) for kind, packed in bins] == [(1, 1), (2, 1)]
    assert db.execute("SELECT count(*) FROM rollup_day WHERE n = 0 AND duration_ok IS NOT NULL").fetchone() == (0,)
    db.close()


async def test_a_backup_is_a_store(make: Make, store: SqliteStore, tmp_path: Path) -> None:
    """Taken while running, restored on an empty place with a higher epoch and a gap row, and never over a store."""
    await store.open_signals([LOGS], now_ms=NOW)
    await merge(store, pipeline(), workflow(), job())
    copy = tmp_path / "copy.db"
    await asyncio.gather(store.backup(str(copy)), store.accept([Delivery("ci", NOW, "", "", b"")]))
    target = tmp_path / "new" / "headgate.db"
    restore(copy, target)
    with pytest.raises(StoreError, match="exists"):
        restore(copy, target)
    restore(copy, target, overwrite=True)
    restored = make(target)
    await restored.open()
    figures = await restored.figures()
    assert (figures.epoch, figures.gaps, figures.facts["job"]) == (2, 1, 1)
    assert [entry.body for entry in await read(store)] == [entry.body for entry in await read(restored)]
    assert sum((await merge(restored, pipeline(), workflow(), job())).released.values()) == 0
    await restored.close()
    (tmp_path / "junk").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a backup"):
        restore(tmp_path / "junk", tmp_path / "other.db")
    assert not (tmp_path / "other.db").exists()
    with pytest.raises(StoreError, match="cannot be written"):
        await store.backup(str(tmp_path / "no" / "such" / "folder.db"))


async def test_hourly_sums_go_and_daily_ones_stay(store: SqliteStore, tmp_path: Path) -> None:
    """Facts past retention do not take their sums back."""
    await merge(store, pipeline(), workflow())
    await store.trim({"facts": 1}, now_ms=NOW + 201 * 86_400_000)
    db = sqlite3.connect(tmp_path / "headgate.db")
    assert db.execute("SELECT (SELECT count(*) FROM rollup_hour), (SELECT sum(n) FROM rollup_day)").fetchone() == (0, 1)
    assert db.execute("SELECT count(*) FROM released").fetchone() == (0,)
    db.close()


async def test_trimming_goes_in_slices(store: SqliteStore) -> None:
    """More than one slice's worth goes in one call."""
    ids = [f"77777777-7777-4777-8777-{number:012d}" for number in range(1200)]
    await merge(store, pipeline(), *(workflow(one) for one in ids))
    assert dict(await store.trim({"log": 1, "facts": 1}, now_ms=NOW + 2)) == {"log": 1200, "facts": 1201}
    assert (await store.figures()).facts["workflow"] == 0
    assert [entry.seq for entry in await _one_more(store)] == [1201]


async def _one_more(store: SqliteStore) -> list[object]:
    await merge(store, pipeline(), workflow())
    return list(await read(store))


async def test_all_kinds_of_facts_are_kept(store: SqliteStore, make: Make, tmp_path: Path) -> None:
    """Every field of every kind survives a restart, with its provenance."""
    values = {
        "text": "t",
        "dim": "word",
        "uuid": "66666666-6666-4666-8666-666666666666",
        "int": 3,
        "real": 2.5,
        "ms": NOW,
        "bool": True,
        "json": [{"type": "x"}, "y"],
    }
    seen = []
    for number, (kind, fields) in enumerate(FIELDS.items()):
        one = workflow(f"77777777-7777-4777-8777-{number:012d}")
        fields_of = {field.name: values[field.type] for field in fields}
        seen.append(msgspec.structs.replace(one, kind=kind, fields=fields_of))
    await merge(store, *seen)
    await store.close()
    again = make(tmp_path / "headgate.db")
    await again.open()
    assert len(FIELDS) == sum((await again.figures()).facts.values())
    assert len(FIELDS) == (await merge(again, *seen)).unchanged
    await again.close()


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


async def test_only_the_owner_reads_a_store_and_its_copies(make: Make, tmp_path: Path) -> None:
    """Whatever the umask: webhooks hold names and addresses of people."""
    path, copy, back = tmp_path / "headgate.db", tmp_path / "copy.db", tmp_path / "back.db"
    store = make(path)
    await store.open()
    await store.accept([Delivery("ci", NOW, "", "application/json", b"{}")])
    await store.backup(str(copy))
    modes = _modes(tmp_path)
    await store.close()
    restore(copy, back)
    assert {"headgate.db", "headgate.db-wal", "headgate.db-shm", "copy.db"} <= modes.keys()
    assert {0o600} == {*modes.values(), _modes(tmp_path)["back.db"]}
