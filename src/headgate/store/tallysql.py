"""The one statement that answers a question about sums: rows of buckets, and single facts at the edges.

Invariant: each bucket and each stretch of facts that is given is read once, with its sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from headgate.core.rollup import MEASURES, SUMS, Measure
from headgate.core.tally import DEFAULT_BRANCH, ROLLED, Dimension, TallyQuery
from headgate.core.times import DAY_MS
from headgate.store import cuts
from headgate.store.cover import DAY_HOURS, QUARTER, Sign, Source
from headgate.store.factsums import fact_columns, fact_filters, fact_joins
from headgate.store.lanes import concatenated
from headgate.store.schema import KIND_NUMBER
from headgate.store.sql import Database
from headgate.store.words import word

__all__ = ["FORMS", "Buckets", "FactSpans", "Part", "Statement", "width_of"]

_COLUMN: dict[Dimension, str] = {
    "org": "r.project",
    "project": "r.project",
    "workflow": "r.run",
    "job": "r.job",
    "branch_class": "r.class",
    "day": "r.bucket",
    "hour": "r.bucket",
}
# Of those, what a question may want one value of.
_NAMED: Mapping[Dimension, str] = {name: _COLUMN[name] for name in ("workflow", "job", "branch_class")}
# Where at most this share of all projects is asked for, single facts are found by their names and not by time alone.
_FEW = 10
# Where at least this share is, rows of all projects are read one after the other: looking a place up costs as much as
# reading twenty rows.
_MOST = 2
# A project with a part of its bounds that is read fact by fact, milliseconds.
_Member = tuple[int, int, int, Sign]
# `lanes.Forms` of what is added, and of what is taken away.
_BINS = ", ".join(
    part
    for sign in (">", "<")
    for part in (*concatenated("b_{0}", f"s {sign} 0"), f"group_concat(v_{{0}}) FILTER (WHERE s {sign} 0)")
)
FORMS = 3
# As in `Cover`, and the projects that want it.
Part = tuple[Source, Sign, tuple[int, ...]]
Buckets = Mapping[Part, Sequence[int]]
# Project -> those parts.
FactSpans = dict[int, tuple[tuple[int, int, Sign], ...]]


def width_of(query: TallyQuery) -> int:
    """How much one row of longer buckets may hold: a place, all jobs of a workflow, all of a project, also by class."""
    if not {"workflow", "job"}.intersection(query.by):
        return 3 if "branch_class" in query.by else 2
    return int(query.kind == "job" and "job" not in query.by)


class Statement:
    """Of one question, for one use. `known`: how many projects there are, asked for or not."""

    def __init__(self, db: Database, query: TallyQuery, known: int, facts: FactSpans) -> None:
        self._db = db
        self._query = query
        self._known = known
        self._facts = facts
        self._cut = cuts.cut_of(query)
        self._measures: tuple[Measure, ...] = tuple(name for name in MEASURES if name in query.bins)
        # Named tables and parameters of the statement.
        self._tables: list[str] = []
        self._bound: list[Any] = []

    def rows(self, buckets: Buckets) -> Iterable[tuple[Any, ...]]:
        """Key, sums, and `FORMS` of each measure, of buckets and facts together."""
        arms = [self._rolled(*part, projects) for part, projects in buckets.items()]
        arms += self._edges()
        if not arms:
            return ()
        key = [f"k{position}" for position in range(len(self._query.by))]
        measures = [f"{letter}_{name}" for letter in "bv" for name in self._measures]
        every = f"every (s, {', '.join([*key, *SUMS, *measures])}) AS ({' UNION ALL '.join(arms)})"
        columns = [*key, *(f"sum({name})" for name in SUMS), *(_BINS.format(name) for name in self._measures)]
        statement = f"WITH {', '.join([*self._tables, every])} SELECT {', '.join(columns)} FROM every"
        if key:
            statement += f" GROUP BY {', '.join(key)}"
        rows = self._db.execute(statement, self._bound)
        return (row for row in rows if row[len(key)] is not None)  # without a key, nothing is a row too

    # -- buckets

    def _rolled(self, source: Source, sign: Sign, numbers: tuple[int, ...], projects: Sequence[int]) -> str:
        """Whole buckets: for each of them and each project one range of the key."""
        table, place = self._place(source)
        of = _COLUMN | ({"day": f"r.bucket / {DAY_HOURS // abs(source)}"} if abs(source) in (1, QUARTER) else {})
        if self._cut:
            of |= {self._cut: "r.value", "job": "0"}
        minus = "" if sign == 1 else "-"
        columns = [str(sign), *(of[name] for name in self._query.by), *(f"{minus}r.{name}" for name in SUMS)]
        columns += [f"r.{name}" for name in self._measures] + ["NULL"] * len(self._measures)
        buckets, listed = self._bind(numbers), f"json_each({self._bind(projects)})"
        if len(projects) * _MOST < self._known or any(name != "branch_class" for name, _ in self._query.only):
            return (
                f"SELECT {', '.join(columns)} FROM json_each({buckets}) e CROSS JOIN {listed} p"
                f" CROSS JOIN {table} r ON r.bucket = e.value AND {place} AND r.project = p.value"
            )
        return (
            f"SELECT {', '.join(columns)} FROM json_each({buckets}) e CROSS JOIN {table} r"
            f" ON r.bucket = e.value AND {place} AND +r.project IN (SELECT value FROM {listed})"
        )

    def _place(self, source: Source) -> tuple[str, str]:
        """The table of a source, and which rows of it."""
        kind = f"r.kind = {KIND_NUMBER[self._query.kind]}"
        if self._cut:
            of: dict[Dimension, str] = {**_NAMED, self._cut: "r.value"}
            return "rollup_cut", f"r.hours = {source} AND {kind} AND r.cut = {cuts.CUTS[self._cut]}{self._wanted(of)}"
        kind += self._wanted(_NAMED)
        if source in (1, DAY_HOURS):
            return "rollup_hour" if source == 1 else "rollup_day", kind
        return "rollup_span", f"r.hours = {abs(source)} AND {kind} AND r.wide = {width_of(self._query)}"

    def _wanted(self, of: Mapping[Dimension, str]) -> str:
        """Conditions on columns that take the groups that are wanted; those of other dimensions are left out."""
        found = ""
        for name, text in self._query.only:
            if name not in of or name not in self._query.by:
                continue
            if name == "branch_class":
                found += f" AND {of[name]} {'IS' if text == DEFAULT_BRANCH else 'IS NOT'} 1"
            else:
                number = word(self._db, text) or -1
                found += f" AND {of[name]} = {number}" if text else f" AND coalesce({of[name]}, 0) = 0"
        return found

    def _bind(self, value: Any) -> str:
        """A parameter, as JSON where it is a list."""
        self._bound.append(value if isinstance(value, int) else msgspec.json.encode(value).decode())
        return f"?{len(self._bound)}"

    def _table(self, columns: str, rows: str) -> str:
        """Rows that are looked up by their first column; the name of the table."""
        name = f"t{len(self._tables)}"
        self._tables.append(f"{name} ({columns}) AS MATERIALIZED ({rows})")
        return name

    # -- facts

    def _edges(self) -> Iterator[str]:
        """What buckets do not hold: every stretch of time is read once, whichever projects want it."""
        query = self._query
        wanted = self._wanted(fact_filters(query))
        few = len(self._facts) * _FEW <= self._known and not ROLLED.issuperset(query.by)
        for since_ms, until_ms, members in _overlapping(self._facts):
            if few and until_ms - since_ms > DAY_MS:
                yield self._of_named(members, since_ms, until_ms, wanted)
            elif len({(start, end, sign) for _, start, end, sign in members}) == 1:
                yield self._of_all(members, wanted)
            else:
                facts = f"{query.kind} f INDEXED BY {query.kind}_end CROSS JOIN {{spans}} s ON s.project = f._project"
                both = " AND f.stopped_at >= s.since AND f.stopped_at < s.until"
                yield self._of_each(members, facts + both, self._between(since_ms, until_ms), wanted)

    def _of_each(self, members: Sequence[_Member], facts: str, between: str, wanted: str) -> str:
        """Each project has its own bounds. `facts`: a FROM with the place of its `spans`."""
        columns, joins = fact_columns(self._db, self._query, "s.sign"), fact_joins(self._query)
        found = facts.format(spans=self._spans(members))
        return f"SELECT {columns} FROM {found}{joins} WHERE f._terminal{between}{wanted}"

    def _spans(self, members: Sequence[_Member]) -> str:
        """A table of the bounds of each project."""
        # Without the cast the number of a project has no affinity, so sqlite makes no index of it.
        parts = f"CAST(value ->> 0 AS INTEGER), {', '.join(f'value ->> {position}' for position in range(1, 4))}"
        return self._table("project, since, until, sign", f"SELECT {parts} FROM json_each({self._bind(members)})")

    def _of_all(self, members: Sequence[_Member], wanted: str) -> str:
        """All have the same: joined with them, each fact would be held against the bounds of every project."""
        query, (_, since_ms, until_ms, sign) = self._query, members[0]
        columns = fact_columns(self._db, query, str(sign))
        listed = self._bind([number for number, *_ in members])
        return (
            f"SELECT {columns} FROM {query.kind} f INDEXED BY {query.kind}_end{fact_joins(query)} WHERE f._terminal"
            f"{self._between(since_ms, until_ms)} AND f._project IN (SELECT value FROM json_each({listed})){wanted}"
        )

    def _between(self, since_ms: int, until_ms: int) -> str:
        return f" AND f.stopped_at >= {self._bind(since_ms)} AND f.stopped_at < {self._bind(until_ms)}"

    def _of_named(self, members: Sequence[_Member], since_ms: int, until_ms: int, wanted: str) -> str:
        """Facts of few projects by the names that ran: the index by time alone has those of all projects.

        Found from indexes alone, then read in the order in which they came: those of one run lie side by side.
        """
        query, kind = self._query, self._query.kind
        days = range(since_ms // DAY_MS, (until_ms - 1) // DAY_MS + 1)
        places = self._table(
            "project, run, job, class",
            f"SELECT DISTINCT r.project, r.run, r.job, r.class FROM json_each({self._bind(list(days))}) e"
            f" CROSS JOIN json_each({self._bind(list(self._facts))}) p CROSS JOIN rollup_day r"
            f" ON r.bucket = e.value AND r.kind = {KIND_NUMBER[kind]} AND r.project = p.value{self._wanted(_NAMED)}",
        )
        name = "n._run = q.run AND n.name IS nullif(q.job, 0)" if kind == "job" else "n.name IS nullif(q.run, 0)"
        numbers = self._table(
            "fact, sign",
            f"SELECT n._id, s.sign FROM {self._spans(members)} s CROSS JOIN {places} q ON q.project = s.project"
            f" CROSS JOIN {kind} n INDEXED BY {kind}_series ON n._project = q.project AND {name} AND n._class = q.class"
            " AND n.stopped_at >= s.since AND n.stopped_at < s.until WHERE n._terminal ORDER BY n._id",
        )
        columns, joins = fact_columns(self._db, query, "s.sign"), fact_joins(query)
        return (
            f"SELECT {columns} FROM {numbers} s CROSS JOIN {kind} f ON f._id = s.fact{joins} WHERE f._terminal{wanted}"
        )


def _overlapping(facts: FactSpans) -> Iterator[tuple[int, int, list[_Member]]]:
    """Stretches that share time, together: begin, end, and (project, begin, end, sign) of each."""
    wanted = sorted((start, end, number, sign) for number, spans in facts.items() for start, end, sign in spans)
    group: list[_Member] = []
    last = 0
    for start, end, number, sign in wanted:
        if group and start >= last:
            yield group[0][1], last, group
            group, last = [], 0
        group.append((number, start, end, sign))
        last = max(last, end)
    if group:
        yield group[0][1], last, group
