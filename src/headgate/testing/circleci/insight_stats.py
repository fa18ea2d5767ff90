"""The figures Insights computes over runs.

Invariant: pure; a statistic of durations over nothing that ended is None, never 0. `success_rate` counts canceled runs
as CircleCI does; throughput is runs per day begun between the first start and the last end (checked with the figures
of CircleCI's own sample).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean, median, pstdev
from typing import TypeVar

from headgate.testing.circleci.insight_runs import Run
from headgate.testing.circleci.model import FAILED
from headgate.testing.circleci.times import DAY, SECOND

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds, over what ended: all None if nothing did."""

    min: int | None = None
    max: int | None = None
    median: int | None = None
    mean: int | None = None
    p95: int | None = None
    standard_deviation: float | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures over some runs: `total` counts those that have not ended too, all others only what ended."""

    total: int
    completed: int
    successful: int
    failed: int
    success_rate: float
    throughput: float
    credits: int
    median_credits: int
    seconds: int
    durations: Durations
    recoveries: int
    mttr: int | None  # seconds from a failure to the next success, on average; 0 if there was none
    window_start: int  # 0 if there are no runs
    window_end: int


def measure(runs: Sequence[Run]) -> Stats:
    """Compute all figures."""
    done = sorted((run for run in runs if run.stopped), key=lambda run: run.stopped)
    good = sum(run.status == "success" for run in done)
    start = min((run.created for run in runs), default=0)
    end = max((run.stopped or run.created for run in runs), default=0)
    waits = _recoveries(done)
    return Stats(
        total=len(runs),
        completed=len(done),
        successful=good,
        failed=sum(run.status in FAILED for run in done),
        success_rate=good / len(done) if done else 0.0,
        throughput=len(runs) / max(1, ceil((end - start) / DAY)),
        credits=sum(run.credits for run in done),
        median_credits=int(median(run.credits for run in done)) if done else 0,
        seconds=sum(run.seconds for run in done),
        durations=_durations(sorted(run.seconds for run in done)),
        recoveries=len(waits),
        mttr=(int(fmean(waits)) // SECOND if waits else 0) if done else None,
        window_start=start,
        window_end=end,
    )


def ratio(current: float | None, before: float | None) -> float:
    """Give a trend: 1.0 is the same as before, -1.0 means that there was nothing before (infinite)."""
    if not before:
        return -1.0 if current else 1.0
    return (current or 0) / before


def p95(ordered: Sequence[_Number]) -> _Number:
    """Give the 95th percentile (nearest rank) of ordered values, of which there is at least one."""
    return ordered[ceil(0.95 * len(ordered)) - 1]


def _durations(seconds: list[int]) -> Durations:
    if not seconds:
        return Durations()
    return Durations(
        min=seconds[0],
        max=seconds[-1],
        median=int(median(seconds)),
        mean=int(fmean(seconds)),
        p95=p95(seconds),
        standard_deviation=float(round(pstdev(seconds))),
    )


def _recoveries(done: Iterable[Run]) -> list[int]:
    """Give milliseconds from the first failure of each row of failures to the success that ended it."""
    waits, broken = [], 0
    for run in done:
        if run.status in FAILED:
            broken = broken or run.stopped
        elif run.status == "success" and broken:
            waits.append(run.stopped - broken)
            broken = 0
    return waits
