"""Bills and loads of quarters of a day, days, four and sixteen days, added up bit by bit once they are over.

Invariant: a stretch of a project that is noted is the sum of its rows: triggers take the note away with any
change of one. What is not noted is read row by row, so nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from operator import add
from typing import Any, NamedTuple

import msgspec

from headgate.core.detailrows import CREDIT_KINDS, MOST_PERCENT, USAGE_NAMES, UsageName
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.percents import ONE_RUN
from headgate.store.session import Session
from headgate.store.sql import Database
from headgate.store.wholedays import Notes, parts

__all__ = ["MISSING", "Load", "Place", "add_up", "both", "days_of", "forget", "loads_of", "sums_of"]

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
# Sources that one statement reads: SQLite takes 500.
_MOST_ARMS = 100
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
    "FROM json_each(?{0}) p CROSS JOIN usage u INDEXED BY usage_place"
    f" ON u._project = p.value AND {_AT} >= ?{{1}} AND {_AT} < ?{{2}}"
)
# Stretches by their first units and their projects, both as JSON, and how long they are.
_PARTS = (
    "FROM json_each(?{0}) e CROSS JOIN json_each(?{1}) p"
    " CROSS JOIN usage_part u ON u.units = ?{2} AND u.first = e.value AND u.project = p.value AND u.wide = "
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
# What a row, and what a part, adds to each sum.
_CHARGED = ("run_seconds", "total_credits", *(f"{kind}_credits" for kind in CREDIT_KINDS))
_ROW_SUMS = ("1", *(f"coalesce(u.{name}, 0)" for name in _CHARGED))
_PART_SUMS = tuple(f'u."{name}"' for name in _SUMS)
# ?1: `ONE_RUN`.
_PERCENT = f"min(max(CAST(ceil(u.{{}}_pct) AS INTEGER), 0), {MOST_PERCENT})"
_ROW_PERCENTS = tuple(f"substr(?1, {_PERCENT.format(name)} * 4 + 1, 4)" for name in _LOADS)


def _summed(values: Sequence[str]) -> str:
    return ", ".join([f"sum({value})" for value in values])


def _joined(values: Sequence[str]) -> str:
    return ", ".join([f"CAST(group_concat({value}, '') AS BLOB)" for value in values])


class _Values(NamedTuple):
    """What a part, and what a row, has for an answer; and SQL that adds such values up."""

    of_part: tuple[str, ...]
    of_row: tuple[str, ...]
    added: Callable[[Sequence[str]], str]


_BILLS = _Values(_PART_SUMS, _ROW_SUMS, _summed)
_PERCENTS = _Values(
    ("u.runs", "u.compute", *(f"u.{name}" for name in _LOADS)),
    ("1", "coalesce(u.compute_credits, 0)", *_ROW_PERCENTS),
    lambda values: f"{_summed(values[:2])}, {_joined(values[2:])}",
)
_PLACE = ", ".join(column for _, column in _NAMES.values())
_VALUES = ", ".join(f'"{name}"' for name in _SUMS)
_INTO = f"INSERT INTO usage_part (units, first, project, wide, {_PLACE}, {_VALUES}, {', '.join(_LOADS)})"
_FROM_ROWS = (
    f"{_INTO} SELECT 1, ?3 / {_UNIT_MS}, u._project, 0,"
    f" {', '.join(f'coalesce(u.{column}, 0)' for column, _ in _NAMES.values())}, {_summed(_ROW_SUMS)},"
    f" {_joined(_ROW_PERCENTS)} {_ROWS.format(2, 3, 4)} GROUP BY 5, 6, 7, 8, 9"
)
_WIDE = (
    f"{_INTO} SELECT units, first, project, 1, 0, 0, 0, 0, 0, {_summed(_PART_SUMS)}, NULL, NULL, NULL FROM usage_part u"
    " WHERE units = 1 AND first = ? AND project = ? GROUP BY project"
)
_ONE = ", ".join(f"one_of_percents({_joined([name])})" for name in _LOADS)
_SHORTER = ", ".join(f"?2 + ?1 / {_TIMES} * {number}" for number in range(_TIMES))
_FROM_PARTS = (
    f"{_INTO} SELECT ?1, ?2, project, wide, {_PLACE}, {_summed(_PART_SUMS)}, {_ONE} FROM usage_part u"
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
        db.execute(_FROM_ROWS, (ONE_RUN, _json([project]), *span))
        db.execute(_WIDE, (first, project))
    else:
        db.execute(_FROM_PARTS, (units, first, project))
    db.execute("INSERT INTO usage_whole VALUES (?, ?, ?)", (units, first, project))


def forget(db: Database) -> None:
    """Nothing that was added up holds any more."""
    db.execute("DELETE FROM usage_whole")


def sums_of(db: Database, bounds: Bounds, by: Collection[UsageName]) -> Mapping[Place, tuple[int, ...]]:
    """Rows, seconds, total and credits in the order of `CREDIT_KINDS`, by place."""
    found: dict[Place, tuple[int, ...]] = {}
    for row in _read(db, bounds, tuple(name for name in USAGE_NAMES if name in by), _BILLS):
        known = found.get(row[:6])
        found[row[:6]] = row[6:] if known is None else tuple(map(add, known, row[6:]))
    return found


def days_of(db: Database, bounds: Bounds) -> Mapping[str, Sequence[int]]:
    """Begins of the UTC days that have rows, in order, by project."""
    slugs = {number: slug for number, slug in db.execute(_WITH_ROWS) if slug in bounds}
    spans = msgspec.json.encode([(number, *bounds[slug]) for number, slug in slugs.items()]).decode()
    found: defaultdict[str, set[int]] = defaultdict(set)
    for number, day in db.execute(_DAYS, (spans,)):
        found[slugs[number]].add(day)
    return {slug: sorted(days) for slug, days in sorted(found.items())}


def loads_of(db: Database, bounds: Bounds) -> Mapping[Place, Load]:
    """By place, rows without figures too."""
    found: dict[Place, Load] = {}
    for row in _read(db, bounds, USAGE_NAMES, _PERCENTS):
        known = found.get(row[:6])
        found[row[:6]] = row[6:] if known is None else both(known, row[6:])
    return found


def both(one: Load, other: Load) -> Load:
    """Two loads as one."""
    ram, median, highest = ((first or b"") + (second or b"") for first, second in zip(one[2:], other[2:], strict=True))
    return one[0] + other[0], one[1] + other[1], ram, median, highest


def _read(db: Database, bounds: Bounds, by: tuple[UsageName, ...], values: _Values) -> Iterator[tuple[Any, ...]]:
    """Place, names that are not asked for as 0, and values added up; of a place more than once where much is read."""
    stretches, rest = parts(db, bounds, _WHOLE)
    sources: list[tuple[str, Sequence[Any]]] = [(_of_parts(by, values.of_part), one) for one in stretches]
    sources += [(_of_rows(by, values.of_row), (_json(projects), *span)) for projects, *span in rest]
    names = [f"v{position}" for position in range(len(values.of_row))]
    for begin in range(0, len(sources), _MOST_ARMS):
        arms, bound = list[str](), list[Any]([ONE_RUN])
        for source, wanted in sources[begin : begin + _MOST_ARMS]:
            arms.append(source.format(*range(len(bound) + 1, len(bound) + 4)))
            bound += wanted
        yield from db.execute(
            f"WITH every (p, w, j, s, e, o, {', '.join(names)}) AS ({' UNION ALL '.join(arms)})"
            f" SELECT p, w, j, s, e, o, {values.added(names)} FROM every GROUP BY p, w, j, s, e, o",
            bound,
        )


def _of_parts(by: Collection[UsageName], values: Sequence[str]) -> str:
    place = [f"u.{column}" if name in by else "0" for name, (_, column) in _NAMES.items()]
    return f"SELECT u.project, {', '.join([*place, *values])} {_PARTS}{int(not by)}"


def _of_rows(by: Collection[UsageName], values: Sequence[str]) -> str:
    place = [f"coalesce(u.{column}, 0)" if name in by else "0" for name, (column, _) in _NAMES.items()]
    return f"SELECT u._project, {', '.join([*place, *values])} {_ROWS}"


def _json(numbers: Collection[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()
