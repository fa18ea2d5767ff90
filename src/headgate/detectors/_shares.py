"""Shares of runs above a threshold, and where they change: the deviance of a split. Pure.

A split's deviance at a threshold is twice the log likelihood that is won when both sides have a share of their own
instead of one in common (a binomial likelihood ratio).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from headgate.detectors._ranks import MIN_PART, quantile

__all__ = ["deviances", "settled", "tail_split"]

# Where a level change is placed by: a move of all runs shows at the median, one of a mode below or above it.
_BODY = (0.15, 0.5, 0.85)
# A tail is looked for above these quantiles: a few runs in a hundred that became slow show at the highest, a third of
# all at the lowest. The first three quarters are the business of the level.
_TAIL = (0.75, 0.85, 0.9, 0.95)
# A level change moves by at most so many runs when it is settled.
_REACH = 25
# Below, a quantile such as the 95th is one run.
_MIN_TAIL = 32


def _times_log(count: int) -> float:
    return count * math.log(count) if count else 0.0


def deviances(values: Sequence[float], q: float) -> list[float]:
    """The deviance of every split of `values` at its own q-quantile, from `MIN_PART` on; at least two parts' length."""
    threshold, size = quantile(values, q), len(values)
    logs = [_times_log(count) for count in range(size + 1)]
    above = [value > threshold for value in values]
    slow = sum(above)
    whole = logs[slow] + logs[size - slow] - logs[size]
    found, left = [], sum(above[: MIN_PART - 1])
    for end in range(MIN_PART, size - MIN_PART + 1):
        left += above[end - 1]
        rest = size - end
        likely = logs[left] + logs[end - left] - logs[end] + logs[slow - left] + logs[rest - slow + left] - logs[rest]
        found.append(2 * (likely - whole))
    return found


def settled(values: Sequence[float], places: Sequence[int]) -> list[int]:
    """The same changes, each moved to where the shares on both sides of it differ most.

    Ranks find a change best and place it roughly: in a workflow with two modes a few runs of the slow one move it.
    """
    moved = [0, *places, len(values)]
    for _ in range(2):  # the second time with neighbours that were settled
        for one in range(1, len(moved) - 1):
            low, high = moved[one - 1], moved[one + 1]
            part = values[low:high]
            sums = [sum(at) for at in zip(*(deviances(part, q) for q in _BODY), strict=True)]
            now = moved[one] - low - MIN_PART
            first = max(0, now - _REACH)
            near = sums[first : now + _REACH + 1]
            moved[one] = low + MIN_PART + first + near.index(max(near))
    return moved[1:-1]


def tail_split(values: Sequence[float], penalty: float) -> int | None:
    """Where the share of slow runs changed most, at whichever threshold shows it best; None where it did not."""
    if len(values) < _MIN_TAIL:
        return None
    best = max((deviances(values, q) for q in _TAIL), key=max)
    most = max(best)
    return MIN_PART + best.index(most) if most > penalty else None
