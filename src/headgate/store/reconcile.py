"""Bringing the tables of a salvaged store in line with each other.

Invariant: afterwards every figure follows from the rows that are left, numbers resume above everything that was ever
given out, and nothing that waits is taken for settled.
"""

from __future__ import annotations

from collections import Counter

from headgate.core.facts import FIELDS, RELEASED_KINDS
from headgate.core.ids import record_id
from headgate.core.status import map_status
from headgate.core.storeport import GapRow
from headgate.store import commits, daysums, outages, testparts, usagedays
from headgate.store.delivery import decode_holes, encode_holes, gap
from headgate.store.releases import block_of
from headgate.store.schema import KIND_NUMBER, KINDS, LANES, decode_key, encode_key
from headgate.store.session import Session
from headgate.store.setaside import count_parked

__all__ = ["reconcile"]

# A revision that no amendment had, for records whose count of amendments is lost.
_UNKNOWN_REVISION = 1_000
_MOST_HOLES = 1_000_000


def reconcile(session: Session, now_ms: int) -> None:
    """Run once, in the transaction of a salvage."""
    _drop_strangers(session)
    _number_inbox(session)
    for lane in range(len(LANES)):
        _heads(session, lane)
        _holes(session, lane, now_ms)
    _releases(session)
    _counters(session)
    session.spans.clear()
    session.cuts.clear()
    usagedays.forget(session.db)
    commits.forget(session.db)
    testparts.forget(session.db)
    outages.forget(session.db)
    daysums.forget(session.db)
    session.flush()
    session.forget()
    session.load()


def _drop_strangers(session: Session) -> None:
    """Facts whose project, host or source is lost cannot be told apart; words that are lost are not known any more."""
    db = session.db
    db.execute("DELETE FROM dim_project_slug WHERE project NOT IN (SELECT id FROM dim_project)")
    for kind, fields in FIELDS.items():
        db.execute(
            f"DELETE FROM {kind} WHERE _project NOT IN (SELECT id FROM dim_project)"
            " OR _host NOT IN (SELECT id FROM dim) OR _source NOT IN (SELECT id FROM dim)"
        )
        for field in fields:
            if field.type == "dim":
                db.execute(f'UPDATE {kind} SET "{field.name}" = NULL WHERE "{field.name}" NOT IN (SELECT id FROM dim)')
    db.execute("DELETE FROM job_alias WHERE fact NOT IN (SELECT _id FROM job)")
    db.execute("DELETE FROM cursor WHERE signal NOT IN (SELECT key FROM signal)")
    for signal in [row[0] for row in db.execute("SELECT key FROM signal").fetchall()]:
        for lane in range(len(LANES)):
            # A lost cursor starts at the beginning: sending again is better than leaving out.
            db.execute("INSERT OR IGNORE INTO cursor VALUES (?, ?, 0, ?, 0)", (signal, lane, encode_holes(())))


def _number_inbox(session: Session) -> None:
    """Deliveries are numbered anew, settled ones first, so that the mark has no holes beneath it."""
    db, low = session.db, session.counters.get("inbox:low", 0)
    settled = "(id <= :low OR id IN (SELECT id FROM inbox_settled) OR id IN (SELECT id FROM inbox_dead))"
    db.execute("DELETE FROM inbox_dead WHERE id NOT IN (SELECT id FROM inbox)")
    db.execute(
        f"CREATE TEMP TABLE renumbered AS SELECT id AS old, row_number() OVER (ORDER BY NOT {settled}, id) AS new,"
        f" {settled} AS done FROM inbox",
        {"low": low},
    )
    db.execute("UPDATE inbox SET id = -(SELECT new FROM renumbered WHERE old = id)")
    db.execute("UPDATE inbox SET id = -id")
    db.execute("UPDATE inbox_dead SET id = -(SELECT new FROM renumbered WHERE old = id)")
    db.execute("UPDATE inbox_dead SET id = -id")
    db.execute("DELETE FROM inbox_settled")
    session.put("inbox:low", db.execute("SELECT count(*) FROM renumbered WHERE done").get)
    db.execute("DROP TABLE temp.renumbered")


def _heads(session: Session, lane: int) -> None:
    """Numbers resume above every entry, cursor, hole and record."""
    db, name = session.db, LANES[lane]
    found = [
        session.counters.get(f"head:{name}", 0),
        db.execute(f"SELECT max(seq) FROM log_{name}").get or 0,
        db.execute("SELECT max(seq) FROM released WHERE lane = ?", (lane,)).get or 0,
        db.execute("SELECT max(seq) FROM amended WHERE lane = ?", (lane,)).get or 0,
    ]
    for acked, packed in db.execute("SELECT acked, holes FROM cursor WHERE lane = ?", (lane,)).fetchall():
        found += [acked, *decode_holes(packed)[-1:]]
    session.put(f"head:{name}", max(found))


def _holes(session: Session, lane: int, now_ms: int) -> None:
    """Entries that are lost are settled for every signal that had not got them, and each such loss is a gap."""
    db, head = session.db, session.counters[f"head:{LANES[lane]}"]
    missing: list[tuple[int, int]] = []
    expected = None
    for (seq,) in db.execute(f"SELECT seq FROM log_{LANES[lane]} ORDER BY seq").fetchall():
        if expected is not None and seq > expected:
            missing.append((expected, seq - 1))
        expected = seq + 1
    first = db.execute(f"SELECT min(seq) FROM log_{LANES[lane]}").get
    missing.append((expected or 1, head))
    rows = db.execute(
        "SELECT c.signal, s.sink, c.acked, c.holes FROM cursor c JOIN signal s ON s.key = c.signal WHERE c.lane = ?",
        (lane,),
    ).fetchall()
    for signal, sink, acked, packed in rows:
        if first is not None and acked + 1 < first:
            gap(session, GapRow(now_ms, sink, acked + 1, first - 1, first - 1 - acked, "damaged: entries lost"))
            acked = first - 1
        holes = {seq for seq in decode_holes(packed) if seq > acked}
        for start, end in missing:
            lost = range(max(start, acked + 1), min(end, acked + _MOST_HOLES) + 1)
            new = [seq for seq in lost if seq not in holes]
            if new:
                gap(session, GapRow(now_ms, sink, new[0], new[-1], len(new), "damaged: entries lost"))
            holes.update(new)
        while acked + 1 in holes:
            acked += 1
            holes.discard(acked)
        db.execute(
            "UPDATE cursor SET acked = ?, holes = ? WHERE signal = ? AND lane = ?",
            (acked, encode_holes(sorted(holes)), signal, lane),
        )


def _releases(session: Session) -> None:
    """A fact that says it was released has its row; a row whose fact is lost waits for the fact to come back."""
    db = session.db
    for kind in RELEASED_KINDS:
        number = KIND_NUMBER[kind]
        for fact, host, key, released in db.execute(
            f"SELECT _id, _host, _key, _released FROM {kind} WHERE _released > 0"
        ).fetchall():
            identity = encode_key(record_id(kind, session.text(host), decode_key(key)))
            revision = db.execute("SELECT max(revision) FROM amended WHERE record_id = ?", (identity,)).get
            db.execute(
                "INSERT INTO released VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
                " ON CONFLICT DO UPDATE SET fact = excluded.fact, revision = max(revision, excluded.revision)",
                (
                    block_of(released),
                    identity,
                    number,
                    fact,
                    released % 2,
                    released // 2,
                    revision or _UNKNOWN_REVISION,
                ),
            )
        db.execute(f"UPDATE released SET fact = 0 WHERE kind = ? AND fact NOT IN (SELECT _id FROM {kind})", (number,))
    session.put("orphans", db.execute("SELECT count(*) FROM released WHERE fact = 0").get)


def _counters(session: Session) -> None:
    db = session.db
    for name in list(session.counters):
        if name.startswith(("status:", "fact:")):
            session.put(name, 0)
    unreleased = 0
    for kind in KINDS:
        session.put(f"fact:{kind}", db.execute(f"SELECT count(*) FROM {kind}").get)
    for kind in ("workflow", "job"):
        unreleased += db.execute(f"SELECT count(*) FROM {kind} WHERE _released = 0 AND _due_ms IS NOT NULL").get
        words: Counter[str] = Counter()
        for status, n in db.execute(f"SELECT status, count(*) FROM {kind} WHERE _terminal GROUP BY status").fetchall():
            words[map_status("" if status is None else session.text(status))] += n
        for name, n in words.items():
            session.put(f"status:{kind}:{name}", n)
    session.put("unreleased", unreleased)
    count_parked(session)
    session.put("outbox", db.execute("SELECT count(*) FROM outbox WHERE state = 0").get)
    session.put("gaps", db.execute("SELECT count(*) FROM gap").get)
    session.put("aliases", db.execute("SELECT count(*) FROM job_alias").get)
    session.put("numbered", db.execute("SELECT count(*) FROM job WHERE typeof(_key) = 'text'").get)
