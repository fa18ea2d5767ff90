"""Which records each signal skipped, as stretches of positions, so that `explain` can tell them from accepted ones.

Invariant: what is noted was skipped. What is not may have been skipped all the same: by an older version, or so
scattered that the oldest stretches were forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from headgate.core.storeport import Skip
from headgate.store.sql import Database

__all__ = ["MAX_STRETCHES", "forget", "note", "noted", "skipped_as"]

# Of one signal and lane: half a megabyte.
MAX_STRETCHES = 10_000


def note(db: Database, signal: str, lane: int, skips: Iterable[Skip]) -> None:
    """Add stretches; one that follows another of its reason makes that longer."""
    for skip in skips:
        before = db.execute(
            "SELECT first, last, reason FROM skip WHERE signal = ? AND lane = ? AND first <= ?"
            " ORDER BY first DESC LIMIT 1",
            (signal, lane, skip.first),
        ).fetchone()
        if before is not None and before[2] == skip.reason and before[1] + 1 >= skip.first:
            last = max(before[1], skip.last)
            db.execute(
                "UPDATE skip SET last = ? WHERE signal = ? AND lane = ? AND first = ?", (last, signal, lane, before[0])
            )
            continue
        db.execute(
            "INSERT OR REPLACE INTO skip VALUES (?, ?, ?, ?, ?)", (signal, lane, skip.first, skip.last, skip.reason)
        )
        db.execute(
            "DELETE FROM skip WHERE signal = ?1 AND lane = ?2 AND first <="
            " (SELECT first FROM skip WHERE signal = ?1 AND lane = ?2 ORDER BY first DESC LIMIT 1 OFFSET ?3)",
            (signal, lane, MAX_STRETCHES),
        )


def forget(db: Database, signal: str) -> None:
    """Forget those of a signal that starts again: what it skipped it may get now."""
    db.execute("DELETE FROM skip WHERE signal = ?", (signal,))


def skipped_as(db: Database, signal: str, lane: int, seq: int) -> str | None:
    """The reason for which a record was skipped; None where none is noted."""
    row = db.execute(
        "SELECT last, reason FROM skip WHERE signal = ? AND lane = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (signal, lane, seq),
    ).fetchone()
    return str(row[1]) if row is not None and row[0] >= seq else None


def noted(db: Database, signal: str) -> Collection[str]:
    """Reasons of which every record that was ever skipped is noted."""
    rows = db.execute(
        "SELECT s.reason FROM skipped s WHERE s.signal = ?1 AND s.n ="
        " (SELECT sum(last - first + 1) FROM skip k WHERE k.signal = ?1 AND k.reason = s.reason)",
        (signal,),
    )
    return frozenset(row[0] for row in rows)
