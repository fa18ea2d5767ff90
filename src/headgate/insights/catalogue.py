"""The metric catalogue: each metric once, with what counts for it, its unit, dimensions and watermark family.

Rules, pages, exports and documentation read this table; nothing else defines a number. Every `compute` is pure, exact,
and gets the qualifying runs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.slug import org_slug
from headgate.core.storeport import RunRow

__all__ = [
    "CATALOGUE",
    "DEFAULT_BRANCH",
    "DEFAULT_BRANCH_CLASS",
    "DIMENSIONS",
    "FAILED",
    "Family",
    "Format",
    "MetricDef",
    "nearest_rank",
]

Format = Literal["percentage", "score", "duration", "number", "credits"]
Family = Literal["runs"]  # which walk a metric's data comes from; `credits` joins with the usage export
FAILED: frozenset[str] = frozenset({"failure", "error", "timeout"})
_JUDGED = FAILED | {"success"}
# How rules and pages call the default branch, whatever its name; a run of it carries this class in the store.
DEFAULT_BRANCH = "@default"
DEFAULT_BRANCH_CLASS = 1

DIMENSIONS: Mapping[str, Callable[[RunRow], str]] = {
    "org": lambda run: org_slug(run.project),
    "project": lambda run: run.project,
    "workflow": lambda run: run.workflow,
    "branch": lambda run: run.ref,
    "branch_class": lambda run: DEFAULT_BRANCH if run.branch_class == DEFAULT_BRANCH_CLASS else "@other",
}


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric. `unit`: of the value (1, s, {run}); a percentage is a ratio from 0 to 1, a duration seconds.

    `counts`: which runs qualify; the number of them is the sample size. `compute`: takes at least one such run.
    """

    id: str
    unit: str
    format: Format
    doc: str
    counts: Callable[[RunRow], bool]
    compute: Callable[[Sequence[RunRow]], float]
    dimensions: tuple[str, ...] = tuple(DIMENSIONS)
    family: Family = "runs"


def nearest_rank(values: Sequence[float], q: float) -> float:
    """The q-quantile by nearest rank: a value that occurred. `values` is not empty, in any order."""
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def _success_rate(runs: Sequence[RunRow]) -> float:
    return sum(run.status == "success" for run in runs) / len(runs)


def _seconds(runs: Sequence[RunRow], q: float) -> float:
    return nearest_rank([run.duration_ms for run in runs if run.duration_ms is not None], q) / 1000


def _timed_success(run: RunRow) -> bool:
    return run.status == "success" and run.duration_ms is not None


CATALOGUE: Mapping[str, MetricDef] = {
    metric.id: metric
    for metric in (
        MetricDef(
            "success_rate",
            "1",
            "percentage",
            "Share of successful runs among those that ended as success, failure, error or timeout. Canceled and "
            "skipped runs do not count.",
            lambda run: run.status in _JUDGED,
            _success_rate,
        ),
        MetricDef(
            "runs",
            "{run}",
            "number",
            "Ended runs, whatever their end, canceled ones included; skipped ones did not run.",
            lambda run: run.status != "skipped",
            lambda runs: float(len(runs)),
        ),
        MetricDef(
            "failed_runs",
            "{run}",
            "number",
            "Runs that ended as failure, error or timeout. The sample size also counts successful ones.",
            lambda run: run.status in _JUDGED,
            lambda runs: float(sum(run.status in FAILED for run in runs)),
        ),
        MetricDef(
            "duration_p50",
            "s",
            "duration",
            "Median duration of successful runs, nearest rank, exact.",
            _timed_success,
            lambda runs: _seconds(runs, 0.5),
        ),
        MetricDef(
            "duration_p95",
            "s",
            "duration",
            "95th percentile of the duration of successful runs, nearest rank, exact.",
            _timed_success,
            lambda runs: _seconds(runs, 0.95),
        ),
    )
}
