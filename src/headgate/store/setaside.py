"""Deliveries that were set aside: dead ones, and those that wait for their source to be configured again.

Invariant: both have a row in `inbox_dead`; counter `parked:NAME` is how many wait for source NAME. A delivery comes
back under a new number, behind everything that waits, so that the mark of the inbox never goes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headgate.core.storeport import NO_SOURCE, GapRow
from headgate.store import inbox
from headgate.store.delivery import gap
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["PARKED", "count_parked", "drop", "park", "purge", "requeue", "set_aside_ids"]

# Name of a counter without the source.
PARKED = "parked:"
_FIND = "SELECT i.source, d.reason FROM inbox_dead d JOIN inbox i ON i.id = d.id WHERE d.id = ?"


def park(session: Session, ids: Sequence[int], now_ms: int) -> int:
    """Waiting deliveries wait for their source from now on; returns how many there were. Others change nothing."""
    low, settled = session.counters.get("inbox:low", 0), session.inbox_settled
    waiting = [number for number in dict.fromkeys(ids) if low < number < session.inbox_next and number not in settled]
    found: list[int] = []
    for number in waiting:
        source = session.db.execute("SELECT source FROM inbox WHERE id = ?", (number,)).get
        if source is not None:
            found.append(number)
            session.count(PARKED + source)
    inbox.settle(session, (), [(number, NO_SOURCE) for number in found], now_ms)
    session.flush()
    return len(found)


def set_aside_ids(db: Database, source: str | None, reason: str | None, after: int, limit: int) -> list[int]:
    """Numbers beyond `after`, ascending."""
    rows = db.execute(
        "SELECT d.id FROM inbox_dead d JOIN inbox i ON i.id = d.id WHERE d.id > :after"
        " AND (:reason IS NULL OR d.reason = :reason) AND (:source IS NULL OR i.source = :source)"
        " ORDER BY d.id LIMIT :limit",
        {"after": after, "reason": reason, "source": source, "limit": limit},
    )
    return [row[0] for row in rows]


def requeue(session: Session, ids: Sequence[int]) -> int:
    """Let these wait in the inbox again, at its end; returns how many there were."""
    db, again = session.db, []
    for number in dict.fromkeys(ids):
        if db.execute(_FIND, (number,)).fetchone() is not None:
            row = "SELECT source, arrived_ms, event_type, content_type, body FROM inbox WHERE id = ?"
            again.append((number, db.execute(row, (number,)).fetchone()))
    inbox.append(session, [row for _, row in again])
    drop(session, [number for number, _ in again])
    session.flush()
    return len(again)


def purge(session: Session, ids: Sequence[int], now_ms: int, why: str = "purged") -> int:
    """Forget these for good; a gap row for each source says so."""
    lost = drop(session, ids)
    for source, n in sorted(lost.items()):
        gap(session, GapRow(now_ms, "", None, None, n, f"deliveries: of source {source}, {why}"))
    session.flush()
    return lost.total()


def drop(session: Session, ids: Sequence[int]) -> Counter[str]:
    """Delete rows; returns how many it were by source."""
    gone: Counter[str] = Counter()
    for number in ids:
        row = session.db.execute(_FIND, (number,)).fetchone()
        if row is None:
            continue
        source, reason = row
        gone[source] += 1
        if reason == NO_SOURCE:
            session.count(PARKED + source, -1)
        session.db.execute("DELETE FROM inbox WHERE id = ?", (number,))
        session.db.execute("DELETE FROM inbox_dead WHERE id = ?", (number,))
    return gone


def count_parked(session: Session) -> None:
    """Set the counters anew, after rows were lost."""
    for name in [name for name in session.counters if name.startswith(PARKED)]:
        session.put(name, 0)
    rows = session.db.execute(
        "SELECT i.source, count(*) FROM inbox_dead d JOIN inbox i ON i.id = d.id WHERE d.reason = ? GROUP BY i.source",
        (NO_SOURCE,),
    )
    for source, n in rows.fetchall():
        session.put(PARKED + source, n)
