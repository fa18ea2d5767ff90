"""Failed steps and repeats with their jobs by whole days, one or eight of them, added up once they are over.

Invariant: a stretch of a project that is noted as whole is the sum of its rows: triggers take the note away with any
change of what it rests on. What is not noted is read row by row, so nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec

from headgate.core.status import FAILED
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.session import Session
from headgate.store.sql import Database, insert
from headgate.store.wholedays import LONG, Notes, parts
from headgate.store.words import statuses_sql, word

__all__ = ["EVERYTHING", "REPEATED_JOBS", "REPEATS", "STEPS", "Sums", "What", "add_to", "add_up", "forget", "sums_of"]

# Most of what comes late has come by then.
_SETTLED_MS = 2 * HOUR_MS
_NOTED = (
    "SELECT day, project FROM day_summed"
    " WHERE kind = {} AND days = ? AND day IN (SELECT value FROM json_each(?)) AND whole"
)
_ENDS = (
    "SELECT (SELECT min(day) FROM day_summed WHERE kind = {0} AND days = 1),"
    " (SELECT max(day) FROM day_summed WHERE kind = {0} AND days = 1)"
)
# Days of a project that one slice adds up: a few milliseconds of the writer.
_SLICE = 10
_WHOLE = (1 << 63) - 1
K = TypeVar("K")
# Project, run, job and step as numbers, 0 for none.
Place = tuple[int, int, int, int]


class Sums(NamedTuple):
    """`n`: how many, `ok`: successful ones; `charged`: whose `credits` are known; `last`: end of the last one."""

    n: int = 0
    ok: int = 0
    credits: int = 0
    charged: int = 0
    ms: int = 0
    estimated: int = 0
    last: int = 0

    def __add__(self, more: Sums) -> Sums:  # type: ignore[override]  # sums, no longer tuples
        """Of both."""
        n, ok, spent, charged, ms, estimated, last = self
        other_n, other_ok, other_credits, other_charged, other_ms, other_estimated, other_last = more
        return Sums(
            n + other_n,
            ok + other_ok,
            spent + other_credits,
            charged + other_charged,
            ms + other_ms,
            max(estimated, other_estimated),
            max(last, other_last),
        )


@dataclass(frozen=True, slots=True)
class What:
    """What is added up. `values`, `rows`: SQL of names and sums of projects within a time (?2, ?3).

    `odd`: SQL, whether a row of such a day may change though nothing of that day does, so that it is not whole. Which
    projects both are about, `_EACH` and `_ONE` say.
    `spans`: it, the week before and the day after must be whole in `store.spans` too: only of what is noted there a
    change takes a note away, which is what we hear of.
    """

    number: int
    oldest: str
    values: str
    rows: str
    odd: str
    spans: bool = False


# Projects, as JSON, in one statement: one for each takes longer than what it reads. And one, by its number.
_EACH = {"projects": "json_each(?1) p CROSS JOIN ", "project": "p.value"}
_ONE = {"projects": "", "project": "?1"}
_GROUPS = " GROUP BY 1, 2, 3, 4"
_STEPS = (
    " FROM {projects}step s INDEXED BY step_end LEFT JOIN job j ON j._key = s.job_id AND j._host = s._host"
    " WHERE s._project = {project} AND s.stopped_at >= ?2 AND s.stopped_at < ?3 AND {failed_step}"
)
STEPS = What(
    0,
    oldest="SELECT min(stopped_at) FROM job INDEXED BY job_end WHERE _terminal",
    values="coalesce(j._run, 0), coalesce(j.name, 0), coalesce(s.name, 0), count(*), 0, 0, 0, 0, 0, max(s.stopped_at)",
    rows=_STEPS,
    # Steps end with their job.
    odd=f"SELECT EXISTS (SELECT 1{_STEPS} AND (j.stopped_at IS NULL OR abs(j.stopped_at - s.stopped_at) >= {DAY_MS}))",
)
_REPEATED = (
    " FROM {projects}workflow w INDEXED BY workflow_rerun{left} JOIN workflow o ON o._key = w.rerun_of"
    " AND o._host = w._host{job} WHERE w._terminal AND w.rerun_of IS NOT NULL AND w._project = {project}"
    " AND w.stopped_at >= ?2 AND w.stopped_at < ?3"
)
_FAILED = " AND o._terminal AND o.stopped_at IS NOT NULL AND {failed_run}"
_JOB = " CROSS JOIN job j INDEXED BY job_workflow ON j.workflow_id = w._key AND j._host = w._host"
# What a repeat rests on is not known yet, or ended so far away that nobody looks for it from there.
_ODD = (
    "SELECT EXISTS (SELECT 1"
    + _REPEATED.replace("{left}", " LEFT").replace("{job}", "")
    + f" AND (o.stopped_at IS NULL OR o.stopped_at < ?2 - {7 * DAY_MS} OR o.stopped_at >= ?3 OR EXISTS ("
    "SELECT 1 FROM job j INDEXED BY job_workflow WHERE j.workflow_id = w._key AND ("
    f"j.stopped_at < ?2 - {7 * DAY_MS} OR j.stopped_at >= ?3 + {DAY_MS}))))"
)
_OLDEST = "SELECT min(stopped_at) FROM workflow INDEXED BY workflow_end WHERE _terminal"
REPEATED_JOBS = What(
    1,
    oldest=_OLDEST,
    values="coalesce(w.name, 0), coalesce(j.name, 0), 0, count(*), 0, coalesce(sum(j.credits), 0), 0,"
    " coalesce(sum(max(0, j.stopped_at - j.started_at)), 0), 0, 0",
    rows=_REPEATED.replace("{left}", " CROSS").replace("{job}", _JOB)
    + _FAILED
    + " AND j._terminal AND j.stopped_at IS NOT NULL AND j.type IS NOT {approval} AND {ran}",
    odd=_ODD,
    spans=True,
)
REPEATS = What(
    2,
    oldest=_OLDEST,
    values="coalesce(w.name, 0), 0, w._class, count(*), sum({ok}), coalesce(sum(w.credits), 0), count(w.credits),"
    " coalesce(sum(max(0, w.stopped_at - w.created_at)), 0), coalesce(max(w.credits_estimated), 0), 0",
    rows=_REPEATED.replace("{left}", " CROSS").replace("{job}", "") + _FAILED,
    odd=_ODD,
    spans=True,
)
EVERYTHING = (STEPS, REPEATED_JOBS, REPEATS)
_MISSING = """
WITH RECURSIVE days (day) AS (SELECT :last UNION ALL SELECT day - 1 FROM days WHERE day > :first)
SELECT d.day, p.id FROM days d CROSS JOIN dim_project p
WHERE NOT EXISTS (SELECT 1 FROM day_summed s WHERE s.kind = :kind AND s.days = 1 AND s.day = d.day AND s.project = p.id)
  AND (NOT :spans OR (SELECT count(*) FROM span_built b WHERE b.hours = 24 AND b.bucket >= max(d.day - 7, :first)
    AND b.bucket <= d.day + 1 AND b.upto = :whole) = min(d.day - :first, 7) + 2)
LIMIT :most
"""
_LONGER = f"""
SELECT s.day / {LONG} * {LONG} AS first, s.project FROM day_summed s WHERE s.kind = ? AND s.days = 1 AND s.whole
  AND NOT EXISTS (SELECT 1 FROM day_summed l WHERE l.kind = s.kind AND l.days = {LONG}
    AND l.day = s.day / {LONG} * {LONG} AND l.project = s.project)
GROUP BY 1, 2 HAVING count(*) = {LONG} LIMIT ?
"""
_SUMS = ", ".join(Sums._fields)
_COLUMNS = f"(kind, days, day, project, run, job, step, {_SUMS})"
_ADDED = ", ".join(f"sum({{0}}{name})" for name in Sums._fields[:5])
_TOTALS = f"{_ADDED}, max({{0}}estimated), max({{0}}last)"
_ADD_LONGER = (
    f"INSERT INTO day_sum {_COLUMNS} SELECT kind, {LONG}, ?2, project, run, job, step,"
    f" {_TOTALS.format('')} FROM day_sum WHERE kind = ?1 AND days = 1 AND day >= ?2 AND day < ?2 + {LONG}"
    " AND project = ?3 GROUP BY project, run, job, step"
)
_DAYS = (
    f"SELECT u.project, u.run, u.job, u.step, {_TOTALS.format('u.')} FROM json_each(?1) e"
    " CROSS JOIN json_each(?2) p CROSS JOIN day_sum u ON u.kind = ?4 AND u.days = ?3 AND u.day = e.value"
    " AND u.project = p.value GROUP BY 1, 2, 3, 4"
)


def _words(db: Database) -> Mapping[str, str]:
    return {
        "failed_step": statuses_sql(db, "s.status", FAILED),
        "failed_run": statuses_sql(db, "o.status", FAILED),
        "ok": f"coalesce({statuses_sql(db, 'w.status', ('success',))}, 0)",
        "ran": f"NOT coalesce({statuses_sql(db, 'j.status', ('skipped',))}, 0)",
        "approval": str(word(db, "approval") or 0),
    }


def add_up(session: Session, now_ms: int, what: What) -> tuple[int, bool]:
    """Add up some more days that are over, the newest first; 0 deleted, and whether there may be more to do."""
    db = session.db
    oldest = db.execute(what.oldest).get
    if oldest is None:
        return 0, False
    first, last = oldest // DAY_MS, (now_ms - _SETTLED_MS) // DAY_MS - 1
    for table in ("day_summed", "day_sum"):
        db.execute(f"DELETE FROM {table} WHERE kind = ? AND days = 1 AND day < ?", (what.number, first))
        edge = first // LONG * LONG
        db.execute(f"DELETE FROM {table} WHERE kind = ? AND days = {LONG} AND day < ?", (what.number, edge))
    bound = {"first": first, "last": last, "most": _SLICE, "kind": what.number, "spans": what.spans, "whole": _WHOLE}
    missing = db.execute(_MISSING, bound).fetchall() if last >= first else []
    for day, project in missing:
        _add(db, what, day, project)
    longer = db.execute(_LONGER, (what.number, _SLICE)).fetchall() if len(missing) < _SLICE else []
    for day, project in longer:
        place = what.number, day, project
        db.execute(f"DELETE FROM day_sum WHERE kind = ? AND days = {LONG} AND day = ? AND project = ?", place)
        db.execute(_ADD_LONGER, place)
        db.execute(f"INSERT INTO day_summed VALUES (?, {LONG}, ?, ?, 1)", place)
    return 0, len(missing) == _SLICE or len(longer) == _SLICE


def _add(db: Database, what: What, day: int, project: int) -> None:
    place = what.number, day, project
    db.execute("DELETE FROM day_sum WHERE kind = ? AND days = 1 AND day = ? AND project = ?", place)
    span, words = (day * DAY_MS, (day + 1) * DAY_MS), _words(db)
    whole = not db.execute(what.odd.format(**words, **_ONE), (project, *span)).get
    if whole:
        found = db.execute(_single(what, words), (_json([project]), *span)).fetchall()
        insert(db, f"INSERT INTO day_sum {_COLUMNS}", [(what.number, 1, day, *row) for row in found])
    db.execute("INSERT INTO day_summed VALUES (?, 1, ?, ?, ?)", (*place, whole))


def _single(what: What, words: Mapping[str, str]) -> str:
    return f"SELECT p.value, {what.values}{what.rows}{_GROUPS}".format(**words, **_EACH)


def _json(numbers: Sequence[int]) -> str:
    return msgspec.json.encode(numbers).decode()


def forget(db: Database) -> None:
    """Nothing that was added up holds any more."""
    db.execute("DELETE FROM day_summed")


def sums_of(db: Database, what: What, bounds: Bounds) -> Mapping[Place, Sums]:
    """What days and single rows add up to."""
    found: dict[Place, Sums] = {}
    days, single = parts(db, bounds, Notes(_NOTED.format(what.number), _ENDS.format(what.number)))
    for part in days:
        _gather(found, db.execute(_DAYS, (*part, what.number)))
    statement = _single(what, _words(db))
    for projects, *span in single:
        _gather(found, db.execute(statement, (_json(projects), *span)))
    return found


def _gather(into: dict[Place, Sums], rows: Iterable[tuple[int, ...]]) -> None:
    for row in rows:
        project, run, job, step = row[:4]
        add_to(into, (project, run, job, step), Sums(*row[4:]))


def add_to(into: dict[K, Sums], place: K, sums: Sums) -> None:
    """Where there is nothing yet, they are all that is there."""
    known = into.get(place)
    into[place] = sums if known is None else known + sums
