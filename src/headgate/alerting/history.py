"""Given runs and jobs as a store would tell of them at any moment: what replays and tests of rules are judged by.

Invariant: what is told of a moment follows from what had ended by then; sums equal those of a store with these facts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from sys import maxsize
from typing import Any, Generic, TypeVar

from headgate.core.deployed import Deployed
from headgate.core.detailrows import OutageSum, RepeatSum
from headgate.core.outages import sum_outages
from headgate.core.repeats import repeats_in, sum_repeats
from headgate.core.rollup import SUMS, Contribution, Measure, RollupKind, bin_of
from headgate.core.runrows import (
    DeploymentRow,
    JobRow,
    LiveChoice,
    LiveRow,
    RunChoice,
    RunRow,
    StepFailures,
    TestOutcome,
)
from headgate.core.slug import org_slug
from headgate.core.status import FAILED
from headgate.core.tally import Bounds, Dimension, Tally, TallyQuery, class_name
from headgate.core.times import DAY_MS, HOUR_MS, format_ms

__all__ = ["History"]

R = TypeVar("R", RunRow, JobRow)
_VALUES: Mapping[Dimension, Callable[[Any], str]] = {
    "org": lambda row: org_slug(row.project),
    "project": lambda row: row.project,
    "workflow": lambda row: row.workflow,
    "job": lambda row: getattr(row, "job", ""),
    "branch_class": lambda row: class_name(row.branch_class),
    "branch": lambda row: row.ref,
    "trigger": lambda row: row.trigger,
    "resource_class": lambda row: getattr(row, "resource_class", ""),
    "hour": lambda row: format_ms(row.stopped_ms // HOUR_MS * HOUR_MS),
}
_BY_DAY: tuple[Dimension, ...] = ("workflow", "job", "branch_class")
_SUMMED = frozenset({"org", "project", *_BY_DAY})


class _Ended(Generic[R]):
    """Rows of one project and kind, oldest first, with their sums by whole days."""

    def __init__(self, rows: Iterable[R]) -> None:
        self.rows: list[R] = sorted(rows, key=attrgetter("stopped_ms"))
        self.times: list[int] = [row.stopped_ms for row in self.rows]
        self.parts = [part_of(row) for row in self.rows]
        self.series: dict[tuple[str, str], list[R]] = {}
        self._days: dict[int, dict[tuple[str, ...], Tally]] = {}
        self._keys: dict[tuple[Dimension, ...], list[tuple[str, ...]]] = {}
        for row in self.rows:
            self.series.setdefault((row.workflow, _VALUES["job"](row)), []).append(row)

    def within(self, since_ms: int, until_ms: int) -> range:
        """Places of the rows that ended then."""
        return range(bisect_left(self.times, since_ms), bisect_left(self.times, until_ms))

    def keys(self, by: tuple[Dimension, ...]) -> Sequence[tuple[str, ...]]:
        """Of each row what it is grouped by."""
        if by not in self._keys:
            values = [_VALUES[name] for name in by]
            self._keys[by] = [tuple(value_of(row) for value_of in values) for row in self.rows]
        return self._keys[by]

    def day(self, day: int) -> Mapping[tuple[str, ...], Tally]:
        """Sums of a whole day by `_BY_DAY`."""
        if day not in self._days:
            found: dict[tuple[str, ...], Tally] = {}
            keys = self.keys(_BY_DAY)
            for index in self.within(day * DAY_MS, (day + 1) * DAY_MS):
                found.setdefault(keys[index], Tally()).count(self.parts[index], _ALL)
            self._days[day] = found
        return self._days[day]


_ALL: frozenset[Measure] = frozenset({"duration_ok", "duration_failed", "queue", "hold"})


class History:
    """Answers what evaluation asks a store. `now_ms`: the moment, moved by whoever plays."""

    def __init__(
        self, runs: Iterable[RunRow], jobs: Iterable[JobRow] = (), outcomes: Iterable[TestOutcome] = ()
    ) -> None:
        self.now_ms = 0
        self._runs = _by_project(runs)
        jobs = list(jobs)
        self._jobs = _by_project(jobs)
        self._approved: dict[str, list[int]] = {}
        for job in jobs:
            if job.type == "approval":
                self._approved.setdefault(job.workflow_id, []).append(job.stopped_ms)
        self._outcomes: dict[str, list[TestOutcome]] = {}
        for one in sorted(outcomes, key=attrgetter("last_ms")):
            self._outcomes.setdefault(one.project, []).append(one)

    @property
    def projects(self) -> frozenset[str]:
        """Every project that anything is known of."""
        return frozenset(self._runs) | frozenset(self._jobs) | frozenset(self._outcomes)

    def ends_ms(self) -> list[int]:
        """When anything ended, ascending."""
        times = [rows.times for rows in self._runs.values()] + [rows.times for rows in self._jobs.values()]
        return sorted(
            {at for found in times for at in found}
            | {one.last_ms for found in self._outcomes.values() for one in found}
        )

    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        """As the store's."""
        rows = [e.rows[index] for e in self._runs.values() for index in e.within(since_ms, until_ms)]
        rows.sort(key=lambda row: (row.stopped_ms, row.workflow_id))
        return [row for row in rows if after is None or (row.stopped_ms, row.workflow_id) > after][:limit]

    async def jobs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[JobRow]:
        """As the store's."""
        rows = [e.rows[index] for e in self._jobs.values() for index in e.within(since_ms, until_ms)]
        rows.sort(key=lambda row: (row.stopped_ms, row.job_id))
        return [row for row in rows if after is None or (row.stopped_ms, row.job_id) > after][:limit]

    async def deployments_between(self, *_: object, **__: object) -> Sequence[DeploymentRow]:
        """None are given."""
        return []

    async def deployment_ends(self, *_: object, **__: object) -> Sequence[Deployed]:
        """As above."""
        return []

    async def repeat_sums(self, bounds: Bounds, *, by: Collection[Dimension]) -> Sequence[RepeatSum]:
        """As the store's."""
        runs = [run for project in bounds if project in self._runs for run in self._runs[project].rows]
        return sum_repeats(repeats_in(runs, bounds), by)

    async def outage_sums(self, bounds: Bounds, *, by: Collection[Dimension], least_ms: int) -> Sequence[OutageSum]:
        """As the store's."""
        runs = [run for project in bounds if project in self._runs for run in self._runs[project].rows]
        runs.sort(key=lambda run: (run.stopped_ms, run.workflow_id))
        return sum_outages(runs, bounds, by, least_ms)

    async def steps_failed(self, _bounds: Bounds) -> Sequence[StepFailures]:
        """None are given."""
        return []

    async def newest_runs(
        self,
        names: Mapping[str, Collection[str] | None],
        *,
        chosen: RunChoice,
        since_ms: int,
        before: tuple[int, str],
        limit: int,
    ) -> Sequence[RunRow]:
        """As the store's, of what had ended by now. `before`: without an id."""
        found: list[RunRow] = []
        for slug in names.keys() & self._runs.keys():
            ended, wanted = self._runs[slug], names[slug]
            rows = (ended.rows[index] for index in reversed(ended.within(since_ms, min(before[0], self.now_ms))))
            taken = (row for row in rows if (wanted is None or row.workflow in wanted) and chosen.takes(row))
            found += islice(taken, limit)
        return sorted(found, key=attrgetter("stopped_ms"), reverse=True)

    async def series(
        self,
        kind: RollupKind,
        *,
        project: str,
        workflow: str,
        job: str | None = None,
        branch_class: int | None = None,
        statuses: Collection[str],
        before_ms: int,
        limit: int,
    ) -> Sequence[RunRow | JobRow]:
        """As the store's."""
        ended: Mapping[str, Any] = self._runs if kind == "workflow" else self._jobs
        rows = ended[project].series.get((workflow, job or ""), []) if project in ended else []
        found: list[RunRow | JobRow] = []
        for index in range(bisect_left(rows, before_ms, key=attrgetter("stopped_ms")) - 1, -1, -1):
            row = rows[index]
            if row.status in statuses and branch_class in (None, row.branch_class):
                found.append(row)
                if len(found) == limit:
                    break
        return found[::-1]

    async def in_flight(
        self,
        limit: int,
        chosen: LiveChoice = LiveChoice(),  # noqa: B008  # frozen, takes everything
    ) -> Sequence[LiveRow]:
        """What had begun and not ended by now."""
        jobs: list[JobRow] = list(self._open(self._jobs))
        held = {row.workflow_id for row in jobs if row.type == "approval"}
        held -= {row.workflow_id for row in jobs if row.type != "approval"}
        found = [
            *(_live(row, self._runs_since(row), held) for row in self._open(self._runs)),
            *(_live(row, row.started_ms, held) for row in jobs),
        ]
        return sorted(filter(chosen.takes, found), key=attrgetter("created_ms", "id"))[:limit]

    def _runs_since(self, run: RunRow) -> int:
        """When a run was created, or the last of its approvals was given."""
        given = [at for at in self._approved.get(run.workflow_id, ()) if at <= self.now_ms]
        return max([run.created_ms or 0, *given])

    def _open(self, ended: Mapping[str, Any]) -> Iterator[Any]:
        for rows in ended.values():
            for row in rows.rows[bisect_left(rows.times, self.now_ms + 1) :]:
                began = row.created_ms if isinstance(row, RunRow) else row.started_ms
                if began is not None and began <= self.now_ms:
                    yield row

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        """As the store's; an outcome lies where its last job ended."""
        found: list[TestOutcome] = []
        for project, (since_ms, until_ms) in bounds.items():
            given = self._outcomes.get(project, [])
            first = bisect_left(given, since_ms, key=attrgetter("last_ms"))
            within = given[first : bisect_left(given, until_ms, key=attrgetter("last_ms"))]
            failed = {one.test_id for one in within if one.failed or one.infra}
            found += [one for one in within if not failing or one.test_id in failed]
        found.sort(key=attrgetter("project", "test_id", "revision"))
        return [one for one in found if after is None or (one.project, one.test_id, one.revision) > after][:limit]

    async def outcomes_of(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestOutcome]:
        """As the store's."""
        return [one for one in await self.test_outcomes(bounds, limit=maxsize) if (one.project, one.test_id) in tests]

    async def test_faults(self, bounds: Bounds) -> Sequence[TestOutcome]:
        """As the store's."""
        return [one for one in await self.test_outcomes(bounds, limit=maxsize) if one.failed]

    async def test_counts(self, bounds: Bounds) -> Mapping[str, int]:
        """As the store's."""
        tests = {(one.project, one.test_id) for one in await self.test_outcomes(bounds, limit=maxsize)}
        return Counter(project for project, _ in tests)

    async def tallies(self, query: TallyQuery) -> Mapping[tuple[str, ...], Tally]:
        """As the store's: whole days from sums, the rest row by row."""
        found: dict[tuple[str, ...], Tally] = {}
        ended: Mapping[str, Any] = self._runs if query.kind == "workflow" else self._jobs
        for project, (since_ms, until_ms) in query.bounds.items():
            if project not in ended:
                continue
            rows = ended[project]
            first, last = -(-since_ms // DAY_MS), until_ms // DAY_MS
            if not _SUMMED.issuperset(query.by) or first >= last:
                _count(found, query, rows, rows.within(since_ms, until_ms))
                continue
            _count(found, query, rows, rows.within(since_ms, first * DAY_MS))
            _count(found, query, rows, rows.within(last * DAY_MS, until_ms))
            known = {"org": org_slug(project), "project": project}
            for day in range(first, last):
                for names, tally in rows.day(day).items():
                    values = {**known, **dict(zip(_BY_DAY, names, strict=True))}
                    _add(found.setdefault(tuple(values[name] for name in query.by), Tally()), tally, query.bins)
        return {key: tally for key, tally in found.items() if tally.n or tally.held}


def _by_project(rows: Iterable[R]) -> dict[str, _Ended[R]]:
    found: dict[str, list[R]] = {}
    for row in rows:
        found.setdefault(row.project, []).append(row)
    return {project: _Ended(members) for project, members in found.items()}


def _count(found: dict[tuple[str, ...], Tally], query: TallyQuery, ended: _Ended[Any], places: range) -> None:
    keys = ended.keys(query.by)
    for index in places:
        tally = found.get(keys[index])
        if tally is None:
            tally = found[keys[index]] = Tally()
        tally.count(ended.parts[index], query.bins)


def _add(total: Tally, part: Tally, bins: frozenset[Measure]) -> None:
    if bins:
        total.add(part)
        return
    for name in SUMS:
        setattr(total, name, getattr(total, name) + getattr(part, name))


def _live(row: RunRow | JobRow, began_ms: int | None, held: Collection[str]) -> LiveRow:
    is_job = isinstance(row, JobRow)
    waits = row.type == "approval" if isinstance(row, JobRow) else row.workflow_id in held
    status = "on_hold" if waits else "running"
    return LiveRow(
        kind="job" if is_job else "workflow",
        id=row.job_id if isinstance(row, JobRow) else row.workflow_id,
        project=row.project,
        workflow=row.workflow,
        job=row.job if isinstance(row, JobRow) else "",
        ref=row.ref,
        branch_class=row.branch_class,
        status=status,
        theirs=status,
        since_ms=began_ms or 0,
        created_ms=(row.created_ms if isinstance(row, RunRow) else began_ms) or 0,
        url=row.url,
        trigger=row.trigger,
    )


def part_of(row: RunRow | JobRow) -> Contribution:
    """What a row adds to sums, as its fact would."""
    if isinstance(row, JobRow) and row.type == "approval":
        hold = max(0, row.stopped_ms - row.started_ms) if row.started_ms is not None else None
        bins: tuple[tuple[Measure, int], ...] = (("hold", bin_of(hold)),) if hold is not None else ()
        return Contribution(row.stopped_ms, hold_ms=hold or 0, held=len(bins), bins=bins)
    ok, failed = row.status == "success", row.status in FAILED
    duration = row.duration_ms if ok or failed else None
    queue = row.queue_ms if isinstance(row, JobRow) else None
    found: list[tuple[Measure, int]] = []
    if duration is not None:
        found.append(("duration_ok" if ok else "duration_failed", bin_of(duration)))
    if queue is not None:
        found.append(("queue", bin_of(queue)))
    return Contribution(
        at_ms=row.stopped_ms,
        n=1,
        ok=int(ok),
        failed=int(failed),
        errors=int(row.status == "error"),
        canceled=int(row.status == "canceled"),
        skipped=int(row.status == "skipped"),
        reruns=int(isinstance(row, RunRow) and bool(row.rerun_of)),
        credits=row.credits or 0,
        duration_ok_ms=duration or 0 if ok else 0,
        timed_ok=int(ok and duration is not None),
        duration_ms=duration or 0,
        timed=int(duration is not None),
        queue_ms=queue or 0,
        queued=int(queue is not None),
        bins=tuple(found),
    )
