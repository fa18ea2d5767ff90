"""Sums over ended runs: whole days and hours from rollups, what the bounds cut from facts.

Invariant: each fact is counted once, in the day, the hour or by itself, so a tally is exact for any bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from headgate.core.facts import Value
from headgate.core.rollup import MEASURES, SUMS, Measure, RollupKind, contribution
from headgate.core.slug import org_slug
from headgate.core.tally import ROLLED, STEPS, Dimension, Tally, TallyQuery, class_name
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.store.rollups import KEPT_FACTS, KEPT_HOURS
from headgate.store.schema import KIND_NUMBER
from headgate.store.sketches import concat, unpack
from headgate.store.sql import Database

__all__ = ["tallies"]

_DAY_HOURS = DAY_MS // HOUR_MS
_COLUMN: dict[Dimension, str] = {
    "org": "project",
    "project": "project",
    "workflow": "run",
    "job": "job",
    "branch_class": "class",
}
# The same for dimensions of time, by the table that is read.
_BUCKETS: dict[str, dict[Dimension, str]] = {
    "rollup_day": {"day": "r.bucket"},
    "rollup_hour": {"hour": "r.bucket", "day": f"r.bucket / {_DAY_HOURS}"},
}
# Each end by itself: asked for both in one, SQLite reads the whole table.
ENDS = "SELECT (SELECT min(bucket) FROM {table}), (SELECT max(bucket) FROM {table})"
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store still knows. `hours`: first whole hour; `facts_ms`: since when every fact is kept."""

    hours: int
    facts_ms: int


@dataclass(frozen=True, slots=True)
class Parts:
    """How one project's bounds are read, half open. `days`, `hours`: numbers of buckets; `facts`: milliseconds."""

    days: Span | None
    hours: tuple[Span, ...]
    facts: tuple[Span, ...]


def tallies(db: Database, query: TallyQuery) -> dict[tuple[str, ...], Tally]:
    """See the port."""
    counters = dict(db.execute("SELECT name, n FROM counter WHERE name IN (?, ?)", (KEPT_HOURS, KEPT_FACTS)).fetchall())
    kept = Kept(counters.get(KEPT_HOURS, 0), counters.get(KEPT_FACTS, 0))
    rolled = ROLLED.issuperset(query.by)
    days: dict[Span, list[int]] = {}
    hours: dict[Span, list[int]] = {}
    facts: dict[int, tuple[Span, ...]] = {}
    slugs: dict[int, str] = {}
    for number, slug in db.execute("SELECT id, slug FROM dim_project"):
        since_ms, until_ms = query.bounds.get(slug, (0, 0))
        if since_ms >= until_ms:
            continue
        slugs[number] = slug
        parts = (
            split(since_ms, until_ms, kept, days="hour" not in query.by) if rolled else _all_facts(since_ms, until_ms)
        )
        if parts.days is not None:
            days.setdefault(parts.days, []).append(number)
        for span in parts.hours:
            hours.setdefault(span, []).append(number)
        if parts.facts:
            facts[number] = parts.facts
    return _Count(db, query, slugs).all(days, hours, facts)


def _all_facts(since_ms: int, until_ms: int) -> Parts:
    return Parts(None, (), ((since_ms, until_ms),))


def split(since_ms: int, until_ms: int, kept: Kept, *, days: bool = True) -> Parts:
    """Days as far as they go, then hours, then facts. Where facts are gone, the bounds are widened to whole buckets.

    `days` False: hours and facts alone, for what is asked by the hour.
    """
    since_ms, until_ms = _widened(since_ms, kept, up=False), _widened(until_ms, kept, up=True)
    first, last = -(-since_ms // DAY_MS), until_ms // DAY_MS
    whole = (first, last) if days and first < last else None
    edges = [(since_ms, until_ms)] if whole is None else [(since_ms, first * DAY_MS), (last * DAY_MS, until_ms)]
    hours: list[Span] = []
    facts: list[Span] = []
    for start, end in edges:
        from_hour, to_hour = max(-(-start // HOUR_MS), kept.hours), end // HOUR_MS
        if from_hour < to_hour:
            hours.append((from_hour, to_hour))
            facts += [(start, from_hour * HOUR_MS), (to_hour * HOUR_MS, end)]
        else:
            facts.append((start, end))
    return Parts(whole, tuple(hours), tuple(span for span in facts if span[0] < span[1]))


def _widened(at_ms: int, kept: Kept, *, up: bool) -> int:
    """A bound that cuts a bucket whose facts are not all kept any more moves to the end of that bucket."""
    # Above, the hours from the begin of the day are needed; below, those from the bound on.
    first = at_ms // DAY_MS * _DAY_HOURS if up else at_ms // HOUR_MS
    length = HOUR_MS if first >= kept.hours else DAY_MS
    begin = at_ms // length * length
    if begin == at_ms or begin >= kept.facts_ms:
        return at_ms
    return begin + length if up else begin


class _Count:
    """One answer in the making."""

    def __init__(self, db: Database, query: TallyQuery, slugs: dict[int, str]) -> None:
        self._db = db
        self._query = query
        self._slugs = slugs
        self._found: dict[tuple[str, ...], Tally] = {}
        self._texts: dict[int | None, str] = {None: "", 0: ""}
        self._measures: tuple[Measure, ...] = tuple(name for name in MEASURES if name in query.bins)

    def all(
        self, days: dict[Span, list[int]], hours: dict[Span, list[int]], facts: dict[int, tuple[Span, ...]]
    ) -> dict[tuple[str, ...], Tally]:
        """Everything added up; groups to which nothing contributes are left out."""
        for table, spans in (("rollup_day", days), ("rollup_hour", hours)):
            for span, projects in spans.items():
                self._rolled(table, span, projects)
        if facts:
            self._edges(facts)
        return {key: tally for key, tally in self._found.items() if tally.n or tally.held}

    def _tally(self, numbers: tuple[int | None, ...]) -> Tally:
        key = self._key(numbers)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = Tally()
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

    def _rolled(self, table: str, span: Span, projects: list[int]) -> None:
        """Add whole buckets: for each of them and each project one range of the key."""
        first, last = self._db.execute(ENDS.format(table=table)).fetchone()
        if first is None or span[0] > last or span[1] <= first:
            return
        span = (max(span[0], first), min(span[1], last + 1))
        of = _COLUMN | _BUCKETS[table]
        columns = list(dict.fromkeys(of[name] for name in self._query.by))
        sums = ", ".join(f"sum({name})" for name in SUMS)
        head = "".join(f"{name}, " for name in columns)
        rows = self._db.execute(
            f"WITH RECURSIVE every (bucket) AS (SELECT ? UNION ALL SELECT bucket + 1 FROM every WHERE bucket + 1 < ?)"
            f" SELECT {head}{sums}{concat(self._measures)} FROM every CROSS JOIN json_each(?) p CROSS JOIN {table} r"
            " ON r.bucket = every.bucket AND r.kind = ? AND r.project = p.value"
            + (f" GROUP BY {', '.join(columns)}" if columns else ""),
            (*span, msgspec.json.encode(projects).decode(), KIND_NUMBER[self._query.kind]),
        )
        places = [columns.index(of[name]) for name in self._query.by]
        for row in rows:
            if row[len(columns)] is not None:
                self._add(self._key(tuple(row[place] for place in places)), row[len(columns) :])

    def _add(self, key: tuple[str, ...], row: tuple[Any, ...]) -> None:
        more = Tally(*row[: len(SUMS)])
        for measure, packed in zip(self._measures, row[len(SUMS) :], strict=True):
            if found := unpack(packed):
                more.bins[measure] = found
        known = self._found.setdefault(key, more)
        if known is not more:
            known.add(more)

    # -- facts

    def _edges(self, facts: dict[int, tuple[Span, ...]]) -> None:
        """Add what buckets do not hold: every stretch of time is read once, whichever projects want it."""
        wanted = sorted((span, number) for number, spans in facts.items() for span in spans)
        for group in _overlapping(wanted):
            until_ms = max(span[1] for span, _ in group)
            of: dict[int, list[Span]] = {}
            for span, number in group:
                of.setdefault(number, []).append(span)
            self._facts(group[0][0][0], until_ms, of)

    def _facts(self, since_ms: int, until_ms: int, of: dict[int, list[Span]]) -> None:
        kind, measures = self._query.kind, self._query.bins
        names = _NEEDED[kind]
        width = 2 + len(self._query.by)
        places: dict[tuple[int | None, ...], Tally] = {}
        rows = self._db.execute(
            _fact_query(self._query, names), (since_ms, until_ms, msgspec.json.encode(list(of)).decode())
        )
        for row in rows:
            if not any(start <= row[1] < end for start, end in of[row[0]]):
                continue
            told = zip(names, row[width:], strict=True)
            values: dict[str, Value] = {name: value for name, value in told if value is not None}
            part = contribution(kind, values, terminal=True)
            if part is not None:
                place = row[2:width]
                tally = places.get(place)
                if tally is None:
                    tally = places[place] = self._tally(place)
                tally.count(part, measures)


# What a contribution hangs on.
_NEEDED: dict[RollupKind, tuple[str, ...]] = {
    "workflow": ("status", "created_at", "stopped_at", "rerun_of", "credits", "credits_estimated"),
    "job": ("status", "type", "queued_at", "started_at", "stopped_at", "rerun_of", "credits"),
}
_OF_RUN: dict[Dimension, str] = {
    "org": "f._project",
    "project": "f._project",
    "workflow": "f._run",
    "job": "0",
    "branch_class": "f._class",
    "branch": "coalesce(f.ref_name, pl.ref_name)",
    "trigger": "coalesce(f.trigger_type, pl.trigger_type)",
    "resource_class": "0",
    "hour": f"f.stopped_at / {HOUR_MS}",
    "day": f"f.stopped_at / {DAY_MS}",
}
_OF_JOB: dict[Dimension, str] = _OF_RUN | {
    "job": "f.name",
    "branch": "coalesce(w.ref_name, pl.ref_name)",
    "trigger": "coalesce(w.trigger_type, pl.trigger_type)",
    "resource_class": "f.resource_class",
}
_ABOVE: dict[RollupKind, str] = {
    "workflow": " LEFT JOIN pipeline pl ON pl._key = f.pipeline_id AND pl._host = f._host",
    "job": " LEFT JOIN workflow w ON w._key = f.workflow_id AND w._host = f._host"
    " LEFT JOIN pipeline pl ON pl._key = coalesce(f.pipeline_id, w.pipeline_id) AND pl._host = f._host",
}


def _fact_query(query: TallyQuery, names: tuple[str, ...]) -> str:
    """Project, end, the numbers of the key, then what a contribution hangs on; the words of those two as texts."""
    kind = query.kind
    columns = ["f._project", "f.stopped_at", *((_OF_RUN if kind == "workflow" else _OF_JOB)[name] for name in query.by)]
    columns += [f"{name}.text" if name in ("status", "type") else f"f.{name}" for name in names]
    joins = "".join(f" LEFT JOIN dim {name} ON {name}.id = f.{name}" for name in names if name in ("status", "type"))
    above = "" if ROLLED.issuperset(query.by) else _ABOVE[kind]
    return (
        f"SELECT {', '.join(columns)} FROM {kind} f INDEXED BY {kind}_end{above}{joins} WHERE f._terminal"
        " AND f.stopped_at >= ? AND f.stopped_at < ? AND f._project IN (SELECT value FROM json_each(?))"
    )


def _overlapping(wanted: list[tuple[Span, int]]) -> Iterator[list[tuple[Span, int]]]:
    """Stretches that share time, together."""
    group: list[tuple[Span, int]] = []
    end = 0
    for one in wanted:
        if group and one[0][0] >= end:
            yield group
            group, end = [], 0
        group.append(one)
        end = max(end, one[0][1])
    if group:
        yield group
