"""Why jobs fail: groups by step and failure text, since when, how often, where; the infrastructure's apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from headgate.core.detailrows import FailedJob
from headgate.core.runrows import JobRow
from headgate.core.tally import Bounds, class_name
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.dimensions import test_name
from headgate.insights.failures import Cause, Group, Known, cause_of, group_failures
from headgate.insights.match import matches
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.failuregroups import (
    NAMED,
    Counted,
    FailureGroup,
    Reason,
    Seen,
    count_failed,
    ranked,
    reason_of,
    view_of,
)
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import Window

__all__ = [
    "FailuresPage",
    "JobFailure",
    "NamedTest",
    "failures_of_run",
    "failures_page",
    "worst_failures",
]

# The newest failed jobs that one answer reads; older ones of a longer window are not looked at, and the answer says so.
MOST_READ = 5_000
# A file reads on, as far as what is kept of a job (its run's id) and of a group (its words) leaves memory for others.
MOST_IN_FILE = 500_000
MOST_GROUPS_IN_FILE = 10_000
_AROUND_RUN_MS = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class NamedTest:
    """A test by its id, which is empty where none is known."""

    test_id: str
    name: str


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
    in_file: bool = False,
) -> FailuresPage:
    """Failed jobs of a project, or of all. Raises Refused.

    `in_file`: read on for as long as it takes, rather than the newest.
    """
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    cursors = Cursors.of("failures", window.asked, slugs[0] if project else "", filters)
    start, window = cursors.read_rank(cursor, window)
    where = filters.matchers()
    both = Window(window.previous.since_ms, window.until_ms)
    groups, read_from = Counted(), 0
    async with aclosing(_read_on(lens, both.bounds(slugs), in_file=in_file)) as pages:
        async for read, since_ms in pages:
            failed = [one for one in read if matches(where, _labels(lens, one.row))] if where else read
            await asyncio.to_thread(count_failed, groups, failed, window)
            read_from = since_ms
            if len(groups) >= MOST_GROUPS_IN_FILE:
                break
    counted = ranked(groups.values())
    code = [one for one in counted if one.cause.kind != "infrastructure"]
    broken = [one for one in counted if one.cause.kind == "infrastructure"]
    end, whole = start + limit, read_from <= both.since_ms
    return FailuresPage(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        read_from=format_ms(max(both.since_ms, read_from)),
        failures=sum(one.count for one in counted),
        infrastructure_failures=sum(one.count for one in broken),
        without_reason=sum(one.count for one in counted if one.cause.known == "nothing"),
        groups_found=len(code),
        groups=tuple(view_of(one, whole=whole) for one in code[start:end]),
        infrastructure=tuple(view_of(one, whole=whole) for one in broken[start:end]),
        next=cursors.write_rank(end, window) if max(len(code), len(broken)) > end else None,
    )


async def worst_failures(
    lens: Lens, *, window: Window, slugs: Collection[str], teams: Collection[str], most: int
) -> tuple[tuple[Reason, ...], str]:
    """The first `most` groups of `failures_page` that are of these projects and teams (none: all), and `read_from`."""
    both = Window(window.previous.since_ms, window.until_ms)
    read, read_from = await _read(lens, both.bounds([row.project for row in await lens.projects()]), alone=True)
    found: list[Seen] = []
    for team in teams or ("",):
        failed = [one for one in read if _labels(lens, one.row)["team"] == team] if team else read
        counted = Counted()
        await asyncio.to_thread(count_failed, counted, failed, window)
        found += counted.values()
    code = [one for one in found if one.project in slugs and one.cause.kind != "infrastructure"]
    whole = read_from <= both.since_ms
    groups = tuple(reason_of(one, whole=whole) for one in ranked(code)[:most])
    return groups, format_ms(max(both.since_ms, read_from))


async def _read(lens: Lens, bounds: Bounds, *, alone: bool = False) -> tuple[Sequence[FailedJob], int]:
    """The newest failed jobs, and since when all of them are there (milliseconds). `alone`: see the port."""
    found = await lens.store.failed_jobs(bounds, limit=MOST_READ, alone=alone)
    return found, 0 if len(found) < MOST_READ else found[-1].row.stopped_ms


async def _read_on(
    lens: Lens, bounds: Bounds, *, in_file: bool
) -> AsyncGenerator[tuple[Sequence[FailedJob], int], None]:
    """Failed jobs, the newest first, each page with since when all are there then; without `in_file` one page."""
    if not in_file:
        yield await _read(lens, bounds)
        return
    most, limit = MOST_IN_FILE, MOST_READ
    while most > 0:
        found = await lens.store.failed_jobs(bounds, limit=limit)
        if len(found) < limit:
            yield found, 0
            return
        last_ms = found[-1].row.stopped_ms
        later = [one for one in found if one.row.stopped_ms > last_ms]
        if not later:  # they ended at one moment, as more may have
            limit *= 2
            continue
        yield later, last_ms + 1
        limit, most = MOST_READ, most - len(later)
        # Those of the last moment are read again, with all others of it.
        bounds = {slug: (since, min(until, last_ms + 1)) for slug, (since, until) in bounds.items() if since <= last_ms}


def _labels(lens: Lens, row: JobRow) -> Mapping[str, str]:
    return {
        "branch": row.ref,
        "branch_class": class_name(row.branch_class),
        "trigger": row.trigger,
        "org": row.project.rpartition("/")[0],
        "team": lens.owners.team(row.project, row.workflow, row.job),
    }


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
        tests=tuple(NamedTest(test.test_id, test_name(test.class_name, test.name)) for test in one.tests[:NAMED]),
        count=len(group.seen),
        first_at=format_ms(group.seen[-1].row.stopped_ms),
        last_at=format_ms(group.seen[0].row.stopped_ms),
        read_from=None if read_from is None else format_ms(read_from),
        branches_hit=len({one.row.ref for one in group.seen}),
    )
