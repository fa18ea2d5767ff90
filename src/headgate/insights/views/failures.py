"""Why jobs fail: groups by step and failure text, since when, how often, where; the infrastructure's apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    "worst_failures",
]

# The newest failed jobs that one answer reads; older ones of a longer window are not looked at, and the answer says so.
MOST_READ = 5_000
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
class FailuresPage:
    """`failures`: failed jobs of the window; `without_reason`: those of which nothing is known.

    `groups`: the most frequent first, without `infrastructure`, which is not the code's fault. `read_from`: since when
    failed jobs were read; later than `previous_since` where there are more than are read, and where it is later than
    `since`, too, the window's figures are of what ended since then.
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

    That is counted within a week of the run, from `read_from` on where more failed than are read, null where not, and
    the run itself. `tests`: the first that failed, by name; `tests_failed`: how many there are.
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
    read_from: str | None
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
    counted = await asyncio.to_thread(_counted, failed, window)
    code = [(group, n) for group, n in counted if group.cause.kind != "infrastructure"]
    broken = [(group, n) for group, n in counted if group.cause.kind == "infrastructure"]
    end, whole = start + limit, read_from <= both.since_ms
    return FailuresPage(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        read_from=format_ms(max(both.since_ms, read_from)),
        failures=sum(n for _, n in counted),
        infrastructure_failures=sum(n for _, n in broken),
        without_reason=sum(n for group, n in counted if group.cause.known == "nothing"),
        groups_found=len(code),
        groups=tuple(_view(*one, whole=whole) for one in code[start:end]),
        infrastructure=tuple(_view(*one, whole=whole) for one in broken[start:end]),
        next=cursors.write(end) if max(len(code), len(broken)) > end else None,
    )


async def worst_failures(
    lens: Lens, *, window: Window, slugs: Collection[str], teams: Collection[str], most: int
) -> tuple[tuple[FailureGroup, ...], str]:
    """The first `most` groups of `failures_page` that are of these projects and teams (none: all), and `read_from`."""
    both = Window(window.previous.since_ms, window.until_ms)
    read, read_from = await _read(lens, both.bounds([row.project for row in await lens.projects()]))
    found: list[tuple[Group, int]] = []
    for team in teams or ("",):
        failed = [one for one in read if _labels(lens, one.row)["team"] == team] if team else read
        found += await asyncio.to_thread(_counted, failed, window)
    code = [one for one in found if one[0].project in slugs and one[0].cause.kind != "infrastructure"]
    whole = read_from <= both.since_ms
    groups = tuple(_view(*one, whole=whole) for one in sorted(code, key=_rank)[:most])
    return groups, format_ms(max(both.since_ms, read_from))


async def _read(lens: Lens, bounds: Bounds) -> tuple[Sequence[FailedJob], int]:
    """The newest failed jobs, and since when all of them are there (milliseconds)."""
    found = await lens.store.failed_jobs(bounds, limit=MOST_READ)
    return found, 0 if len(found) < MOST_READ else found[-1].row.stopped_ms


def _labels(lens: Lens, row: JobRow) -> Mapping[str, str]:
    return {
        "branch": row.ref,
        "branch_class": class_name(row.branch_class),
        "trigger": row.trigger,
        "org": row.project.rpartition("/")[0],
        "team": lens.owners.team(row.project, row.workflow, row.job),
    }


def _counted(failed: Iterable[FailedJob], window: Window) -> list[tuple[Group, int]]:
    """Groups with how many of them are in the window, those with any, the most frequent first."""
    counted = [
        (group, sum([one.row.stopped_ms >= window.since_ms for one in group.seen]))
        for group in group_failures(failed).values()
    ]
    found = [(group, n) for group, n in counted if n]
    return sorted(found, key=_rank)


def _rank(one: tuple[Group, int]) -> tuple[int, str, str]:
    group, count = one
    return -count, group.project, group.cause.text


def _view(group: Group, count: int, *, whole: bool) -> FailureGroup:
    """`count`: how many of the jobs are in the window; they are the newest. `whole`: all that failed were read."""
    rows = [one.row for one in group.seen]
    inside, cause, before = rows[:count], group.cause, len(rows) - count
    jobs, branches = Counter((row.workflow, row.job) for row in inside), Counter(row.ref for row in inside)
    tests = Counter(_tests(group.seen[:count])) if cause.kind == "test" else Counter[tuple[str, str]]()
    return FailureGroup(
        id=cause.id,
        project=group.project,
        kind=cause.kind,
        step=cause.step,
        text=cause.text,
        sample=cause.sample,
        known=cause.known,
        count=count,
        before=before,
        new=not before if before or whole else None,
        first_at=format_ms(rows[-1].stopped_ms),
        last_at=format_ms(rows[0].stopped_ms),
        runs=len({row.workflow_id for row in inside}),
        minutes=sum(row.duration_ms or 0 for row in inside) / 60_000,
        credits=_sum([row.credits for row in inside if row.credits is not None]),
        jobs=tuple(HitJob(*names, n) for names, n in jobs.most_common(_NAMED)),
        jobs_hit=len(jobs),
        branches=tuple(name for name, _ in branches.most_common(_NAMED)),
        branches_hit=len(branches),
        default_branch=any(row.branch_class for row in inside),
        tests=tuple(HitTest(*names, n) for names, n in tests.most_common(_NAMED)),
        tests_hit=len(tests),
        last_runs=tuple(_run(row) for row in inside[:_NAMED]),
    )


def _tests(failed: Iterable[FailedJob]) -> Iterator[tuple[str, str]]:
    """Id and name of each test that failed in each of the jobs."""
    return ((test.test_id, test_name(test.class_name, test.name)) for one in failed for test in one.tests)


def _sum(known: Sequence[int]) -> int | None:
    """None where none is known."""
    return sum(known) if known else None


def _run(row: JobRow) -> FailedRun:
    return FailedRun(row.workflow_id, row.workflow, row.job, row.ref, row.revision, format_ms(row.stopped_ms), row.url)


async def failures_of_run(lens: Lens, project: str, run: str, ends_ms: Collection[int]) -> tuple[JobFailure, ...]:
    """Why jobs of a run failed, and how often that happened from a week before the run to one after it.

    `ends_ms`: when they ended. Those that are not among the newest are read by themselves.
    """
    since_ms, until_ms = min(ends_ms) - _AROUND_RUN_MS, max(ends_ms) + _AROUND_RUN_MS
    read, read_from = await _read(lens, {project: (since_ms, until_ms)})
    cut = read_from > since_ms
    older = sorted({at for at in ends_ms if cut and at <= read_from}, reverse=True)
    seen, mine = [*read], {one.row.job_id for one in read}
    for at in older:
        found, _ = await _read(lens, {project: (at, at + 1)})
        seen += [one for one in found if one.row.workflow_id == run and one.row.job_id not in mine]
    groups = group_failures(seen)
    told = [(one, cause_of(one)) for one in reversed(seen) if one.row.workflow_id == run]
    return tuple(_failure(one, cause, groups[project, cause.id], read_from if cut else None) for one, cause in told)


def _failure(one: FailedJob, cause: Cause, group: Group, read_from: int | None) -> JobFailure:
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
        first_at=format_ms(group.seen[-1].row.stopped_ms),
        last_at=format_ms(group.seen[0].row.stopped_ms),
        read_from=None if read_from is None else format_ms(read_from),
        branches_hit=len({one.row.ref for one in group.seen}),
    )
