"""Which tests became slower: where the run times of a test's commits changed, and by how much. Pure.

Invariant: a test is slowing only where the change is large, long enough to be felt, and seen on commits enough before
and after; noise that lies on both sides of the change is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from headgate.core.runrows import TestOutcome

__all__ = ["FEWEST_COMMITS", "MIN_RATIO", "MIN_SECONDS", "Slowing", "slowing_of"]

# Commits on each side of the change; by how much, relative and in seconds of one run.
FEWEST_COMMITS = 8
MIN_RATIO = 1.25
MIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Slowing:
    """`before`, `after`: medians of a run, seconds. `since_ms`: end of the first slower commit."""

    before: float
    after: float
    since_ms: int
    commits_before: int
    commits_after: int


def slowing_of(outcomes: Iterable[TestOutcome], since_ms: int) -> Slowing | None:
    """Where a test became slower at or after `since_ms`, from the mean run time of each of its commits.

    The change is where the sum of deviations from the middle turns (CUSUM); three of four commits after it must be
    slower than three of four before it.
    """
    points = sorted((one.last_ms, mean) for one in outcomes if (mean := _mean(one)) is not None)
    values = [seconds for _, seconds in points]
    if len(values) < 2 * FEWEST_COMMITS:
        return None
    at = _change(values)
    before, after = values[:at], values[at:]
    if min(len(before), len(after)) < FEWEST_COMMITS or points[at][0] < since_ms:
        return None
    low, high = median(before), median(after)
    if high < low * MIN_RATIO or high - low < MIN_SECONDS:
        return None
    if quantiles(after, n=4)[0] <= quantiles(before, n=4)[2]:
        return None
    return Slowing(low, high, points[at][0], len(before), len(after))


def _mean(one: TestOutcome) -> float | None:
    runs = one.passed + one.failed + one.infra
    return one.run_ms / runs / 1000 if runs and one.run_ms else None


def _change(values: Sequence[float]) -> int:
    """Index of the first value after the most likely upward change; a single outlier weighs no more than the middle."""
    middle = (median(values) + sum(values) / len(values)) / 2
    total, lowest, at = 0.0, 0.0, 0
    for index, value in enumerate(values):
        total += min(max(value - middle, -middle), middle)
        if total < lowest:
            lowest, at = total, index + 1
    return at
