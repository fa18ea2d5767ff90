"""Metrics of runs and jobs that follow from sums: shares, counts, means and quantiles. Pure.

Invariant: a value depends on the sums alone, so it is the same whether they came from rollups or from single facts.
Counts, sums and means are exact; a quantile is the nearest rank of bins within 1 % of every member.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from headgate.core.outages import JUDGED
from headgate.core.rollup import Measure
from headgate.core.tally import Tally
from headgate.core.times import DAY_MS
from headgate.insights.metric import FromTally, Measured

__all__ = [
    "FAILED",
    "JUDGED",
    "credits_used",
    "failed",
    "infrastructure",
    "mean",
    "nearest_rank",
    "number",
    "quantile",
    "ran",
    "share",
    "success_share",
    "throughput",
]

Kind = Literal["workflow", "job"]
FAILED: frozenset[str] = frozenset({"failure", "error", "timeout"})


def success_share(kind: Kind) -> FromTally:
    """Successful ones among those that succeeded or failed."""
    return FromTally(kind, lambda tally, _span: share(tally.ok, tally.ok + tally.failed))


def ran(kind: Kind) -> FromTally:
    """How many ended, skipped ones aside."""
    return FromTally(kind, lambda tally, _span: number(tally.n - tally.skipped, tally.n - tally.skipped))


def throughput(kind: Kind) -> FromTally:
    """How many ended per day, skipped ones aside."""
    return FromTally(
        kind, lambda tally, span: number((tally.n - tally.skipped) * DAY_MS / span, tally.n - tally.skipped)
    )


def failed(kind: Kind) -> FromTally:
    """How many failed, beside how many were judged."""
    return FromTally(kind, lambda tally, _span: number(tally.failed, tally.ok + tally.failed))


def infrastructure(kind: Kind) -> FromTally:
    """How many failures were not the code's, beside how many were judged."""
    return FromTally(kind, lambda tally, _span: number(tally.errors, tally.ok + tally.failed))


def credits_used(kind: Kind) -> FromTally:
    """Credits of all that ended, whatever the end."""
    return FromTally(kind, _credits)


def mean(kind: Kind, measure: Measure) -> FromTally:
    """Mean of a measure, seconds, over those whose measure is known."""
    return FromTally(kind, partial(_mean, _SUMS[measure]))


def quantile(kind: Kind, measure: Measure, q: float) -> FromTally:
    """Quantile of a measure, seconds, over those whose measure is known."""
    return FromTally(kind, partial(_quantile, measure, q), frozenset({measure}))


def nearest_rank(values: Sequence[float], q: float) -> float:
    """The q-quantile by nearest rank: a value that occurred. `values` is not empty, in any order."""
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def number(value: float, n: int) -> Measured:
    """A value that is none without a sample."""
    return Measured(float(value) if n else None, n)


def share(hits: int, n: int) -> Measured:
    """A proportion."""
    return Measured(hits / n if n else None, n, hits)


# Measure -> names of the sum and of how many are in it.
_SUMS: Mapping[Measure, tuple[str, str]] = {
    "duration_ok": ("duration_ok_ms", "timed_ok"),
    "queue": ("queue_ms", "queued"),
    "hold": ("hold_ms", "held"),
}


def _credits(tally: Tally, _span: int) -> Measured:
    """A sum of nothing is not known: the usage export and Insights tell of credits late, or never."""
    used = float(tally.credits) if tally.credits else None
    return Measured(used, tally.n - tally.skipped, estimated=tally.estimated > 0)


def _mean(names: tuple[str, str], tally: Tally, _span: int) -> Measured:
    total, n = (getattr(tally, name) for name in names)
    return number(total / n / 1000 if n else 0, n)


def _quantile(measure: Measure, q: float, tally: Tally, _span: int) -> Measured:
    return Measured(tally.quantile(measure, q), sum(tally.bins.get(measure, {}).values()))
