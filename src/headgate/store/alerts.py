"""Alert instances, their history, and the outbox of notifications.

Invariant: a notification is stored in the transaction of the transition that causes it, and an equal (notifier, key)
only once, even after it was sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headgate.core.render import APP_URL
from headgate.core.storeport import AlertChange, AlertRow, OutboxRow
from headgate.core.times import parse_ms
from headgate.store.releases import Releases
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["alert_history", "alerts", "outbox_dead", "outbox_done", "outbox_due", "outbox_retry", "transition"]

WAITING, DONE, DEAD = 0, 1, 2


def transition(session: Session, change: AlertChange, now_ms: int) -> None:
    """Alert state, history, outbox rows and records together."""
    db = session.db
    db.executemany(
        "INSERT OR REPLACE INTO alert VALUES (?, ?, ?, ?, ?, ?)",
        [(row.fingerprint, row.rule, _labels(row), row.state, row.state_json, row.updated_ms) for row in change.rows],
    )
    db.executemany("DELETE FROM alert WHERE fingerprint = ?", [(fingerprint,) for fingerprint in change.removed])
    db.executemany("INSERT INTO alert_history (fingerprint, at_ms, body) VALUES (?, ?, ?)", list(change.history))
    before = db.total_changes()
    db.executemany(
        "INSERT INTO outbox (notifier, key, payload, created_ms, due_ms, attempts, last_error, state)"
        " VALUES (?, ?, ?, ?, ?, 0, '', 0) ON CONFLICT DO NOTHING",
        [(notifier, key, payload, now_ms, due_ms) for notifier, key, payload, due_ms in change.outbox],
    )
    added = db.total_changes() - before
    if added:
        session.count("outbox", added)
    releases = Releases(session, now_ms=now_ms, live_after_ms=0, app_url=APP_URL)
    for record in change.records:
        occurred = parse_ms(record.occurred_at)
        releases.append(record, now_ms if occurred is None else occurred)
    releases.flush()
    session.flush()


def _labels(row: AlertRow) -> str:
    return msgspec.json.encode(dict(row.labels), order="deterministic").decode()


def alerts(db: Database) -> list[AlertRow]:
    """All alert instances, by fingerprint."""
    rows = db.execute("SELECT fingerprint, rule, labels, state, state_json, updated_ms FROM alert ORDER BY fingerprint")
    return [
        AlertRow(fingerprint, rule, msgspec.json.decode(labels, type=dict[str, str]), state, data, at_ms)
        for fingerprint, rule, labels, state, data, at_ms in rows
    ]


def alert_history(db: Database, fingerprint: str | None, limit: int) -> list[tuple[str, int, bytes]]:
    """Transitions, newest first."""
    where, bound = ("WHERE fingerprint = ?", (fingerprint, limit)) if fingerprint else ("", (limit,))
    rows = db.execute(f"SELECT fingerprint, at_ms, body FROM alert_history {where} ORDER BY id DESC LIMIT ?", bound)
    return list(rows)


def outbox_due(db: Database, now_ms: int, limit: int) -> list[OutboxRow]:
    """Notifications whose next attempt is due, oldest due first."""
    rows = db.execute(
        "SELECT id, notifier, key, payload, created_ms, due_ms, attempts, last_error FROM outbox"
        " WHERE state = 0 AND due_ms <= ? ORDER BY due_ms, id LIMIT ?",
        (now_ms, limit),
    )
    return [OutboxRow(*row) for row in rows]


def _leave(session: Session, ids: Sequence[int], state: int, error: str | None = None) -> None:
    before = session.db.total_changes()
    session.db.executemany(
        "UPDATE outbox SET state = ?, last_error = coalesce(?, last_error) WHERE id = ? AND state = 0",
        [(state, error, number) for number in ids],
    )
    changed = session.db.total_changes() - before
    if changed:
        session.count("outbox", -changed)
        session.flush()


def outbox_done(session: Session, ids: Sequence[int]) -> None:
    """These were accepted."""
    _leave(session, ids, DONE)


def outbox_retry(session: Session, row_id: int, due_ms: int, error: str) -> None:
    """Try again at a time."""
    session.db.execute(
        "UPDATE outbox SET due_ms = ?, attempts = attempts + 1, last_error = ? WHERE id = ? AND state = 0",
        (due_ms, error, row_id),
    )


def outbox_dead(session: Session, row_id: int, error: str, at_ms: int) -> None:
    """The notifier will never take it; `due_ms` of the row is from now on when that was found."""
    session.db.execute("UPDATE outbox SET due_ms = ? WHERE id = ? AND state = 0", (at_ms, row_id))
    _leave(session, [row_id], DEAD, error)
