"""The trail in the store: appended to, read from its newest end, trimmed by age."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.core.trail import TrailEntry
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["append", "newest"]


def append(session: Session, entries: Sequence[TrailEntry]) -> None:
    """Add entries in their order; they get their numbers here."""
    session.db.executemany(
        "INSERT INTO trail (at_ms, who, via, peer, action, about, status, times) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(e.at_ms, e.who, e.via, e.peer, e.action, e.about, e.status, e.times) for e in entries],
    )


def newest(db: Database, since_ms: int, before: int | None, limit: int, action: str) -> list[TrailEntry]:
    """Entries since a time, the newest first; `before`: number of the last one of the page before.

    `action`: only such; empty for all.
    """
    rows = db.execute(
        "SELECT at_ms, who, via, peer, action, about, status, times, id FROM trail WHERE id < ? AND at_ms >= ?"
        " AND (? = '' OR action = ?) ORDER BY id DESC LIMIT ?",
        (before if before is not None else 1 << 62, since_ms, action, action, limit),
    )
    return [TrailEntry(*row) for row in rows]
