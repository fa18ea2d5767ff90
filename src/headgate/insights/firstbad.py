"""Where a failure rate rose. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headgate.insights.metric import Point

__all__ = ["first_bad_run"]


def first_bad_run(points: Sequence[Point]) -> Point | None:
    """The failed run with which the failure rate most likely rose; None where it did not rise.

    Splits the runs (oldest first) where two constant rates explain them best, the later one higher: the maximum of the
    likelihood ratio. With failures in every run it is the first.
    """
    total = sum(not point.ok for point in points)
    best, found, before = -math.inf, None, 0
    for index, point in enumerate(points):
        after = total - before
        rises = index == 0 or after / (len(points) - index) > before / index
        if not point.ok and rises:
            score = _log_likelihood(before, index) + _log_likelihood(after, len(points) - index)
            if score > best:
                best, found = score, point
        before += not point.ok
    return found


def _log_likelihood(hits: int, n: int) -> float:
    if hits in (0, n):
        return 0.0
    share = hits / n
    return hits * math.log(share) + (n - hits) * math.log(1 - share)
