"""Tests: those that fail by themselves, those that fail, those that take longest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from headgate.core.tally import TallyQuery
from headgate.core.times import format_ms
from headgate.insights import failing, flaky, slow
from headgate.insights.grouping import mean_credits
from headgate.insights.match import matches
from headgate.insights.rows import outcome_pages
from headgate.insights.views.cursors import read_cursor, write_cursor
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import Window

__all__ = ["TEST_LISTS", "FailingView", "FlakyView", "PageOfTests", "SlowView", "TestList", "page_of_tests"]

TestList = Literal["flaky", "failing", "slowest"]
TEST_LISTS: tuple[TestList, ...] = get_args(TestList)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FlakyView:
    """`flaky_score`, `rate`: see the catalogue; `flakes`: failures on commits on which it passed too.

    `commits`: such commits; `credits`: lost with jobs that it failed, about.
    """

    project: str
    test_id: str
    name: str
    file: str
    team: str
    flaky_score: float
    rate: float
    flakes: int
    passes: int
    commits: int
    infrastructure_failures: int
    credits: float
    jobs: tuple[str, ...]
    last_at: str | None


@dataclass(frozen=True, slots=True)
class FailingView:
    """`commits`: on which it failed and never passed; `first_at`, `last_at`: ends of the first and last of them."""

    project: str
    test_id: str
    name: str
    file: str
    team: str
    commits: int
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

    `next`: cursor of the following page of the lists that were asked for, None where none of them has more.
    """

    since: str
    until: str
    tests: int
    flaky_tests: int
    failing_tests: int
    slow_tests: int
    flaky: tuple[FlakyView, ...]
    failing: tuple[FailingView, ...]
    slowest: tuple[SlowView, ...]
    next: str | None


@dataclass(slots=True)
class _Found:
    flaky: dict[tuple[str, str], flaky.Evidence]
    failing: dict[tuple[str, str], failing.FailingTest]
    slow: dict[tuple[str, str], slow.SlowTest]


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
    """Tests of a project, or of all; filters on branches and triggers are refused. Raises Refused."""
    slugs = await _slugs(lens, project, filters)
    start = read_cursor("tests", cursor, int) if cursor else 0
    found = await _read(lens, slugs, window)
    tallies = await lens.store.tallies(TallyQuery("job", window.bounds(slugs), ("project", "job")))
    ranked = flaky.rank_flaky(found.flaky.values(), mean_credits(("project", "job"), tallies))
    failed = failing.rank_failing(found.failing.values())
    slowest = sorted(
        (one for one in found.slow.values() if one.runs),
        key=lambda one: (-one.mean_seconds, one.project, one.name, one.test_id),
    )
    end = start + limit
    most = {"flaky": len(ranked), "failing": len(failed), "slowest": len(slowest)}

    def part(name: TestList, rows: Sequence[T]) -> Sequence[T]:
        return rows[start:end] if name in lists else ()

    return PageOfTests(
        since=window.since,
        until=window.until,
        tests=len(found.slow),
        flaky_tests=len(ranked),
        failing_tests=len(failed),
        slow_tests=len(slow.rank_slow(slowest)),
        flaky=tuple(_flaky(lens, one) for one in part("flaky", ranked)),
        failing=tuple(_failing(lens, one) for one in part("failing", failed)),
        slowest=tuple(_slow(lens, one) for one in part("slowest", slowest)),
        next=write_cursor("tests", end) if any(most[name] > end for name in lists) else None,
    )


async def _slugs(lens: Lens, project: str | None, filters: Filters) -> Sequence[str]:
    if filters.branch or filters.branch_class or filters.trigger:
        raise Refused(
            "bad-filter",
            "tests are known by project and commit, not by branch or trigger",
            parameter="branch",
            valid=("project", "org", "team"),
        )
    if project is not None:
        return [(await lens.project(project)).project]
    where = filters.matchers()
    return [
        row.project
        for row in await lens.projects()
        if matches(where, {"org": row.org, "team": lens.owners.team(row.project, "", "")})
    ]


async def _read(lens: Lens, slugs: Sequence[str], window: Window) -> _Found:
    """All three kinds of evidence from one reading."""
    found = _Found({}, {}, {})
    async for page in outcome_pages(lens.store, window.bounds(slugs)):
        for outcome in page:
            flaky.count(found.flaky, outcome)
            failing.count(found.failing, outcome)
            slow.count(found.slow, outcome)
    return found


def _team(lens: Lens, project: str) -> str:
    return lens.owners.team(project, "", "")


def _flaky(lens: Lens, one: flaky.FlakyTest) -> FlakyView:
    return FlakyView(
        project=one.project,
        test_id=one.test_id,
        name=one.name,
        file=one.file,
        team=_team(lens, one.project),
        flaky_score=one.score,
        rate=one.rate,
        flakes=one.flakes,
        passes=one.passes,
        commits=one.commits,
        infrastructure_failures=one.infra,
        credits=one.credits,
        jobs=one.jobs,
        last_at=format_ms(one.last_ms) if one.last_ms else None,
    )


def _failing(lens: Lens, one: failing.FailingTest) -> FailingView:
    return FailingView(
        project=one.project,
        test_id=one.test_id,
        name=one.name,
        file=one.file,
        team=_team(lens, one.project),
        commits=one.commits,
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
