"""Sums of several days, of all jobs of a workflow, of all of a project: added up bit by bit once their time is over.

Invariant: a stretch that is noted as whole is the sum of its days. A fact that changes in it takes the note away in the
same transaction, and it is added up again later; nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import msgspec

from headgate.core.facts import FactKind
from headgate.core.rollup import MEASURES, SUMS
from headgate.core.times import HOUR_MS
from headgate.store.cover import DAY_HOURS, KEPT_HOURS, QUARTER, WIDE, WIDE_HOUR, Source
from headgate.store.lanes import concatenated
from headgate.store.notes import WHOLE, Noted, whole
from headgate.store.schema import KIND_NUMBER
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["LENGTHS", "add_up", "built", "drop_before", "drop_hours", "outdated"]

# Hours: a day, four and sixteen, a quarter of a day, an hour; each wide, and all but the day and the hour with each job
# by itself too.
LENGTHS: tuple[int, ...] = (DAY_HOURS, 4 * DAY_HOURS, 16 * DAY_HOURS, QUARTER, 1)
# Most of what comes late has come by then; see `cuts`.
_SETTLED_MS = HOUR_MS // 4
# Projects of one slice, and of one of an hour: a few milliseconds of the writer.
_PROJECTS, _PROJECTS_OF_HOUR = 5, 25
# Lengths whose jobs one by one are in tables of their own, and what their wide rows are called.
_WIDE_ONLY: Mapping[int, Source] = {1: WIDE_HOUR, DAY_HOURS: WIDE}
_SUMS = ", ".join(f"sum({name})" for name in SUMS)
_BINS = ", ".join(f"long_sketch({', '.join(concatenated(name))})" for name in MEASURES)


def built(db: Database) -> Mapping[Source, Noted]:
    """Source -> numbers of the stretches that are whole."""
    return {_WIDE_ONLY.get(length, length): numbers for length, numbers in whole(db, "span_built", LENGTHS).items()}


def outdated(session: Session, hours: Iterable[int]) -> None:
    """Sums of these hours since the epoch changed: what they are part of is not whole any more."""
    session.spans.outdated(hours, LENGTHS)


def drop_hours(session: Session, before_hour: int) -> None:
    """What is shorter than a day, where hours are no longer kept."""
    for length in (1, QUARTER):
        before = -(-before_hour // length)
        session.spans.drop_before(length, before)
        session.db.execute("DELETE FROM rollup_span WHERE hours = ? AND bucket < ?", (length, before))


def drop_before(session: Session, day: int) -> None:
    """Sums of the days before one go: what has any of them is whole no more, and the oldest of each length go."""
    for length in LENGTHS:
        edge = -(-day * DAY_HOURS // length)
        session.spans.drop_before(length, edge)
        oldest = session.db.execute("SELECT min(bucket) FROM rollup_span WHERE hours = ?", (length,)).get
        if oldest is not None and oldest < edge:
            session.db.execute("DELETE FROM rollup_span WHERE hours = ? AND bucket = ?", (length, oldest))


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up one slice of a stretch that is over; 0 deleted, and whether there may be more to do."""
    days = "SELECT (SELECT min(bucket) FROM rollup_day), (SELECT max(bucket) FROM rollup_day)"
    first, last = session.db.execute(days).fetchone()
    if first is None:
        return 0, False
    over = min((now_ms - _SETTLED_MS) // HOUR_MS, (last + 1) * DAY_HOURS)
    left = 1.0
    while left > 0:
        missing = (
            (length, *found)
            for length in LENGTHS
            if (found := session.spans.missing(length, range(_begin(session, length, first), over // length)))
        )
        chosen = next(missing, None)
        if chosen is None:
            return 0, False
        left -= _slice(session, *chosen)
    return 0, True


def _begin(session: Session, length: int, first_day: int) -> int:
    """The first stretch of a length of which there is anything."""
    hours = session.counters.get(KEPT_HOURS, 0) if length in (1, QUARTER) else 0
    return max(first_day * DAY_HOURS // length, -(-hours // length))


def _slice(session: Session, length: int, bucket: int, done: int) -> float:
    """The sums of some more projects; returns which share of a slice that was."""
    db, place = session.db, (length, bucket)
    if done == 0:
        db.execute("DELETE FROM rollup_span WHERE hours = ? AND bucket = ?", place)
    most = _PROJECTS_OF_HOUR if length == 1 else _PROJECTS
    chosen = db.execute("SELECT id FROM dim_project WHERE id > ? ORDER BY id LIMIT ?", (done, most))
    numbers = [row[0] for row in chosen]
    table, unit = ("rollup_hour", 1) if length in (1, QUARTER) else ("rollup_day", DAY_HOURS)
    parts = msgspec.json.encode(list(range(bucket * length // unit, (bucket + 1) * length // unit))).decode()
    for number in numbers:
        for wide, kind in _WIDE if length in _WIDE_ONLY else (*_NARROW, *_WIDE):
            db.execute(_adding(table, wide, kind), (*place, parts, number))
    session.spans.put(place, numbers[-1] if len(numbers) == most else WHOLE)
    return max(1, len(numbers)) / most


_PLACES = {
    0: ("r.run, r.job, r.class",) * 2,
    1: ("r.run, 0, r.class", "r.run, r.class"),
    2: ("0, 0, 0", "r.kind"),
    3: ("0, 0, r.class", "r.class"),
}
_NARROW: tuple[tuple[int, FactKind], ...] = ((0, "workflow"), (0, "job"))
_WIDE: tuple[tuple[int, FactKind], ...] = (
    (1, "job"),
    (2, "job"),
    (2, "workflow"),
    (3, "job"),
    (3, "workflow"),
)


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
