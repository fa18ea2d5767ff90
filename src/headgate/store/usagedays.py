"""Bills and loads of whole days, one or eight of them, added up bit by bit once they are over.

Invariant: a stretch of a project that is noted is the sum of its rows: triggers take the note away with any
change of one. What is not noted is read row by row, so nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from headgate.core.detailrows import CREDIT_KINDS
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.session import Session
from headgate.store.sketches import pack, unpack
from headgate.store.sql import Database, insert

__all__ = ["LOADS", "Place", "add_up", "forget", "loads_of", "sums_of"]

LOADS = ("ram_max", "cpu_median", "cpu_max")
# Project, workflow, job, size, executor and system as numbers, 0 for none.
Place = tuple[int, int, int, int, int, int]
Loads = tuple[dict[int, int], dict[int, int], dict[int, int]]
_FIELDS = ("workflow_name", "job_name", "resource_class", "executor", "operating_system")
_PLACE = ("project", "workflow", "job", "size", "executor", "system")
_SUMS = ("runs", "seconds", "total", *CREDIT_KINDS)
# Most of what comes late has come by then.
_SETTLED_MS = 2 * HOUR_MS
# Days of a longer stretch, which begins with one whose number it divides.
_LONG = 8
# Days of a project that one slice adds up: a few milliseconds of the writer.
_SLICE = 10
_AT = "coalesce(u.stopped_at, u.started_at, u.queued_at, u._seen_ms)"
_OF_ROW = ", ".join(["u._project", *(f"coalesce(u.{name}, 0)" for name in _FIELDS)])
_ROWS = f"FROM usage u INDEXED BY usage_place WHERE u._project = ? AND {_AT} >= ? AND {_AT} < ?"
_ROW_SUMS = (
    f"SELECT {_OF_ROW}, count(*), coalesce(sum(u.run_seconds), 0), coalesce(sum(u.total_credits), 0), "
    + ", ".join(f"coalesce(sum(u.{kind}_credits), 0)" for kind in CREDIT_KINDS)
    + f" {_ROWS} GROUP BY 1, 2, 3, 4, 5, 6"
)
_ROW_LOADS = (
    f"SELECT {_OF_ROW}, "
    + ", ".join(f"CAST(ceil(u.{name}_pct) AS INTEGER)" for name in LOADS)
    + f", count(*) {_ROWS} AND coalesce(u.ram_max_pct, u.cpu_median_pct, u.cpu_max_pct) IS NOT NULL"
    " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9"
)
_DAYS = (
    "FROM json_each(?1) e CROSS JOIN json_each(?2) p"
    " CROSS JOIN usage_day u ON u.days = ?3 AND u.day = e.value AND u.project = p.value GROUP BY 1, 2, 3, 4, 5, 6"
)
_OF_DAY = ", ".join(f"u.{name}" for name in _PLACE)
_BINS = "CAST(group_concat(u.{}, '') AS BLOB)"
_DAY_SUMS = f"SELECT {_OF_DAY}, {', '.join(f'sum(u.{name})' for name in _SUMS)} {_DAYS}".replace("u.user", 'u."user"')
_DAY_LOADS = f"SELECT {_OF_DAY}, {', '.join(_BINS.format(name) for name in LOADS)} {_DAYS}"
_MISSING = """
WITH RECURSIVE days (day) AS (SELECT :last UNION ALL SELECT day - 1 FROM days WHERE day > :first)
SELECT d.day, p.id FROM days d CROSS JOIN dim_project p
WHERE NOT EXISTS (SELECT 1 FROM usage_summed s WHERE s.days = 1 AND s.day = d.day AND s.project = p.id) LIMIT :most
"""
_LONGER = f"""
SELECT s.day / {_LONG} * {_LONG} AS first, s.project FROM usage_summed s WHERE s.days = 1
  AND NOT EXISTS (SELECT 1 FROM usage_summed l WHERE l.days = {_LONG} AND l.day = s.day / {_LONG} * {_LONG}
    AND l.project = s.project)
GROUP BY 1, 2 HAVING count(*) = {_LONG} LIMIT ?
"""
_COLUMNS = ", ".join(f'"{name}"' for name in (*_PLACE, *_SUMS, *LOADS))
_TOTALS = ", ".join(
    [*_PLACE, *(f'sum("{name}")' for name in _SUMS)]
    + [f"one_sketch(CAST(group_concat({name}, '') AS BLOB))" for name in LOADS]
)
_ADD_LONGER = (
    f"INSERT INTO usage_day (days, day, {_COLUMNS}) SELECT {_LONG}, ?1, {_TOTALS} FROM usage_day"
    f" WHERE days = 1 AND day >= ?1 AND day < ?1 + {_LONG} AND project = ?2 GROUP BY {', '.join(_PLACE)}"
)


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up some more days that are over, the newest first; 0 deleted, and whether there may be more to do."""
    db = session.db
    oldest = db.execute("SELECT min(stopped_at) FROM usage").get
    if oldest is None:
        return 0, False
    first, last = oldest // DAY_MS, (now_ms - _SETTLED_MS) // DAY_MS - 1
    for table in ("usage_summed", "usage_day"):
        db.execute(f"DELETE FROM {table} WHERE days = 1 AND day < ?", (first,))
        db.execute(f"DELETE FROM {table} WHERE days = {_LONG} AND day < ?", (first // _LONG * _LONG,))
    bound = {"first": first, "last": last, "most": _SLICE}
    missing = db.execute(_MISSING, bound).fetchall() if last >= first else []
    for day, project in missing:
        _add(db, day, project)
    longer = db.execute(_LONGER, (_SLICE,)).fetchall() if len(missing) < _SLICE else []
    for day, project in longer:
        _add_longer(db, day, project)
    return 0, len(missing) == _SLICE or len(longer) == _SLICE


def _add(db: Database, day: int, project: int) -> None:
    db.execute("DELETE FROM usage_day WHERE days = 1 AND day = ? AND project = ?", (day, project))
    span = (project, day * DAY_MS, (day + 1) * DAY_MS)
    loads: dict[Place, Loads] = {}
    _count(loads, db.execute(_ROW_LOADS, span))
    rows = []
    for row in db.execute(_ROW_SUMS, span).fetchall():
        seen = loads.get(row[:6], ({}, {}, {}))
        rows.append((1, day, *row, *(pack(one) for one in seen)))
    if rows:
        insert(db, f"INSERT INTO usage_day (days, day, {_COLUMNS})", rows)
    db.execute("INSERT INTO usage_summed VALUES (1, ?, ?)", (day, project))


def _add_longer(db: Database, day: int, project: int) -> None:
    """Eight days of a project, from each of them."""
    db.execute("DELETE FROM usage_day WHERE days = ? AND day = ? AND project = ?", (_LONG, day, project))
    db.execute(_ADD_LONGER, (day, project))
    db.execute("INSERT INTO usage_summed VALUES (?, ?, ?)", (_LONG, day, project))


def _count(into: dict[Place, Loads], rows: Any) -> None:
    """Rows by place and whole percents, spread over three counts."""
    for row in rows:
        counts = into.setdefault(row[:6], ({}, {}, {}))
        for count, percent in zip(counts, row[6:9], strict=True):
            if percent is not None:
                count[percent] = count.get(percent, 0) + row[9]


def forget(db: Database) -> None:
    """Nothing that was added up holds any more."""
    db.execute("DELETE FROM usage_summed")


def _parts(db: Database, bounds: Bounds) -> tuple[list[tuple[str, str, int]], list[tuple[int, int, int]]]:
    """Stretches that are added up with the projects that want them, as JSON; and what is read row by row."""
    wanted = [
        (number, *bounds[slug]) for number, slug in db.execute("SELECT id, slug FROM dim_project") if slug in bounds
    ]
    if not wanted:
        return [], []
    low, high = min(since for _, since, _ in wanted) // DAY_MS, max(until for _, _, until in wanted) // DAY_MS
    noted: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    statement = "SELECT days, day, project FROM usage_summed WHERE days IN (1, ?) AND day >= ? AND day < ?"
    for days, day, project in db.execute(statement, (_LONG, low, high)):
        noted[project].add((days, day))
    sets: defaultdict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
    single: list[tuple[int, int, int]] = []
    for number, since_ms, until_ms in wanted:
        chosen = list(_chosen(-(-since_ms // DAY_MS), until_ms // DAY_MS, noted[number]))
        for length in (1, _LONG):
            sets[length, tuple(day for days, day in chosen if days == length)].append(number)
        single += [(number, *span) for span in _between(since_ms, until_ms, chosen)]
    return [(_json(days), _json(numbers), length) for (length, days), numbers in sets.items() if days], single


def _chosen(day: int, until: int, noted: Collection[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The longest stretches within these days that are added up: how many days and the first, in order."""
    while day < until:
        if day % _LONG == 0 and day + _LONG <= until and (_LONG, day) in noted:
            yield _LONG, day
            day += _LONG
            continue
        if (1, day) in noted:
            yield 1, day
        day += 1


def _json(numbers: Collection[int]) -> str:
    return msgspec.json.encode(numbers).decode()


def _between(since_ms: int, until_ms: int, stretches: Collection[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What is left of a time without these stretches, which are in order."""
    at = since_ms
    for days, day in stretches:
        if at < day * DAY_MS:
            yield at, day * DAY_MS
        at = (day + days) * DAY_MS
    if at < until_ms:
        yield at, until_ms


def sums_of(db: Database, bounds: Bounds) -> Mapping[Place, list[int]]:
    """Rows, seconds, total and credits in the order of `CREDIT_KINDS`, by place."""
    found: dict[Place, list[int]] = {}
    days, single = _parts(db, bounds)
    for sql, parts in ((_DAY_SUMS, days), (_ROW_SUMS, single)):
        for part in parts:
            for row in db.execute(sql, part):
                known = found.get(row[:6])
                if known is None:
                    found[row[:6]] = list(row[6:])
                else:
                    known[:] = [one + more for one, more in zip(known, row[6:], strict=True)]
    return found


def loads_of(db: Database, bounds: Bounds) -> Mapping[Place, Loads]:
    """Percent -> rows of each of `LOADS`, by place."""
    found: dict[Place, Loads] = {}
    days, single = _parts(db, bounds)
    for part in days:
        for row in db.execute(_DAY_LOADS, part):
            ram, median, highest = (unpack(packed) for packed in row[6:9])
            if ram or median or highest:
                counts = found.setdefault(row[:6], ({}, {}, {}))
                for count, more in zip(counts, (ram, median, highest), strict=True):
                    for percent, n in more.items():
                        count[percent] = count.get(percent, 0) + n
    for stretch in single:
        _count(found, db.execute(_ROW_LOADS, stretch))
    return found
