"""Sums of several days, of all jobs of a workflow, of all of a project: added up bit by bit once their time is over.

Invariant: a stretch that is noted as whole is the sum of its days. A fact that changes in it takes the note away in the
same transaction, and it is added up again later; nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache

import msgspec

from headgate.core.facts import FactKind
from headgate.core.rollup import MEASURES, SUMS
from headgate.core.times import HOUR_MS
from headgate.store.cover import DAY_HOURS, KEPT_HOURS, QUARTER, WIDE, Source
from headgate.store.schema import KIND_NUMBER
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["LENGTHS", "add_up", "built", "drop_before", "drop_quarters", "outdated", "outdated_all"]

# Hours: a day, four and sixteen, a quarter of a day; each wide, and all but the day with each job by itself too.
LENGTHS: tuple[int, ...] = (DAY_HOURS, 4 * DAY_HOURS, 16 * DAY_HOURS, QUARTER)
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


def drop_quarters(session: Session, before_hour: int) -> None:
    """Quarters of days whose hours are no longer kept."""
    before = -(-before_hour // QUARTER)
    session.spans -= {place for place in session.spans if place[0] == QUARTER and place[1] < before}
    for table in ("span_built", "rollup_span"):
        session.db.execute(f"DELETE FROM {table} WHERE hours = ? AND bucket < ?", (QUARTER, before))


def drop_before(session: Session, day: int) -> None:
    """Sums of the days before one go: what has any of them is whole no more, and the oldest of each length go."""
    for length in LENGTHS:
        edge = -(-day * DAY_HOURS // length)
        gone = {place for place in session.spans if place[0] == length and place[1] < edge}
        if gone:
            session.spans -= gone
            session.db.execute("DELETE FROM span_built WHERE hours = ? AND bucket < ?", (length, edge))
        oldest = session.db.execute("SELECT min(bucket) FROM rollup_span WHERE hours = ?", (length,)).get
        if oldest is not None and oldest < edge:
            session.db.execute("DELETE FROM rollup_span WHERE hours = ? AND bucket = ?", (length, oldest))


def outdated_all(session: Session) -> None:
    """Nothing that was added up holds any more."""
    session.spans.clear()
    session.db.execute("DELETE FROM span_built")


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up one slice of a stretch that is over; 0 deleted, and whether there may be more to do."""
    days = "SELECT (SELECT min(bucket) FROM rollup_day), (SELECT max(bucket) FROM rollup_day)"
    first, last = session.db.execute(days).fetchone()
    if first is None:
        return 0, False
    noted = session.db.execute("SELECT hours, bucket, upto FROM span_built")
    upto = {(hours, bucket): number for hours, bucket, number in noted}
    over = min((now_ms - _SETTLED_MS) // HOUR_MS, (last + 1) * DAY_HOURS)
    for length in LENGTHS:
        begin = first * DAY_HOURS // length
        if length == QUARTER:
            begin = max(begin, -(-session.counters.get(KEPT_HOURS, 0) // QUARTER))
        for bucket in range(begin, over // length):
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
    chosen = db.execute("SELECT id FROM dim_project WHERE id > ? ORDER BY id LIMIT ?", (done, _PROJECTS))
    numbers = [row[0] for row in chosen]
    table, unit = ("rollup_hour", 1) if length == QUARTER else ("rollup_day", DAY_HOURS)
    parts = msgspec.json.encode(list(range(bucket * length // unit, (bucket + 1) * length // unit))).decode()
    for number in numbers:
        for wide, kind in _WIDE if length == DAY_HOURS else (*_NARROW, *_WIDE):
            db.execute(_adding(table, wide, kind), (*place, parts, number))
    session.spans.add(place)
    db.execute("INSERT OR REPLACE INTO span_built VALUES (?, ?, ?)", (*place, numbers[-1] if numbers else _WHOLE))


_PLACES = {0: ("r.run, r.job, r.class",) * 2, 1: ("r.run, 0, r.class", "r.run, r.class"), 2: ("0, 0, 0", "r.kind")}
_NARROW: tuple[tuple[int, FactKind], ...] = ((0, "workflow"), (0, "job"))
_WIDE: tuple[tuple[int, FactKind], ...] = ((1, "job"), (2, "job"), (2, "workflow"))


@cache
def _adding(table: str, wide: int, kind: FactKind) -> str:
    """Length, number, the buckets as JSON, and a project -> its rows."""
    place, group = _PLACES[wide]
    columns = ", ".join((*SUMS, *MEASURES))
    return (
        f"INSERT INTO rollup_span (hours, bucket, wide, kind, project, run, job, class, {columns})"
        f" SELECT ?1, ?2, {wide}, r.kind, r.project, {place}, {_SUMS}, {_BINS} FROM json_each(?3) e"
        f" CROSS JOIN {table} r ON r.bucket = e.value AND r.kind = {KIND_NUMBER[kind]} AND r.project = ?4"
        f" GROUP BY {group}"
    )
