"""Samples of a metric per group, computed exactly from runs over a window.

Windows are half open, `since_ms` <= end of run < `until_ms`. Invariant: a sample depends on the runs alone, not on the
order in which they arrived.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from headgate.core.storeport import RunRow
from headgate.insights.dimensions import ROW_VALUES
from headgate.insights.match import Matcher, by_class
from headgate.insights.metric import Labels, MetricDef
from headgate.insights.sums import FAILED, JUDGED, nearest_rank

__all__ = ["GroupedRuns", "Labels", "Sample", "first_bad_run", "group_runs", "sample"]

_VALUES = ROW_VALUES["runs"]


def _seconds(runs: Sequence[RunRow], q: float) -> float:
    return nearest_rank([run.duration_ms for run in runs if run.duration_ms is not None], q) / 1000


def _timed(run: RunRow) -> bool:
    return run.status == "success" and run.duration_ms is not None


# Metric -> which runs qualify, and the value of at least one of them. `insights.reader` measures every other metric.
_KNOWN: Mapping[str, tuple[Callable[[RunRow], bool], Callable[[Sequence[RunRow]], float]]] = {
    "success_rate": (lambda run: run.status in JUDGED, lambda runs: _count(runs, {"success"}) / len(runs)),
    "runs": (lambda run: run.status != "skipped", lambda runs: float(len(runs))),
    "failed_runs": (lambda run: run.status in JUDGED, lambda runs: float(_count(runs, FAILED))),
    "duration_p50": (_timed, lambda runs: _seconds(runs, 0.5)),
    "duration_p95": (_timed, lambda runs: _seconds(runs, 0.95)),
}


def _count(runs: Sequence[RunRow], statuses: Collection[str]) -> int:
    return sum(run.status in statuses for run in runs)


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric of one group over one window.

    `value`: None without qualifying runs. `n`: qualifying runs; `n_new`: those that ended since the previous
    evaluation. `last`: the newest of them.
    """

    labels: Mapping[str, str]
    value: float | None
    n: int
    n_new: int
    last: RunRow | None


@dataclass(frozen=True, slots=True)
class GroupedRuns:
    """The qualifying runs of one group, oldest first, and their end times. `projects`: those it has runs of."""

    labels: Labels
    runs: Sequence[RunRow]
    ends_ms: Sequence[int]
    projects: frozenset[str]

    def between(self, since_ms: int, until_ms: int) -> Sequence[RunRow]:
        """Runs of a window, oldest first."""
        return self.runs[bisect_left(self.ends_ms, since_ms) : bisect_left(self.ends_ms, until_ms)]


def group_runs(
    metric: MetricDef, runs: Sequence[RunRow], by: Sequence[str], where: Sequence[Matcher]
) -> Mapping[Labels, GroupedRuns]:
    """Sort the metric's qualifying runs that `where` takes into groups; each group has at least one."""
    found: dict[Labels, list[RunRow]] = {}
    wanted = [(_VALUES[matcher.label], matcher) for matcher in map(by_class, where)]
    counts, _ = _KNOWN[metric.id]
    for run in runs:
        if counts(run) and all(matcher.accepts(value_of(run)) for value_of, matcher in wanted):
            labels = tuple(sorted((name, _VALUES[name](run)) for name in by))
            found.setdefault(labels, []).append(run)
    return {labels: _grouped(labels, members) for labels, members in found.items()}


def _grouped(labels: Labels, runs: list[RunRow]) -> GroupedRuns:
    ordered = sorted(runs, key=lambda run: (run.stopped_ms, run.workflow_id))
    return GroupedRuns(labels, ordered, [run.stopped_ms for run in ordered], frozenset(run.project for run in ordered))


def sample(metric: MetricDef, group: GroupedRuns, since_ms: int, until_ms: int, previous_ms: int) -> Sample:
    """The metric over a window; `previous_ms`: end of the window judged before, for what is new."""
    runs = group.between(since_ms, until_ms)
    return Sample(
        labels=dict(group.labels),
        value=_KNOWN[metric.id][1](runs) if runs else None,
        n=len(runs),
        n_new=len(group.between(max(previous_ms, since_ms), until_ms)),
        last=runs[-1] if runs else None,
    )


def first_bad_run(runs: Sequence[RunRow]) -> RunRow | None:
    """The failed run with which the failure rate most likely rose; None where it did not rise.

    Splits the runs (oldest first) where two constant rates explain them best, the later one higher: the maximum of the
    likelihood ratio. With failures in every run it is the first.
    """
    bad = [run.status in FAILED for run in runs]
    total = sum(bad)
    best, at, before = -math.inf, None, 0
    for index, is_bad in enumerate(bad):
        after = total - before
        rises = index == 0 or after / (len(bad) - index) > before / index
        if is_bad and rises:
            score = _log_likelihood(before, index) + _log_likelihood(after, len(bad) - index)
            if score > best:
                best, at = score, index
        before += is_bad
    return None if at is None else runs[at]


def _log_likelihood(hits: int, n: int) -> float:
    if hits in (0, n):
        return 0.0
    share = hits / n
    return hits * math.log(share) + (n - hits) * math.log(1 - share)
