"""Sums by trigger, by size of the machine and by branch, of stretches that are over, added up bit by bit from facts.

Invariant: a stretch that is noted as whole is the sum of its facts. Whatever a fact of it is counted under or adds may
change with it or with what is above it: each of these takes the note away in the same transaction. Unlike hours and
days, these sums know no more than facts do, and go with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from headgate.core.rollup import MEASURES, SUMS, RollupKind
from headgate.core.tally import ROLLED, Dimension, TallyQuery
from headgate.core.times import HOUR_MS
from headgate.store.cover import DAY_HOURS, KEPT_FACTS, QUARTER
from headgate.store.factsums import fact_columns, fact_joins
from headgate.store.lanes import concatenated
from headgate.store.notes import WHOLE, Noted, whole
from headgate.store.schema import KIND_NUMBER
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["CUTS", "add_up", "built", "cut_of", "drop_before", "outdated"]

# Dimension -> its number in the table.
CUTS: Mapping[Dimension, int] = {"trigger": 1, "resource_class": 2, "branch": 3}
# What is kept of a kind: its cuts, what else of a run is told apart, and hours of the stretches, the first from facts.
_KEPT: Mapping[RollupKind, tuple[tuple[Dimension, ...], frozenset[Dimension], tuple[int, ...]]] = {
    "job": (
        ("trigger", "resource_class", "branch"),
        ROLLED - {"workflow", "job", "hour"},
        (1, QUARTER, DAY_HOURS, 96, 384),
    ),
    "workflow": (("trigger", "branch"), ROLLED - {"hour"}, (QUARTER, DAY_HOURS, 96, 384)),
}
# Each is added up from those before it.
_LENGTHS = _KEPT["job"][2]
# Most of what comes late has come by then; what comes later has an hour added up again, which is little: until then
# every question reads it fact by fact.
_SETTLED_MS = HOUR_MS // 4
# Some milliseconds of the writer: facts that a slice reads if all projects are equally busy; by hours, projects of one
# that adds up sums.
_FACTS, _PROJECTS = 600, {DAY_HOURS: 4, 96: 2, 384: 1}
_COLUMNS = ", ".join((*SUMS, *MEASURES))
_PLACE = "hours, bucket, kind, cut, project, value, run, class"


def cut_of(query: TallyQuery) -> Dimension | None:
    """The cut that answers a question; None where none does."""
    cuts, others, _ = _KEPT[query.kind]
    found = [name for name in cuts if name in query.by]
    return found[0] if len(found) == 1 and others.issuperset(set(query.by) - {found[0]}) else None


def built(db: Database, kind: RollupKind) -> Mapping[int, Noted]:
    """Length in hours -> numbers of the stretches that are whole."""
    return whole(db, "cut_built", _KEPT[kind][2])


def outdated(session: Session, hours: Iterable[int]) -> None:
    """Facts that ended in these hours since the epoch, or what is above them, changed."""
    session.cuts.outdated(hours, _LENGTHS)


def drop_before(session: Session, at_ms: int) -> None:
    """Facts that ended before a time go: what has any of them is whole no more."""
    for length in _LENGTHS:
        session.cuts.drop_before(length, -(-at_ms // (length * HOUR_MS)))


def add_up(session: Session, now_ms: int) -> tuple[int, bool]:
    """Add up one slice of what is over, the shortest stretches first; 0 deleted, and whether there may be more."""
    days = "SELECT (SELECT min(bucket) FROM rollup_day), (SELECT max(bucket) FROM rollup_day)"
    first, last = session.db.execute(days).fetchone()
    if first is None:
        return 0, False
    since = max(first * DAY_HOURS, -(-session.counters.get(KEPT_FACTS, 0) // HOUR_MS))
    if _drop_oldest(session, since):
        return 0, True
    over = min((now_ms - _SETTLED_MS) // HOUR_MS, (last + 1) * DAY_HOURS)
    left = 1.0
    while left > 0:
        missing = (
            (length, *found)
            for length in _LENGTHS
            if (found := session.cuts.missing(length, range(-(-since // length), over // length)))
        )
        chosen = next(missing, None)
        if chosen is None:
            return 0, False
        left -= _slice(session, *chosen)
    return 0, True


def _drop_oldest(session: Session, since_hour: int) -> bool:
    """Rows of a stretch that begins before the first hour of which every fact is kept, and its note.

    What nothing ran in at first has a note still.
    """
    db = session.db
    for length in _LENGTHS:
        oldest = db.execute("SELECT min(bucket) FROM rollup_cut WHERE hours = ?", (length,)).get
        if oldest is not None and oldest * length < since_hour:
            db.execute("DELETE FROM rollup_cut WHERE hours = ? AND bucket = ?", (length, oldest))
            session.cuts.drop_before(length, oldest + 1)
            return True
    return False


def _slice(session: Session, length: int, bucket: int, done: int) -> float:
    """The sums of some more projects; returns which share of a slice that was."""
    db, place = session.db, (length, bucket)
    if done == 0:
        db.execute("DELETE FROM rollup_cut WHERE hours = ? AND bucket = ?", place)
    from_facts = [kind for kind, (_, _, lengths) in _KEPT.items() if lengths[0] == length]
    most = _share(db, bucket, from_facts[0], length) if from_facts else _PROJECTS[length]
    chosen = db.execute("SELECT id FROM dim_project WHERE id > ? ORDER BY id LIMIT ?", (done, most))
    numbers = [row[0] for row in chosen]
    if numbers:
        listed = msgspec.json.encode(numbers).decode()
        span = (bucket * length * HOUR_MS, (bucket + 1) * length * HOUR_MS)
        for kind, (cuts, _, lengths) in _KEPT.items():
            if kind in from_facts:
                db.execute(_from_facts(db, kind), (*place, *span, listed))
            elif length > lengths[0]:
                for cut in cuts:
                    _from_sums(db, place, kind, CUTS[cut], listed)
    session.cuts.put(place, numbers[-1] if len(numbers) == most else WHOLE)
    return max(1, len(numbers)) / most


def _share(db: Database, bucket: int, kind: RollupKind, length: int) -> int:
    """How many projects make a slice that reads facts."""
    span = (bucket * length * HOUR_MS, (bucket + 1) * length * HOUR_MS)
    counted = (
        f"SELECT count(*) FROM {kind} INDEXED BY {kind}_end WHERE _terminal AND stopped_at >= ? AND stopped_at < ?"
    )
    n: int = db.execute(counted, span).get
    projects: int = db.execute("SELECT count(*) FROM dim_project").get
    return max(1, projects * _FACTS // max(n, 1))


def _from_facts(db: Database, kind: RollupKind) -> str:
    """Length, number, begin, end (milliseconds) and projects as JSON -> their rows of every cut, facts read once."""
    cuts = _KEPT[kind][0]
    by: tuple[Dimension, ...] = ("project", "branch_class", *(("workflow",) if kind == "workflow" else ()), *cuts)
    query = TallyQuery(kind, {}, by, frozenset(MEASURES))
    key = [f"k_{name}" for name in by]
    values = [f"{letter}_{name}" for letter in "bv" for name in MEASURES]
    sums = ", ".join([f"sum({name})" for name in SUMS] + [f"sketch_of(group_concat(v_{name}))" for name in MEASURES])
    run, names = ("k_workflow", "k_workflow, ") if kind == "workflow" else ("0", "")
    arms = [
        f"SELECT ?1, ?2, {KIND_NUMBER[kind]}, {CUTS[cut]}, k_project, k_{cut}, {run}, k_branch_class, {sums} FROM every"
        f" GROUP BY k_project, k_{cut}, {names}k_branch_class HAVING sum(n) OR sum(held)"
        for cut in cuts
    ]
    return (
        f"INSERT INTO rollup_cut ({_PLACE}, {_COLUMNS}) WITH every (s, {', '.join([*key, *SUMS, *values])})"
        f" AS MATERIALIZED (SELECT {fact_columns(db, query, '1')} FROM {kind} f INDEXED BY {kind}_end"
        f"{fact_joins(query)} WHERE f._terminal AND f.stopped_at >= ?3 AND f.stopped_at < ?4"
        f" AND f._project IN (SELECT value FROM json_each(?5))) {' UNION ALL '.join(arms)}"
    )


_SUMMED = ", ".join(
    [f"sum({name})" for name in SUMS] + [f"long_sketch({', '.join(concatenated(name))})" for name in MEASURES]
)
_ADD_LONGER = (
    f"INSERT INTO rollup_cut ({_PLACE}, {_COLUMNS}) SELECT ?1, ?2, ?3, ?4, r.project, r.value, r.run, r.class,"
    f" {_SUMMED} FROM json_each(?7) p CROSS JOIN json_each(?6) e CROSS JOIN rollup_cut r ON r.hours = ?5"
    " AND r.bucket = e.value AND r.kind = ?3 AND r.cut = ?4 AND r.project = p.value"
    " GROUP BY r.project, r.value, r.run, r.class"
)


def _from_sums(db: Database, place: tuple[int, int], kind: RollupKind, cut: int, projects: str) -> None:
    """From the next shorter stretches, which are whole: those are added up before."""
    length, bucket = place
    shorter = _LENGTHS[_LENGTHS.index(length) - 1]
    n = length // shorter
    parts = msgspec.json.encode(list(range(bucket * n, (bucket + 1) * n))).decode()
    db.execute(_ADD_LONGER, (*place, KIND_NUMBER[kind], cut, shorter, parts, projects))
