"""Deleting what is past retention, a slice at a time.

Invariant: an entry of the log goes only when every signal that counts has it; a signal that says drop_oldest loses it
with a gap row. A removed signal counts for 24 hours; then nothing is sent to it again either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.core.facts import FactKind
from headgate.core.ids import record_id
from headgate.core.status import map_status
from headgate.core.storeport import NO_SOURCE, GapRow
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import cuts
from headgate.store.cover import KEPT_FACTS, KEPT_HOURS
from headgate.store.delivery import decode_holes, gap, purge_dead
from headgate.store.facts import Facts
from headgate.store.releases import block_of
from headgate.store.replays import give_up
from headgate.store.schema import ENDS, LANES, decode_key, encode_key
from headgate.store.session import Session
from headgate.store.setaside import drop, purge
from headgate.store.spans import drop_before, drop_hours
from headgate.store.threads import open_threads

__all__ = ["PARTS", "one_slice", "trim_hourly"]

# How many rows one slice deletes, and through how many row numbers of facts it looks: a few milliseconds each.
_ROWS = 500
_WINDOW = 20_000
# What a slice deleted, and whether there may be more.
Slice = tuple[int, bool]
Part = Callable[[Session, int, int], Slice]
# Rollups by the hour serve bounds within a day: those of a quarter and the one before it. Older ones are cut by facts.
_HOURLY_MS = 200 * DAY_MS
_REMOVED_HOLDS_MS = DAY_MS
# Facts without which sums at a bound, and the order of runs, cannot be told any more.
_RUNS: tuple[FactKind, ...] = ("pipeline", "workflow", "job")
_SOURCE_AWAY = "which was not configured"


def _inbox(session: Session, before_ms: int, _now_ms: int) -> int:
    low = session.counters.get("inbox:low", 0)
    session.db.execute(
        "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE id <= ? AND arrived_ms < ?"
        " AND id NOT IN (SELECT id FROM inbox_dead) ORDER BY id LIMIT ?)",
        (low, before_ms, _ROWS),
    )
    return session.db.changes()


def _inbox_dead(session: Session, before_ms: int, _now_ms: int) -> int:
    return drop(session, _set_aside(session, before_ms, f"reason != '{NO_SOURCE}'")).total()


def _inbox_parked(session: Session, before_ms: int, now_ms: int) -> int:
    return purge(session, _set_aside(session, before_ms, f"reason = '{NO_SOURCE}'"), now_ms, _SOURCE_AWAY)


def _set_aside(session: Session, before_ms: int, which: str) -> list[int]:
    asked = f"SELECT id FROM inbox_dead WHERE at_ms < ? AND {which} LIMIT ?"
    return [row[0] for row in session.db.execute(asked, (before_ms, _ROWS)).fetchall()]


def _log(session: Session, before_ms: int, now_ms: int) -> int:
    _give_up_removed(session, now_ms)
    total = 0
    for lane, name in enumerate(LANES):
        cut = _past(session, name, before_ms)
        cut = min(cut, _held_by_replays(session, lane) - 1, _held_by_signals(session, lane, now_ms))
        low = session.db.execute(f"SELECT min(seq) FROM log_{name}").get
        if low is None or cut < low:
            continue
        cut = min(cut, low + _ROWS - 1)
        _drop_oldest(session, lane, cut, now_ms)
        session.db.execute(f"DELETE FROM log_{name} WHERE seq <= ?", (cut,))
        total += session.db.changes()
        session.db.execute("DELETE FROM amended WHERE lane = ? AND seq <= ?", (lane, cut))
    return total


def _past(session: Session, lane: str, before_ms: int) -> int:
    """Highest seq of the next slice that is old enough; 0 where none is."""
    rows = session.db.execute(f"SELECT seq, at_ms FROM log_{lane} ORDER BY seq LIMIT ?", (_ROWS,)).fetchall()
    cut = 0
    for seq, at_ms in rows:
        if at_ms >= before_ms:
            break
        cut = seq
    return cut


def _give_up_removed(session: Session, now_ms: int) -> None:
    gone = session.db.execute("SELECT key FROM signal WHERE removed_ms <= ?", (now_ms - _REMOVED_HOLDS_MS,)).fetchall()
    for (key,) in gone:
        give_up(session, key)


def _held_by_replays(session: Session, lane: int) -> int:
    low = session.db.execute("SELECT min(seq) FROM replay_item WHERE lane = ? AND kind < 0", (lane,)).get
    return int(low) if low is not None else 1 << 62


def _held_by_signals(session: Session, lane: int, now_ms: int) -> int:
    """Highest seq that every signal that counts has."""
    low = session.db.execute(
        "SELECT min(c.acked) FROM cursor c JOIN signal s ON s.key = c.signal WHERE c.lane = ? AND s.overflow = 'keep'"
        " AND (s.removed_ms IS NULL OR s.removed_ms > ?)",
        (lane, now_ms - _REMOVED_HOLDS_MS),
    ).get
    return int(low) if low is not None else 1 << 62


def _drop_oldest(session: Session, lane: int, cut: int, now_ms: int) -> None:
    rows = session.db.execute(
        "SELECT c.signal, s.sink, c.acked, c.holes FROM cursor c JOIN signal s ON s.key = c.signal"
        " WHERE c.lane = ? AND c.acked < ? AND s.removed_ms IS NULL AND s.overflow = 'drop_oldest'",
        (lane, cut),
    ).fetchall()
    for signal, sink, acked, packed in rows:
        holes = decode_holes(packed)
        lost = cut - acked - sum(1 for seq in holes if seq <= cut)
        if lost:
            gap(session, GapRow(now_ms, sink, acked + 1, cut, lost, "overflow: drop_oldest"))
        session.db.execute("UPDATE cursor SET acked = ? WHERE signal = ? AND lane = ?", (cut, signal, lane))


def _dead_letters(session: Session, before_ms: int, now_ms: int) -> int:
    _give_up_removed(session, now_ms)
    rows = session.db.execute(
        "SELECT id FROM dead_letter WHERE last_ms < ? AND NOT requeued LIMIT ?", (before_ms, _ROWS)
    ).fetchall()
    return purge_dead(session, [row[0] for row in rows], now_ms=now_ms, reason="past retention") if rows else 0


def _facts(session: Session, kinds: tuple[FactKind, ...], before_ms: int) -> Slice:
    """Sweep through the tables a window at a time: facts come in any order of their ends."""
    for kind in kinds:
        start, end = session.counters.get(f"sweep:{kind}", 0), ENDS[kind]
        if start >= (session.db.execute(f"SELECT max(_id) FROM {kind}").get or 0):
            continue
        rows = session.db.execute(
            f"SELECT _id, _host, _key, _terminal, _released, _due_ms{_status_column(kind)} FROM {kind}"
            f" WHERE _id > ? AND _id <= ? AND ({end} < ? OR ({end} IS NULL AND _seen_ms < ?)) ORDER BY _id LIMIT ?",
            (start, start + _WINDOW, before_ms, before_ms, _ROWS),
        ).fetchall()
        session.put(f"sweep:{kind}", rows[-1][0] if len(rows) == _ROWS else start + _WINDOW)
        _drop_facts(session, kind, rows)
        if rows and kind in _RUNS:
            session.put(KEPT_FACTS, max(session.counters.get(KEPT_FACTS, 0), before_ms))
            cuts.drop_before(session, before_ms)
        return len(rows), True
    for kind in kinds:
        session.put(f"sweep:{kind}", 0)
    return 0, False


def _drop_facts(session: Session, kind: FactKind, rows: list[tuple[Any, ...]]) -> None:
    for number, host, key, terminal, released, due_ms, *status in rows:
        if released:
            identity = encode_key(record_id(kind, session.text(host), decode_key(key)))
            at = (block_of(released), identity)
            session.db.execute("DELETE FROM released WHERE block = ? AND record_id = ?", at)
        elif due_ms is not None:
            session.count("unreleased", -1)
        if kind == "job" and session.counters.get("aliases"):
            _drop_aliases(session, number, session.text(host))
        if terminal and status:
            word = map_status(session.text(status[0]) if status[0] is not None else "")
            session.count(f"status:{kind}:{word}", -1)
    session.db.executemany(f"DELETE FROM {kind} WHERE _id = ?", [(row[0],) for row in rows])
    session.count(f"fact:{kind}", -len(rows))


def _drop_aliases(session: Session, number: int, host: str) -> None:
    """Other keys of a job, and records that left under them."""
    for (key,) in session.db.execute("SELECT key FROM job_alias WHERE fact = ?", (number,)).fetchall():
        identity = encode_key(record_id("job", host, decode_key(key)))
        session.db.execute("DELETE FROM released WHERE record_id = ?", (identity,))
    session.db.execute("DELETE FROM job_alias WHERE fact = ?", (number,))


def _status_column(kind: FactKind) -> str:
    return ", status" if kind in ("workflow", "job") else ""


def _all_facts(session: Session, before_ms: int, _now_ms: int) -> Slice:
    return _facts(session, tuple(kind for kind in ENDS if kind != "test_result"), before_ms)


def _test_results(session: Session, before_ms: int, _now_ms: int) -> Slice:
    return _facts(session, ("test_result",), before_ms)


def _alerts(session: Session, before_ms: int, _now_ms: int) -> int:
    session.db.execute(
        "DELETE FROM alert_history WHERE id IN (SELECT id FROM alert_history WHERE at_ms < ? LIMIT ?)",
        (before_ms, _ROWS),
    )
    deleted = session.db.changes()
    session.db.execute(
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE state != 0 AND created_ms < ? LIMIT ?)",
        (before_ms, _ROWS),
    )
    deleted += session.db.changes()
    deleted += _memories(session, before_ms)
    session.db.execute("DELETE FROM silence WHERE ends_ms < ?", (before_ms,))
    return deleted + session.db.changes()


def _memories(session: Session, before_ms: int) -> int:
    """Old memories about alerts that are over, and of notifiers that have nothing to send: an end needs them."""
    old = session.db.execute(
        "SELECT notifier, thread FROM notifier_memory WHERE at_ms < ?"
        " AND notifier NOT IN (SELECT notifier FROM outbox WHERE state = 0)",
        (before_ms,),
    ).fetchall()
    if not old:
        return 0
    needed = open_threads(session.db.execute("SELECT fingerprint, state_json FROM alert"))
    gone = [one for one in old if one not in needed]
    session.db.executemany("DELETE FROM notifier_memory WHERE notifier = ? AND thread = ?", gone)
    return len(gone)


def _rollups(session: Session, before_ms: int, _now_ms: int) -> int:
    """Sums of whole days before the one that holds the time, oldest first."""
    key = "bucket, kind, project, run, job, class"
    drop_before(session, before_ms // DAY_MS)
    cuts.drop_before(session, before_ms // DAY_MS * DAY_MS)
    session.db.execute(
        f"DELETE FROM rollup_day WHERE ({key}) IN"
        f" (SELECT {key} FROM rollup_day WHERE bucket < ? ORDER BY {key} LIMIT ?)",
        (before_ms // DAY_MS, _ROWS),
    )
    return session.db.changes()


def _trail(session: Session, before_ms: int, _now_ms: int) -> int:
    session.db.execute(
        "DELETE FROM trail WHERE at_ms < ? AND id IN (SELECT id FROM trail ORDER BY id LIMIT ?)", (before_ms, _ROWS)
    )
    return session.db.changes()


def trim_hourly(session: Session, now_ms: int) -> Slice:
    """Hourly rollups that are too old; the daily ones stay for ever."""
    oldest = session.db.execute("SELECT min(bucket) FROM rollup_hour").get
    limit = (now_ms - _HOURLY_MS) // HOUR_MS
    if oldest is None or oldest >= limit:
        return 0, False
    last = min(oldest + 24, limit - 1)
    session.db.execute("DELETE FROM rollup_hour WHERE bucket <= ?", (last,))
    total = session.db.changes()
    session.put(KEPT_HOURS, max(session.counters.get(KEPT_HOURS, 0), last + 1))
    drop_hours(session, last + 1)
    return total, total > 0


def _until_none(part: Callable[[Session, int, int], int]) -> Part:
    def run(session: Session, before_ms: int, now_ms: int) -> Slice:
        deleted = part(session, before_ms, now_ms)
        return deleted, deleted > 0

    return run


# Part of the store -> deletes one slice of what is older than a time.
PARTS: Mapping[str, Part] = {
    "inbox": _until_none(_inbox),
    "inbox_dead": _until_none(_inbox_dead),
    "inbox_parked": _until_none(_inbox_parked),
    "log": _until_none(_log),
    "dead_letters": _until_none(_dead_letters),
    "test_results": _test_results,
    "facts": _all_facts,
    "alerts": _until_none(_alerts),
    "rollups": _until_none(_rollups),
    "trail": _until_none(_trail),
}


def one_slice(session: Session, facts: Facts, part: Callable[[Session], Slice]) -> Slice:
    """Run one slice; facts that were remembered may be gone after it."""
    deleted, more = part(session)
    if deleted:
        facts.forget()
    session.flush()
    return deleted, more
