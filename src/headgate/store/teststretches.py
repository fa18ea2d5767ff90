"""Reads stretches of tests that were added up, for all projects of a question at once; what is not there from results.

Invariant: the parts of a project are in order and do not overlap, and together have every result within the bounds. One
project is in memory at a time, since tests of all of them may be millions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter
from typing import Any, Protocol

from headgate.core.times import HOUR_MS
from headgate.store.sql import Database
from headgate.store.testgather import Commit, Gatherer
from headgate.store.testpacks import (
    EMPTY,
    Fault,
    Form,
    Piece,
    Stretch,
    Sums,
    Times,
    unpack_commits,
    unpack_entries,
    unpack_faults,
    unpack_hours,
    unpack_sums,
    unpack_tests,
    unpack_times,
)
from headgate.store.testparts import LENGTHS, QUARTER

__all__ = ["Part", "Stretches"]

_Span = tuple[int, int]
_FORMS = "SELECT id, test_id, name, suite, class_name, file FROM test_form WHERE project = ?"
_ROWS = """
SELECT t.project, t.hours, t.bucket, t.rowid FROM json_each(:projects) p
CROSS JOIN json_each(:stretches) s CROSS JOIN test_part t ON t.project = p.value
  AND t.hours = s.value ->> 0 AND t.bucket = s.value ->> 1
"""
_READ = "SELECT t.rowid, {columns} FROM json_each(?) r CROSS JOIN test_part t ON t.rowid = r.value"
_ENDS = """
SELECT min((SELECT min(t.bucket) FROM test_part t WHERE t.project = p.value AND t.hours = :hours)),
  max((SELECT max(t.bucket) FROM test_part t WHERE t.project = p.value AND t.hours = :hours))
FROM json_each(:projects) p
"""
_THERE = "SELECT bucket, rowid FROM test_part WHERE project = ? AND hours = ? AND bucket >= ? AND bucket < ?"
_REST = "SELECT times, body FROM test_part WHERE rowid = ?"


class Part(Protocol):
    """One stretch of a project, added up or read result by result."""

    @property
    def mark(self) -> object | None:
        """The same as long as its results are, and never that of others; None where it has none."""
        ...

    @property
    def commits(self) -> Iterable[str]:
        """Revisions with results in it."""
        ...

    def keys(self) -> Sequence[bytes | str]:
        """Its tests, in the order of `sums`."""
        ...

    def forms(self) -> Collection[Form]:
        """Every name of every test."""
        ...

    def wide(self) -> Iterable[bytes | str]:
        """Tests with times that no machine takes, which are not in `sums`."""
        ...

    def sums(self, branch_class: int | None) -> Sums:
        """Of all commits, or of those of one class of branches."""
        ...

    def times(self) -> Times:
        """Of all commits."""
        ...

    def faults(self) -> Iterable[tuple[Form, str, Fault | Commit]]:
        """One name of the test, the revision and what came of it there, wherever it failed."""
        ...

    def tests_on(self, commits: Collection[str]) -> Iterable[bytes | str]:
        """Tests with results on some commits."""
        ...

    def pieces(self, tests: Collection[bytes | str]) -> Iterable[tuple[bytes | str, Iterable[Piece]]]:
        """Of some tests, by test and commit."""
        ...


class _Kept:
    """What is kept of the stretches of a project, read at once when something of one is asked for."""

    def __init__(self, db: Database, project: int, columns: str) -> None:
        self.db = db
        self.rows: list[int] = []
        self.quarters: list[int] = []
        self._project = project
        self._columns = columns
        self._names: dict[bytes, tuple[Sequence[bytes | str], Collection[Form], Collection[bytes | str]]] = {}

    @cached_property
    def forms(self) -> Mapping[int, Form]:
        """The names of its tests."""
        return {number: tuple(form) for number, *form in self.db.execute(_FORMS, (self._project,))}

    @cached_property
    def stretches(self) -> Mapping[int, Stretch]:
        """By row."""
        return {row: Stretch._make(kept) for row, *kept in self._read(self._columns, self.rows)}

    @cached_property
    def hours(self) -> Mapping[int, Sequence[Stretch]]:
        """Of quarters of a day, by row."""
        return {row: unpack_hours(parts) for row, parts in self._read("t.parts", self.quarters)}

    def _read(self, columns: str, rows: Sequence[int]) -> Iterable[tuple[Any, ...]]:
        return self.db.execute(_READ.format(columns=columns), (json.dumps(rows),)) if rows else ()

    def names(self, told: bytes) -> tuple[Sequence[bytes | str], Collection[Form], Collection[bytes | str]]:
        """What `unpack_tests` says: tests in order, every name of them, and tests with times that no machine takes."""
        found = self._names.get(told)
        if found is None:
            first, others, wide = unpack_tests(told)
            forms = [self.forms[number] for number in first]
            keys = [form[0] for form in forms]
            every = {*forms, *(self.forms[number] for number in others)}
            found = self._names[told] = keys, every, {keys[place] for place in wide}
        return found


@dataclass(frozen=True, slots=True)
class _Stored:
    """A `Part` from `begin_ms` that was added up. `hour`: which one of its row, -1 where it is all of it."""

    begin_ms: int
    row: int
    hour: int
    of: _Kept

    @property
    def mark(self) -> tuple[int, int]:
        """Rows are never numbered as one before them; see `store.testparts`."""
        return self.row, self.hour

    @property
    def kept(self) -> Stretch:
        """Its columns."""
        return self.of.stretches[self.row] if self.hour < 0 else self.of.hours[self.row][self.hour]

    @property
    def commits(self) -> Sequence[str]:
        return unpack_commits(self.kept.commits)

    def keys(self) -> Sequence[bytes | str]:
        return self.of.names(self.kept.tests)[0]

    def forms(self) -> Collection[Form]:
        return self.of.names(self.kept.tests)[1]

    def wide(self) -> Collection[bytes | str]:
        return self.of.names(self.kept.tests)[2]

    def sums(self, branch_class: int | None) -> Sums:
        kept = self.kept
        if branch_class is None or kept.classes == 1 << branch_class:
            told = kept.sums
        else:
            told = kept.main if branch_class else kept.other
        return unpack_sums(told) if told else EMPTY

    def times(self) -> Times:
        return unpack_times(self.kept.times)

    def faults(self) -> Iterable[tuple[Form, str, Fault]]:
        found = unpack_faults(self.kept.faults)
        commits = self.commits if found else ()
        return ((self.of.forms[one.form], commits[one.commit], one) for one in found)

    def tests_on(self, commits: Collection[str]) -> Iterable[bytes | str]:
        places = {place for place, commit in enumerate(self.commits) if commit in commits}
        if not places:
            return ()
        keys, (_, body) = self.keys(), self._rest()
        entries = unpack_entries(body, range(len(keys)))
        return (keys[place] for place, entry in entries if not places.isdisjoint(entry.commits()))

    def pieces(self, tests: Collection[bytes | str]) -> Iterable[tuple[bytes | str, Iterable[Piece]]]:
        keys = self.keys()
        wanted = {place for place, key in enumerate(keys) if key in tests}
        if wanted:
            times, body = self._rest()
            told, commits = unpack_times(times), self.commits
            for place, entry in unpack_entries(body, wanted):
                yield keys[place], entry.pieces(self.begin_ms, commits, told.times[place], told.runs[place])

    def _rest(self) -> tuple[bytes, bytes]:
        """Times and body."""
        if self.hour >= 0 or self.kept.body:
            return self.kept.times, self.kept.body
        row: tuple[bytes, bytes] = self.of.db.execute(_REST, (self.row,)).fetchone()
        return row


class _Rows:
    """Rows in the order of their projects, which are their first columns, read when a project is come to."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, project: int) -> Sequence[tuple[Any, ...]]:
        """Of the next project, once; none if it has none."""
        if self._next is None or self._next[0] != project:
            return ()
        found = list(self._next[1])
        self._next = next(self._groups, None)
        return found


class Stretches:
    """Reads stretches for one question; use it inside one transaction."""

    def __init__(self, db: Database, *wanted: str) -> None:
        """`wanted`: columns of `Stretch` that are asked for often; what else is, is read one by one."""
        columns = (name if name in ("classes", "tests", "commits", *wanted) else "x''" for name in Stretch._fields)
        self._db = db
        self._columns = ", ".join(columns)
        self.gatherer = Gatherer(db)

    def each(
        self, projects: Sequence[int], windows: Sequence[Mapping[int, _Span]]
    ) -> Iterator[Sequence[Sequence[Part]]]:
        """Of each project and each window [since_ms, until_ms) its parts, in order, without overlap.

        Those of the same bounds are looked for together, but each is read when something of it is asked for. Where a
        window is not of a project, it has no parts.
        """
        together = [_together(projects, window) for window in windows]
        read: list[dict[_Span, _Window]] = [{} for _ in windows]
        for project in projects:
            own, kept = list[Sequence[Part]](), _Kept(self._db, project, self._columns)
            for window, alike, known in zip(windows, together, read, strict=True):
                span = window.get(project)
                if span is not None and span not in known:
                    known[span] = _Window(self._db, alike[span], span)
                own.append(() if span is None else list(self._of(project, known[span], kept)))
            yield own

    def _of(self, project: int, window: _Window, kept: _Kept) -> Iterator[Part]:
        at, until_ms = window.span
        there = window.of(project, kept)
        for hours, begin in window.chosen:
            part = there.get((hours, begin))
            if part is not None:
                yield from self._missing(project, kept, at, begin)
                yield part
                at = begin + (hours or 1) * HOUR_MS
        yield from self._missing(project, kept, at, until_ms)

    def _missing(self, project: int, kept: _Kept, since_ms: int, until_ms: int) -> Iterator[Part]:
        """What is not there as it was chosen: shorter ones, and results."""
        if since_ms >= until_ms or not self.gatherer.any(project, since_ms, until_ms):
            return
        for hours in LENGTHS[1:]:
            length = hours * HOUR_MS
            first, last = -(-since_ms // length), until_ms // length
            if first < last and (found := self._db.execute(_THERE, (project, hours, first, last)).fetchone()):
                bucket, row = found
                begin = bucket * length
                kept.rows.append(row)
                yield from self._missing(project, kept, since_ms, begin)
                yield _Stored(begin, row, -1, kept)
                yield from self._missing(project, kept, begin + length, until_ms)
                return
        collected = self.gatherer.commits(project, since_ms, until_ms)
        if collected is not None:
            yield collected


class _Window:
    """What is there of a window, looked for of some projects in their order. `chosen`: see `_cover`."""

    def __init__(self, db: Database, projects: Sequence[int], span: _Span) -> None:
        asked = json.dumps(projects)
        self.span = span
        self.chosen = list(_cover(*span, _ends(db, asked)))
        self._single = {begin for hours, begin in self.chosen if not hours}
        whole = {(hours, begin // (hours * HOUR_MS)) for hours, begin in self.chosen if hours}
        quarters = {(QUARTER, begin // (QUARTER * HOUR_MS)) for begin in self._single}
        bound = {"projects": asked, "stretches": json.dumps(sorted(whole | quarters))}
        self._rows = _Rows(db.execute(_ROWS, bound))
        self._whole = whole

    def of(self, project: int, kept: _Kept) -> Mapping[_Span, Part]:
        """Those of the next project, by hours and begin."""
        found: dict[_Span, Part] = {}
        for _, hours, bucket, row in self._rows.of(project):
            begin = bucket * hours * HOUR_MS
            if (hours, bucket) in self._whole:
                kept.rows.append(row)
                found[hours, begin] = _Stored(begin, row, -1, kept)
                continue
            kept.quarters.append(row)
            for hour in range(QUARTER):
                at = begin + hour * HOUR_MS
                if at in self._single:
                    found[0, at] = _Stored(at, row, hour, kept)
        return found


def _together(projects: Sequence[int], window: Mapping[int, _Span]) -> Mapping[_Span, Sequence[int]]:
    """Projects with the same bounds, in order."""
    found: dict[_Span, list[int]] = {}
    for project in projects:
        if project in window:
            found.setdefault(window[project], []).append(project)
    return found


def _ends(db: Database, projects: str) -> Mapping[int, _Span]:
    """Of each length of which there are stretches, the first and last bucket of any project."""
    ends = {hours: db.execute(_ENDS, {"hours": hours, "projects": projects}).fetchone() for hours in LENGTHS}
    return {hours: (first, last) for hours, (first, last) in ends.items() if first is not None}


def _cover(since_ms: int, until_ms: int, ends: Mapping[int, _Span]) -> Iterator[_Span]:
    """The longest stretches within these times, in order: hours, or 0 for one of a quarter's own, and begin.

    `ends`: of each length the first and last bucket.
    """
    quarters = ends.get(QUARTER, (0, -1))
    oldest = min((first * hours * HOUR_MS for hours, (first, _) in ends.items()), default=until_ms)
    newest = max(((last + 1) * hours * HOUR_MS for hours, (_, last) in ends.items()), default=0)
    at, until_ms = max(-(-since_ms // HOUR_MS) * HOUR_MS, oldest), min(until_ms, newest)
    while at + HOUR_MS <= until_ms:
        within = quarters[0] <= at // (QUARTER * HOUR_MS) <= quarters[1]
        hours = next((hours for hours in LENGTHS if _fits(hours, at, until_ms, ends)), 0)
        if hours > 1 or (hours and not within):
            yield hours, at
        elif within:
            yield 0, at
        at += max(hours, 1) * HOUR_MS


def _fits(hours: int, at: int, until_ms: int, ends: Mapping[int, _Span]) -> bool:
    length = hours * HOUR_MS
    first, last = ends.get(hours, (0, -1))
    return at % length == 0 and at + length <= until_ms and first <= at // length <= last
