"""Sums over ended runs: from the longest buckets that fit, what the bounds cut from facts, all in one statement.

Invariant: each fact within the bounds is counted once, so a tally is exact for any bounds; which buckets are read is
decided in `cover`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import add
from typing import Any

import msgspec

from headgate.core.rollup import MEASURES, SUMS, Measure
from headgate.core.slug import org_slug
from headgate.core.tally import DEFAULT_BRANCH, ROLLED, STEPS, Dimension, Tally, TallyQuery, class_name
from headgate.core.times import DAY_MS, format_ms
from headgate.store import cuts
from headgate.store.cover import (
    DAY_HOURS,
    KEPT_FACTS,
    KEPT_HOURS,
    QUARTER,
    WIDE,
    Cover,
    Kept,
    Sign,
    Source,
    cover,
    cut_cover,
)
from headgate.store.factsums import fact_columns, fact_filters, fact_joins
from headgate.store.lanes import bins_of, concatenated, joined, lay, summed
from headgate.store.longsums import LongRow, LongRows, LongSums
from headgate.store.notes import notes_taken
from headgate.store.schema import KIND_NUMBER
from headgate.store.spans import LENGTHS, built
from headgate.store.sql import Database
from headgate.store.words import word

__all__ = ["ENDS", "tallies"]

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
# Each end by itself: asked for both in one, SQLite reads the whole table.
ENDS = "SELECT (SELECT min(bucket) FROM {table}), (SELECT max(bucket) FROM {table})"
# Where at most this share of all projects is asked for, single facts are found by their names and not by time alone.
_FEW = 10
# Where at least this share is, rows of all projects are read one after the other: looking a place up costs as much as
# reading twenty rows.
_MOST = 2
# A project with a part of its bounds that is read fact by fact, milliseconds.
_Member = tuple[int, int, int, Sign]
# As in `Cover`, and the projects that want it.
_Part = tuple[Source, Sign, tuple[int, ...]]
_Buckets = defaultdict[_Part, list[int]]
# Numbers of the dimensions of a group.
_Key = tuple[int | None, ...]
# Project -> those parts.
_Facts = dict[int, tuple[tuple[int, int, Sign], ...]]


def tallies(db: Database, query: TallyQuery, remembered: LongSums | None = None) -> dict[tuple[str, ...], Tally]:
    """See the port. `remembered`: of this store, from one answer to the next."""
    first, last = db.execute(ENDS.format(table="rollup_day")).fetchone()
    if first is None:
        return {}
    projects = db.execute("SELECT id, slug FROM dim_project").fetchall()
    asked = _Asked(db, query, len(projects), remembered or LongSums())
    how = _reading(db, query)
    known: dict[tuple[int, int], Cover] = {}
    for number, slug in projects:
        since_ms, until_ms = query.bounds.get(slug, (0, 0))
        bounds = max(since_ms, first * DAY_MS), min(until_ms, (last + 1) * DAY_MS)
        if bounds[0] >= bounds[1]:
            continue
        if bounds not in known:
            known[bounds] = how(*bounds)
        asked.add(number, slug, known[bounds])
    return asked.answer()


def _reading(db: Database, query: TallyQuery) -> Callable[[int, int], Cover]:
    """What reads some bounds: buckets of sums that know the dimensions, with facts at the edges, or facts alone."""
    longest = 1 if "hour" in query.by else DAY_HOURS if "day" in query.by else max(LENGTHS)
    if ROLLED.issuperset(query.by):
        named = "SELECT name, n FROM counter WHERE name IN (?, ?)"
        counters = dict(db.execute(named, (KEPT_HOURS, KEPT_FACTS)).fetchall())
        kept = Kept(counters.get(KEPT_HOURS, 0), counters.get(KEPT_FACTS, 0), built(db))
        return partial(cover, kept=kept, longest=longest, wide=_width(query) > 0)
    if cuts.cut_of(query):
        return partial(cut_cover, built=cuts.built(db, query.kind), longest=longest)
    return lambda since_ms, until_ms: Cover((), ((since_ms, until_ms, 1),))


def _width(query: TallyQuery) -> int:
    """How much one row of longer buckets may hold: a place, all jobs of a workflow, all of a project, also by class."""
    if not {"workflow", "job"}.intersection(query.by):
        return 3 if "branch_class" in query.by else 2
    return int(query.kind == "job" and "job" not in query.by)


class _Asked:
    """One answer in the making. `known`: how many projects there are, asked for or not."""

    def __init__(self, db: Database, query: TallyQuery, known: int, remembered: LongSums) -> None:
        self._db = db
        self._query = query
        self._known = known
        self._slugs: dict[int, str] = {}
        self._measures: tuple[Measure, ...] = tuple(name for name in MEASURES if name in query.bins)
        self._remembered = remembered
        self._days = built(db)[WIDE]
        # What is remembered, and what is added up for this answer alone.
        self._long: _Buckets = defaultdict(list)
        self._buckets: _Buckets = defaultdict(list)
        self._parts: dict[_Part, tuple[_Part, _Part]] = {}
        self._facts: _Facts = {}
        self._cut = cuts.cut_of(query)
        # Named tables and parameters of the statement.
        self._tables: list[str] = []
        self._bound: list[Any] = []

    def add(self, number: int, slug: str, how: Cover) -> None:
        """A project, and what is read of it."""
        self._slugs[number] = slug
        for part in how.buckets:
            if part not in self._parts:
                self._parts[part] = self._split(part)
            for into, some in zip((self._long, self._buckets), self._parts[part], strict=True):
                if some[2]:
                    into[some].append(number)
        if how.facts:
            self._facts[number] = how.facts

    def _split(self, part: _Part) -> tuple[_Part, _Part]:
        """Stretches of a day or longer that are noted as whole, and others: days are read without a note, too."""
        source, sign, numbers = part
        if abs(source) < DAY_HOURS:
            return (source, sign, ()), part
        if source != DAY_HOURS or self._cut:
            return part, (source, sign, ())
        noted = tuple([number for number in numbers if number in self._days])
        return (source, sign, noted), (source, sign, tuple([one for one in numbers if one not in self._days]))

    def answer(self) -> dict[tuple[str, ...], Tally]:
        """Everything added up, in the order of the key's numbers; groups to which nothing contributes are left out."""
        long, width = self._long_rows(), len(self._query.by)
        groups: dict[_Key, tuple[tuple[Any, ...], list[dict[int, int]]]] = {}
        for row in self._rows(self._buckets, edges=True):
            groups[row[:width]] = self._sums(row[width:], long.get(row[:width]))
        for key, (sums, sketches) in long.items():
            if key not in groups:
                groups[key] = sums, [bins_of(sketch) for sketch in sketches]
        found: dict[tuple[str, ...], Tally] = {}
        texts = [
            {number: self._text(name, number) for number in {key[at] for key in groups}}
            for at, name in enumerate(self._query.by)
        ]
        for key in sorted(groups, key=lambda numbers: [number or 0 for number in numbers]):
            sums, bins = groups[key]
            if sums[0] or sums[-1]:  # runs or approvals
                self._add(found, tuple([text[number] for text, number in zip(texts, key, strict=True)]), sums, bins)
        return found

    def _long_rows(self) -> LongRows:
        """Of the long stretches; where they are too many to be remembered, those are read with all others."""
        if not self._long:
            return {}
        query, taken = self._query, notes_taken(self._db)
        whole = tuple([(part, tuple(projects)) for part, projects in self._long.items()])
        question = (query.kind, query.by, query.bins, query.only, whole)
        if self._remembered.too_large(taken, question):
            self._buckets |= self._long
            return {}
        known = self._remembered.get(taken, question)
        if known is None:
            width, known = len(query.by), dict[_Key, LongRow]()
            for row in self._rows(self._long, edges=False):
                sums, bins = self._sums(row[width:], None)
                known[row[:width]] = sums, tuple([lay(one) for one in bins])
            numbers = sum(len(part[2]) + len(projects) for part, projects in whole)
            self._remembered.put(taken, question, known, numbers=numbers)
        return known

    def _sums(self, values: tuple[Any, ...], more: LongRow | None) -> tuple[tuple[Any, ...], list[dict[int, int]]]:
        """The sums of a row after its key, and the bins of each measure, with those that are remembered."""
        sums = values[: len(SUMS)]
        if more is not None:
            sums = tuple(map(add, sums, more[0]))
        bins = []
        for position in range(len(self._measures)):
            at = len(SUMS) + 2 * _FORMS * position
            added, taken = values[at : at + _FORMS], values[at + _FORMS : at + 2 * _FORMS]
            bins.append(summed(joined(added, more[1][position]) if more else added, taken))
        return sums, bins

    def _rows(self, buckets: _Buckets, *, edges: bool) -> Iterable[tuple[Any, ...]]:
        """Key, sums, and forms of each measure. `edges`: with what is read fact by fact."""
        self._tables, self._bound = [], []
        arms = [self._rolled(*part, projects) for part, projects in buckets.items()]
        arms += self._edges() if edges else ()
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

    def _add(
        self,
        found: dict[tuple[str, ...], Tally],
        key: tuple[str, ...],
        sums: tuple[Any, ...],
        bins: Iterable[dict[int, int]],
    ) -> None:
        tally = Tally(*sums)
        if self._measures:
            tally.bins = {measure: one for measure, one in zip(self._measures, bins, strict=True) if one}
        known = found.setdefault(key, tally)
        if known is not tally:
            known.add(tally)

    def _text(self, name: Dimension, number: int | None) -> str:
        if name == "branch_class":
            return class_name(number or 0)
        if name in STEPS:
            return format_ms((number or 0) * STEPS[name])
        if name in ("project", "org"):
            slug = self._slugs[number or 0]
            return slug if name == "project" else org_slug(slug)
        return str(self._db.execute("SELECT text FROM dim WHERE id = ?", (number,)).get) if number else ""

    # -- buckets

    def _rolled(self, source: Source, sign: Sign, numbers: tuple[int, ...], projects: list[int]) -> str:
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
        return "rollup_span", f"r.hours = {abs(source)} AND {kind} AND r.wide = {_width(self._query)}"

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
                yield self._of_each(members, "{spans} s " + self._named(since_ms, until_ms), "", wanted)
            elif len({(start, end, sign) for _, start, end, sign in members}) == 1:
                yield self._of_all(members, wanted)
            else:
                facts = f"{query.kind} f INDEXED BY {query.kind}_end CROSS JOIN {{spans}} s ON s.project = f._project"
                both = " AND f.stopped_at >= s.since AND f.stopped_at < s.until"
                yield self._of_each(members, facts + both, self._between(since_ms, until_ms), wanted)

    def _of_each(self, members: Sequence[_Member], facts: str, between: str, wanted: str) -> str:
        """Each project has its own bounds. `facts`: a FROM with the place of its `spans`."""
        columns, joins = fact_columns(self._db, self._query, "s.sign"), fact_joins(self._query)
        # Without the cast the number of a project has no affinity, so sqlite makes no index of it.
        parts = f"CAST(value ->> 0 AS INTEGER), {', '.join(f'value ->> {position}' for position in range(1, 4))}"
        spans = self._table("project, since, until, sign", f"SELECT {parts} FROM json_each({self._bind(members)})")
        return f"SELECT {columns} FROM {facts.format(spans=spans)}{joins} WHERE f._terminal{between}{wanted}"

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

    def _named(self, since_ms: int, until_ms: int) -> str:
        """Facts of few projects by the names that ran: the index by time alone has those of all projects."""
        kind = self._query.kind
        days = range(since_ms // DAY_MS, (until_ms - 1) // DAY_MS + 1)
        wanted = self._wanted(_NAMED)
        places = self._table(
            "project, run, job, class",
            f"SELECT DISTINCT r.project, r.run, r.job, r.class FROM json_each({self._bind(list(days))}) e"
            f" CROSS JOIN json_each({self._bind(list(self._facts))}) p CROSS JOIN rollup_day r"
            f" ON r.bucket = e.value AND r.kind = {KIND_NUMBER[kind]} AND r.project = p.value{wanted}",
        )
        name = "f._run = q.run AND f.name IS nullif(q.job, 0)" if kind == "job" else "f.name IS nullif(q.run, 0)"
        return (
            f"CROSS JOIN {places} q ON q.project = s.project CROSS JOIN {kind} f INDEXED BY {kind}_series"
            f" ON f._project = q.project AND {name} AND f._class = q.class"
            " AND f.stopped_at >= s.since AND f.stopped_at < s.until"
        )


# `lanes.Forms` of what is added, and of what is taken away.
_BINS = ", ".join(
    part
    for sign in (">", "<")
    for part in (*concatenated("b_{0}", f"s {sign} 0"), f"group_concat(v_{{0}}) FILTER (WHERE s {sign} 0)")
)
_FORMS = 3


def _overlapping(facts: _Facts) -> Iterator[tuple[int, int, list[_Member]]]:
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
