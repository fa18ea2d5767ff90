"""Sums over ended runs: from the longest buckets that fit, what the bounds cut from facts, all in one statement.

Invariant: each fact within the bounds is counted once, so a tally is exact for any bounds; which buckets are read is
decided in `cover`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import add
from typing import Any

from headgate.core.rollup import MEASURES, SUMS, Measure
from headgate.core.slug import org_slug
from headgate.core.tally import ROLLED, STEPS, Dimension, Tally, TallyQuery, class_name
from headgate.core.times import DAY_MS, format_ms
from headgate.store import cuts
from headgate.store.cover import (
    DAY_HOURS,
    KEPT_FACTS,
    KEPT_HOURS,
    Cover,
    Kept,
    Source,
    cover,
    cut_cover,
)
from headgate.store.lanes import bins_of, joined, lay, summed
from headgate.store.notedsums import NotedRow, NotedRows, NotedSums
from headgate.store.notes import Noted
from headgate.store.spans import LENGTHS, built
from headgate.store.sql import Database
from headgate.store.tallysql import FORMS, FactSpans, Part, Statement, width_of

__all__ = ["ENDS", "tallies"]

# Each end by itself: asked for both in one, SQLite reads the whole table.
ENDS = "SELECT (SELECT min(bucket) FROM {table}), (SELECT max(bucket) FROM {table})"
_Buckets = defaultdict[Part, list[int]]
# Of stretches noted as whole a day or longer, of shorter ones, and of others.
_Parts = tuple[Part, Part, Part]
# Numbers of the dimensions of a group.
_Key = tuple[int | None, ...]


def tallies(db: Database, query: TallyQuery, remembered: NotedSums | None = None) -> dict[tuple[str, ...], Tally]:
    """See the port. `remembered`: of this store, from one answer to the next."""
    first, last = db.execute(ENDS.format(table="rollup_day")).fetchone()
    if first is None:
        return {}
    projects = db.execute("SELECT id, slug FROM dim_project").fetchall()
    noted = cuts.built(db, query.kind) if cuts.cut_of(query) else built(db)
    asked = _Asked(db, query, len(projects), noted, remembered or NotedSums())
    how = _reading(db, query, noted)
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


def _reading(db: Database, query: TallyQuery, noted: Mapping[Source, Noted]) -> Callable[[int, int], Cover]:
    """What reads some bounds: buckets of sums that know the dimensions, with facts at the edges, or facts alone."""
    longest = 1 if "hour" in query.by else DAY_HOURS if "day" in query.by else max(LENGTHS)
    if ROLLED.issuperset(query.by):
        named = "SELECT name, n FROM counter WHERE name IN (?, ?)"
        counters = dict(db.execute(named, (KEPT_HOURS, KEPT_FACTS)).fetchall())
        kept = Kept(counters.get(KEPT_HOURS, 0), counters.get(KEPT_FACTS, 0), noted)
        return partial(cover, kept=kept, longest=longest, wide=width_of(query) > 0)
    if cuts.cut_of(query):
        return partial(cut_cover, built=noted, longest=longest)
    return lambda since_ms, until_ms: Cover((), ((since_ms, until_ms, 1),))


class _Asked:
    """One answer in the making. `known`: how many projects there are, asked for or not; `noted`: what is whole."""

    def __init__(
        self, db: Database, query: TallyQuery, known: int, noted: Mapping[Source, Noted], remembered: NotedSums
    ) -> None:
        self._db = db
        self._query = query
        self._projects = known
        self._slugs: dict[int, str] = {}
        self._measures: tuple[Measure, ...] = tuple(name for name in MEASURES if name in query.bins)
        self._remembered = remembered
        self._noted = noted
        # What is remembered, longer stretches by themselves since they outlast others, and what is not.
        self._long: _Buckets = defaultdict(list)
        self._short: _Buckets = defaultdict(list)
        self._buckets: _Buckets = defaultdict(list)
        self._parts: dict[Part, _Parts] = {}
        self._facts: FactSpans = {}
        self._cut = cuts.cut_of(query)

    def add(self, number: int, slug: str, how: Cover) -> None:
        """A project, and what is read of it."""
        self._slugs[number] = slug
        for part in how.buckets:
            if part not in self._parts:
                self._parts[part] = self._split(part)
            for into, some in zip((self._long, self._short, self._buckets), self._parts[part], strict=True):
                if some[2]:
                    into[some].append(number)
        if how.facts:
            self._facts[number] = how.facts

    def _split(self, part: Part) -> _Parts:
        """By what is noted: days and hours of single jobs are read without a note, too."""
        source, sign, numbers = part
        notes = self._versions(source)
        noted: Part = (source, sign, tuple([number for number in numbers if number in notes]))
        others: Part = (source, sign, tuple([number for number in numbers if number not in notes]))
        none: Part = (source, sign, ())
        return (noted, none, others) if abs(source) >= DAY_HOURS else (none, noted, others)

    def _versions(self, source: Source) -> Noted:
        """Notes of its stretches; those of days and hours hold for wide rows and for others."""
        return self._noted[source] if source in self._noted else self._noted[-source]

    def answer(self) -> dict[tuple[str, ...], Tally]:
        """Everything added up, in the order of the key's numbers; groups to which nothing contributes are left out."""
        noted, width = self._noted_rows(), len(self._query.by)
        groups: dict[_Key, tuple[tuple[Any, ...], list[dict[int, int]]]] = {}
        for row in self._rows(self._buckets, self._facts):
            groups[row[:width]] = self._sums(row[width:], noted.get(row[:width]))
        for key, (sums, sketches) in noted.items():
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

    def _noted_rows(self) -> NotedRows:
        """Of stretches that are noted as whole; those that are too many to be remembered are read with all others."""
        levels = [one for one in (self._long, self._short) if one]
        kept = 0
        while kept < len(levels) and not self._remembered.too_large(self._question(levels[: kept + 1])):
            kept += 1
        for one in levels[kept:]:
            self._buckets |= one
        return self._remembered_rows(levels[:kept])

    def _question(self, levels: Sequence[_Buckets]) -> object:
        """What is asked of which stretches, by the versions of their notes: the same has the same answer for ever."""
        query = self._query
        whole = [
            (part, tuple(map(self._versions(part[0]).version, part[2])), tuple(projects))
            for one in levels
            for part, projects in one.items()
        ]
        return query.kind, query.by, query.bins, query.only, tuple(whole)

    def _remembered_rows(self, levels: Sequence[_Buckets]) -> NotedRows:
        """Of each level with those before it, which are remembered by themselves too."""
        if not levels:
            return {}
        question = self._question(levels)
        known = self._remembered.get(question)
        if known is None:
            width, found = len(self._query.by), dict(self._remembered_rows(levels[:-1]))
            for row in self._rows(levels[-1], {}):
                sums, bins = self._sums(row[width:], found.get(row[:width]))
                found[row[:width]] = sums, tuple([lay(one) for one in bins])
            numbers = sum(2 * len(part[2]) + len(projects) for one in levels for part, projects in one.items())
            letters = sum(len(text) for _, text in self._query.only)
            self._remembered.put(question, known := found, numbers=numbers + letters)
        return known

    def _sums(self, values: tuple[Any, ...], more: NotedRow | None) -> tuple[tuple[Any, ...], list[dict[int, int]]]:
        """The sums of a row after its key, and the bins of each measure, with those that are remembered."""
        sums = values[: len(SUMS)]
        if more is not None:
            sums = tuple(map(add, sums, more[0]))
        bins = []
        for position in range(len(self._measures)):
            at = len(SUMS) + 2 * FORMS * position
            added, taken = values[at : at + FORMS], values[at + FORMS : at + 2 * FORMS]
            bins.append(summed(joined(added, more[1][position]) if more else added, taken))
        return sums, bins

    def _rows(self, buckets: _Buckets, facts: FactSpans) -> Iterable[tuple[Any, ...]]:
        return Statement(self._db, self._query, self._projects, facts).rows(buckets)

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
