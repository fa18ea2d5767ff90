"""How far sources got: their cursors, and the marks they leave for themselves.

Invariant: both are written in the transaction of the facts that they speak of.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile

from headgate.core.storeport import MergeWork, SourceCursor
from headgate.store.sql import Database

__all__ = ["remember", "source_cursors", "source_marks"]


def remember(db: Database, work: MergeWork) -> None:
    """Store the cursor and the marks of a piece of work."""
    if work.cursor is not None:
        cursor = work.cursor
        db.execute(
            "INSERT OR REPLACE INTO source_cursor VALUES (?, ?, ?, ?, ?)",
            (cursor.source, cursor.scope, cursor.high, cursor.walk_high, cursor.complete_ms),
        )
    for key, value in work.marks.items():
        if value is None:
            db.execute("DELETE FROM source_mark WHERE source = ? AND key = ?", (work.source, key))
        else:
            db.execute("INSERT OR REPLACE INTO source_mark VALUES (?, ?, ?)", (work.source, key, value))


def source_cursors(db: Database, source: str) -> Mapping[str, SourceCursor]:
    """How far polling got, by scope."""
    rows = db.execute(
        "SELECT source, scope, high, walk_high, complete_ms FROM source_cursor WHERE source = ? ORDER BY scope",
        (source,),
    )
    return {row[1]: SourceCursor(*row) for row in rows}


def source_marks(db: Database, source: str, prefix: str) -> dict[str, bytes]:
    """What a source remembers under keys that begin with a prefix."""
    rows = db.execute("SELECT key, value FROM source_mark WHERE source = ? AND key >= ? ORDER BY key", (source, prefix))
    return dict(takewhile(lambda row: row[0].startswith(prefix), rows.fetchall()))
