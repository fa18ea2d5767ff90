"""Tests: those that fail by themselves, or no longer do, those that fail, that take longest, that become slower.

How evenly parallel machines share the work, and how long suites take, is in `views.suites`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Literal, TypeVar, get_args

from headgate.core.tally import TallyQuery
from headgate.core.times import format_ms
from headgate.insights import failing, flaky, slow
from headgate.insights.grouping import mean_credits
from headgate.insights.lifecycle import State
from headgate.insights.reader import Reader
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.foundtests import FoundTests, SlowingView, read_failures, read_moved, read_tests
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.suites import SplitView, SuitePlot, split_views
from headgate.insights.views.window import Window

__all__ = [
    "TEST_LISTS",
    "FailingView",
    "FlakyView",
    "PageOfTests",
    "SlowView",
    "TestList",
    "page_of_tests",
    "worst_tests",
]

TestList = Literal["flaky", "failing", "slowest", "fixed", "slowing", "splits"]
TEST_LISTS: tuple[TestList, ...] = get_args(TestList)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FlakyView:
    """`flaky_score`, `rate`: see the catalogue; `flakes`: failures on commits on which it passed too.

    `state`: what became of it, `since`: when that began, `first_at`, `last_at`: of its flakes, all as far as the window
    and the one before tell. `commits`: on which it did both; `credits`, `minutes`: lost with jobs that it failed,
    about, credits None where none are told of. `jobs`: those it flaked in; it is one test in all of them.
    `transition_rate`: share of commits of the window on which it did otherwise than on the one before of the same class
    of branches.
    """

    project: str
    test_id: str
    name: str
    file: str
    team: str
    state: State
    since: str
    flaky_score: float
    rate: float
    flakes: int
    passes: int
    commits: int
    transition_rate: float | None
    infrastructure_failures: int
    credits: float | None
    minutes: float
    jobs: tuple[str, ...]
    first_at: str
    last_at: str | None


@dataclass(frozen=True, slots=True)
class FailingView:
    """`commits`: on which it failed and never passed; `first_at`, `last_at`: ends of the first and last of them.

    `transition_rate`: as of a flaky test; a test that is broken changes once, one that comes and goes often.
    """

    project: str
    test_id: str
    name: str
    file: str
    team: str
    commits: int
    transition_rate: float | None
    failures: int
    passes: int
    infrastructure_failures: int
    jobs: tuple[str, ...]
    first_at: str
    last_at: str


@dataclass(frozen=True, slots=True)
class SlowView:
    """`test_duration`: mean run time, seconds; `total`: seconds of all its results."""

    project: str
    test_id: str
    name: str
    file: str
    team: str
    results: int
    test_duration: float
    total: float


@dataclass(frozen=True, slots=True)
class PageOfTests:
    """`tests`: how many have results. Of each list a page of at most `limit`, with how many there are in all.

    `timed_tests`: of `slowest`, those with a run time; `split_jobs`: of `splits`. `fixed`: those that were flaky in
    the window or the one before and no longer are. `slowing`: greatest increase first. `splits`: jobs on parallel
    machines, by the time they lose. `next`: cursor of the following page of the lists that were asked for, None where
    none of them has more.
    """

    since: str
    until: str
    tests: int
    flaky_tests: int
    failing_tests: int
    slow_tests: int
    timed_tests: int
    fixed_tests: int
    slowing_tests: int
    split_jobs: int
    flaky: tuple[FlakyView, ...]
    failing: tuple[FailingView, ...]
    slowest: tuple[SlowView, ...]
    fixed: tuple[FlakyView, ...]
    slowing: tuple[SlowingView, ...]
    splits: tuple[SplitView, ...]
    suites: SuitePlot
    next: str | None


async def page_of_tests(
    lens: Lens,
    *,
    window: Window,
    project: str | None = None,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    lists: Sequence[TestList] = TEST_LISTS,
    cursor: str | None = None,
    limit: int = 25,
) -> PageOfTests:
    """Tests of a project, or of all; filters on one branch and on triggers are refused. Raises Refused.

    `filters.branch_class`: commits of the default branch, or of others, alone. Splits are over all branches.
    """
    slugs = await _slugs(lens, project, filters)
    cursors = Cursors.of("tests", sorted(lists), window.asked, "".join(slugs) if project else "", filters)
    start, window = cursors.read_rank(cursor, window)
    wanted = {"@default": 1, "@other": 0}.get(filters.branch_class)
    found = await read_tests(lens, slugs, window, branch_class=wanted)
    job_credits, job_minutes = await _means(lens, window, (*found.flaky.values(), *found.both.values()))
    ranked = flaky.rank_flaky(found.flaky.values(), job_credits)
    fixed = [one for one in flaky.rank_flaky(found.both.values(), job_credits) if found.state_of(one) == "fixed"]
    failed = failing.rank_failing(found.failing.values())
    timed = [one for one in found.slow.values() if one.runs]
    slowing = sorted(found.slowing, key=lambda one: (one.before - one.after, one.project, one.name))
    splits = split_views(lens, await lens.store.node_sums(window.bounds(slugs)))
    all_of = {"flaky": ranked, "failing": failed, "slowest": timed, "fixed": fixed, "slowing": slowing}
    most = {name: len(rows) for name, rows in all_of.items()} | {"splits": len(splits)}
    end = start + limit
    slowest = nsmallest(end, timed, key=slow.slowest_first) if "slowest" in lists else ()
    if "failing" in lists:
        await read_moved(lens, found, [(one.project, one.test_id) for one in failed[start:end]], window)

    def part(name: TestList, rows: Sequence[T]) -> Sequence[T]:
        return rows[start:end] if name in lists else ()

    return PageOfTests(
        since=window.since,
        until=window.until,
        tests=len(found.slow),
        flaky_tests=len(ranked),
        failing_tests=len(failed),
        slow_tests=slow.count_slow(timed),
        timed_tests=len(timed),
        fixed_tests=len(fixed),
        slowing_tests=len(slowing),
        split_jobs=len(splits),
        flaky=tuple(_flaky(lens, one, found, found.flaky, job_minutes) for one in part("flaky", ranked)),
        failing=tuple(_failing(lens, one, found) for one in part("failing", failed)),
        slowest=tuple(_slow(lens, one) for one in part("slowest", slowest)),
        fixed=tuple(_flaky(lens, one, found, found.both, job_minutes) for one in part("fixed", fixed)),
        slowing=tuple(part("slowing", slowing)),
        splits=tuple(part("splits", splits)),
        suites=found.suites.plot(),
        next=cursors.write_rank(end, window) if any(most[name] > end for name in lists) else None,
    )


async def worst_tests(
    lens: Lens, reader: Reader, *, window: Window, slugs: Sequence[str], teams: Collection[str], most: int
) -> tuple[tuple[FlakyView, ...], tuple[FailingView, ...]]:
    """The first `most` flaky and failing ones of `page_of_tests` that are of these projects and teams (none: all)."""
    kept = [slug for slug in slugs if not teams or _team(lens, slug) in teams]
    found = await read_failures(lens, reader.faults, kept, window)
    job_credits, job_minutes = await _means(lens, window, found.flaky.values())
    ranked = flaky.rank_flaky(found.flaky.values(), job_credits)[:most]
    names = [(one.project, one.test_id) for one in failing.rank_failing(found.failing.values())[:most]]
    await read_moved(lens, found, names, window)
    return (
        tuple(_flaky(lens, one, found, found.flaky, job_minutes) for one in ranked),
        tuple(_failing(lens, found.failing[name], found) for name in names),
    )


async def _slugs(lens: Lens, project: str | None, filters: Filters) -> Sequence[str]:
    known = ("project", "org", "team", "branch_class")
    filters.refuse(("branch", "trigger"), "tests are known by project and commit, and by class of branches", known)
    filters.matchers()
    rows = await lens.projects() if project is None else [await lens.project(project)]
    return [row.project for row in rows if lens.takes(filters, row.project)]


def _team(lens: Lens, project: str) -> str:
    return lens.owners.team(project, "", "")


async def _means(
    lens: Lens, window: Window, seen: Iterable[flaky.Evidence]
) -> tuple[Mapping[tuple[str, str], float], Mapping[tuple[str, ...], float]]:
    """(project, job) -> credits, and minutes, of one run of the job on average; of projects with a flaky test."""
    slugs = sorted({one.project for one in seen if one.score >= flaky.FLAKY_SCORE})
    query = TallyQuery("job", window.bounds(slugs), ("project", "job"))
    tallies = await lens.store.tallies(query) if slugs else {}
    minutes = {key: one.duration_ms / one.timed / 60_000 for key, one in tallies.items() if one.timed}
    return mean_credits(("project", "job"), tallies), minutes


def _flaky(
    lens: Lens,
    one: flaky.FlakyTest,
    found: FoundTests,
    seen: Mapping[tuple[str, str], flaky.Evidence],
    job_minutes: Mapping[tuple[str, ...], float],
) -> FlakyView:
    life, hit = found.lives[one.project, one.test_id], seen[one.project, one.test_id].jobs
    return FlakyView(
        project=one.project,
        test_id=one.test_id,
        name=one.name,
        file=one.file,
        team=_team(lens, one.project),
        state=life.state,
        since=format_ms(life.since_ms),
        flaky_score=one.score,
        rate=one.rate,
        flakes=one.flakes,
        passes=one.passes,
        commits=one.commits,
        transition_rate=_transition_rate(found, one),
        infrastructure_failures=one.infra,
        credits=one.credits or None,
        minutes=math.fsum(n * job_minutes.get((one.project, job), 0.0) for job, n in hit.items()),
        jobs=one.jobs,
        first_at=format_ms(life.first_ms),
        last_at=format_ms(one.last_ms) if one.last_ms else None,
    )


def _transition_rate(found: FoundTests, one: flaky.FlakyTest | failing.FailingTest) -> float | None:
    moved = found.moved.get((one.project, one.test_id))
    return moved.rate if moved else None


def _failing(lens: Lens, one: failing.FailingTest, found: FoundTests) -> FailingView:
    return FailingView(
        project=one.project,
        test_id=one.test_id,
        name=one.name,
        file=one.file,
        team=_team(lens, one.project),
        commits=one.commits,
        transition_rate=_transition_rate(found, one),
        failures=one.failed,
        passes=one.passed,
        infrastructure_failures=one.infra,
        jobs=tuple(sorted(one.jobs)),
        first_at=format_ms(one.first_ms),
        last_at=format_ms(one.last_ms),
    )


def _slow(lens: Lens, one: slow.SlowTest) -> SlowView:
    return SlowView(
        project=one.project,
        test_id=one.test_id,
        name=one.name,
        file=one.file,
        team=_team(lens, one.project),
        results=one.runs,
        test_duration=one.mean_seconds,
        total=one.run_ms / 1000,
    )
