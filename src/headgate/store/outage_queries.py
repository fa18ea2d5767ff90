"""Questions about outages: what was added up, then the runs of the last hours. Functions get a reader's connection.

Invariant: an answer is what all runs of the time tell, one after the other; `core.outages.sum_outages` says it of runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from headgate.core.detailrows import OutageSum
from headgate.core.outages import Outages, before_ms
from headgate.core.tally import Bounds, Dimension
from headgate.store.cover import KEPT_FACTS
from headgate.store.outages import Key, Stretch, first_failed, newest, runs_in
from headgate.store.sql import Database
from headgate.store.words import texts_of

__all__ = ["outage_sums"]

# ?1 project; ?2 from when on runs count; ?3, ?4 what is asked for. An outage that began before runs count begins with
# its first failed run that does (`_CUT`).
_ENDED = "(o.ended >= ?3 AND o.ended < ?4 AND o.began >= ?2)"
_FOLLOWED = "(o.green_last >= ?2 AND o.began >= ?3 AND o.began < ?4)"
_SUMS = (
    f"SELECT {{columns}}, sum(iif({_ENDED}, 1, 0)), sum(iif({_ENDED}, o.ended - o.began, 0)),"
    f" sum(iif({_FOLLOWED}, 1, 0)), sum(iif({_FOLLOWED}, o.began - o.green, 0))"
    f" FROM outage o WHERE o.project = ?1 AND ({_ENDED} OR {_FOLLOWED}) GROUP BY {{groups}}"
)
_CUT = (
    "SELECT run, ref, class, last, ended FROM outage"
    " WHERE project = ?1 AND began < ?2 AND last >= ?2 AND ended >= ?3 AND ended < ?4"
)
# In the order of the table's key, so that nothing is sorted.
_NAMES: Mapping[Dimension, str] = {"workflow": "o.run", "branch": "o.ref", "branch_class": "o.class"}
Place = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class _Span:
    """A project as it is asked for. `before_ms`: from when on runs count; `upto_ms`: from when on they are read."""

    slug: str
    numbers: tuple[int, ...]
    before_ms: int
    since_ms: int
    until_ms: int
    upto_ms: int


def outage_sums(db: Database, bounds: Bounds, by: Collection[Dimension], least_ms: int) -> list[OutageSum]:
    """Of most projects from rows of outages, of the hours after these from runs."""
    spans = _spans(db, bounds, least_ms, classes="branch_class" in by)
    found: defaultdict[Place, Outages] = defaultdict(Outages)
    asked = _Asked(db, by, found)
    asked.rows([span for span in spans if span.upto_ms > span.before_ms])
    asked.runs([span for span in spans if span.upto_ms < span.until_ms])
    texts = texts_of(db, {number for place in found for number in place[1:3]})
    sums = (
        OutageSum(slug, texts[run], texts[ref], number, one.recoveries, one.red_ms, one.relapses, one.green_ms)
        for (slug, run, ref, number), one in found.items()
        if one.recoveries or one.relapses
    )
    return sorted(sums, key=lambda one: one.place)


def _spans(db: Database, bounds: Bounds, least_ms: int, *, classes: bool) -> list[_Span]:
    """Where branches have runs of both classes, or two projects one name, all runs are read."""
    kept_ms = db.execute("SELECT n FROM counter WHERE name = ?", (KEPT_FACTS,)).get or 0
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for number, slug in db.execute("SELECT id, slug FROM dim_project"):
        if slug in bounds:
            numbers[slug].append(number)
    upto = {
        project: upto_ms
        for project, upto_ms, mixed in db.execute("SELECT project, upto, mixed FROM outage_upto")
        if not (mixed and classes)
    }
    found = []
    for slug, members in numbers.items():
        since_ms, until_ms = bounds[slug]
        begin_ms = max(kept_ms, before_ms(bounds[slug], least_ms))
        known_ms = upto.get(members[0], 0) if len(members) == 1 else 0
        found.append(_Span(slug, tuple(members), begin_ms, since_ms, until_ms, min(until_ms, max(begin_ms, known_ms))))
    return found


class _Asked:
    """One answer in the making."""

    def __init__(self, db: Database, by: Collection[Dimension], found: defaultdict[Place, Outages]) -> None:
        self._db = db
        self._by = frozenset(by)
        self._found = found

    def rows(self, spans: Collection[_Span]) -> None:
        """What was added up, a project at a time."""
        columns = [column if name in self._by else "0" for name, column in _NAMES.items()]
        groups = [column for column in columns if column != "0"]
        statement = _SUMS.format(columns=", ".join(columns), groups=", ".join(groups) or "o.project")
        for span in spans:
            bound = span.numbers[0], span.before_ms, span.since_ms, span.upto_ms
            for run, ref, branch_class, *sums in self._db.execute(statement, bound):
                one = self._found[span.slug, run, ref, branch_class]
                one.recoveries, one.red_ms, one.relapses, one.green_ms = sums
            self._cut(span, bound)

    def _cut(self, span: _Span, bound: tuple[int, int, int, int]) -> None:
        """Outages that began before runs count: they begin with their first failed run that does."""
        for run, ref, branch_class, last, ended in self._db.execute(_CUT, bound).fetchall():
            began = first_failed(self._db, (span.numbers[0], run, ref), span.before_ms, last + 1)
            if began is not None:
                one = self._found[self._place(span.slug, run, ref, branch_class)]
                one.recoveries += 1
                one.red_ms += ended - began

    def _place(self, slug: str, run: int, ref: int, branch_class: int) -> Place:
        return (
            slug,
            run if "workflow" in self._by else 0,
            ref if "branch" in self._by else 0,
            branch_class if "branch_class" in self._by else 0,
        )

    def runs(self, spans: Collection[_Span]) -> None:
        """What came after it, with what was so at that time."""
        of = {number: span for span in spans for number in span.numbers}
        stretches = [Stretch(span.numbers, span.upto_ms, span.until_ms) for span in spans]
        seen: set[Key] = set()
        for run in runs_in(self._db, stretches):
            span = of[run.project]
            one = self._found[self._place(span.slug, run.name, run.ref, run.branch_class)]
            key = run.project, run.name, run.ref
            if key not in seen:
                seen.add(key)
                if span.upto_ms > span.before_ms:
                    self._resume(one, key, span)
            one.add(key[1:], run.at_ms, failed=bool(run.failed), inside=run.at_ms >= span.since_ms)

    def _resume(self, one: Outages, key: Key, span: _Span) -> None:
        """Whether it was red or green when that what was added up ends."""
        found = newest(self._db, key, span.upto_ms)
        if found is None:
            return
        last: int | None = found.last
        if found.last >= span.upto_ms:  # what was added up knows more than holds by now
            last = first_failed(self._db, key, found.began, span.upto_ms, last=True)
        if last is None or last < span.before_ms:
            return
        if found.ended is not None and found.ended < span.upto_ms:
            one.green[key[1:]] = found.ended
            return
        began = found.began
        if began < span.before_ms:
            began = first_failed(self._db, key, span.before_ms, span.upto_ms) or last
        one.red[key[1:]] = began
