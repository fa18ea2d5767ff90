"""Replays: a second, temporary cursor of a signal over a time range.

Positions are fixed when the replay opens: first released facts that the log no longer has, by their end, then log
entries in order of time. Invariant: while a replay is open, the log keeps what it points at; one of a signal that was
removed is given up when the log waits for that no more.
"""

from __future__ import annotations

from headgate.core.facts import RELEASED_KINDS
from headgate.core.ports import LogEntry
from headgate.core.storeport import Replay
from headgate.store.explain import rerender
from headgate.store.facts import Facts
from headgate.store.schema import ENDS, KIND_NUMBER, KINDS, LANES
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["give_up", "open_replay", "read_replay", "replays"]


def open_replay(session: Session, key: str, since_ms: int, until_ms: int) -> Replay:
    """Fix what is sent. Raises KeyError for an unknown signal, ValueError for a removed one and while one is open."""
    db = session.db
    known = db.execute("SELECT removed_ms FROM signal WHERE key = ?", (key,)).fetchone()
    if known is None:
        raise KeyError(key)
    if known[0] is not None:
        raise ValueError(f"{key} was removed: configure it again first")
    if db.execute("SELECT 1 FROM replay WHERE signal = ?", (key,)).get is not None:
        raise ValueError(f"{key} has a replay under way: wait until it has ended")
    db.execute(
        "INSERT INTO replay (signal, since_ms, until_ms, total, done) VALUES (?, ?, ?, 0, 0)", (key, since_ms, until_ms)
    )
    number = db.last_insert_rowid()
    found: list[str] = []
    for lane, name in enumerate(LANES):
        found.append(
            f"SELECT 1 AS part, occurred_ms AS at, {lane} AS lane, seq, -1 AS kind, 0 AS fact FROM log_{name}"
            " WHERE occurred_ms >= :since AND occurred_ms < :until"
        )
        low = db.execute(f"SELECT min(seq) FROM log_{name}").get
        first = session.counters.get(f"head:{name}", 0) + 1 if low is None else low
        for kind in RELEASED_KINDS:
            at = ENDS[kind]
            found.append(
                f"SELECT 0, {at}, {lane}, _released / 2, {KIND_NUMBER[kind]}, _id FROM {kind}"
                f" WHERE _terminal AND {at} >= :since AND {at} < :until"
                f" AND _released > 0 AND _released % 2 = {lane} AND _released / 2 < {first}"
            )
    db.execute(
        "INSERT INTO replay_item"
        " SELECT :replay, row_number() OVER (ORDER BY part, at, lane, seq), lane, seq, kind, fact"
        f" FROM ({' UNION ALL '.join(found)})",
        {"since": since_ms, "until": until_ms, "replay": number},
    )
    total = db.execute("SELECT count(*) FROM replay_item WHERE replay = ?", (number,)).get
    if total:
        db.execute("UPDATE replay SET total = ? WHERE id = ?", (total, number))
    else:
        db.execute("DELETE FROM replay WHERE id = ?", (number,))
    return Replay(number, key, since_ms, until_ms, total, 0)


def give_up(session: Session, key: str) -> None:
    """Send nothing again to a signal: its replay ends, and its dead letters that were queued again wait no more."""
    db = session.db
    db.execute("DELETE FROM replay_item WHERE replay IN (SELECT id FROM replay WHERE signal = ?)", (key,))
    db.execute("DELETE FROM replay WHERE signal = ?", (key,))
    db.execute("UPDATE dead_letter SET requeued = 0 WHERE signal = ? AND requeued", (key,))


def read_replay(db: Database, key: str, after: int, limit: int, max_bytes: int) -> list[LogEntry]:
    """Entries of a signal's open replay after a position."""
    rows = db.execute(
        "SELECT i.position, i.lane, i.seq, i.kind, i.fact FROM replay_item i JOIN replay r ON r.id = i.replay"
        " WHERE r.signal = ? AND i.position > ? ORDER BY i.position LIMIT ?",
        (key, after, limit),
    ).fetchall()
    session = Session(db)
    facts = Facts(session)
    found: list[LogEntry] = []
    for position, lane, seq, kind, fact in rows:
        entry = (
            _from_log(db, position, LANES[lane], seq)
            if kind < 0
            else rerender(session.load(), facts, KINDS[kind], fact, position)
        )
        if entry is None:
            continue
        max_bytes -= len(entry.body)
        if max_bytes < 0 and found:
            break
        found.append(entry)
    return found


def _from_log(db: Database, position: int, lane: str, seq: int) -> LogEntry | None:
    row = db.execute(
        f"SELECT record_id, kind, occurred_ms, project, order_key, body FROM log_{lane} WHERE seq = ?", (seq,)
    ).fetchone()
    return LogEntry(position, "replay", *row) if row else None


def replays(db: Database) -> list[Replay]:
    """Replays under way."""
    return [
        Replay(*row) for row in db.execute("SELECT id, signal, since_ms, until_ms, total, done FROM replay ORDER BY id")
    ]
