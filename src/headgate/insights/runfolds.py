"""Metrics that need runs one by one: outages and recoveries, durations without approvals; and of repeats. Pure.

Invariant: a fold sees the runs of its group in the order of their end and keeps no run, only what it needs of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from headgate.core.outages import JUDGED, Outages
from headgate.core.rollup import bin_of, quantile
from headgate.core.runrows import RunRow
from headgate.insights.metric import FromOutages, FromRepeats, FromRows, Measured, Repeats
from headgate.insights.sums import FAILED, number, share

__all__ = ["mean_without_hold", "of_outages", "of_reruns", "quantile_without_hold", "unread_as_others", "without_hold"]


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
    """Duration less the waits for approvals, milliseconds; never negative, though approvals may wait side by side.

    None where either is not known.
    """
    return None if run.duration_ms is None or run.hold_ms is None else max(0, run.duration_ms - run.hold_ms)


def unread_as_others(runs: Sequence[RunRow]) -> Sequence[RunRow]:
    """Successful runs of one workflow; those whose waits nobody read had none where others are known to have had none.

    On the default branch and on others apart. Where webhooks tell everything, the jobs of such a workflow are listed
    once a week.
    """
    held: dict[int, bool] = {}
    for run in runs:
        if run.hold_ms is not None:
            held[run.branch_class] = bool(run.hold_ms) or held.get(run.branch_class, False)
    return [
        structs.replace(run, hold_ms=0) if run.hold_ms is None and held.get(run.branch_class) is False else run
        for run in runs
    ]


@dataclass(slots=True)
class _Spans:
    """Durations, milliseconds."""

    n: int = 0
    total_ms: int = 0
    bins: Counter[int] = field(default_factory=Counter)

    def add(self, span_ms: int) -> None:
        """One duration."""
        self.n += 1
        self.total_ms += span_ms
        self.bins[bin_of(span_ms)] += 1


@dataclass(slots=True)
class _Net:
    """Durations of successful runs without the waits for approvals.

    `unread`: by workflow and class of branch, of runs whose waits nobody read; `held`: whether another run of those had
    any. They count as `unread_as_others` says.
    """

    known: _Spans = field(default_factory=_Spans)
    unread: dict[tuple[str, str, int], _Spans] = field(default_factory=dict)
    held: dict[tuple[str, str, int], bool] = field(default_factory=dict)

    def add(self, run: RunRow, *, inside: bool) -> None:
        """One run."""
        if not inside or run.status != "success" or run.duration_ms is None:
            return
        net, key = without_hold(run), (run.project, run.workflow, run.branch_class)
        if net is None:
            self.unread.setdefault(key, _Spans()).add(run.duration_ms)
        else:
            self.held[key] = bool(run.hold_ms) or self.held.get(key, False)
            self.known.add(net)

    def spans(self) -> _Spans:
        """All that count."""
        parts = [self.known, *(spans for key, spans in self.unread.items() if self.held.get(key) is False)]
        bins: Counter[int] = Counter()
        for part in parts:
            bins.update(part.bins)
        return _Spans(sum(part.n for part in parts), sum(part.total_ms for part in parts), bins)


def mean_without_hold() -> FromRows:
    """Mean seconds."""
    return FromRows("runs", _Net, lambda net, _span: _mean(net.spans()))


def _mean(spans: _Spans) -> Measured:
    return number(spans.total_ms / max(1, spans.n) / 1000, spans.n)


def quantile_without_hold(q: float) -> FromRows:
    """Nearest rank of bins, seconds, as of every other duration."""
    return FromRows("runs", _Net, lambda net, _span: _quantile(net.spans(), q))


def _quantile(spans: _Spans, q: float) -> Measured:
    return number((quantile(spans.bins, q) or 0.0) / 1000, spans.n)
