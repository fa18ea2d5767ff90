"""How surprising a number is beside its baseline. Pure and exact; no approximation for small samples.

Every `p` here is one-sided: the chance of a value at least so bad while nothing has changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, median

from headgate.insights.outlook import spread

__all__ = ["beyond_spread", "binomial_tail", "rank_tail", "wilson"]

_NORMAL = NormalDist()
# Beyond three deviations lies one in a thousand of well-behaved values.
_DEVIATIONS = 3.0


def binomial_tail(hits: int, n: int, p: float, *, lower: bool) -> float:
    """P(X <= hits) with `lower`, else P(X >= hits), for X of n tries that hit with chance `p`; exact sums of terms."""
    if p <= 0 or p >= 1:
        sure = 0 if p <= 0 else n
        return float(sure <= hits if lower else sure >= hits)
    first, last = (0, hits) if lower else (hits, n)
    log_p, log_q = math.log(p), math.log1p(-p)
    terms = (
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q)
        for k in range(max(0, first), min(n, last) + 1)
    )
    return min(1.0, math.fsum(terms))


def wilson(hits: int, n: int, p: float) -> tuple[float, float]:
    """Wilson's interval for a share; each end is passed by chance with `p`. `n` is at least 1."""
    z = _NORMAL.inv_cdf(1 - p)
    share, square = hits / n, z * z
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def rank_tail(value: float, others: Sequence[float], *, lower: bool) -> float:
    """Share of ranks at least so extreme as the value's, itself counted: 1/(n + 1) where it lies beyond all others."""
    beyond = sum(other <= value if lower else other >= value for other in others)
    return (beyond + 1) / (len(others) + 1)


def beyond_spread(value: float, values: Sequence[float]) -> bool:
    """Whether a value lies three deviations or more from the median of values that are not empty."""
    return abs(value - median(values)) >= _DEVIATIONS * spread(values)
