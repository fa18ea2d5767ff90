"""Why jobs fail: groups by step and failure text, since when, how often, where; the infrastructure's apart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.detailrows import FailedJob
from headgate.core.runrows import JobRow
from headgate.core.tally import Bounds, class_name
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.dimensions import test_name
from headgate.insights.failures import Cause, Group, Known, cause_of, group_failures
from headgate.insights.match import matches
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import Window

__all__ = [
    "FailedRun",
    "FailureGroup",
    "FailuresPage",
    "HitJob",
    "HitTest",
    "JobFailure",
    "NamedTest",
    "failures_of_run",
    "failures_page",
]

# The newest failed jobs that one answer reads; older ones of a longer window are not looked at, and the answer says so.
MOST_READ = 5_000
_PAGE = 1_000
_NAMED = 5
_AROUND_RUN_MS = 7 * DAY_MS


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
class NamedTest:
    """A test by its id, which is empty where none is known."""

    test_id: str
    name: str


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
    `before`: in the one before; `first_at`: of both. `new`: not in the one before. `minutes`: that the jobs of the
    window ran; `credits`: that they used, of those where it is known. Jobs, branches and tests:
    the most hit, with how many there are.
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
    new: bool
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
class FailuresPage:
    """`failures`: failed jobs of the window; `without_reason`: those of which nothing is known.

    `groups`: the most frequent first, without `infrastructure`, which is not the code's fault. `read_from`: since when
    failed jobs were read; later than two windows where there are more than are read.
    """

    since: str
    until: str
    previous_since: str
    read_from: str
    failures: int
    infrastructure_failures: int
    without_reason: int
    groups_found: int
    groups: tuple[FailureGroup, ...]
    infrastructure: tuple[FailureGroup, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job of a run failed, with the group that it belongs to: seen `count` times from `first_at` to `last_at`.

    `tests`: the first that failed, by name; `tests_failed`: how many there are.
    """

    job_id: str
    job: str
    group: str
    kind: str
    step: str
    text: str
    sample: str
    known: Known
    tests_failed: int
    tests: tuple[NamedTest, ...]
    count: int
    first_at: str
    last_at: str
    branches_hit: int


async def failures_page(
    lens: Lens,
    *,
    window: Window,
    project: str | None = None,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 25,
) -> FailuresPage:
    """Failed jobs of a project, or of all. Raises Refused."""
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    cursors = Cursors.of("failures", window.asked, slugs[0] if project else "", filters)
    start = cursors.offset(cursor)
    where = filters.matchers()
    both = Window(window.previous.since_ms, window.until_ms)
    read, read_from = await _read(lens, both.bounds(slugs))
    failed = [one for one in read if matches(where, _labels(lens, one.row))] if where else read
    groups = await asyncio.to_thread(group_failures, failed)
    views = [view for group in groups.values() if (view := _view(group, window)).count]
    views.sort(key=lambda view: (-view.count, view.project, view.text))
    code = [view for view in views if view.kind != "infrastructure"]
    broken = [view for view in views if view.kind == "infrastructure"]
    end = start + limit
    return FailuresPage(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        read_from=format_ms(max(both.since_ms, read_from)),
        failures=sum(view.count for view in views),
        infrastructure_failures=sum(view.count for view in broken),
        without_reason=sum(view.count for view in views if view.known == "nothing"),
        groups_found=len(code),
        groups=tuple(code[start:end]),
        infrastructure=tuple(broken[:limit]),
        next=cursors.write(end) if len(code) > end else None,
    )


async def _read(lens: Lens, bounds: Bounds) -> tuple[Sequence[FailedJob], int]:
    """The newest failed jobs, and since when all of them are there (milliseconds)."""
    found: list[FailedJob] = []
    before: tuple[int, str] | None = None
    # Of one project they are found by name, all of them for each page.
    size = MOST_READ if len(bounds) == 1 else _PAGE
    while len(found) < MOST_READ:
        page = await lens.store.failed_jobs(bounds, before=before, limit=size)
        found += page
        if len(page) < size:
            return found, 0
        before = (page[-1].row.stopped_ms, page[-1].row.job_id)
    return found, found[-1].row.stopped_ms


def _labels(lens: Lens, row: JobRow) -> Mapping[str, str]:
    return {
        "branch": row.ref,
        "branch_class": class_name(row.branch_class),
        "trigger": row.trigger,
        "org": row.project.rpartition("/")[0],
        "team": lens.owners.team(row.project, row.workflow, row.job),
    }


def _view(group: Group, window: Window) -> FailureGroup:
    inside = [row for row in group.seen if row.stopped_ms >= window.since_ms]
    cause, before = group.cause, len(group.seen) - len(inside)
    return FailureGroup(
        id=cause.id,
        project=group.project,
        kind=cause.kind,
        step=cause.step,
        text=cause.text,
        sample=cause.sample,
        known=cause.known,
        count=len(inside),
        before=before,
        new=not before,
        first_at=format_ms(group.seen[-1].stopped_ms),
        last_at=format_ms(group.seen[0].stopped_ms),
        runs=len({row.workflow_id for row in inside}),
        minutes=sum(row.duration_ms or 0 for row in inside) / 60_000,
        credits=_sum([row.credits for row in inside if row.credits is not None]),
        jobs=tuple(HitJob(*names, n) for names, n in group.jobs.most_common(_NAMED)),
        jobs_hit=len(group.jobs),
        branches=tuple(name for name, _ in group.branches.most_common(_NAMED)),
        branches_hit=len(group.branches),
        default_branch=any(row.branch_class for row in inside),
        tests=tuple(HitTest(*names, n) for names, n in group.tests.most_common(_NAMED)),
        tests_hit=len(group.tests),
        last_runs=tuple(_run(row) for row in inside[:_NAMED]),
    )


def _sum(known: Sequence[int]) -> int | None:
    """None where none is known."""
    return sum(known) if known else None


def _run(row: JobRow) -> FailedRun:
    return FailedRun(row.workflow_id, row.workflow, row.job, row.ref, row.revision, format_ms(row.stopped_ms), row.url)


async def failures_of_run(lens: Lens, project: str, run: str, end_ms: int) -> tuple[JobFailure, ...]:
    """Why jobs of a run failed, and how often that happened in the week before and the one after it."""
    window = (end_ms - _AROUND_RUN_MS, end_ms + _AROUND_RUN_MS)
    read, _ = await _read(lens, {project: window})
    groups = group_failures(read)
    mine = [(one, cause_of(one)) for one in reversed(read) if one.row.workflow_id == run]
    return tuple(_failure(one, cause, groups[project, cause.id]) for one, cause in mine)


def _failure(one: FailedJob, cause: Cause, group: Group) -> JobFailure:
    return JobFailure(
        job_id=one.row.job_id,
        job=one.row.job,
        group=cause.id,
        kind=cause.kind,
        step=cause.step,
        text=cause.text,
        sample=cause.sample,
        known=cause.known,
        tests_failed=one.tests_failed,
        tests=tuple(NamedTest(test.test_id, test_name(test.class_name, test.name)) for test in one.tests[:_NAMED]),
        count=len(group.seen),
        first_at=format_ms(group.seen[-1].stopped_ms),
        last_at=format_ms(group.seen[0].stopped_ms),
        branches_hit=len(group.branches),
    )
