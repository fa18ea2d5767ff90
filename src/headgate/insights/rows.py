"""Reads rows for metrics that need them one by one, page by page, with the time before a window where one asks for it.

Invariant: rows come in the order of their end, and a row is given once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from headgate.core.deployed import Deployed
from headgate.core.outages import before_ms
from headgate.core.runrows import DeploymentRow, TestOutcome
from headgate.core.runs import run_pages
from headgate.core.storeport import ReadStore
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS
from headgate.insights.eventfolds import DeploymentFold, fold_deployments
from headgate.insights.flaky import TestCount
from headgate.insights.metric import FromRows

__all__ = ["CONTEXT_MS", "Deployments", "Faults", "Pages", "deployment_pages", "outcome_pages", "read_rows"]

# What came before a window is read as far back as the window is long, and at least so far.
CONTEXT_MS = 7 * DAY_MS
_DEPLOYMENTS = 5_000
# So many take a millisecond, less than the way to a thread and back under load.
_FEW = 1_000
# Every page of outcomes looks at the whole time again, so there should be few.
_OUTCOMES = 10_000
Pages = AsyncIterator[Sequence[tuple[Any, bool]]]


def read_rows(store: ReadStore, how: FromRows, bounds: Bounds, faults: Faults) -> Pages:
    """The rows of a metric with whether they are in their window.

    Those before it only where `how.context` is.
    """
    match how.rows:
        case "runs":
            return _runs(store, bounds, context=how.context)
        case "steps":
            return _steps(store, bounds)
        case "flakes":
            return _flakes(store, bounds, faults)
        case _:
            return _tests(store, bounds)


def _before_ms(window: tuple[int, int]) -> int:
    return before_ms(window, CONTEXT_MS)


def _span(bounds: Bounds, *, context: bool) -> tuple[int, int]:
    """What to read so that every window is in it."""
    windows = set(bounds.values())
    since = min(_before_ms(window) if context else window[0] for window in windows)
    return since, max(until for _, until in windows)


def _placed(rows: Sequence[Any], bounds: Bounds, *, context: bool) -> list[tuple[Any, bool]]:
    """Rows in or before the window of their project."""
    spans = {slug: (_before_ms(window) if context else window[0], *window) for slug, window in bounds.items()}
    found = []
    for row in rows:
        span = spans.get(row.project)
        if span is not None and span[0] <= (stopped_ms := row.stopped_ms) < span[2]:
            found.append((row, stopped_ms >= span[1]))
    return found


async def _runs(store: ReadStore, bounds: Bounds, *, context: bool) -> Pages:
    async for page in run_pages(store, *_span(bounds, context=context)):
        yield _placed(page, bounds, context=context)


class Deployments:
    """Deployments as figures take them, read once: what is asked for within a time that was read is cut out of it.

    `begun`: with the time since work on their commits began.
    """

    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._span = (0, 0)
        self._project: str | None = None
        self.begun = False
        self._rows: Sequence[Deployed] = ()

    async def read(self, since_ms: int, until_ms: int, project: str | None, *, begun: bool) -> Sequence[Deployed]:
        """Those that ended then, oldest first; where a `project` is given, maybe only those of it."""
        enough = self._project in (None, project) and self.begun >= begun
        if not (enough and self._span[0] <= since_ms <= until_ms <= self._span[1]):
            self._rows = await self._store.deployment_ends(since_ms, until_ms, project=project, begun=begun)
            self._span, self._project, self.begun = (since_ms, until_ms), project, begun
        first, last = (bisect_left(self._rows, at, key=lambda one: one.stopped_ms) for at in (since_ms, until_ms))
        return self._rows[first:last]

    async def read_around(self, windows: Sequence[tuple[int, int]], project: str | None) -> None:
        """All that measuring these windows takes, of one project or all."""
        since_ms, until_ms = min(map(_before_ms, windows)), max(until_ms for _, until_ms in windows)
        await self.read(since_ms, until_ms, project, begun=True)

    async def folded(self, bounds: Bounds, *, begun: bool) -> Mapping[tuple[str, str], DeploymentFold]:
        """By project and environment, what came of those within bounds, seen with those before."""
        only = next(iter(bounds)) if len(bounds) == 1 else None
        rows = await self.read(*_span(bounds, context=True), only, begun=begun)
        since_ms = min(since for since, _ in set(bounds.values()))
        inside = rows[bisect_left(rows, since_ms, key=lambda one: one.stopped_ms) :]
        windows = {window: (_before_ms(window), *window) for window in set(bounds.values())}
        spans = {slug: windows[window] for slug, window in bounds.items()}
        if len(inside) < _FEW:
            return fold_deployments(inside, spans)
        return await asyncio.to_thread(fold_deployments, inside, spans)


class Faults:
    """Commits on which tests failed, read once for each window."""

    def __init__(self, store: ReadStore) -> None:
        self._store = store
        self._read: dict[object, Sequence[TestOutcome]] = {}

    async def read(self, bounds: Bounds) -> Sequence[TestOutcome]:
        """As `ReadStore.test_faults`."""
        key = frozenset(bounds.items())
        if key not in self._read:
            self._read[key] = await self._store.test_faults(bounds)
        return self._read[key]


async def deployment_pages(
    store: ReadStore, since_ms: int, until_ms: int, project: str | None = None
) -> AsyncIterator[Sequence[DeploymentRow]]:
    """Every ended deployment of a time range, of one project or all, oldest first."""
    after: tuple[int, str] | None = None
    while True:
        page = await store.deployments_between(since_ms, until_ms, after=after, limit=_DEPLOYMENTS, project=project)
        yield page
        if len(page) < _DEPLOYMENTS:
            return
        after = (page[-1].stopped_ms, page[-1].deployment_id)


async def _steps(store: ReadStore, bounds: Bounds) -> Pages:
    yield [(row, True) for row in await store.steps_failed(bounds)]


async def _flakes(store: ReadStore, bounds: Bounds, faults: Faults) -> Pages:
    """Tests that flaked, commit by commit, and of each project how many did not."""
    flaked = {(one.project, one.test_id) for one in await faults.read(bounds) if one.passed}
    of_project = Counter(project for project, _ in flaked)
    counts = await store.test_counts(bounds)
    yield [(TestCount(project, n - of_project[project]), True) for project, n in counts.items()]
    yield [(row, True) for row in await store.outcomes_of(bounds, flaked)] if flaked else []


async def _tests(store: ReadStore, bounds: Bounds) -> Pages:
    async for page in outcome_pages(store, bounds):
        yield [(row, True) for row in page]


class Outcomes(Protocol):
    """The part of a store that knows what came of tests."""

    async def test_outcomes(
        self, bounds: Bounds, *, after: tuple[str, str, str] | None = None, limit: int, failing: bool = False
    ) -> Sequence[TestOutcome]:
        """As `ReadStore.test_outcomes`."""
        ...


async def outcome_pages(
    store: Outcomes, bounds: Bounds, *, failing: bool = False
) -> AsyncIterator[Sequence[TestOutcome]]:
    """Test results by project, test and commit, in pages; of all tests, or of those that failed in the bounds."""
    after: tuple[str, str, str] | None = None
    while True:
        page = await store.test_outcomes(bounds, after=after, limit=_OUTCOMES, failing=failing)
        yield page
        if len(page) < _OUTCOMES:
            return
        after = (page[-1].project, page[-1].test_id, page[-1].revision)
