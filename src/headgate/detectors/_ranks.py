"""Ranks of a series, and its cheapest division into parts of like ranks. Pure.

Invariant: results depend on the order of the values alone, so outliers, skew, units and any monotone transform of the
values change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["MIN_PART", "divide", "quantile", "standard_ranks"]

# A part holds at least this many runs: fewer cannot tell a change from bad luck, and more would come too late.
MIN_PART = 8


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile by nearest rank, a value that occurred. `values` is not empty."""
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


def standard_ranks(values: Sequence[float]) -> list[float] | None:
    """Ranks with mean 0 and variance 1, ties sharing theirs; None where all values are equal or there are none."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin + 1
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for place in order[begin:end]:
            ranks[place] = (begin + end - len(order)) / 2
        begin = end
    spread = math.sqrt(sum(rank * rank for rank in ranks) / len(ranks)) if ranks else 0.0
    return [rank / spread for rank in ranks] if spread else None


def divide(ranks: Sequence[float], penalty: float) -> list[int]:
    """Where the parts of the cheapest division begin, without the first: rising, `MIN_PART` apart at least.

    The cost of a division is the squared distance of each rank to the mean of its part, and `penalty` for each part.
    Exact: a beginning is passed over only once it can no longer be the best (PELT, Killick and others 2012), which
    holds from one shortest part after it was seen to be too dear.
    """
    sums = [0.0]
    for rank in ranks:
        sums.append(sums[-1] + rank)
    cost = [0.0] * len(sums)
    cost[0] = -penalty
    begin = [0] * len(sums)
    # (cost so far, sum so far, place) of every place that the last part may begin at.
    open_: list[tuple[float, float, int]] = [(cost[0], 0.0, 0)]
    closing: dict[int, set[int]] = {}
    for end in range(MIN_PART, len(sums)):
        if end in closing:
            gone = closing.pop(end)
            open_ = [one for one in open_ if one[2] not in gone]
        total = sums[end]
        costs = [before - (rise := total - at) * rise / (end - place) for before, at, place in open_]
        least = min(costs)
        cost[end], begin[end] = least + penalty, open_[costs.index(least)][2]
        if max(costs) > cost[end]:
            dear = {one[2] for one, now in zip(open_, costs, strict=True) if now > cost[end]}
            closing[end + MIN_PART] = dear
        started = end - MIN_PART + 1
        if started >= MIN_PART:
            open_.append((cost[started], sums[started], started))
    return _beginnings(begin)


def _beginnings(begin: Sequence[int]) -> list[int]:
    found = []
    place = len(begin) - 1
    while begin[place]:
        place = begin[place]
        found.append(place)
    return found[::-1]
