"""Sums of several days, of all jobs of a workflow, of all of a project: added up bit by bit once their time is over.

Invariant: a stretch that is noted as whole is the sum of its days. A fact that changes in it takes the note away in the
same transaction, and it is added up again later; nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from headgate.core.facts import FactKind
from headgate.core.rollup import MEASURES, SUMS
from headgate.core.times import HOUR_MS
from headgate.store.cover import DAY_HOURS, WIDE, Source
from headgate.store.schema import KIND_NUMBER
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["LENGTHS", "add_up", "built", "outdated", "outdated_all"]

# Hours: a day, which is wide; four days and sixteen, wide and with each job by itself.
LENGTHS: tuple[int, ...] = (DAY_HOURS, 4 * DAY_HOURS, 16 * DAY_HOURS)
_WHOLE = (1 << 63) - 1
# Most of what comes late has come by then.
_SETTLED_MS = 2 * HOUR_MS
# Projects of one slice: a few milliseconds of the writer.
_PROJECTS = 5
_SUMS = ", ".join(f"sum({name})" for name in SUMS)
_BINS = ", ".join(f"one_sketch(CAST(group_concat({name}, '') AS BLOB))" for name in MEASURES)


def built(db: Database) -> Mapping[Source, Collection[int]]:
    """Length in hours -> numbers of the stretches that are whole; `WIDE` for days."""
    found: dict[Source, set[int]] = {length: set() for length in (WIDE, *LENGTHS[1:])}
    for hours, bucket in db.execute("SELECT hours, bucket FROM span_built WHERE upto = ?", (_WHOLE,)):
        found[WIDE if hours == DAY_HOURS else hours].add(bucket)
    return found


def outdated(session: Session, hours: Iterable[int]) -> None:
    """Facts changed that ended in these hours since the epoch: what they are part of is not whole any more."""
    for hour in hours:
        for length in LENGTHS:
            place = (length, hour // length)
            if place in session.spans:
                session.spans.remove(place)
                session.db.execute("DELETE FROM span_built WHERE hours = ? AND bucket = ?", place)


def outdated_all(session: Session) -> None:
    """Nothing that was added up holds any more."""
    session.spans.clear()
    session.db.execute("DELETE FROM span_built")


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up one slice of a stretch that is over; 0 deleted, and whether there may be more to do."""
    db = session.db
    first, last = db.execute(
        "SELECT (SELECT min(bucket) FROM rollup_day), (SELECT max(bucket) FROM rollup_day)"
    ).fetchone()
    if first is None:
        return 0, False
    upto = {
        (hours, bucket): number for hours, bucket, number in db.execute("SELECT hours, bucket, upto FROM span_built")
    }
    for length in LENGTHS:
        over = min((now_ms - _SETTLED_MS) // (length * HOUR_MS), last * DAY_HOURS // length + 1)
        for bucket in range(first * DAY_HOURS // length, over):
            done = upto.get((length, bucket), 0)
            if done != _WHOLE:
                _slice(session, length, bucket, done)
                return 0, True
    return 0, False


def _slice(session: Session, length: int, bucket: int, done: int) -> None:
    """The sums of some more projects."""
    db, place = session.db, (length, bucket)
    if done == 0:
        db.execute("DELETE FROM rollup_span WHERE hours = ? AND bucket = ?", place)
    numbers = [
        row[0] for row in db.execute("SELECT id FROM dim_project WHERE id > ? ORDER BY id LIMIT ?", (done, _PROJECTS))
    ]
    days = range(bucket * length // DAY_HOURS, (bucket + 1) * length // DAY_HOURS)
    for number in numbers:
        for statement in (*_NARROW, *_WIDE) if len(days) > 1 else _WIDE:
            db.execute(statement, (*place, msgspec.json.encode(list(days)).decode(), number))
    session.spans.add(place)
    db.execute("INSERT OR REPLACE INTO span_built VALUES (?, ?, ?)", (*place, numbers[-1] if numbers else _WHOLE))


_ADD = (
    "INSERT INTO rollup_span (hours, bucket, wide, kind, project, run, job, class, {columns})"
    " SELECT ?1, ?2, {wide}, r.kind, r.project, {place}, {sums}"
    " FROM json_each(?3) e CROSS JOIN rollup_day r ON r.bucket = e.value AND r.kind = {kind} AND r.project = ?4"
    " GROUP BY {group}"
)
_PLACES = {0: ("r.run, r.job, r.class",) * 2, 1: ("r.run, 0, r.class", "r.run, r.class"), 2: ("0, 0, 0", "r.kind")}


def _adding(wide: int, kind: FactKind) -> str:
    place, group = _PLACES[wide]
    columns, number = ", ".join((*SUMS, *MEASURES)), KIND_NUMBER[kind]
    return _ADD.format(columns=columns, sums=f"{_SUMS}, {_BINS}", wide=wide, place=place, kind=number, group=group)


_WIDE = (_adding(1, "job"), _adding(2, "job"), _adding(2, "workflow"))
_NARROW = (_adding(0, "workflow"), _adding(0, "job"))
