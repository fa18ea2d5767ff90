"""Mergeable sums over ended runs, and the question that a store answers with them. Pure.

Invariant: a tally of two disjoint sets of runs is the sum of their tallies, in any order and any grouping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.core.rollup import Contribution, Measure, RollupKind, quantile
from headgate.core.times import DAY_MS, HOUR_MS

__all__ = [
    "DEFAULT_BRANCH",
    "DIMENSIONS",
    "OTHER_BRANCH",
    "ROLLED",
    "STEPS",
    "Bounds",
    "Dimension",
    "Tally",
    "TallyQuery",
    "class_name",
]

# Project slug, as it is today -> (since_ms, until_ms), half open; a project that is not named is left out.
Bounds = Mapping[str, tuple[int, int]]

Dimension = Literal[
    "org", "project", "workflow", "job", "branch_class", "branch", "trigger", "resource_class", "hour", "day"
]
# Dimensions of time, for series: the UTC hour or day of the end of a run, as RFC 3339 text of its begin -> length, ms.
STEPS: Mapping[Dimension, int] = {"hour": HOUR_MS, "day": DAY_MS}
# Dimensions that rollups are kept by, in any combination. Of the others a store may add up one at a time; what it does
# not is answered from facts, each of which is then read.
ROLLED: frozenset[Dimension] = frozenset({"org", "project", "workflow", "job", "branch_class", *STEPS})
DIMENSIONS: frozenset[Dimension] = ROLLED | {"branch", "trigger", "resource_class"}
# Values of `branch_class`.
DEFAULT_BRANCH = "@default"
OTHER_BRANCH = "@other"


def class_name(branch_class: int) -> str:
    """The value of dimension `branch_class`; 1 is the project's default branch."""
    return DEFAULT_BRANCH if branch_class == 1 else OTHER_BRANCH


@dataclass(slots=True)
class Tally:
    """Sums over ended workflows or jobs; what each sum means is in `rollup.Contribution`.

    `bins`: measure -> bin -> runs, of the measures that were asked for and have any. Times in milliseconds.
    """

    n: int = 0
    ok: int = 0
    failed: int = 0
    errors: int = 0
    canceled: int = 0
    skipped: int = 0
    reruns: int = 0
    credits: int = 0
    estimated: int = 0
    duration_ok_ms: int = 0
    timed_ok: int = 0
    duration_ms: int = 0
    timed: int = 0
    queue_ms: int = 0
    queued: int = 0
    hold_ms: int = 0
    held: int = 0
    bins: dict[Measure, dict[int, int]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add what another tally counted."""
        self._add_sums(other)
        for measure, more in other.bins.items():
            bins = self.bins.get(measure)
            if bins is None:
                self.bins[measure] = dict(more)
                continue
            for index, n in more.items():
                if index in bins:
                    bins[index] += n
                else:
                    bins[index] = n

    def _add_sums(self, more: Tally | Contribution) -> None:
        """One by one and not by name: pages add up thousands of them."""
        self.n += more.n
        self.ok += more.ok
        self.failed += more.failed
        self.errors += more.errors
        self.canceled += more.canceled
        self.skipped += more.skipped
        self.reruns += more.reruns
        self.credits += more.credits
        self.estimated += more.estimated
        self.duration_ok_ms += more.duration_ok_ms
        self.timed_ok += more.timed_ok
        self.duration_ms += more.duration_ms
        self.timed += more.timed
        self.queue_ms += more.queue_ms
        self.queued += more.queued
        self.hold_ms += more.hold_ms
        self.held += more.held

    def count(self, part: Contribution, measures: frozenset[Measure]) -> None:
        """Add one run; of its bins those of `measures`."""
        self._add_sums(part)
        for measure, index in part.bins:
            if measure in measures:
                bins = self.bins.setdefault(measure, {})
                bins[index] = bins.get(index, 0) + 1

    def quantile(self, measure: Measure, q: float) -> float | None:
        """The q-quantile (nearest rank) in seconds, within 1 %; None where no run has a value or none was asked for."""
        found = quantile(self.bins.get(measure, {}), q)
        return None if found is None else found / 1000


@dataclass(frozen=True, slots=True)
class TallyQuery:
    """Which ended workflows or jobs to count, and by what.

    `bounds`: of the end of a run. `by`: the dimensions of the key, in its order; may be empty. `bins`: the measures
    whose quantiles are wanted; each costs time. `only`: values of dimensions of the key other than time, project and
    organisation; groups with others are not wanted and may be left out, which saves a store the reading of them.
    """

    kind: RollupKind
    bounds: Bounds
    by: tuple[Dimension, ...] = ()
    bins: frozenset[Measure] = frozenset()
    only: tuple[tuple[Dimension, str], ...] = ()
