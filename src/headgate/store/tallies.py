"""Sums over ended runs: from the longest buckets that fit, what the bounds cut from facts, all in one statement.

Invariant: each fact within the bounds is counted once, so a tally is exact for any bounds; which buckets are read is
decided in `cover`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from headgate.core.rollup import MEASURES, SUMS, Measure, bin_of
from headgate.core.slug import org_slug
from headgate.core.tally import ROLLED, STEPS, Dimension, Tally, TallyQuery, class_name
from headgate.core.times import DAY_MS, format_ms
from headgate.store.cover import DAY_HOURS, KEPT_FACTS, KEPT_HOURS, QUARTER, Cover, Kept, Sign, Source, cover
from headgate.store.factsums import fact_columns, fact_joins
from headgate.store.schema import KIND_NUMBER
from headgate.store.sketches import unpack
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
# Each end by itself: asked for both in one, SQLite reads the whole table.
ENDS = "SELECT (SELECT min(bucket) FROM {table}), (SELECT max(bucket) FROM {table})"
# Where at most this share of all projects is asked for, single facts are found by their names and not by time alone.
_FEW = 10
# Project -> parts of its bounds that are read fact by fact, milliseconds.
_Facts = dict[int, tuple[tuple[int, int, Sign], ...]]


def tallies(db: Database, query: TallyQuery) -> dict[tuple[str, ...], Tally]:
    """See the port."""
    first, last = db.execute(ENDS.format(table="rollup_day")).fetchone()
    if first is None:
        return {}
    counters = dict(db.execute("SELECT name, n FROM counter WHERE name IN (?, ?)", (KEPT_HOURS, KEPT_FACTS)).fetchall())
    kept = Kept(counters.get(KEPT_HOURS, 0), counters.get(KEPT_FACTS, 0), built(db))
    longest = 1 if "hour" in query.by else DAY_HOURS if "day" in query.by else max(LENGTHS)
    wide = _width(query)
    asked = _Asked(db, query, wide)
    known: dict[tuple[int, int], Cover] = {}
    for number, slug in db.execute("SELECT id, slug FROM dim_project"):
        since_ms, until_ms = query.bounds.get(slug, (0, 0))
        bounds = max(since_ms, first * DAY_MS), min(until_ms, (last + 1) * DAY_MS)
        if bounds[0] >= bounds[1]:
            continue
        if bounds not in known:
            known[bounds] = (
                cover(*bounds, kept, longest=longest, wide=wide > 0)
                if ROLLED.issuperset(query.by)
                else Cover((), ((*bounds, 1),))
            )
        asked.add(number, slug, known[bounds])
    return asked.answer()


def _width(query: TallyQuery) -> int:
    """How much one row of longer buckets may hold: a place, all jobs of a workflow, all of a project."""
    if not {"workflow", "job", "branch_class"}.intersection(query.by):
        return 2
    return int(query.kind == "job" and "job" not in query.by)


class _Asked:
    """One answer in the making."""

    def __init__(self, db: Database, query: TallyQuery, wide: int) -> None:
        self._db = db
        self._query = query
        self._slugs: dict[int, str] = {}
        self._texts: dict[int | None, str] = {None: "", 0: ""}
        self._measures: tuple[Measure, ...] = tuple(name for name in MEASURES if name in query.bins)
        self._buckets: defaultdict[tuple[Source, Sign, tuple[int, ...]], list[int]] = defaultdict(list)
        self._facts: _Facts = {}
        self._wide = wide
        # Named tables and parameters of the statement.
        self._tables: list[str] = []
        self._bound: list[Any] = []

    def add(self, number: int, slug: str, how: Cover) -> None:
        """A project, and what is read of it."""
        self._slugs[number] = slug
        for part in how.buckets:
            self._buckets[part].append(number)
        if how.facts:
            self._facts[number] = how.facts

    def answer(self) -> dict[tuple[str, ...], Tally]:
        """Everything added up; groups to which nothing contributes are left out."""
        arms = [self._rolled(*part, projects) for part, projects in self._buckets.items()] + list(self._edges())
        if not arms:
            return {}
        key = [f"k{position}" for position in range(len(self._query.by))]
        measures = [f"{letter}_{name}" for letter in "bv" for name in self._measures]
        every = f"every (s, {', '.join([*key, *SUMS, *measures])}) AS ({' UNION ALL '.join(arms)})"
        columns = [*key, *(f"sum({name})" for name in SUMS), *(_BINS.format(name) for name in self._measures)]
        statement = f"WITH {', '.join([*self._tables, every])} SELECT {', '.join(columns)} FROM every"
        if key:
            statement += f" GROUP BY {', '.join(key)}"
        return self._groups(self._db.execute(statement, self._bound), len(key))

    def _groups(self, rows: Iterable[tuple[Any, ...]], width: int) -> dict[tuple[str, ...], Tally]:
        found: dict[tuple[str, ...], Tally] = {}
        end = width + len(SUMS)
        for row in rows:
            if not row[width] and not row[end - 1]:  # neither runs nor approvals
                continue
            tally = Tally(*row[width:end])
            for position, measure in enumerate(self._measures):
                if bins := _bins(*row[end + 4 * position : end + 4 * position + 4]):
                    tally.bins[measure] = bins
            known = found.setdefault(self._key(row[:width]), tally)
            if known is not tally:
                known.add(tally)
        return found

    def _key(self, numbers: tuple[int | None, ...]) -> tuple[str, ...]:
        return tuple([self._value(name, number) for name, number in zip(self._query.by, numbers, strict=True)])

    def _value(self, name: Dimension, number: int | None) -> str:
        if name == "branch_class":
            return class_name(number or 0)
        if name in STEPS:
            return format_ms((number or 0) * STEPS[name])
        if name in ("project", "org"):
            slug = self._slugs[number or 0]
            return slug if name == "project" else org_slug(slug)
        found = self._texts.get(number)
        if found is None:
            found = self._texts[number] = str(self._db.execute("SELECT text FROM dim WHERE id = ?", (number,)).get)
        return found

    # -- buckets

    def _rolled(self, source: Source, sign: Sign, numbers: tuple[int, ...], projects: list[int]) -> str:
        """Whole buckets: for each of them and each project one range of the key."""
        kind = KIND_NUMBER[self._query.kind]
        if source in (1, DAY_HOURS):
            table, place = "rollup_hour" if source == 1 else "rollup_day", f"r.kind = {kind}"
        else:
            place = f"r.hours = {abs(source)} AND r.kind = {kind} AND r.wide = {self._wide}"
            table = "rollup_span"
        of = _COLUMN | ({"day": f"r.bucket / {DAY_HOURS // source}"} if source in (1, QUARTER) else {})
        minus = "" if sign == 1 else "-"
        columns = [str(sign), *(of[name] for name in self._query.by), *(f"{minus}r.{name}" for name in SUMS)]
        columns += [f"r.{name}" for name in self._measures] + ["NULL"] * len(self._measures)
        return (
            f"SELECT {', '.join(columns)} FROM json_each({self._bind(numbers)}) e"
            f" CROSS JOIN json_each({self._bind(projects)}) p"
            f" CROSS JOIN {table} r ON r.bucket = e.value AND {place} AND r.project = p.value"
        )

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
        query, projects = self._query, self._db.execute("SELECT count(*) FROM dim_project").get
        columns, joins = fact_columns(self._db, query, "s.sign"), fact_joins(query)
        by_name = len(self._facts) * _FEW <= projects and not ROLLED.issuperset(query.by)
        for since_ms, until_ms, members in _overlapping(self._facts):
            parts = ", ".join(f"value ->> {position}" for position in range(4))
            rows = f"SELECT {parts} FROM json_each({self._bind(members)})"
            spans = self._table("project, since, until, sign", rows)
            if by_name:
                yield f"SELECT {columns} FROM {spans} s {self._named(since_ms, until_ms)}{joins} WHERE f._terminal"
                continue
            yield (
                f"SELECT {columns} FROM {query.kind} f INDEXED BY {query.kind}_end CROSS JOIN {spans} s"
                f" ON s.project = f._project AND f.stopped_at >= s.since AND f.stopped_at < s.until{joins} WHERE"
                f" f._terminal AND f.stopped_at >= {self._bind(since_ms)} AND f.stopped_at < {self._bind(until_ms)}"
            )

    def _named(self, since_ms: int, until_ms: int) -> str:
        """Facts of few projects by the names that ran: the index by time alone has those of all projects."""
        kind = self._query.kind
        days = range(since_ms // DAY_MS, (until_ms - 1) // DAY_MS + 1)
        wanted = "".join(f" AND {_COLUMN[name]} = {word(self._db, text) or -1}" for name, text in self._query.only)
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


_BINS = ", ".join(
    f"{how} FILTER (WHERE s {sign} 0){end}"
    for how, end in (("CAST(group_concat(b_{0}, '')", " AS BLOB)"), ("group_concat(v_{0})", ""))
    for sign in (">", "<")
)


def _bins(added: bytes | None, taken: bytes | None, spans: str | None, other: str | None) -> dict[int, int]:
    """Sketches and single spans, less those that are too much."""
    bins = unpack(added)
    for index, n in _binned(spans):
        bins[index] = bins.get(index, 0) + n
    if taken or other:
        for index, n in (*unpack(taken).items(), *_binned(other)):
            bins[index] = bins.get(index, 0) - n
        bins = {index: n for index, n in bins.items() if n}
    return bins


def _binned(spans: str | None) -> Iterable[tuple[int, int]]:
    return Counter(map(bin_of, map(int, spans.split(",")))).items() if spans else ()


def _overlapping(facts: _Facts) -> Iterator[tuple[int, int, list[tuple[int, int, int, Sign]]]]:
    """Stretches that share time, together: begin, end, and (project, begin, end, sign) of each."""
    wanted = sorted((start, end, number, sign) for number, spans in facts.items() for start, end, sign in spans)
    group: list[tuple[int, int, int, Sign]] = []
    last = 0
    for start, end, number, sign in wanted:
        if group and start >= last:
            yield group[0][1], last, group
            group, last = [], 0
        group.append((number, start, end, sign))
        last = max(last, end)
    if group:
        yield group[0][1], last, group
