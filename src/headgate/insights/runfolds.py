"""Metrics that need runs one by one: outages and recoveries, durations without approvals; and of repeats. Pure.

Invariant: a fold sees the runs of its group in the order of their end and keeps no run, only what it needs of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from headgate.core.outages import JUDGED, Outages
from headgate.core.rollup import bin_of, quantile
from headgate.core.runrows import RunRow
from headgate.insights.metric import FromOutages, FromRepeats, FromRows, Measured, Repeats
from headgate.insights.sums import FAILED, number, share

__all__ = ["mean_without_hold", "of_outages", "of_reruns", "quantile_without_hold", "without_hold"]


@dataclass(slots=True)
class _OfRuns:
    """Outages of each workflow and branch, from runs."""

    seen: Outages = field(default_factory=Outages)

    def add(self, run: RunRow, *, inside: bool) -> None:
        """One run."""
        if run.status in JUDGED:
            key = (run.project, run.workflow, run.ref)
            self.seen.add(key, run.stopped_ms, failed=run.status in FAILED, inside=inside)


_OUTAGES: dict[str, Callable[[Outages], Measured]] = {
    "mttr": lambda seen: number(seen.red_ms / max(1, seen.recoveries) / 1000, seen.recoveries),
    "mtbf": lambda seen: number(seen.green_ms / max(1, seen.relapses) / 1000, seen.relapses),
    "recoveries": lambda seen: number(seen.recoveries, seen.judged),
}


def of_outages(what: str) -> FromOutages:
    """mttr, mtbf or recoveries."""
    read = _OUTAGES[what]
    by_run = FromRows("runs", _OfRuns, lambda runs, _span: read(runs.seen), context=True)
    return FromOutages(read, by_run, judged=what == "recoveries")


_REPEATS: dict[str, Callable[[Repeats], Measured]] = {
    "waste": lambda seen: share(seen.green_on_retry, seen.green),
    "runs": lambda seen: number(seen.repeats, seen.ended),
    "credits": lambda seen: Measured(
        float(seen.credits) if seen.charged or not seen.repeats else None, seen.ended, estimated=seen.estimated
    ),
    "time": lambda seen: Measured(seen.duration_ms / 1000, seen.ended),
}


def of_reruns(what: str) -> FromRepeats:
    """waste, runs, credits or time: what repeating failed runs costs, and which are green only because of it."""
    return FromRepeats(_REPEATS[what])


def without_hold(run: RunRow) -> int | None:
    """Duration less the waits for approvals, milliseconds; never negative, though approvals may wait side by side."""
    return None if run.duration_ms is None else max(0, run.duration_ms - run.hold_ms)


@dataclass(slots=True)
class _Net:
    """Durations of successful runs without the waits for approvals."""

    n: int = 0
    total_ms: int = 0
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, run: RunRow, *, inside: bool) -> None:
        """One run."""
        net = without_hold(run) if inside and run.status == "success" else None
        if net is not None:
            self.n += 1
            self.total_ms += net
            self.bins[bin_of(net)] += 1


def mean_without_hold() -> FromRows:
    """Mean seconds."""
    return FromRows("runs", _Net, lambda net, _span: number(net.total_ms / max(1, net.n) / 1000, net.n))


def quantile_without_hold(q: float) -> FromRows:
    """Nearest rank of bins, seconds, as of every other duration."""
    return FromRows("runs", _Net, lambda net, _span: number((quantile(net.bins, q) or 0.0) / 1000, net.n))
