"""Where run times became longer for good, and how to see soon that they nowhere did. Pure.

Invariant: they did only where the change is large, long enough to be felt, and seen often enough before and after;
noise that lies on both sides of the change is none. `may_turn` is certain where it says no.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from statistics import median, quantiles

__all__ = ["FEWEST_COMMITS", "MIN_RATIO", "MIN_SECONDS", "became_slower", "may_turn", "pace_codes", "turn"]

# Values on each side of the change; by how much, relative and in seconds.
FEWEST_COMMITS = 8
MIN_RATIO = 1.25
MIN_SECONDS = 0.1
# Milliseconds from which a code is the next one: 2 apart up to 32, then sixteen for each doubling.
_STEPS: Sequence[int] = [*range(2, 32, 2), *(math.ceil(32 * 2.0 ** (step / 16)) for step in range(240))]
_LOWEST: Sequence[float] = [0, *_STEPS]
_BEYOND: Sequence[float] = [*_STEPS, math.inf]
_CODES = 256
# Bytes -> the digit 1 where a code is that one or greater, or that one or less, else 0.
_FROM = [b"0" * code + b"1" * (_CODES - code) for code in range(_CODES + 1)]
_UP_TO = [b"1" * (code + 1) + b"0" * (_CODES - code - 1) for code in range(_CODES)]
# The first code whose values may be as long as `MIN_SECONDS`.
_SHORT = bisect_right(_STEPS, MIN_SECONDS * 1000)
# Codes of which levels are taken, and places that are looked at one by one before all values are.
_SAMPLE = 40
_TRIES = 8
# Answers that are kept, and the most values that one is kept of: ten megabytes at most.
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 8_192, 1_024


def turn(values: Sequence[float], first: int) -> tuple[int, float, float] | None:
    """Index of the first slower value (seconds), not before `first`, with the medians before and after.

    The change is where the sum of deviations from the middle turns (CUSUM); three of four values after it must be
    slower than three of four before it.
    """
    if len(values) < 2 * FEWEST_COMMITS:
        return None
    ordered = sorted(values)
    at = _change(values, ordered)
    if min(at, len(values) - at) < FEWEST_COMMITS or at < first:
        return None
    before, after = values[:at], values[at:]
    if _crossed(before, after, ordered[len(ordered) // 2]):
        return None
    low, high = median(before), median(after)
    if high < low * MIN_RATIO or high - low < MIN_SECONDS:
        return None
    if quantiles(after, n=4)[0] <= quantiles(before, n=4)[2]:
        return None
    return at, low, high


def became_slower(before: Sequence[float], inside: Sequence[float]) -> bool:
    """Whether `turn` finds something in what came before a window and in it: milliseconds, in order."""
    if not inside or len(before) + len(inside) < 2 * FEWEST_COMMITS or max(inside) < MIN_SECONDS * 1000:
        return False
    return turn([ms / 1000 for ms in (*before, *inside)], len(before)) is not None


def pace_codes(paces: Iterable[float]) -> bytes:
    """Of each run time, milliseconds, a byte that says roughly how long it is."""
    return bytes([bisect_right(_STEPS, ms) for ms in paces])


def may_turn(codes: bytes, first: int) -> bool:
    """Whether `became_slower` may hold of run times of which only codes are known, `first` of them before the window.

    Places of a change are looked at together, neighbours at once: too many values on both of their sides are on the
    wrong side of some value for quartiles that do not overlap, or are too much the same for the medians. Answers are
    remembered, since the same is asked of most tests until the next commit of their project.
    """
    at = max(first, FEWEST_COMMITS)
    if at > len(codes) - FEWEST_COMMITS or b"1" not in codes[first:].translate(_FROM[_SHORT]):
        return False
    return _remembered(codes, at) if len(codes) <= _LONGEST_REMEMBERED else _uncertain(codes, at)


def _uncertain(codes: bytes, at: int) -> bool:
    """Whether there is a place from `at` on of which it is not certain that no change is there."""
    last = len(codes) - FEWEST_COMMITS
    ordered = sorted(codes[:: max(1, len(codes) // _SAMPLE)])
    few, middle, tries = len(ordered) * 3 // 8, ordered[len(ordered) // 2], _TRIES
    others = ((4, middle + 1, middle), (2, *_same(middle)))
    for level, until in ((ordered[few], min(len(codes) // 2, last)), (ordered[-few - 1], last)):
        while at <= until:
            clear = at
            for how in ((4, level + 1, level), *others):
                clear = _clear(codes, how, clear, until)
                if clear > until:
                    break
            if clear == at:
                tries -= 1
                if not tries or _apart(codes[:at], codes[at:]):
                    return True
                clear = at + 1
            at = clear
    return False


_remembered = lru_cache(maxsize=_MOST_REMEMBERED)(_uncertain)


def _apart(before: bytes, after: bytes) -> bool:
    """Whether the lower quartile of what comes after may be above the upper one of what comes before."""
    return sorted(after)[len(after) // 4] >= sorted(before)[3 * (len(before) + 1) // 4 - 1]


def _clear(codes: bytes, how: tuple[int, int, int], at: int, last: int) -> int:
    """The first place from `at` up to `last` of which it is not certain that it is none; `last` + 1 if all are.

    `how`: share, low and high. It is none where more than one in `share` before is from low on, and one in `share`
    after is up to high: such quartiles overlap where low is above high, such medians are too near where they are the
    `_same`.
    """
    n, (share, low, high) = len(codes), how
    above, below = int(codes.translate(_FROM[low]), 2), int(codes.translate(_UP_TO[high]), 2)
    total = below.bit_count()
    while at <= last:
        end = min(share * (above >> (n - at)).bit_count() - 1, at + (n - at) // 3, last)
        most = total - (n - at + share) // share
        while end >= at and (below >> (n - end)).bit_count() > most:
            end = (at + end) // 2 if end > at else 0
        if end < at:
            return at
        at = end + 1
    return at


@lru_cache(maxsize=_CODES)
def _same(code: int) -> tuple[int, int]:
    """The widest range of codes around one whose values are too much the same to be before and after a change.

    None, the first above the last, of the code that has no end.
    """
    if not _too_near(code, code):
        return code + 1, code
    low = high = code
    while True:
        if low and _too_near(low - 1, high):
            low -= 1
        elif high + 1 < _CODES and _too_near(low, high + 1):
            high += 1
        else:
            return low, high


def _too_near(low: int, high: int) -> bool:
    return _BEYOND[high] < _LOWEST[low] * MIN_RATIO or _BEYOND[high] - _LOWEST[low] < MIN_SECONDS * 1000


def _crossed(before: Sequence[float], after: Sequence[float], middle: float) -> bool:
    """Whether quartiles of both sides must overlap, since too many of each lie on the wrong side of any one value.

    Where they do not, the lower quartile of `after` is above the value, or the upper one of `before` is not.
    """
    above = len([1 for value in before if value > middle])
    below = len([1 for value in after if value <= middle])
    return above >= len(before) / 4 + 1 and below >= (len(after) + 1) / 4 + 1


def _change(values: Sequence[float], ordered: Sequence[float]) -> int:
    """Index of the first value after the most likely upward change; a single outlier weighs no more than the middle.

    `ordered`: the same values by size.
    """
    middle = (median(ordered) + sum(values) / len(values)) / 2
    away = [value - middle for value in values]
    if ordered[0] < 0:
        away = [max(one, -middle) for one in away]
    if ordered[-1] - middle > middle:
        away = [middle if one > middle else one for one in away]  # noqa: FURB136  # calling `min` takes twice as long
    totals = list(accumulate(away))
    lowest = min(totals)
    return totals.index(lowest) + 1 if lowest < 0 else 0
