"""The files around the database: lock, note of damage, ballast; copies of a store.

Invariant: one process at a time holds a store; the operating system gives the lock back when it dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw

from headgate.core.errors import StoreError, StoreFull, StoreLocked
from headgate.store.quota import room_kept
from headgate.store.sql import Database

__all__ = ["Files", "copy_out", "make_private", "put_in_place", "restore"]

# Pages that are copied in one step of a backup: 16 MB, a fraction of a second.
_COPY_PAGES = 4_000


def make_private(path: Path, *, anew: bool = False) -> None:
    """Make a file that only its owner reads, unless there is one: webhooks hold names. SQLite's WAL follows it.

    `anew`: an old one is deleted first.
    """
    if anew:
        path.unlink(missing_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def put_in_place(partial: Path, target: Path) -> None:
    """Give a complete file its name, so that a loss of power leaves the whole old file or the whole new one.

    Raises OSError.
    """
    _flush(partial)
    partial.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    """Have the operating system write a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_out(
    source: Database, target: Path, now_ms: int, *, reserve_bytes: int = 0, ended: Callable[[], bool] = bool
) -> None:
    """Copy what a connection sees to `target`, whole or not at all: of one that fails nothing stays.

    `reserve_bytes`: what has to stay free beside the copy; `ended`: whether it is wanted no more, asked between steps.
    Raises StoreFull where there is no room, StoreError once it has `ended`, OSError and what apsw raises.
    """
    source.execute("BEGIN")  # one state of it: the steps would begin anew at each change otherwise
    source.execute("SELECT count(*) FROM meta").fetchall()
    needed = source.pragma("page_count") * source.pragma("page_size") + reserve_bytes
    free = shutil.disk_usage(target.parent).free
    no_room = f"no space left for the backup {target}: it needs {needed} bytes and {free} are free; nothing of it stays"
    if free < needed:
        raise StoreFull(no_room)
    partial = target.with_name(target.name + ".partial")
    try:
        make_private(partial, anew=True)
        _copy_pages(source, partial, now_ms, ended)
        put_in_place(partial, target)
    except BaseException as exc:
        for left in (partial, partial.with_name(partial.name + "-journal")):
            left.unlink(missing_ok=True)
        if isinstance(exc, apsw.FullError) or (isinstance(exc, OSError) and exc.errno == errno.ENOSPC):
            raise StoreFull(no_room) from exc
        raise


def _copy_pages(source: Database, partial: Path, now_ms: int, ended: Callable[[], bool]) -> None:
    copy = Database(str(partial))
    try:
        with copy.backup("main", source, "main") as work:
            while not work.done:
                if ended():
                    raise StoreError("the backup was broken off; nothing of it is left")
                work.step(_COPY_PAGES)
                _flush(partial)  # so that none takes long at the end, when nothing can break it off
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute("INSERT OR REPLACE INTO meta VALUES ('backup_ms', ?)", (now_ms,))
    finally:
        copy.close()


class Files:
    """Paths of one store and what is done to them without SQL."""

    def __init__(self, path: Path, ballast_bytes: int) -> None:
        self.path = path
        self.wal = path.with_name(path.name + "-wal")
        self.shm = path.with_name(path.name + "-shm")
        self._suspect = path.with_name(path.name + ".suspect")
        self._ballast = path.with_name(path.name + ".ballast")
        self._lock_path = path.with_name(path.name + ".lock")
        self._ballast_bytes = ballast_bytes
        self._lock: int | None = None

    def lock(self) -> None:
        """Take the lock. Raises StoreLocked if another process has it, StoreError if the place cannot be written."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not self.path.is_file():
                raise StoreError(f"{self.path} is not a file: point store.url at a file")
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StoreError(f"the store {self.path} cannot be written: {exc.strerror}: check {folder}") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(lock)
            raise StoreLocked(f"another process holds {self.path}: stop it, or point this one elsewhere") from exc
        self._lock = lock

    def unlock(self) -> None:
        """Give the lock back. Safe twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def suspect(self) -> bool:
        """Whether the last process found damage."""
        return self._suspect.exists()

    def mark_suspect(self) -> None:
        """Leave a note for the next start; on a full or broken disk the next start has to find out by itself."""
        with contextlib.suppress(OSError):
            self._suspect.touch()

    def clear_suspect(self) -> None:
        """The file was checked."""
        self._suspect.unlink(missing_ok=True)

    def fill_ballast(self) -> None:
        """Hold some space in reserve, if the disk has plenty."""
        if self._ballast_bytes <= 0 or self._ballast.exists() or self.disk_free() < 8 * self._ballast_bytes:
            return
        with contextlib.suppress(OSError), self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._ballast_bytes)

    def drop_ballast(self) -> None:
        """Give the reserve back."""
        self._ballast.unlink(missing_ok=True)

    def disk_free(self) -> int:
        """Bytes that the file system would still give us."""
        return shutil.disk_usage(self.path.parent).free

    def room_beside(self, folder: Path) -> int:
        """Bytes that whoever writes there has to leave the store; 0 on another disk."""
        return room_kept(self.size()) if folder.stat().st_dev == self.path.parent.stat().st_dev else 0

    def size(self) -> int:
        """Bytes of database and WAL."""
        total = 0
        for path in (self.path, self.wal):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total


def restore(source: str | os.PathLike[str], target: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Make a store out of a backup: pages as they are, epoch one higher, a gap row for what came after the backup.

    Nothing is lost or repeated in silence. What the store had learnt after the backup is collected again, because the
    source cursors are those of the backup; it gets the record ids that it had, so sinks that tell duplicates apart keep
    one copy, and the others may get a record a second time with the same id. Cursors of sinks are those of the backup:
    entries that were delivered after it are sent again, byte for byte. Webhooks that only the lost store had are found
    by polling. Raises StoreError if `target` exists and `overwrite` is not set, or if `source` is no sound store.
    """
    origin, goal = Path(source), Path(target)
    files = Files(goal, 0)
    files.lock()
    try:
        if goal.exists() and not overwrite:
            raise StoreError(f"{goal} exists: move it away first")
        partial = goal.with_name(goal.name + ".partial")
        _copy(origin, partial)
        for old in (files.wal, files.shm):
            old.unlink(missing_ok=True)
        put_in_place(partial, goal)
        files.clear_suspect()
    finally:
        files.unlock()


def _copy(origin: Path, partial: Path) -> None:
    try:
        make_private(partial, anew=True)
        shutil.copyfile(origin, partial)
        db = Database(str(partial))
        try:
            if db.pragma("integrity_check") != "ok":
                raise StoreError(f"{origin} is damaged: take another backup")
            at_ms = db.execute("SELECT value FROM meta WHERE key = 'backup_ms'").get or 0
            db.execute("PRAGMA journal_mode=DELETE")
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE meta SET value = value + 1 WHERE key = 'epoch'")
            db.execute(
                "INSERT INTO gap (at_ms, sink, first, last, count, reason)"
                " VALUES (?, '', NULL, NULL, 0, 'restored: from a backup of this time')",
                (at_ms,),
            )
            db.execute("INSERT INTO counter VALUES ('gaps', 1) ON CONFLICT DO UPDATE SET n = n + 1")
            db.execute("COMMIT")
        finally:
            db.close()
    except (OSError, apsw.Error) as exc:
        partial.unlink(missing_ok=True)
        raise StoreError(f"{origin} is not a backup of a Headgate store: {exc}") from exc
    except StoreError:
        partial.unlink(missing_ok=True)
        raise
