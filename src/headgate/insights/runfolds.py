"""Metrics that need runs one by one: outages and recoveries, durations without approvals; and of repeats. Pure.

Invariant: a fold sees the runs of its group in the order of their end and keeps no run, only what it needs of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from headgate.core.rollup import bin_of, quantile
from headgate.core.runrows import RunRow
from headgate.insights.metric import FromRepeats, FromRows, Measured, Repeats
from headgate.insights.sums import FAILED, JUDGED, number, share

__all__ = ["Outages", "mean_without_hold", "of_outages", "of_reruns", "quantile_without_hold", "without_hold"]


@dataclass(slots=True)
class Outages:
    """Times from red to green and from green to red, of each workflow and branch by itself.

    An outage begins with the first failed run and ends with the next successful one; it belongs to the window in which
    it ended. A time of peace begins with such an end and belongs to the window of the failure that ends it.
    """

    judged: int = 0
    recoveries: int = 0
    red_ms: int = 0
    relapses: int = 0
    green_ms: int = 0
    _red: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _green: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, run: RunRow, *, inside: bool) -> None:
        """One run."""
        if run.status not in JUDGED:
            return
        self.judged += inside
        key = (run.project, run.workflow, run.ref)
        if run.status in FAILED:
            self._red.setdefault(key, run.stopped_ms)
            since_ms = self._green.pop(key, None)
            if inside and since_ms is not None:
                self.relapses += 1
                self.green_ms += run.stopped_ms - since_ms
            return
        since_ms = self._red.pop(key, None)
        if since_ms is not None:
            self._green[key] = run.stopped_ms
        if inside and since_ms is not None:
            self.recoveries += 1
            self.red_ms += run.stopped_ms - since_ms


_OUTAGES: dict[str, Callable[[Outages], Measured]] = {
    "mttr": lambda seen: number(seen.red_ms / max(1, seen.recoveries) / 1000, seen.recoveries),
    "mtbf": lambda seen: number(seen.green_ms / max(1, seen.relapses) / 1000, seen.relapses),
    "recoveries": lambda seen: number(seen.recoveries, seen.judged),
}


def of_outages(what: str) -> FromRows:
    """mttr, mtbf or recoveries."""
    read = _OUTAGES[what]
    return FromRows("runs", Outages, lambda seen, _span: read(seen), context=True)


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
