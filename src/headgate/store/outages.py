"""Outages of workflows, from red to green and back, added to bit by bit as runs end; and the runs that tell them.

Invariant: what the table says of a project before `outage_upto` follows from its runs: triggers move that time back
with any change of a run before it. What came since is read run by run, so nothing is lost meanwhile but speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from headgate.core.outages import JUDGED
from headgate.core.status import FAILED
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.cover import KEPT_FACTS
from headgate.store.projects import default_branches
from headgate.store.session import Session
from headgate.store.sql import Database, insert
from headgate.store.words import statuses_sql, word

__all__ = ["Key", "Newest", "Run", "Stretch", "add_up", "first_failed", "forget", "newest", "runs_in"]

# Most of what comes late has come by then.
_SETTLED_MS = 2 * HOUR_MS
# A project that is behind by more than this is read by itself; others together, by time.
_FAR_MS = 2 * DAY_MS
# What one slice adds up: of one project, of all together. A few milliseconds of the writer.
_OF_ONE_MS, _OF_ALL_MS = 8 * DAY_MS, HOUR_MS
_COLUMNS = "(project, run, ref, id, class, began, last, ended, green, green_last)"
_REF = (
    "coalesce(w.ref_name,"
    " (SELECT pl.ref_name FROM pipeline pl WHERE pl._key = w.pipeline_id AND pl._host = w._host), 0)"
)
_RUN = "SELECT w._project, coalesce(w.name, 0), {ref}, w._class, w.stopped_at, {failed}"
_ORDER = " AND {judged} ORDER BY w.stopped_at, w._key"
_BY_PROJECT = (
    _RUN
    + " FROM workflow w INDEXED BY workflow_branch WHERE w._terminal AND w._project IN (SELECT value FROM json_each(?))"
    " AND w.stopped_at >= ? AND w.stopped_at < ?" + _ORDER
)
# Without the cast the number of a project has no affinity, so sqlite makes no index of it.
_BY_TIME = (
    "WITH spans (project, since, until) AS MATERIALIZED"
    " (SELECT CAST(value ->> 0 AS INTEGER), value ->> 1, value ->> 2 FROM json_each(?)) "
    + _RUN
    + " FROM workflow w INDEXED BY workflow_end CROSS JOIN spans s ON s.project = w._project"
    " AND w.stopped_at >= s.since AND w.stopped_at < s.until"
    " WHERE w._terminal AND w.stopped_at >= ? AND w.stopped_at < ?" + _ORDER
)
_NEWEST = (
    "SELECT id, class, began, last, ended, green, green_last FROM outage WHERE project = ? AND run = ? AND ref = ?"
    " AND began < ? ORDER BY id DESC LIMIT 1"
)
_FAILED_RUN = (
    "SELECT w.stopped_at FROM workflow w INDEXED BY workflow_series WHERE w._terminal AND w._project = ?"
    " AND w.name IS nullif(?, 0) AND w._class = ? AND w.stopped_at >= ? AND w.stopped_at < ? AND {failed} AND {ref} = ?"
    " ORDER BY w.stopped_at {order} LIMIT 1"
)
_BEHIND = """
SELECT p.id, coalesce(u.upto, (SELECT min(w.stopped_at) FROM workflow w INDEXED BY workflow_branch
  WHERE w._project = p.id AND w._terminal)) AS begin FROM dim_project p LEFT JOIN outage_upto u ON u.project = p.id
WHERE begin < ? ORDER BY 2
"""


class Run(NamedTuple):
    """A run that failed or succeeded; names are numbers, 0 for none."""

    project: int
    name: int
    ref: int
    branch_class: int
    at_ms: int
    failed: int


class Stretch(NamedTuple):
    """A time of some projects, which are one to whoever asks."""

    projects: tuple[int, ...]
    since_ms: int
    until_ms: int


@dataclass(slots=True)
class Newest:
    """The newest outage of a workflow and branch. `ended`: None while it lasts."""

    id: int
    branch_class: int
    began: int
    last: int
    ended: int | None
    green: int | None
    green_last: int | None


Key = tuple[int, int, int]


def runs_in(db: Database, stretches: Sequence[Stretch]) -> Iterator[Run]:
    """Runs of each stretch in the order of their end; stretches may come one after the other or side by side."""
    words = {
        "ref": _REF,
        "failed": statuses_sql(db, "w.status", FAILED),
        "judged": statuses_sql(db, "w.status", JUDGED),
    }
    near: list[tuple[int, int, int]] = []
    for projects, since_ms, until_ms in stretches:
        if until_ms - since_ms < _FAR_MS:
            near += [(number, since_ms, until_ms) for number in projects]
            continue
        bound = (msgspec.json.encode(projects).decode(), since_ms, until_ms)
        yield from map(Run._make, db.execute(_BY_PROJECT.format(**words), bound))
    if near:
        bounds = min(since for _, since, _ in near), max(until for _, _, until in near)
        yield from map(Run._make, db.execute(_BY_TIME.format(**words), (msgspec.json.encode(near).decode(), *bounds)))


def newest(db: Database, key: Key, before_ms: int) -> Newest | None:
    """The newest outage of a key that began before a time, as it was told when it was added up."""
    row = db.execute(_NEWEST, (*key, before_ms)).fetchone()
    return None if row is None else Newest(*row)


def first_failed(db: Database, key: Key, since_ms: int, until_ms: int, *, last: bool = False) -> int | None:
    """End of the first failed run of a key within a time, or of the last one."""
    words = {"failed": statuses_sql(db, "w.status", FAILED), "ref": _REF, "order": "DESC" if last else ""}
    project, run, ref = key
    found = [
        at
        for branch_class in (0, 1)
        for (at,) in db.execute(_FAILED_RUN.format(**words), (project, run, branch_class, since_ms, until_ms, ref))
    ]
    return (max if last else min)(found, default=None)


def forget(db: Database) -> None:
    """Nothing that was added up holds any more."""
    db.execute("DELETE FROM outage_upto")
    db.execute("DELETE FROM outage")


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add one slice of runs that ended; 0 deleted, and whether there may be more to do."""
    db = session.db
    until_ms = now_ms - _SETTLED_MS
    behind = db.execute(_BEHIND, (until_ms,)).fetchall()
    if not behind:
        _drop(db, session.counters.get(KEPT_FACTS, 0))
        return 0, False
    project, first = behind[0]
    if until_ms - first >= _FAR_MS:
        stretches = [Stretch((project,), first, min(until_ms, max(first + _OF_ONE_MS, first + _FAR_MS)))]
    else:
        end = min(until_ms, first + _OF_ALL_MS)
        stretches = [Stretch((number,), upto, end) for number, upto in behind if upto < end]
    _add(session, stretches)
    return 0, True


def _drop(db: Database, kept_ms: int) -> None:
    """Outages whose runs are no longer kept."""
    db.execute("DELETE FROM outage WHERE coalesce(ended, last) < ?", (kept_ms,))


def _add(session: Session, stretches: Sequence[Stretch]) -> None:
    db = session.db
    since = {number: since_ms for (number,), since_ms, _ in stretches}
    for number, since_ms in since.items():
        _take_back(db, number, since_ms)
    mixed = dict(db.execute("SELECT project, mixed FROM outage_upto").fetchall())
    defaults = {number: _defaults(session, number) for number in since}
    adding = _Adding(db, since)
    for run in runs_in(db, stretches):
        if run.branch_class != (run.ref in defaults[run.project]):
            mixed[run.project] = 1
        adding.add(run)
    adding.write()
    rows = [(number, until_ms, mixed.get(number, 0)) for (number,), _, until_ms in stretches]
    insert(db, "INSERT OR REPLACE INTO outage_upto (project, upto, mixed)", rows)


def _defaults(session: Session, number: int) -> frozenset[int]:
    """Names of default branches of a project."""
    names = default_branches(session.projects.by_id[number].default_branch)
    return frozenset(found for name in names if (found := word(session.db, name)) is not None)


def _take_back(db: Database, project: int, since_ms: int) -> None:
    """What was added of the time since then."""
    db.execute("DELETE FROM outage WHERE project = ? AND began >= ?", (project, since_ms))
    again = "SELECT run, ref, id FROM outage WHERE project = ? AND last >= ?"
    for run, ref, number in db.execute(again, (project, since_ms)).fetchall():
        began = "SELECT began FROM outage WHERE project = ? AND run = ? AND ref = ? AND id = ?"
        first_ms = db.execute(began, (project, run, ref, number)).get
        last = first_failed(db, (project, run, ref), first_ms, since_ms, last=True)
        changed = "UPDATE outage SET last = ? WHERE project = ? AND run = ? AND ref = ? AND id = ?"
        db.execute(changed, (first_ms if last is None else last, project, run, ref, number))
    db.execute("UPDATE outage SET ended = NULL WHERE project = ? AND ended >= ?", (project, since_ms))


class _Adding:
    """Outages of one slice in the making."""

    def __init__(self, db: Database, since: Mapping[int, int]) -> None:
        self._db = db
        self._since = since
        self._known: dict[Key, Newest | None] = {}
        self._changed: dict[tuple[Key, int], Newest] = {}

    def add(self, run: Run) -> None:
        """One run, the newest of its project."""
        key = run.project, run.name, run.ref
        if key not in self._known:
            self._known[key] = newest(self._db, key, self._since[run.project])
        known = self._known[key]
        lasts = known is not None and known.ended is None
        if run.failed and not lasts:
            number, *before = (known.id + 1, known.ended, known.last) if known is not None else (1, None, None)
            known = self._known[key] = Newest(number, run.branch_class, run.at_ms, run.at_ms, None, *before)
        elif known is None or not lasts:
            return
        elif run.failed:
            known.last = run.at_ms
        else:
            known.ended = run.at_ms
        self._changed[key, known.id] = known

    def write(self) -> None:
        """Write what changed."""
        rows = [
            (*key, number, one.branch_class, one.began, one.last, one.ended, one.green, one.green_last)
            for (key, number), one in self._changed.items()
        ]
        insert(self._db, f"INSERT OR REPLACE INTO outage {_COLUMNS}", rows)
