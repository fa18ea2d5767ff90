"""Sums of several days, and of all jobs of a workflow: added up bit by bit once their time is over.

Invariant: a stretch that is noted as whole is the sum of its days. A fact that changes in it takes the note away in the
same transaction, and it is added up again later; nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from headgate.core.rollup import MEASURES, SUMS
from headgate.core.times import HOUR_MS
from headgate.store.cover import DAY_HOURS, WIDE, Source
from headgate.store.schema import KIND_NUMBER
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["LENGTHS", "add_up", "built", "outdated", "outdated_all"]

# Hours: a day, of which all jobs of a workflow are one row; four days and sixteen, with that and with each job.
LENGTHS: tuple[int, ...] = (DAY_HOURS, 4 * DAY_HOURS, 16 * DAY_HOURS)
_WHOLE = (1 << 63) - 1
# Most of what comes late has come by then.
_SETTLED_MS = 2 * HOUR_MS
# Projects of one slice: a few milliseconds of the writer.
_PROJECTS = 5
_KEY = "kind, project, run, job, class"
_SUMS = ", ".join(f"sum({name})" for name in SUMS)
_BINS = ", ".join(f"one_sketch(CAST(group_concat({name}, '') AS BLOB))" for name in MEASURES)
_COLUMNS = ", ".join((*SUMS, *MEASURES))


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
        for statement in _EACH if len(days) > 1 else _EACH[-1:]:
            db.execute(statement, (*place, msgspec.json.encode(list(days)).decode(), number))
    session.spans.add(place)
    db.execute("INSERT OR REPLACE INTO span_built VALUES (?, ?, ?)", (*place, numbers[-1] if numbers else _WHOLE))


_ADD = (
    f"INSERT INTO rollup_span (hours, bucket, wide, {_KEY}, {_COLUMNS})"
    " SELECT ?1, ?2, {wide}, r.kind, r.project, r.run, {job}, r.class,"
    f" {_SUMS}, {_BINS}"
    " FROM json_each(?3) e CROSS JOIN rollup_day r ON r.bucket = e.value AND r.kind = {kind} AND r.project = ?4"
    " GROUP BY r.run{group}, r.class"
)
# Runs, jobs, and all jobs in one.
_EACH = (
    _ADD.format(wide=0, kind=KIND_NUMBER["workflow"], job="r.job", group=", r.job"),
    _ADD.format(wide=0, kind=KIND_NUMBER["job"], job="r.job", group=", r.job"),
    _ADD.format(wide=1, kind=KIND_NUMBER["job"], job="0", group=""),
)
