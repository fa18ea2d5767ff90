"""Opening whatever is there: a sound store as it is, a new one where there is none, a damaged one salvaged."""

from __future__ import annotations

import uuid

from headgate.store.files import Files
from headgate.store.schema import migrate, set_up
from headgate.store.sql import Database

__all__ = ["open_sound"]


def connect(path: str, vfs: str | None) -> Database:
    """The writing connection."""
    db = Database(path, vfs=vfs, statementcachesize=512)
    set_up(db, writer=True)
    return db


def open_sound(files: Files, vfs: str | None, now_ms: int) -> Database:
    """A connection to a store that can be used."""
    db = connect(str(files.path), vfs)
    migrate(db)
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        "INSERT OR IGNORE INTO meta VALUES ('store_id', ?), ('epoch', 1), ('created_ms', ?)",
        (str(uuid.uuid4()), now_ms),
    )
    db.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0)")
    db.execute("COMMIT")
    return db
