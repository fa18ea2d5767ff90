"""Bills and loads of quarters of a day, days, four and sixteen days, added up bit by bit once they are over.

Invariant: a stretch of a project that is noted is the sum of its rows: triggers take the note away with any
change of one. What is not noted is read row by row, so nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from headgate.core.detailrows import CREDIT_KINDS, MOST_PERCENT, USAGE_NAMES, UsageName
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.percents import ONE_RUN
from headgate.store.session import Session
from headgate.store.sql import Database
from headgate.store.wholedays import Notes, parts

__all__ = ["MISSING", "Load", "Place", "add_up", "days_of", "forget", "loads_of", "sums_of"]

_LOADS = ("ram_max", "cpu_median", "cpu_max")
# Project, workflow, job, size, executor and system as numbers, 0 for none.
Place = tuple[int, int, int, int, int, int]
# Rows, credits for compute, and percents of memory and processors, the latter median and highest.
Load = tuple[int, int, bytes | None, bytes | None, bytes | None]
# Name of a row of the export, its column, and that of what was added up.
_NAMES: Mapping[UsageName, tuple[str, str]] = {
    "workflow": ("workflow_name", "workflow"),
    "job": ("job_name", "job"),
    "resource_class": ("resource_class", "size"),
    "executor": ("executor", "executor"),
    "operating_system": ("operating_system", "system"),
}
_SUMS = ("runs", "seconds", "total", *CREDIT_KINDS)
# Milliseconds of the shortest stretch; and how many of it there are in each, the longest first.
_UNIT_MS, _LENGTHS = 6 * HOUR_MS, (64, 16, 4, 1)
_TIMES = 4
# Most of what comes late has come by then.
_SETTLED_MS = 2 * HOUR_MS
# Of a project without rows nothing is noted or read: most have none where few organisations are exported.
_HAS_ROWS = "EXISTS (SELECT 1 FROM usage u INDEXED BY usage_place WHERE u._project = p.id)"
_WITH_ROWS = f"SELECT p.id, p.slug FROM dim_project p WHERE {_HAS_ROWS}"
_WHOLE = Notes(
    "SELECT first, project FROM usage_whole WHERE units = ? AND first IN (SELECT value FROM json_each(?))",
    "SELECT (SELECT min(first) FROM usage_whole WHERE units = 1), (SELECT max(first) FROM usage_whole WHERE units = 1)",
    _UNIT_MS,
    _LENGTHS,
    _WITH_ROWS,
)
# Stretches of a project that one slice adds up: a few milliseconds of the writer.
_SLICE = 16
_AT = "coalesce(u.stopped_at, u.started_at, u.queued_at, u._seen_ms)"
# Rows of projects, as JSON, within a time.
_ROWS = (
    "FROM json_each(?1) p CROSS JOIN usage u INDEXED BY usage_place"
    f" ON u._project = p.value AND {_AT} >= ?2 AND {_AT} < ?3"
)
# Stretches by their first units and their projects, both as JSON, and how long they are.
_PARTS = (
    "FROM json_each(?1) e CROSS JOIN json_each(?2) p"
    " CROSS JOIN usage_part u ON u.units = ?3 AND u.first = e.value AND u.project = p.value AND u.wide = {wide}"
)
# Of each project from day to day: the first row of a day, then the first one after that day.
_DAYS = f"""
WITH RECURSIVE days (project, at, until) AS (
  SELECT value ->> 0, (SELECT {_AT} FROM usage u INDEXED BY usage_place WHERE u._project = s.value ->> 0
    AND {_AT} >= s.value ->> 1 AND {_AT} < s.value ->> 2 ORDER BY {_AT} LIMIT 1), value ->> 2 FROM json_each(?) s
  UNION ALL
  SELECT d.project, (SELECT {_AT} FROM usage u INDEXED BY usage_place WHERE u._project = d.project
    AND {_AT} >= (d.at / {DAY_MS} + 1) * {DAY_MS} AND {_AT} < d.until ORDER BY {_AT} LIMIT 1), d.until
  FROM days d WHERE d.at IS NOT NULL
)
SELECT project, at / {DAY_MS} * {DAY_MS} FROM days WHERE at IS NOT NULL
"""
_CREDITS = ", ".join(f"coalesce(sum(u.{kind}_credits), 0)" for kind in CREDIT_KINDS)
_ROW_SUMS = f"count(*), coalesce(sum(u.run_seconds), 0), coalesce(sum(u.total_credits), 0), {_CREDITS}"
_PART_SUMS = ", ".join(f'sum(u."{name}")' for name in _SUMS)
# ?4: `ONE_RUN`.
_PERCENT = f"min(max(CAST(ceil(u.{{}}_pct) AS INTEGER), 0), {MOST_PERCENT})"
_ROW_PERCENTS = ", ".join(
    f"CAST(group_concat(substr(?4, {_PERCENT.format(name)} * 4 + 1, 4), '') AS BLOB)" for name in _LOADS
)
_PART_PERCENTS = ", ".join(f"CAST(group_concat(u.{name}, '') AS BLOB)" for name in _LOADS)
_ROW_LOADS = f"count(*), coalesce(sum(u.compute_credits), 0), {_ROW_PERCENTS}"
_PART_LOADS = f"sum(u.runs), sum(u.compute), {_PART_PERCENTS}"
_PLACE = ", ".join(column for _, column in _NAMES.values())
_VALUES = ", ".join(f'"{name}"' for name in _SUMS)
_INTO = f"INSERT INTO usage_part (units, first, project, wide, {_PLACE}, {_VALUES}, {', '.join(_LOADS)})"
_FROM_ROWS = (
    f"{_INTO} SELECT 1, ?2 / {_UNIT_MS}, u._project, 0,"
    f" {', '.join(f'coalesce(u.{column}, 0)' for column, _ in _NAMES.values())}, {_ROW_SUMS}, {_ROW_PERCENTS} {_ROWS}"
    " GROUP BY 5, 6, 7, 8, 9"
)
_WIDE = (
    f"{_INTO} SELECT units, first, project, 1, 0, 0, 0, 0, 0, {_PART_SUMS}, NULL, NULL, NULL FROM usage_part u"
    " WHERE units = 1 AND first = ? AND project = ? GROUP BY project"
)
_ONE = ", ".join(f"one_of_percents(CAST(group_concat({name}, '') AS BLOB))" for name in _LOADS)
_SHORTER = ", ".join(f"?2 + ?1 / {_TIMES} * {number}" for number in range(_TIMES))
_FROM_PARTS = (
    f"{_INTO} SELECT ?1, ?2, project, wide, {_PLACE}, {_PART_SUMS}, {_ONE} FROM usage_part u"
    f" WHERE units = ?1 / {_TIMES} AND first IN ({_SHORTER}) AND project = ?3 GROUP BY wide, {_PLACE}"
)
# What is not noted, from the longest to the shortest in it, of the newest time first: and of this what can be added up,
# which is what is short or has all its parts.
MISSING = f"""
WITH RECURSIVE open (units, first, project) AS (
  SELECT {_LENGTHS[0]}, e.value, p.id FROM json_each(:longest) e CROSS JOIN dim_project p
  WHERE {_HAS_ROWS} AND NOT EXISTS (
    SELECT 1 FROM usage_whole w WHERE w.units = {_LENGTHS[0]} AND w.first = e.value AND w.project = p.id)
  UNION ALL
  SELECT o.units / {_TIMES}, o.first + o.units / {_TIMES} * n.value, o.project
  FROM open o CROSS JOIN json_each(:times) n
  WHERE o.units > 1 AND o.first + o.units / {_TIMES} * n.value <= :last
    AND o.first + o.units / {_TIMES} * (n.value + 1) > :first AND NOT EXISTS (SELECT 1 FROM usage_whole w
      WHERE w.units = o.units / {_TIMES} AND w.first = o.first + o.units / {_TIMES} * n.value AND w.project = o.project)
  ORDER BY 1, 2 DESC
)
SELECT units, first, project FROM open o WHERE units = 1 OR {_TIMES} = (
  SELECT count(*) FROM json_each(:times) n CROSS JOIN usage_whole w
  ON w.units = o.units / {_TIMES} AND w.first = o.first + o.units / {_TIMES} * n.value AND w.project = o.project)
LIMIT :most
"""


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up some more of what is over, the newest first; 0 deleted, and whether there may be more to do."""
    db = session.db
    oldest = db.execute("SELECT min(stopped_at) FROM usage").get
    if oldest is None:
        return 0, False
    first, last = oldest // _UNIT_MS, (now_ms - _SETTLED_MS) // _UNIT_MS - 1
    for table in ("usage_whole", "usage_part"):
        for units in _LENGTHS:
            db.execute(f"DELETE FROM {table} WHERE units = ? AND first < ?", (units, first))
    longest = list(range(first // _LENGTHS[0] * _LENGTHS[0], last + 1, _LENGTHS[0]))
    bound = {"longest": _json(longest), "times": _json(range(_TIMES)), "first": first, "last": last, "most": _SLICE}
    missing = db.execute(MISSING, bound).fetchall()
    for place in missing:
        _add(db, *place)
    return 0, bool(missing)  # what is added up may be all that a longer stretch lacked


def _add(db: Database, units: int, first: int, project: int) -> None:
    """One stretch of a project: the shortest from its rows, others from the next shorter ones."""
    db.execute("DELETE FROM usage_part WHERE units = ? AND first = ? AND project = ?", (units, first, project))
    if units == 1:
        span = first * _UNIT_MS, (first + 1) * _UNIT_MS
        db.execute(_FROM_ROWS, (_json([project]), *span, ONE_RUN))
        db.execute(_WIDE, (first, project))
    else:
        db.execute(_FROM_PARTS, (units, first, project))
    db.execute("INSERT INTO usage_whole VALUES (?, ?, ?)", (units, first, project))


def forget(db: Database) -> None:
    """Nothing that was added up holds any more."""
    db.execute("DELETE FROM usage_whole")


def sums_of(db: Database, bounds: Bounds, by: Collection[UsageName]) -> Mapping[Place, list[int]]:
    """Rows, seconds, total and credits in the order of `CREDIT_KINDS`, by place."""
    found: dict[Place, list[int]] = {}
    names = tuple(name for name in USAGE_NAMES if name in by)
    for row in _read(db, bounds, _by(_PART_SUMS, names, parts=True), _by(_ROW_SUMS, names, parts=False)):
        known = found.get(row[:6])
        if known is None:
            found[row[:6]] = list(row[6:])
        else:
            known[:] = [one + more for one, more in zip(known, row[6:], strict=True)]
    return found


def days_of(db: Database, bounds: Bounds) -> Mapping[str, Sequence[int]]:
    """Begins of the UTC days that have rows, in order, by project."""
    slugs = {number: slug for number, slug in db.execute(_WITH_ROWS) if slug in bounds}
    spans = msgspec.json.encode([(number, *bounds[slug]) for number, slug in slugs.items()]).decode()
    found: defaultdict[str, set[int]] = defaultdict(set)
    for number, day in db.execute(_DAYS, (spans,)):
        found[slugs[number]].add(day)
    return {slug: sorted(days) for slug, days in sorted(found.items())}


def loads_of(db: Database, bounds: Bounds) -> Mapping[Place, Sequence[Load]]:
    """By place what its parts of the time have, rows without figures too."""
    found: defaultdict[Place, list[Load]] = defaultdict(list)
    of_parts, of_rows = _by(_PART_LOADS, USAGE_NAMES, parts=True), _by(_ROW_LOADS, USAGE_NAMES, parts=False)
    for row in _read(db, bounds, of_parts, of_rows, ONE_RUN):
        found[row[:6]].append(row[6:])
    return found


@cache
def _by(what: str, by: Collection[UsageName], *, parts: bool) -> str:
    """A question for sums by place; names that are not asked for are 0."""
    columns = [
        "0" if name not in by else f"u.{of_part}" if parts else f"coalesce(u.{of_row}, 0)"
        for name, (of_row, of_part) in _NAMES.items()
    ]
    rows = _PARTS.format(wide=int(not by)) if parts else _ROWS
    return f"SELECT u.{'' if parts else '_'}project, {', '.join(columns)}, {what} {rows} GROUP BY 1, 2, 3, 4, 5, 6"


def _read(db: Database, bounds: Bounds, of_parts: str, of_rows: str, *more: bytes) -> Iterator[tuple[Any, ...]]:
    """Rows of both questions. `more`: what that for single rows has besides."""
    stretches, rest = parts(db, bounds, _WHOLE)
    for stretch in stretches:
        yield from db.execute(of_parts, stretch)
    for projects, since_ms, until_ms in rest:
        yield from db.execute(of_rows, (_json(projects), since_ms, until_ms, *more))


def _json(numbers: Collection[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()
