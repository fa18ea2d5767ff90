"""What got worse than in the window before, and which jobs it came with. Pure.

Only changes that chance does not explain: shares by a test of two proportions, durations and credits by how much they
grew over enough runs. It ranks; whether somebody is told is for rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from headgate.insights.metric import Labels
from headgate.insights.views.figures import Trends

__all__ = ["CAUSES", "WORSE_FIGURES", "Because", "Worse", "find_better", "find_worse", "with_causes"]

# A figure of workflows -> those of their jobs, approvals among them, which explain it.
WORSE_FIGURES: Mapping[str, tuple[str, ...]] = {
    "success_rate": ("failed_runs_of_jobs",),
    "duration_p95": ("duration_p95_of_jobs", "approval_wait_p95"),
    "credits": ("credits_of_jobs",),
}
CAUSES = tuple(name for names in WORSE_FIGURES.values() for name in names)
# Two standard errors; five points of a share; a quarter more of a span or sum, over so many runs of both windows.
_Z, _POINTS, _GROWTH, _RUNS = 2.0, 0.05, 0.25, 10
_JOBS = 3
# What moved less than this share of a span or sum does not explain it.
_LEAST = 0.1
# A value, and how many are in it.
_Part = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Because:
    """A job whose figure moved with it. `metric`: which one of the job; of an approval, how long it waited."""

    job: str
    metric: str
    value: float | None
    previous: float | None
    change: float


@dataclass(frozen=True, slots=True)
class Worse:
    """One figure of a workflow. `because`: its jobs that moved most with it, largest first; may be empty."""

    project: str
    workflow: str
    metric: str
    value: float
    previous: float
    change: float
    n: int
    because: tuple[Because, ...]


def find_worse(groups: Mapping[Labels, Trends], *, most: int | None) -> Sequence[Worse]:
    """Workflows by `project` and `workflow`, the worst first; without what explains them. `most`: None for all."""
    return _ranked(groups, most, _weight)


def find_better(groups: Mapping[Labels, Trends], *, most: int) -> Sequence[Worse]:
    """Workflows that got better: those that would be worse if time ran backwards; the best first."""
    return _ranked(groups, most, lambda metric, now, before: _weight(metric, before, now))


def _ranked(
    groups: Mapping[Labels, Trends], most: int | None, weight_of: Callable[[str, _Part, _Part], float]
) -> list[Worse]:
    found: list[tuple[float, Worse]] = []
    for labels, trends in groups.items():
        for metric in WORSE_FIGURES:
            one = trends[metric]
            (value, previous), change = one.compared, one.change
            if value is None or previous is None or change is None:
                continue
            weight = weight_of(metric, (value, one.n), (previous, one.previous_n))
            if weight:
                names = dict(labels)
                place = names["project"], names["workflow"], metric
                found.append((weight, Worse(*place, value, previous, change, one.n, ())))
    found.sort(key=lambda pair: (-pair[0], pair[1].project, pair[1].workflow, pair[1].metric))
    return [worse for _, worse in found[:most]]


def with_causes(found: Sequence[Worse], jobs: Mapping[Labels, Trends]) -> tuple[Worse, ...]:
    """Each with the jobs (by `project`, `workflow` and `job`) that moved with it: got worse or better by its direction.

    Those that moved most come first; a job that moved by less than a tenth of a span or sum does not explain it.
    """
    of: dict[tuple[str, str], list[tuple[str, Trends]]] = {}
    for labels, trends in jobs.items():
        names = dict(labels)
        of.setdefault((names["project"], names["workflow"]), []).append((names["job"], trends))
    return tuple(replace(one, because=_because(one, of.get((one.project, one.workflow), ()))) for one in found)


def _weight(metric: str, now: _Part, before: _Part) -> float:
    """How much worse, comparable between figures; 0 where it is not."""
    (value, n), (previous, previous_n) = now, before
    if min(n, previous_n) < _RUNS:
        return 0.0
    if metric == "success_rate":
        drop = previous - value
        pooled = (value * n + previous * previous_n) / (n + previous_n)
        error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / previous_n))
        return drop / 0.1 if drop >= _POINTS and error and drop / error >= _Z else 0.0
    growth = (value - previous) / previous if previous > 0 else 0.0
    return growth if growth >= _GROWTH else 0.0


def _because(worse: Worse, jobs: Iterable[tuple[str, Trends]]) -> tuple[Because, ...]:
    share = worse.metric == "success_rate"
    grew, least = (worse.change > 0) is not share, 0.0 if share else _LEAST * abs(worse.change)
    found = []
    for job, trends in jobs:
        for metric in WORSE_FIGURES[worse.metric]:
            value, previous = trends[metric].compared
            moved = (value or 0.0) - (previous or 0.0)
            if moved and (moved > 0) is grew and abs(moved) >= least:
                found.append(Because(job, metric, value, previous, moved))
    return tuple(sorted(found, key=lambda one: (-abs(one.change), one.job))[:_JOBS])
