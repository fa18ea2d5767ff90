"""What got worse than in the window before, and which jobs it came with. Pure.

Only changes that chance does not explain: shares by a test of two proportions, durations and credits by how much they
grew over enough runs. It ranks; whether somebody is told is for rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headgate.insights.metric import Labels
from headgate.insights.views.figures import Trend, Trends

__all__ = ["WORSE_FIGURES", "Because", "Worse", "because", "find_better", "find_worse", "with_causes"]

# A figure of workflows -> that of their jobs which explains it.
WORSE_FIGURES: Mapping[str, str] = {
    "success_rate": "failed_runs_of_jobs",
    "duration_p95": "duration_p95_of_jobs",
    "credits": "credits_of_jobs",
}
# Two standard errors; five points of a share; a quarter more of a span or sum, over so many runs of both windows.
_Z, _POINTS, _GROWTH, _RUNS = 2.0, 0.05, 0.25, 10
_JOBS = 3


@dataclass(frozen=True, slots=True)
class Because:
    """A job whose figure moved with it. `metric`: which one of the job."""

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


def find_worse(groups: Mapping[Labels, Trends], *, most: int) -> Sequence[Worse]:
    """Workflows by `project` and `workflow`, the worst first; without what explains them."""
    found: list[tuple[float, Worse]] = []
    for labels, trends in groups.items():
        for metric in WORSE_FIGURES:
            one = trends[metric].compared
            weight = _weight(metric, one)
            if weight and one.value is not None and one.previous is not None and one.change is not None:
                names = dict(labels)
                worse = Worse(
                    names["project"], names["workflow"], metric, one.value, one.previous, one.change, one.n, ()
                )
                found.append((weight, worse))
    found.sort(key=lambda pair: (-pair[0], pair[1].project, pair[1].workflow, pair[1].metric))
    return [worse for _, worse in found[:most]]


def find_better(groups: Mapping[Labels, Trends], *, most: int) -> Sequence[Worse]:
    """Workflows that got better: those that would be worse if time ran backwards; the best first."""
    turned = {
        labels: {metric: _turned(figures[metric]) for metric in WORSE_FIGURES} for labels, figures in groups.items()
    }
    return [_back(one, groups) for one in find_worse(turned, most=most)]


def _turned(one: Trend) -> Trend:
    """The two windows changed for each other."""
    change, one = None if one.change is None else -one.change, one.compared
    return replace(
        one, value=one.previous, n=one.previous_n, previous=one.value, previous_n=one.n, change=change, known_until=None
    )


def _back(one: Worse, groups: Mapping[Labels, Trends]) -> Worse:
    place = (("project", one.project), ("workflow", one.workflow))
    n = groups[place][one.metric].n
    return replace(one, value=one.previous, previous=one.value, change=-one.change, n=n)


def with_causes(found: Sequence[Worse], jobs: Mapping[Labels, Trends]) -> tuple[Worse, ...]:
    """Each with the jobs that moved with it, those that got worse or better by its direction."""
    return tuple(replace(one, because=because(one, jobs)) for one in found)


def _weight(metric: str, one: Trend) -> float:
    """How much worse, comparable between figures; 0 where it is not."""
    if one.value is None or one.previous is None or min(one.n, one.previous_n) < _RUNS:
        return 0.0
    if metric == "success_rate":
        drop = one.previous - one.value
        pooled = (one.value * one.n + one.previous * one.previous_n) / (one.n + one.previous_n)
        error = math.sqrt(pooled * (1 - pooled) * (1 / one.n + 1 / one.previous_n))
        return drop / 0.1 if drop >= _POINTS and error and drop / error >= _Z else 0.0
    growth = (one.value - one.previous) / one.previous if one.previous > 0 else 0.0
    return growth if growth >= _GROWTH else 0.0


def because(worse: Worse, jobs: Mapping[Labels, Trends]) -> tuple[Because, ...]:
    """Jobs (`project`, `workflow`, `job`) of the workflow whose figures moved with it, largest first."""
    metric, found = WORSE_FIGURES[worse.metric], []
    grew = worse.change > 0 if worse.metric != "success_rate" else worse.change < 0
    for labels, trends in jobs.items():
        names, one = dict(labels), trends[metric].compared
        moved = (one.value or 0.0) - (one.previous or 0.0)
        if (names["project"], names["workflow"]) == (worse.project, worse.workflow) and moved and (moved > 0) is grew:
            found.append(Because(names["job"], metric, one.value, one.previous, moved))
    return tuple(sorted(found, key=lambda one: (-abs(one.change), one.job))[:_JOBS])
