"""Alert instances, their history, and the outbox of notifications.

Invariant: a notification is stored in the transaction of the transition that causes it, and an equal (notifier, key)
only once, even after it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headgate.core.render import APP_URL
from headgate.core.storeport import AlertChange, AlertRow, OutboxRow
from headgate.core.times import DAY_MS, parse_ms
from headgate.store.releases import Releases
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = [
    "alert_history",
    "alerts",
    "notifier_memories",
    "notifier_memory",
    "outbox_bind",
    "outbox_dead",
    "outbox_done",
    "outbox_due",
    "outbox_failing",
    "outbox_groups",
    "outbox_retry",
    "projects_since",
    "transition",
]

WAITING, DONE, DEAD, UNSENT = 0, 1, 2, 3


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
        'INSERT INTO outbox (notifier, key, payload, created_ms, due_ms, attempts, last_error, state, "group")'
        " VALUES (?, ?, ?, ?, ?, 0, '', 0, ?) ON CONFLICT DO NOTHING",
        [(one.notifier, one.key, one.payload, now_ms, one.due_ms, one.group) for one in change.outbox],
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


def alert_lines(
    db: Database, since_ms: int, until_ms: int, before: int | None, limit: int
) -> list[tuple[int, str, int, bytes]]:
    """Transitions of a time range, newest first, with their numbers."""
    below = (1 << 63) - 1 if before is None else before
    return list(
        db.execute(
            "SELECT id, fingerprint, at_ms, body FROM alert_history WHERE id < ? AND at_ms >= ? AND at_ms < ?"
            " ORDER BY id DESC LIMIT ?",
            (below, since_ms, until_ms, limit),
        )
    )


_ROW = 'SELECT id, notifier, key, payload, created_ms, due_ms, attempts, last_error, "group", batch FROM outbox'


def outbox_due(db: Database, now_ms: int, limit: int) -> list[OutboxRow]:
    """Notifications whose next attempt is due, oldest due first."""
    rows = db.execute(f"{_ROW} WHERE state = 0 AND due_ms <= ? ORDER BY due_ms, id LIMIT ?", (now_ms, limit))
    return [OutboxRow(*row) for row in rows]


def outbox_bind(session: Session, row_id: int, limit: int) -> list[OutboxRow]:
    """The rows of one message, bound to each other."""
    db = session.db
    lead = db.execute(f"{_ROW} WHERE id = ? AND state = 0", (row_id,)).fetchone()
    if lead is None:
        return []
    first = OutboxRow(*lead)
    if not first.group:
        return [first]
    if first.batch is None:
        db.execute(
            "UPDATE outbox SET batch = ? WHERE id = ? OR id IN (SELECT id FROM outbox WHERE state = 0 AND notifier = ?"
            ' AND "group" = ? AND batch IS NULL AND id != ? ORDER BY id LIMIT ?)',
            (row_id, row_id, first.notifier, first.group, row_id, limit - 1),
        )
    leader = row_id if first.batch is None else first.batch
    rows = db.execute(f"{_ROW} WHERE batch = ? AND state = 0 ORDER BY id", (leader,))
    return [OutboxRow(*row) for row in rows]


def outbox_groups(db: Database, since_ms: int) -> dict[tuple[str, str], int]:
    """When the newest message of each group was or will be sent."""
    rows = db.execute(
        'SELECT notifier, "group", max(due_ms) FROM outbox WHERE "group" != \'\' AND due_ms >= ? AND state != ?'
        ' GROUP BY notifier, "group"',
        (since_ms, UNSENT),
    )
    return {(notifier, group): at_ms for notifier, group, at_ms in rows}


def outbox_failing(db: Database) -> dict[str, tuple[int, int, str]]:
    """Notifiers that took nothing since their last dead letter."""
    rows = db.execute(
        "WITH taken AS (SELECT notifier, max(due_ms) AS at_ms FROM outbox WHERE state = ? GROUP BY notifier)"
        " SELECT dead.notifier, min(dead.due_ms), count(*), dead.last_error, max(dead.due_ms) FROM outbox AS dead"
        " LEFT JOIN taken ON taken.notifier = dead.notifier"
        " WHERE dead.state = ? AND dead.due_ms > coalesce(taken.at_ms, 0)"
        " GROUP BY dead.notifier ORDER BY dead.notifier",
        (DONE, DEAD),
    )
    return {notifier: (since_ms, count, error) for notifier, since_ms, count, error, _ in rows}


def projects_since(db: Database) -> dict[str, int]:
    """The first day with an ended run of each project."""
    rows = db.execute(
        "SELECT p.slug, min(r.bucket) FROM rollup_day r JOIN dim_project p ON p.id = r.project GROUP BY r.project"
    )
    return {slug: day * DAY_MS for slug, day in rows}


def notifier_memory(db: Database, notifier: str, thread: str) -> dict[str, str]:
    """What a notifier remembers of a thread."""
    body = db.execute("SELECT body FROM notifier_memory WHERE notifier = ? AND thread = ?", (notifier, thread)).get
    return msgspec.json.decode(body, type=dict[str, str]) if body else {}


def notifier_memories(db: Database, notifier: str) -> dict[str, dict[str, str]]:
    """Everything that a notifier remembers."""
    rows = db.execute("SELECT thread, body FROM notifier_memory WHERE notifier = ? ORDER BY thread", (notifier,))
    return {thread: msgspec.json.decode(body, type=dict[str, str]) for thread, body in rows}


def _remember(session: Session, memory: tuple[str, str, Mapping[str, str]], now_ms: int) -> None:
    notifier, thread, body = memory
    if not body:
        session.db.execute("DELETE FROM notifier_memory WHERE notifier = ? AND thread = ?", (notifier, thread))
        return
    text = msgspec.json.encode(dict(body), order="deterministic").decode()
    session.db.execute("INSERT OR REPLACE INTO notifier_memory VALUES (?, ?, ?, ?)", (notifier, thread, text, now_ms))


def _leave(session: Session, ids: Sequence[int], state: int, at_ms: int, error: str | None = None) -> None:
    """`due_ms` of the rows is from now on when they left."""
    before = session.db.total_changes()
    session.db.executemany(
        "UPDATE outbox SET state = ?, due_ms = ?, last_error = coalesce(?, last_error) WHERE id = ? AND state = 0",
        [(state, at_ms, error, number) for number in ids],
    )
    changed = session.db.total_changes() - before
    if changed:
        session.count("outbox", -changed)
        session.flush()


def outbox_done(
    session: Session, ids: Sequence[int], memory: tuple[str, str, Mapping[str, str]] | None, now_ms: int, sent: bool
) -> None:
    """These were accepted, or nobody wants them any more."""
    _leave(session, ids, DONE if sent else UNSENT, now_ms)
    if memory is not None:
        _remember(session, memory, now_ms)


def outbox_retry(session: Session, ids: Sequence[int], due_ms: int, error: str) -> None:
    """Try again at a time."""
    session.db.executemany(
        "UPDATE outbox SET due_ms = ?, attempts = attempts + 1, last_error = ? WHERE id = ? AND state = 0",
        [(due_ms, error, number) for number in ids],
    )


def outbox_dead(session: Session, ids: Sequence[int], error: str, at_ms: int) -> None:
    """The notifier will never take them."""
    _leave(session, ids, DEAD, at_ms, error)
