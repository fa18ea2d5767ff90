"""The inbox: appended once, settled by moving a mark.

Invariant: every delivery up to `inbox:low` is settled; beyond it, those in `inbox_settled` are, all others wait. A
settled row is not touched again until it is trimmed, so that a webhook's bytes are written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headgate.core.ports import Delivery
from headgate.core.storeport import InboxRow
from headgate.store.session import Session
from headgate.store.sql import Database, insert

__all__ = ["append", "dead_rows", "row_of", "settle", "waiting"]

_COLUMNS = "id, source, arrived_ms, event_type, content_type, body"
# One read ends with the delivery that reaches this: bodies may be large, and all of a read are held at once.
_READ_BYTES = 8 * 1024 * 1024
_INSERT = f"INSERT INTO inbox ({_COLUMNS})"


def row_of(delivery: Delivery) -> tuple[Any, ...]:
    """The columns of a delivery, without its id."""
    return (delivery.source, delivery.arrived_ms, delivery.event_type, delivery.content_type, delivery.body)


def append(session: Session, rows: list[tuple[Any, ...]]) -> None:
    """Insert deliveries in order of arrival."""
    session.load()
    first = session.inbox_next
    insert(session.db, _INSERT, [(first + position, *row) for position, row in enumerate(rows)])
    session.inbox_next = first + len(rows)


def settle(session: Session, done: Sequence[int], dead: Sequence[tuple[int, str]], now_ms: int) -> None:
    """Mark deliveries as merged or dead. Those that were settled before, or never were, change nothing."""
    if not done and not dead:
        return
    low = session.counters.get("inbox:low", 0)
    settled = session.inbox_settled
    dead = [(number, reason) for number, reason in dead if low < number < session.inbox_next and number not in settled]
    new = {number for number in done if low < number < session.inbox_next and number not in settled}
    new |= {number for number, _ in dead}
    if dead:
        session.db.executemany(
            "INSERT OR REPLACE INTO inbox_dead VALUES (?, ?, ?)", [(number, reason, now_ms) for number, reason in dead]
        )
    settled |= new
    mark = low
    while mark + 1 in settled:
        mark += 1
        settled.discard(mark)
    beyond = [(number,) for number in sorted(new) if number > mark]
    if mark != low:
        session.put("inbox:low", mark)
        session.db.execute("DELETE FROM inbox_settled WHERE id <= ?", (mark,))
    if beyond:
        session.db.executemany("INSERT INTO inbox_settled VALUES (?)", beyond)


def waiting(db: Database, limit: int) -> list[InboxRow]:
    """Oldest waiting deliveries: `limit` of them, or fewer where their bodies are large."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM inbox WHERE id > coalesce((SELECT n FROM counter WHERE name = 'inbox:low'), 0)"
        " AND id NOT IN (SELECT id FROM inbox_settled) ORDER BY id LIMIT ?",
        (limit,),
    )
    return _bounded(InboxRow(row[0], Delivery(*row[1:])) for row in rows)


def dead_rows(db: Database, ids: Sequence[int], before: int | None, limit: int) -> list[InboxRow]:
    """Deliveries that were set aside, newest first: `limit` of them, or fewer where their bodies are large."""
    where, bound = ["1"], []  # type: tuple[list[str], list[int]]
    if before is not None:
        where.append("d.id < ?")
        bound.append(before)
    if ids:
        where.append(f"d.id IN ({', '.join('?' * len(ids))})")
        bound += ids
    rows = db.execute(
        "SELECT i.id, source, arrived_ms, event_type, content_type, body, reason FROM inbox_dead d"
        f" JOIN inbox i ON i.id = d.id WHERE {' AND '.join(where)} ORDER BY d.id DESC LIMIT ?",
        (*bound, limit),
    )
    return _bounded(InboxRow(row[0], Delivery(*row[1:6]), "dead", row[6]) for row in rows)


def _bounded(rows: Iterable[InboxRow]) -> list[InboxRow]:
    """Those of one read."""
    found: list[InboxRow] = []
    left = _READ_BYTES
    for row in rows:
        found.append(row)
        left -= len(row.delivery.body)
        if left <= 0:
            break
    return found
