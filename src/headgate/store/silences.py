"""Silences in the store, each change with its line of history."""

from __future__ import annotations

import msgspec

from headgate.core.silences import Silence, history_name
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["put_silence", "silences"]


def put_silence(session: Session, silence: Silence, line: bytes, at_ms: int) -> int:
    """Insert or replace; the number it has now."""
    db = session.db
    matchers = msgspec.json.encode(silence.matchers).decode()
    db.execute(
        "INSERT OR REPLACE INTO silence VALUES (?, ?, ?, ?, ?, ?)",
        (silence.id or None, matchers, silence.starts_ms, silence.ends_ms, silence.author, silence.comment),
    )
    number = silence.id or db.last_insert_rowid()
    db.execute(
        "INSERT INTO alert_history (fingerprint, at_ms, body) VALUES (?, ?, ?)", (history_name(number), at_ms, line)
    )
    return number


def silences(db: Database) -> list[Silence]:
    """All of them by number."""
    rows = db.execute("SELECT id, matchers, starts_ms, ends_ms, author, comment FROM silence ORDER BY id")
    return [
        Silence(number, msgspec.json.decode(matchers, type=tuple[str, ...]), *rest) for number, matchers, *rest in rows
    ]
