"""Signals, cursors and outcomes: how far each signal got in each lane, and what became of what it did not take.

Invariant: an entry of a lane is settled for a signal if its seq is at most `acked` or one of the holes, and then it was
accepted, skipped, passed over, or is a dead letter; all others wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from headgate.core.ports import Lane, LogEntry
from headgate.core.storeport import CursorView, DeadLetter, GapRow, OutcomeCounts, Outcomes, SignalSpec, SignalState
from headgate.store.destinations import moved
from headgate.store.schema import LANES
from headgate.store.session import Session
from headgate.store.skips import forget, note
from headgate.store.sql import Database

__all__ = [
    "cursors",
    "dead_letters",
    "decode_holes",
    "encode_holes",
    "gap",
    "open_signals",
    "outcome_counts",
    "purge_dead",
    "read_dead",
    "read_log",
    "record_outcomes",
    "requeue_dead",
    "reset_signal",
    "set_signal_state",
]

_ANSWER_BYTES = 2048
_LETTER = (
    "id, signal, seq, record_id, kind, occurred_ms, project, reason, status, attempts, first_ms, last_ms, answer,"
    " requeued, body"
)


def encode_holes(holes: Sequence[int]) -> bytes:
    """Settled seqs beyond the cursor, as runs: first, length, first, length ..."""
    runs: list[int] = []
    for seq in sorted(set(holes)):
        if runs and runs[-2] + runs[-1] == seq:
            runs[-1] += 1
        else:
            runs += [seq, 1]
    return msgspec.msgpack.encode(runs)


def decode_holes(packed: bytes) -> tuple[int, ...]:
    """What `encode_holes` was given, sorted."""
    runs = msgspec.msgpack.decode(packed, type=list[int])
    return tuple(seq for first, n in zip(runs[::2], runs[1::2], strict=True) for seq in range(first, first + n))


def gap(session: Session, row: GapRow) -> None:
    """Write down a loss that was chosen or found."""
    session.db.execute(
        "INSERT INTO gap (at_ms, sink, first, last, count, reason) VALUES (?, ?, ?, ?, ?, ?)",
        (row.at_ms, row.sink, row.first, row.last, row.count, row.reason),
    )
    session.count("gaps")
    session.lost.append((row.sink, row.reason.partition(":")[0]))


# -- signals


def open_signals(session: Session, specs: Sequence[SignalSpec], now_ms: int) -> dict[str, str]:
    """Create missing cursors, mark removed ones; returns the problems of those that are refused."""
    db = session.db
    known = {row[0]: row for row in db.execute("SELECT key, destination, state FROM signal").fetchall()}
    wanted = {spec.key for spec in specs}
    for key in known.keys() - wanted:
        db.execute(
            "UPDATE signal SET state = 'removed', removed_ms = coalesce(removed_ms, ?) WHERE key = ?", (now_ms, key)
        )
    problems: dict[str, str] = {}
    for spec in specs:
        old = known.get(spec.key)
        if old is None:
            db.execute(
                "INSERT INTO signal VALUES (?, ?, ?, 'ok', '', ?, NULL, 0, 0)",
                (spec.key, spec.sink, spec.destination, spec.overflow),
            )
            _place(session, spec.key, spec.start)
        elif problem := moved(str(old[1]), spec):
            problems[spec.key] = problem
        else:
            _resume(session, spec, str(old[2]), now_ms)
    session.flush()
    return problems


def _resume(session: Session, spec: SignalSpec, state: str, now_ms: int) -> None:
    session.db.execute(
        "UPDATE signal SET destination = ?, overflow = ?, removed_ms = NULL, state = ? WHERE key = ?",
        (spec.destination, spec.overflow, "ok" if state == "removed" else state, spec.key),
    )
    for lane, name in enumerate(LANES):
        acked, packed = session.db.execute(
            "SELECT acked, holes FROM cursor WHERE signal = ? AND lane = ?", (spec.key, lane)
        ).fetchone() or (0, encode_holes(()))
        first = _first(session, name)
        if acked + 1 < first:
            holes = [seq for seq in decode_holes(packed) if seq >= first]
            lost = first - 1 - acked - (len(decode_holes(packed)) - len(holes))
            if lost:
                reason = "removed: trimmed before the signal came back"
                gap(session, GapRow(now_ms, spec.sink, acked + 1, first - 1, lost, reason))
            _set_cursor(session, spec.key, lane, first - 1, holes)


def _first(session: Session, lane: str) -> int:
    """Lowest seq that the lane still has, or the next one to come."""
    low = session.db.execute(f"SELECT min(seq) FROM log_{lane}").get
    return int(low) if low is not None else session.counters.get(f"head:{lane}", 0) + 1


def _place(session: Session, key: str, start: Literal["now", "retained"] | int) -> None:
    for lane, name in enumerate(LANES):
        acked = session.counters.get(f"head:{name}", 0)
        if start != "now":
            acked = _first(session, name) - 1
            if isinstance(start, int):
                acked = _before(session, name, start, acked)
        session.db.execute(
            "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?, ?)", (key, lane, acked, encode_holes(()), acked)
        )


def _before(session: Session, lane: str, start_ms: int, low: int) -> int:
    """Highest seq that was appended before a time, by bisection: times of appending never fall."""
    high = session.counters.get(f"head:{lane}", 0)
    while low < high:
        middle = (low + high + 1) // 2
        at_ms = session.db.execute(f"SELECT at_ms FROM log_{lane} WHERE seq >= ? LIMIT 1", (middle,)).get
        if at_ms is not None and at_ms < start_ms:
            low = middle
        else:
            high = middle - 1
    return low


def _set_cursor(session: Session, key: str, lane: int, acked: int, holes: Sequence[int]) -> None:
    session.db.execute(
        "UPDATE cursor SET acked = ?, holes = ? WHERE signal = ? AND lane = ?",
        (acked, encode_holes([seq for seq in holes if seq > acked]), key, lane),
    )


def _known(session: Session, key: str) -> None:
    if session.db.execute("SELECT 1 FROM signal WHERE key = ?", (key,)).get is None:
        raise KeyError(key)


def reset_signal(session: Session, key: str, start: Literal["now", "retained"] | int, now_ms: int) -> None:
    """Forget cursor, state and destination; what waited and is passed over is a gap. Raises KeyError."""
    _known(session, key)
    before = _stands(session, key)
    state = "state = iif(removed_ms IS NULL, 'ok', 'removed')"
    session.db.execute(f"UPDATE signal SET destination = '', {state}, reason = '' WHERE key = ?", (key,))
    _place(session, key, start)
    forget(session.db, key)
    sink = session.db.execute("SELECT sink FROM signal WHERE key = ?", (key,)).get
    for lane, (acked, _) in _stands(session, key).items():
        old, holes = before[lane]
        lost = acked - old - sum(1 for seq in holes if seq <= acked)
        if lost > 0:
            gap(session, GapRow(now_ms, sink, old + 1, acked, lost, f"reset: {key}, {LANES[lane]} lane"))


def _stands(session: Session, key: str) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Lane -> acked and holes of a signal."""
    rows = session.db.execute("SELECT lane, acked, holes FROM cursor WHERE signal = ?", (key,)).fetchall()
    return {lane: (acked, tuple(decode_holes(holes))) for lane, acked, holes in rows}


def set_signal_state(session: Session, key: str, state: SignalState, reason: str) -> None:
    """Store the state of a signal. Raises KeyError."""
    _known(session, key)
    session.db.execute("UPDATE signal SET state = ?, reason = ? WHERE key = ?", (state, reason, key))


# -- outcomes


def record_outcomes(session: Session, outcomes: Sequence[Outcomes]) -> None:
    """Cursors, dead letters and counts. Raises KeyError for an unknown signal, ValueError beyond the lane's head."""
    for one in outcomes:
        _known(session, one.signal)
        if one.lane in LANES:
            _move(session, one)
        elif one.lane == "replay":
            _move_replay(session, one)
        added = sum(_bury(session, one, *dead) for dead in one.dead)
        added -= _delete_letters(session, one.settled_dead)
        if one.accepted or added:
            session.db.execute(
                "UPDATE signal SET accepted = accepted + ?, dead = dead + ? WHERE key = ?",
                (one.accepted, added, one.signal),
            )
        if one.skips and one.lane in LANES:
            note(session.db, one.signal, LANES.index(one.lane), one.skips)
        session.db.executemany(
            "INSERT INTO skipped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(one.signal, reason, n) for reason, n in sorted(one.skipped.items())],
        )
    session.flush()


def _move(session: Session, one: Outcomes) -> None:
    head = session.counters.get(f"head:{one.lane}", 0)
    if max((one.acked, *one.holes)) > head:
        raise ValueError(f"{one.signal}: the {one.lane} lane ends at {head}, not at {max((one.acked, *one.holes))}")
    lane = LANES.index(one.lane)
    held = session.db.execute("SELECT acked FROM cursor WHERE signal = ? AND lane = ?", (one.signal, lane)).get or 0
    # A trim may have moved the cursor over what it dropped since the worker last read; that stays counted, once.
    acked = max(held, one.acked)
    _set_cursor(session, one.signal, lane, acked, [seq for seq in one.holes if seq > acked])


def _move_replay(session: Session, one: Outcomes) -> None:
    db = session.db
    row = db.execute("SELECT id, total FROM replay WHERE signal = ?", (one.signal,)).fetchone()
    if row is None or (one.replay is not None and one.replay != row[0]):
        return
    if one.acked >= row[1]:
        db.execute("DELETE FROM replay_item WHERE replay = ?", (row[0],))
        db.execute("DELETE FROM replay WHERE id = ?", (row[0],))
    else:
        db.execute("UPDATE replay SET done = ? WHERE id = ?", (one.acked, row[0]))


def _bury(session: Session, one: Outcomes, entry: LogEntry, why: Any, attempts: int) -> int:
    """Store a dead letter, or note that one was refused again; returns how many letters that adds."""
    db = session.db
    answer = why.answer.encode()[:_ANSWER_BYTES].decode(errors="ignore")
    if one.lane == "dead":
        number = db.execute("SELECT id FROM dead_letter WHERE id = ?", (entry.seq,)).get
    else:
        number = db.execute(
            "SELECT id FROM dead_letter WHERE signal = ? AND record_id = ?", (one.signal, entry.record_id)
        ).get
    if number is not None:
        db.execute(
            "UPDATE dead_letter SET reason = ?, status = ?, attempts = attempts + ?, last_ms = ?, answer = ?,"
            " requeued = 0 WHERE id = ?",
            (why.reason, why.status, attempts, one.at_ms, answer, number),
        )
        return 0
    lane = LANES.index(entry.lane) if entry.lane in LANES else 0
    db.execute(
        "INSERT INTO dead_letter (signal, lane, seq, record_id, kind, occurred_ms, project, order_key, reason, status,"
        " attempts, first_ms, last_ms, answer, requeued, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (
            *(one.signal, lane, entry.seq, entry.record_id, entry.kind, entry.occurred_ms, entry.project),
            *(entry.order_key, why.reason, why.status, attempts, one.at_ms, one.at_ms, answer, entry.body),
        ),
    )
    return 1


def _delete_letters(session: Session, ids: Sequence[int]) -> int:
    before = session.db.total_changes()
    session.db.executemany("DELETE FROM dead_letter WHERE id = ?", [(number,) for number in ids])
    return session.db.total_changes() - before


def requeue_dead(session: Session, ids: Sequence[int]) -> int:
    """Send those of these dead letters again whose signal is not removed; returns how many there were."""
    before = session.db.total_changes()
    session.db.executemany(
        "UPDATE dead_letter SET requeued = 1 WHERE id = ?"
        " AND signal NOT IN (SELECT key FROM signal WHERE removed_ms IS NOT NULL)",
        [(number,) for number in ids],
    )
    return session.db.total_changes() - before


def purge_dead(session: Session, ids: Sequence[int], *, now_ms: int, reason: str = "purged") -> int:
    """Delete dead letters for good; a gap row for each signal says so."""
    total = 0
    by_signal: dict[str, list[int]] = {}
    for number in ids:
        signal = session.db.execute("SELECT signal FROM dead_letter WHERE id = ?", (number,)).get
        if signal is not None:
            by_signal.setdefault(signal, []).append(number)
    for signal, letters in by_signal.items():
        deleted = _delete_letters(session, letters)
        session.db.execute("UPDATE signal SET dead = max(0, dead - ?) WHERE key = ?", (deleted, signal))
        sink = session.db.execute("SELECT sink FROM signal WHERE key = ?", (signal,)).get or signal
        gap(session, GapRow(now_ms, sink, None, None, deleted, f"dead_letters: {reason}"))
        total += deleted
    session.flush()
    return total


# -- reading


def read_log(db: Database, lane: Lane, after: int, limit: int, max_bytes: int) -> list[LogEntry]:
    """Entries of lane live or backfill after a seq; at least one if any exists."""
    rows = db.execute(
        "SELECT seq, record_id, kind, occurred_ms, project, order_key, body"
        f" FROM log_{lane} WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    )
    found: list[LogEntry] = []
    add = found.append
    for seq, record_id, kind, occurred_ms, project, order, body in rows:
        max_bytes -= len(body)
        if max_bytes < 0 and found:
            break
        add(LogEntry(seq, lane, record_id, kind, occurred_ms, project, order, body))
    return found


def read_dead(db: Database, key: str, after: int, limit: int, max_bytes: int) -> list[LogEntry]:
    """Requeued dead letters of a signal by their numbers."""
    rows = db.execute(
        "SELECT id, record_id, kind, occurred_ms, project, order_key, body FROM dead_letter"
        " WHERE signal = ? AND id > ? AND requeued ORDER BY id LIMIT ?",
        (key, after, limit),
    )
    found: list[LogEntry] = []
    for number, record_id, kind, occurred_ms, project, order, body in rows:
        max_bytes -= len(body)
        if max_bytes < 0 and found:
            break
        found.append(LogEntry(number, "dead", record_id, kind, occurred_ms, project, order, body))
    return found


def cursors(db: Database) -> list[CursorView]:
    """Every signal in lanes live and backfill."""
    counters = dict(db.execute("SELECT name, n FROM counter WHERE name GLOB 'head:*'").fetchall())
    epoch = db.execute("SELECT value FROM meta WHERE key = 'epoch'").get
    rows = db.execute(
        "SELECT s.key, c.lane, c.acked, c.holes, s.state, s.reason FROM signal s JOIN cursor c ON c.signal = s.key"
        " ORDER BY s.key, c.lane"
    )
    return [
        CursorView(
            signal=key,
            lane="backfill" if lane else "live",
            acked=acked,
            holes=decode_holes(holes),
            head=counters.get(f"head:{LANES[lane]}", 0),
            epoch=int(epoch or 0),
            state=state,
            reason=reason,
        )
        for key, lane, acked, holes, state, reason in rows
    ]


def outcome_counts(db: Database) -> Mapping[str, OutcomeCounts]:
    """Totals by signal."""
    skipped: dict[str, dict[str, int]] = {}
    for signal, reason, n in db.execute("SELECT signal, reason, n FROM skipped ORDER BY signal, reason"):
        skipped.setdefault(signal, {})[reason] = n
    rows = db.execute("SELECT key, accepted, dead FROM signal ORDER BY key").fetchall()
    return {key: OutcomeCounts(accepted, dead, skipped.get(key, {})) for key, accepted, dead in rows}


def dead_letters(
    db: Database, signal: str | None, ids: Sequence[int], before: int | None, limit: int
) -> list[DeadLetter]:
    """Dead letters, newest first; `ids` narrows to these, `before` to those with smaller numbers."""
    where, bound = ["1"], []  # type: tuple[list[str], list[Any]]
    if before is not None:
        where.append("id < ?")
        bound.append(before)
    if signal is not None:
        where.append("signal = ?")
        bound.append(signal)
    if ids:
        where.append(f"id IN ({', '.join('?' * len(ids))})")
        bound += ids
    rows = db.execute(
        f"SELECT {_LETTER} FROM dead_letter WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*bound, limit)
    )
    return [_letter(*row) for row in rows]


def _letter(*row: Any) -> DeadLetter:
    *columns, requeued, body = row
    names = _LETTER.split(", ")
    return DeadLetter(**dict(zip(names, (*columns, bool(requeued), body), strict=True)))
