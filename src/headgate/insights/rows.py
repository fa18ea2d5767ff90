"""Reads rows for metrics that need them one by one, page by page, with the time before a window where one asks for it.

Invariant: rows come in the order of their end, and a row is given once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from headgate.core.runrows import TestOutcome
from headgate.core.runs import run_pages
from headgate.core.storeport import ReadStore
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS
from headgate.insights.eventfolds import Deployed
from headgate.insights.metric import FromRows

__all__ = ["Pages", "outcome_pages", "outcomes_by_test", "read_rows"]

# What came before a window is read as far back as the window is long, and at least so far.
_CONTEXT_MS = 7 * DAY_MS
_PAGE = 1000
# Every page of outcomes looks at the whole time again, so there should be few.
_OUTCOMES = 10_000
Pages = AsyncIterator[Sequence[tuple[Any, bool]]]


def read_rows(store: ReadStore, how: FromRows, bounds: Bounds) -> Pages:
    """The rows of a metric with whether they are in their window; those before it only where `how.context` is."""
    match how.rows:
        case "runs":
            return _runs(store, bounds, context=how.context)
        case "deployments":
            return _deployments(store, bounds, context=how.context)
        case "leads":
            return _leads(store, bounds)
        case "steps":
            return _steps(store, bounds)
        case "tests":
            return _tests(store, bounds)


def _before_ms(window: tuple[int, int]) -> int:
    since_ms, until_ms = window
    return since_ms - max(_CONTEXT_MS, until_ms - since_ms)


def _span(bounds: Bounds, *, context: bool) -> tuple[int, int]:
    """What to read so that every window is in it."""
    since = min(_before_ms(window) if context else window[0] for window in bounds.values())
    return since, max(until for _, until in bounds.values())


def _placed(rows: Sequence[Any], bounds: Bounds, *, context: bool) -> list[tuple[Any, bool]]:
    """Rows in or before the window of their project."""
    found = []
    for row in rows:
        window = bounds.get(row.project)
        if window is None or not (_before_ms(window) if context else window[0]) <= row.stopped_ms < window[1]:
            continue
        found.append((row, row.stopped_ms >= window[0]))
    return found


async def _runs(store: ReadStore, bounds: Bounds, *, context: bool) -> Pages:
    async for page in run_pages(store, *_span(bounds, context=context)):
        yield _placed(page, bounds, context=context)


async def _deployments(store: ReadStore, bounds: Bounds, *, context: bool) -> Pages:
    since_ms, until_ms = _span(bounds, context=context)
    after: tuple[int, str] | None = None
    while True:
        page = await store.deployments_between(since_ms, until_ms, after=after, limit=_PAGE)
        yield [(Deployed(row), inside) for row, inside in _placed(page, bounds, context=context)]
        if len(page) < _PAGE:
            return
        after = (page[-1].stopped_ms, page[-1].deployment_id)


async def _leads(store: ReadStore, bounds: Bounds) -> Pages:
    """Deployments of the windows with the beginning of work on their commits."""
    deployed = [one.row async for page in _deployments(store, bounds, context=False) for one, _ in page]
    if not deployed:
        return
    names: dict[str, set[str]] = {}
    for row in deployed:
        names.setdefault(row.project, set()).add(row.revision or row.workflow_id)
    begun = await store.first_created(names)
    yield [(Deployed(row, begun.get((row.project, row.revision or row.workflow_id))), True) for row in deployed]


async def _steps(store: ReadStore, bounds: Bounds) -> Pages:
    yield [(row, True) for row in await store.steps_failed(bounds)]


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


async def outcomes_by_test(store: ReadStore, bounds: Bounds) -> AsyncIterator[Sequence[TestOutcome]]:
    """Of one test after the other what came of it on each of its commits; by project and test id."""
    own: list[TestOutcome] = []
    async for page in outcome_pages(store, bounds):
        for one in page:
            if own and (own[0].project, own[0].test_id) != (one.project, one.test_id):
                yield own
                own = []
            own.append(one)
    if own:
        yield own
