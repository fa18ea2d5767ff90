"""Groups of failed jobs, counted page by page: how often, since when, where, and what they cost. Pure.

Invariant: what is kept of a job is a few numbers and its run's id, so that very many can be counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from headgate.core.detailrows import FailedJob
from headgate.core.runrows import JobRow
from headgate.core.times import format_ms
from headgate.insights.dimensions import test_name
from headgate.insights.failures import Cause, Known, group_failures
from headgate.insights.views.window import Window

__all__ = [
    "NAMED",
    "Counted",
    "FailedRun",
    "FailureGroup",
    "HitJob",
    "HitTest",
    "Reason",
    "Seen",
    "count_failed",
    "ranked",
    "reason_of",
    "view_of",
]

NAMED = 5


@dataclass(frozen=True, slots=True)
class HitJob:
    """A job that failed so, `n` times."""

    workflow: str
    job: str
    n: int


@dataclass(frozen=True, slots=True)
class HitTest:
    """A test that failed so, `n` times."""

    test_id: str
    name: str
    n: int


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A job that failed so, and the run that it was in."""

    workflow_id: str
    workflow: str
    job: str
    branch: str
    revision: str
    stopped_at: str
    url: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Failed jobs with one cause. `text`: what they have in common, `sample`: the newest one's own words.

    `known`: where that is from; `nothing` says that neither step nor message is known. `count`: in the window,
    `before`: in the one before, both as far as they were read; `first_at`: of both. `new`: not in the one before, null
    where that was not read whole and the part that was has none. All else is of the window. `minutes`: that the jobs
    ran; `credits`: that they used, of those where it is known. Jobs, branches and tests: the most hit, with how many
    there are.
    """

    id: str
    project: str
    kind: str
    step: str
    text: str
    sample: str
    known: Known
    count: int
    before: int
    new: bool | None
    first_at: str
    last_at: str
    runs: int
    minutes: float
    credits: int | None
    jobs: tuple[HitJob, ...]
    jobs_hit: int
    branches: tuple[str, ...]
    branches_hit: int
    default_branch: bool
    tests: tuple[HitTest, ...]
    tests_hit: int
    last_runs: tuple[FailedRun, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """A part of `FailureGroup` that is told without workflows and pipelines, which is read faster."""

    id: str
    project: str
    step: str
    text: str
    count: int
    before: int
    new: bool | None
    minutes: float
    jobs: tuple[HitJob, ...]
    jobs_hit: int


@dataclass(slots=True)
class Seen:
    """What was counted of a group; jobs come the newest first, so that what is equal keeps that order.

    `count`: of them in the window, `before`: in the one before; `first_ms`, `last_ms`: ends of both. All else is of the
    window.
    """

    project: str
    cause: Cause
    count: int = 0
    before: int = 0
    first_ms: int = 0
    last_ms: int = 0
    ran_ms: int = 0
    credits: int | None = None
    default_branch: bool = False
    runs: set[str] = field(default_factory=set)
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    branches: Counter[str] = field(default_factory=Counter)
    tests: Counter[tuple[str, str]] = field(default_factory=Counter)
    last: list[FailedRun] = field(default_factory=list)

    def add(self, failed: Sequence[FailedJob], since_ms: int) -> None:
        """Jobs that are older than those before. `since_ms`: begin of the window."""
        self.last_ms = self.last_ms or failed[0].row.stopped_ms
        self.first_ms = failed[-1].row.stopped_ms
        inside = [one for one in failed if one.row.stopped_ms >= since_ms]
        rows = [one.row for one in inside]
        self.count += len(rows)
        self.before += len(failed) - len(rows)
        self.ran_ms += sum(row.duration_ms or 0 for row in rows)
        known = [row.credits for row in rows if row.credits is not None]
        self.credits = (self.credits or 0) + sum(known) if known else self.credits
        self.default_branch = self.default_branch or any(row.branch_class for row in rows)
        self.runs.update(row.workflow_id for row in rows)
        self.jobs.update((row.workflow, row.job) for row in rows)
        self.branches.update(row.ref for row in rows)
        self.tests.update(_tests(inside) if self.cause.kind == "test" else ())
        self.last += [_run(row) for row in rows[: NAMED - len(self.last)]]


Counted = dict[tuple[str, str], Seen]


def count_failed(counted: Counted, failed: Iterable[FailedJob], window: Window) -> None:
    """Add jobs, which are older than all before, to their groups."""
    for place, group in group_failures(failed).items():
        seen = counted.setdefault(place, Seen(group.project, group.cause))
        seen.add(group.seen, window.since_ms)


def ranked(counted: Iterable[Seen]) -> list[Seen]:
    """Groups with any in the window, the most frequent first."""
    return sorted((one for one in counted if one.count), key=lambda one: (-one.count, one.project, one.cause.text))


def reason_of(seen: Seen, *, whole: bool) -> Reason:
    """`whole`: all that failed were read."""
    return Reason(
        id=seen.cause.id,
        project=seen.project,
        step=seen.cause.step,
        text=seen.cause.text,
        count=seen.count,
        before=seen.before,
        new=_new(seen, whole=whole),
        minutes=seen.ran_ms / 60_000,
        jobs=_jobs(seen),
        jobs_hit=len(seen.jobs),
    )


def view_of(seen: Seen, *, whole: bool) -> FailureGroup:
    """`whole`: all that failed were read."""
    cause = seen.cause
    return FailureGroup(
        id=cause.id,
        project=seen.project,
        kind=cause.kind,
        step=cause.step,
        text=cause.text,
        sample=cause.sample,
        known=cause.known,
        count=seen.count,
        before=seen.before,
        new=_new(seen, whole=whole),
        first_at=format_ms(seen.first_ms),
        last_at=format_ms(seen.last_ms),
        runs=len(seen.runs),
        minutes=seen.ran_ms / 60_000,
        credits=seen.credits,
        jobs=_jobs(seen),
        jobs_hit=len(seen.jobs),
        branches=tuple(name for name, _ in seen.branches.most_common(NAMED)),
        branches_hit=len(seen.branches),
        default_branch=seen.default_branch,
        tests=tuple(HitTest(*names, n) for names, n in seen.tests.most_common(NAMED)),
        tests_hit=len(seen.tests),
        last_runs=tuple(seen.last),
    )


def _new(seen: Seen, *, whole: bool) -> bool | None:
    return not seen.before if seen.before or whole else None


def _jobs(seen: Seen) -> tuple[HitJob, ...]:
    return tuple(HitJob(*names, n) for names, n in seen.jobs.most_common(NAMED))


def _tests(failed: Iterable[FailedJob]) -> Iterator[tuple[str, str]]:
    """Id and name of each test that failed in each of the jobs."""
    return ((test.test_id, test_name(test.class_name, test.name)) for one in failed for test in one.tests)


def _run(row: JobRow) -> FailedRun:
    return FailedRun(row.workflow_id, row.workflow, row.job, row.ref, row.revision, format_ms(row.stopped_ms), row.url)
