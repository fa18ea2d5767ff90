"""Suites of tests over time, and how evenly jobs spread their work over parallel machines."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from headgate.core.detailrows import NodeSum
from headgate.core.runrows import TestCommit, TestOutcome, TestSum
from headgate.core.times import format_ms
from headgate.insights.views.lens import Lens
from headgate.insights.views.window import Window

__all__ = ["SplitView", "SuiteLine", "SuitePlot", "Suites", "split_views"]

# A chart of more lines is not read.
_LINES = 5


@dataclass(frozen=True, slots=True)
class SuiteLine:
    """One suite. `total`: seconds of all its results in the window; `values`: seconds of one commit in each step.

    A commit that ran several times counts its runs together; None where no commit ended in the step.
    """

    project: str
    suite: str
    total: float
    commits: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class SuitePlot:
    """`at`: begin of each step. `lines`: the suites that took most time, `suites`: how many there are."""

    at: tuple[str, ...]
    suites: int
    lines: tuple[SuiteLine, ...]


@dataclass(frozen=True, slots=True)
class SplitView:
    """How a job's work is spread. `imbalance`: time of the slowest machine by the mean of all, 1 is even.

    `lost`: minutes that the runs of the window waited for their slowest machine beyond an even split;
    `lost_per_run`: seconds.
    """

    project: str
    workflow: str
    job: str
    team: str
    runs: int
    nodes: int
    imbalance: float
    lost: float
    lost_per_run: float


@dataclass(slots=True)
class Suites:
    """Collects tests; a commit counts in the step in which its last job ended.

    Of tests whose sums alone were added only those of the suites that `plot` shows are needed commit by commit.
    """

    slots: Sequence[Window]
    _totals: Counter[tuple[str, str]] = field(default_factory=Counter)
    _tests: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)
    _ms: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    _commits: dict[tuple[str, str], set[tuple[int, str]]] = field(default_factory=dict)

    def add(self, outcome: TestOutcome) -> None:
        """One commit of one test."""
        if outcome.run_ms:
            key = (outcome.project, outcome.suite or outcome.file)
            self._totals[key] += outcome.run_ms
            self._count(key, outcome)

    def add_sum(self, one: TestSum) -> None:
        """All commits of one test."""
        if one.run_ms:
            key = (one.project, one.suite or one.file)
            self._totals[key] += one.run_ms
            self._tests.setdefault(key, []).append((one.project, one.test_id))

    def unread(self) -> Sequence[tuple[str, str]]:
        """Project and id of the tests whose commits are to be given to `detail`."""
        return [test for key in self._longest() for test in self._tests.get(key, ())]

    def detail(self, commits: Iterable[TestCommit]) -> None:
        """Those of the tests that were `unread`."""
        keys = {test: key for key in self._longest() for test in self._tests.get(key, ())}
        for one in commits:
            if one.run_ms:
                self._count(keys[one.project, one.test_id], one)

    def _longest(self) -> Sequence[tuple[str, str]]:
        return [key for _, key in nsmallest(_LINES, ((-ms, key) for key, ms in self._totals.items()))]

    def _count(self, key: tuple[str, str], outcome: TestCommit | TestOutcome) -> None:
        slot = max(0, bisect_right(self.slots, outcome.last_ms, key=lambda one: one.since_ms) - 1)
        times = self._ms.setdefault(key, {})
        times[slot] = times.get(slot, 0) + outcome.run_ms
        self._commits.setdefault(key, set()).add((slot, outcome.revision))

    def plot(self) -> SuitePlot:
        """The suites that took most time."""
        lines = tuple(map(self._line, self._longest()))
        return SuitePlot(tuple(format_ms(one.since_ms) for one in self.slots), len(self._totals), lines)

    def _line(self, key: tuple[str, str]) -> SuiteLine:
        times, commits = self._ms[key], self._commits[key]
        counts = Counter(slot for slot, _ in commits)
        values = (times[at] / counts[at] / 1000 if counts[at] else None for at in range(len(self.slots)))
        return SuiteLine(*key, sum(times.values()) / 1000, len({revision for _, revision in commits}), tuple(values))


def split_views(lens: Lens, sums: Sequence[NodeSum]) -> list[SplitView]:
    """Most time lost first."""
    found = [
        SplitView(
            project=one.project,
            workflow=one.workflow,
            job=one.job,
            team=lens.owners.team(one.project, one.workflow, one.job),
            runs=one.runs,
            nodes=one.nodes,
            imbalance=one.slowest_ms / one.mean_ms if one.mean_ms else 1.0,
            lost=(one.slowest_ms - one.mean_ms) / 60_000,
            lost_per_run=(one.slowest_ms - one.mean_ms) / one.runs / 1000,
        )
        for one in sums
    ]
    return sorted(found, key=lambda one: (-one.lost, one.project, one.workflow, one.job))
