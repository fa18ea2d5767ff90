"""Opening whatever is there: a sound store as it is, a new one where there is none, a damaged one salvaged.

Invariant: start needs no human. A damaged file is set aside, never deleted; every row that can be read is copied; what
is known to be missing is a gap row; the epoch rises.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import uuid
from pathlib import Path

import apsw
import structlog

from headgate.core.errors import StoreError
from headgate.core.storeport import GapRow
from headgate.store.delivery import gap
from headgate.store.files import Files, make_private, put_in_place
from headgate.store.reconcile import reconcile
from headgate.store.recovery import check_of, copy_rows, tables_of
from headgate.store.schema import LANES, migrate, migrations, set_up
from headgate.store.session import Session, number_on
from headgate.store.sql import Database

__all__ = ["damage_of", "open_sound"]

# Files up to this size are read through at every start (about 100 MB a second); larger ones after damage was seen.
_READ_THROUGH_BYTES = 32 * 1024 * 1024
# What reading a damaged file may raise: SQLite's own errors, text that is not UTF-8, numbers that are none.
_UNSOUND = (apsw.Error, UnicodeError, ValueError, TypeError, LookupError, OverflowError, MemoryError)
# Nothing is wrong with the file when these are raised.
_NOT_DAMAGE = (apsw.FullError, apsw.NoMemError, apsw.PermissionsError)
_log = structlog.get_logger("headgate.store")


def open_sound(files: Files, vfs: str | None, now_ms: int) -> Database:
    """A connection to a store that can be used.

    Raises StoreError where the place cannot be written or the store is of a newer Headgate.
    """
    if not files.path.exists() or files.path.stat().st_size == 0:
        _clear_way(files)
        return _begin(_connect(files.path, vfs), now_ms)
    if not os.access(files.path, os.R_OK | os.W_OK):
        raise StoreError(f"the store {files.path} cannot be read and written: check its owner and rights")
    db = _try(files, vfs, now_ms)
    if db is None:
        db = _begin(_salvage(files, vfs, now_ms), now_ms)
    files.clear_suspect()
    return db


def damage_of(files: Files, vfs: str | None) -> str | None:
    """What is wrong with a store, None where nothing is or a newer Headgate wrote it. Changes no byte of it."""
    if files.size() == 0:
        return "the file is empty"
    thorough = files.suspect() or files.size() <= _READ_THROUGH_BYTES
    try:
        with contextlib.closing(Database(str(files.path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)) as db:
            if _sound(db, thorough=thorough) or _is_newer(files, vfs):
                return None
            found = [row[0] for row in db.execute("PRAGMA integrity_check(3)")] if thorough else ["ok"]
            if found != ["ok"]:
                return "; ".join(" ".join(line.split()) for line in found)
    except _NOT_DAMAGE:
        raise
    except _UNSOUND as exc:
        return f"it cannot be read: {exc}"
    return "its tables are not those of a store"


def _clear_way(files: Files) -> None:
    """A WAL without its database would be replayed into the new one."""
    for stale in (files.wal, files.shm):
        if stale.exists():
            stale.replace(_aside(files.path).with_name(_aside(files.path).name + stale.name[len(files.path.name) :]))


def _connect(path: Path, vfs: str | None) -> Database:
    make_private(path)
    db = Database(str(path), vfs=vfs, statementcachesize=512)
    try:
        set_up(db, writer=True)
    except BaseException:  # raised on; whatever it was, the file must not stay open
        db.close(force=True)
        raise
    return db


def _begin(db: Database, now_ms: int) -> Database:
    migrate(db)
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "INSERT OR IGNORE INTO meta VALUES ('store_id', ?), ('epoch', 1), ('created_ms', ?)",
        (str(uuid.uuid4()), now_ms),
    )
    db.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0)")
    number_on(db)
    db.execute("COMMIT")
    return db


def _try(files: Files, vfs: str | None, now_ms: int) -> Database | None:
    """The store as it is, or None if it is damaged: what cannot be written to is, too."""
    thorough = files.suspect() or files.size() <= _READ_THROUGH_BYTES
    db: Database | None = None
    try:
        db = _connect(files.path, vfs)
        migrate(db)
        if _sound(db, thorough=thorough):
            return _begin(db, now_ms)
    except StoreError:
        if db is not None:
            db.close(force=True)
        if _is_newer(files, vfs):
            raise
        return None
    except _NOT_DAMAGE:
        raise
    except _UNSOUND as error:  # whatever a damaged file makes SQLite or our decoders raise; it will be set aside
        _log.warning("store_is_damaged", path=str(files.path), error=repr(error))
    if db is not None:
        with contextlib.suppress(apsw.Error):
            db.close(force=True)
    return None


def _is_newer(files: Files, vfs: str | None) -> bool:
    """Whether a store with an unknown schema version is a sound one of a newer Headgate, not a damaged one of ours."""
    try:
        db = Database(str(files.path), vfs=vfs)
        try:
            written = db.execute("SELECT value FROM meta WHERE key = 'schema'").get
            return bool(written == db.pragma("user_version") and db.pragma("integrity_check") == "ok")
        finally:
            db.close(force=True)
    except _UNSOUND:  # a damaged file of ours; salvage says so
        return False


def _sound(db: Database, *, thorough: bool) -> bool:
    if thorough and db.pragma("integrity_check") != "ok":
        return False
    if not _has_schema(db):
        return False
    if thorough:
        for table in tables_of(db):
            understood = check_of(table)
            for row in db.execute(f"SELECT * FROM {table}"):
                understood(row)
    session = Session(db).load()
    if min(session.counters.get(f"head:{lane}", 0) for lane in LANES) < 0:
        return False
    for lane in LANES:
        highest = db.execute(f"SELECT max(seq) FROM log_{lane}").get or 0
        furthest = db.execute("SELECT max(acked) FROM cursor WHERE lane = ?", (LANES.index(lane),)).get or 0
        if max(highest, furthest) > session.counters.get(f"head:{lane}", 0):
            return False
    return True


def _template(version: int | None = None) -> Database:
    db = Database(":memory:")
    migrate(db, version)
    return db


def _has_schema(db: Database) -> bool:
    """Whether tables and indexes are, to the letter, those that the migrations made."""
    version = db.pragma("user_version")
    if not 0 < version <= migrations()[-1][0]:
        return False
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT GLOB 'sqlite_stat*' ORDER BY type, name"
    with contextlib.closing(_template(version)) as template:
        return bool(template.execute(query).fetchall() == db.execute(query).fetchall())


# -- salvage


def _aside(path: Path) -> Path:
    n = 1
    while path.with_name(f"{path.name}.damaged-{n}").exists():
        n += 1
    return path.with_name(f"{path.name}.damaged-{n}")


def _salvage(files: Files, vfs: str | None, now_ms: int) -> Database:
    """Set the file aside and copy what can be read into a new one, which takes its place only when it is complete."""
    aside = _aside(files.path)
    wal = aside.with_name(aside.name + "-wal")
    fresh = files.path.with_name(files.path.name + ".salvage")
    for left in (fresh, fresh.with_name(fresh.name + "-wal"), fresh.with_name(fresh.name + "-shm")):
        left.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(files.wal, wal)
    shutil.copyfile(files.path, aside)
    db = _connect(fresh, None)
    _begin(db, now_ms)
    db.execute("BEGIN IMMEDIATE")
    lost = _copy(aside, wal, db)
    # Facts may be missing anywhere below the cursors: without these, collection walks its first window again, which
    # brings back what the source still has and, because merging is a join, changes nothing else.
    db.execute("DELETE FROM source_cursor")
    session = Session(db).load()
    reconcile(session, now_ms)
    for table, count in sorted(lost.items()):
        gap(session, GapRow(now_ms, "", None, None, count, f"damaged: rows of {table} that could not be read"))
    kept = sum(db.execute(f"SELECT count(*) FROM {table}").get for table in ("inbox", "log_live", "log_backfill"))
    gap(
        session,
        GapRow(now_ms, "", None, None, 0, f"damaged: set aside as {aside.name}, {kept} entries and deliveries kept"),
    )
    db.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
    session.flush()
    db.execute("COMMIT")
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()
    for old in (files.wal, files.shm):
        old.unlink(missing_ok=True)
    put_in_place(fresh, files.path)
    return _connect(files.path, vfs)


def _copy(aside: Path, wal: Path, db: Database) -> dict[str, int]:
    """Copy rows; a file whose schema is gone is read with the schema that every store has."""
    work = aside.with_name(aside.name + ".work")
    work_wal = work.with_name(work.name + "-wal")
    best: dict[str, int] = {}
    try:
        for spliced, with_wal in ((False, True), (True, True), (True, False)):
            for left in (work, work_wal, work.with_name(work.name + "-shm")):
                left.unlink(missing_ok=True)
            shutil.copyfile(aside, work)
            if with_wal and wal.exists():
                shutil.copyfile(wal, work_wal)
            if spliced:
                _splice_schema(work)
            try:
                with contextlib.closing(_open_damaged(work)) as old:
                    if _has_schema(old):
                        return copy_rows(old, db)
            except _UNSOUND as error:  # as above; the next way of reading it is tried, and what is lost is a gap row
                _log.warning("store_cannot_be_read", path=str(aside), schema_spliced=spliced, error=repr(error))
                best = {"every table": 0}
    finally:
        for left in (work, work_wal, work.with_name(work.name + "-shm")):
            left.unlink(missing_ok=True)
    return best


def _open_damaged(path: Path) -> Database:
    old = Database(str(path))
    old.set_busy_timeout(1_000)
    old.execute("PRAGMA writable_schema=ON")
    old.execute("PRAGMA cell_size_check=ON")
    return old


def _splice_schema(path: Path) -> None:
    """Put the schema pages of a new store over those of a damaged one: migrations give every store the same pages."""
    template = _template()
    try:
        size = int(template.pragma("page_size"))
        pages = [row[0] for row in template.execute("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'")]
        image = template.serialize("main")
    finally:
        template.close()
    data = bytearray(path.read_bytes())
    data += bytes(-len(data) % size)
    if len(data) < max(pages) * size:
        return
    for page in pages:
        data[(page - 1) * size : page * size] = image[(page - 1) * size : page * size]
    # Page count of the file, no free pages; reader and writer version 2: the WAL is read.
    data[18:20] = b"\x02\x02"
    data[28:32] = struct.pack(">I", len(data) // size)
    data[32:40] = bytes(8)
    data[92:96] = data[24:28]
    path.write_bytes(data)
