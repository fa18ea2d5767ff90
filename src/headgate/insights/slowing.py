"""Which tests became slower: where the run times of a test's commits changed, and by how much. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from headgate.core.runrows import TestCommit, TestOutcome
from headgate.core.turning import turn

__all__ = ["Slowing", "slowing_of"]


@dataclass(frozen=True, slots=True)
class Slowing:
    """`before`, `after`: medians of a run, seconds. `since_ms`: end of the first slower commit."""

    before: float
    after: float
    since_ms: int
    commits_before: int
    commits_after: int


def slowing_of(outcomes: Iterable[TestOutcome | TestCommit], since_ms: int) -> Slowing | None:
    """Where a test became slower at or after `since_ms`, from the mean run time of each of its commits.

    See `core.turning`.
    """
    points = sorted((one.last_ms, mean) for one in outcomes if (mean := _mean(one)) is not None)
    found = turn([seconds for _, seconds in points], bisect_left(points, (since_ms,)))
    if found is None:
        return None
    at, low, high = found
    return Slowing(low, high, points[at][0], at, len(points) - at)


def _mean(one: TestOutcome | TestCommit) -> float | None:
    runs = one.passed + one.failed + one.infra
    return one.run_ms / runs / 1000 if runs and one.run_ms else None
