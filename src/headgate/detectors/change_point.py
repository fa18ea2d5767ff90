"""Detector `change_point`: where the level of a series or its slow runs changed for good. Pure, plain Python.

The level: the cheapest division of the ranks, changes settled and then held against `min_change`. The tail: within each
level, splits by the share of slow runs. How it was chosen and measured: docs/decisions/0021-change-points.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from headgate.core.ports import BuildContext, Change, Plugin
from headgate.detectors._ranks import MIN_PART, divide, quantile, standard_ranks
from headgate.detectors._shares import settled, tail_split
from headgate.plugins.config import PluginConfig

__all__ = ["PLUGINS", "ChangePoint", "ChangePointConfig"]

# Cost of one more part, in units of log n, by sensitivity.
_PENALTY = {"low": 6.0, "normal": 4.0, "high": 3.0}
# The tail's penalty as a part of the level's: in hindsight, and where every run asks once more.
_TAIL_ONCE, _TAIL_OFTEN = 0.75, 1.25
_MEDIAN, _SLOW = 0.5, 0.9
# A tail has to move by so much, or by `min_change` where that is more: slow runs scatter more than the median.
_TAIL_CHANGE = 0.2


def _ratio(value: Any) -> Any:
    """`10%` as 0.1; everything else is left to the model."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


class ChangePointConfig(PluginConfig):
    """Configuration of the change point detector."""

    runs: int = Field(default=200, ge=2 * MIN_PART, le=2000, description="How many of the newest runs are judged.")
    recent: int = Field(default=60, ge=MIN_PART, description="Only a change within so many newest runs can fire.")
    min_change: Annotated[float, BeforeValidator(_ratio)] = Field(
        default=0.1, ge=0, description="By how much the median has to move, `10%` or 0.1; less is no change."
    )
    direction: Literal["up", "down", "both"] = Field(default="both", description="Which changes count.")
    sensitivity: Literal["low", "normal", "high"] = Field(
        default="normal", description="`high` finds smaller and shorter changes and errs more often, `low` the reverse."
    )


class ChangePoint:
    """Rank division for levels, share splits for tails."""

    def __init__(self, name: str, config: ChangePointConfig, context: BuildContext) -> None:  # noqa: ARG002  # port
        self.name = name
        self._config = config

    def changes(self, values: Sequence[float]) -> Sequence[Change]:
        found = self._found(values, self._penalty(len(values)), _TAIL_ONCE)
        return [change for change in found if self._wanted(change)]

    def newest(self, values: Sequence[float]) -> Change | None:
        passed = max(0, len(values) - self._config.runs)
        # A short history is asked as often as a long one, so it gets no cheaper parts: half of all false alarms
        # came from fewer than 64 runs before.
        found = self._found(values[passed:], self._penalty(self._config.runs), _TAIL_OFTEN)
        if not found or passed + found[-1].index < len(values) - self._config.recent:
            return None
        last = found[-1]
        return Change(passed + last.index, last.before, last.after, last.kind) if self._wanted(last) else None

    def _wanted(self, change: Change) -> bool:
        rose = change.after > change.before
        return self._config.direction == "both" or rose == (self._config.direction == "up")

    def _penalty(self, size: int) -> float:
        return _PENALTY[self._config.sensitivity] * math.log(max(size, 1))

    def _found(self, values: Sequence[float], penalty: float, tail: float) -> list[Change]:
        """Every change, whatever its direction, by rising index."""
        if not all(map(math.isfinite, values)):
            raise ValueError("a series has a value that is not finite; leave runs without a value out")
        ranks = standard_ranks(values) if len(values) >= 2 * MIN_PART else None
        if ranks is None:
            return []
        levels = self._large(values, settled(values, divide(ranks, penalty)))
        bounds = [0, *(change.index for change in levels), len(values)]
        tails = [
            change for low, high in pairwise(bounds) for change in self._tails(values[low:high], low, penalty * tail)
        ]
        return sorted(levels + tails, key=lambda change: change.index)

    def _large(self, values: Sequence[float], places: Sequence[int]) -> list[Change]:
        """Level changes that move the median enough; the smallest is dropped first, which joins its neighbours."""
        left = list(places)
        while left:
            bounds = [0, *left, len(values)]
            medians = [quantile(values[a:b], _MEDIAN) for a, b in pairwise(bounds)]
            moves = [_moved(a, b) for a, b in pairwise(medians)]
            least = min(moves)
            if least >= self._config.min_change and least > 0:
                return [Change(at, medians[i], medians[i + 1], "level") for i, at in enumerate(left)]
            del left[moves.index(least)]
        return []

    def _tails(self, values: Sequence[float], offset: int, penalty: float) -> list[Change]:
        """Changes of the slow runs within one level, the clearest first, then on both sides of it."""
        at = tail_split(values, penalty)
        if at is None:
            return []
        before, after = quantile(values[:at], _SLOW), quantile(values[at:], _SLOW)
        if _moved(before, after) < max(_TAIL_CHANGE, self._config.min_change):
            return []
        found = self._tails(values[:at], offset, penalty) + self._tails(values[at:], offset + at, penalty)
        return [*found, Change(offset + at, before, after, "tail")]


def _moved(before: float, after: float) -> float:
    """The relative change; from zero to anything else is infinite."""
    if before == after:
        return 0.0
    return abs(after - before) / abs(before) if before else math.inf


PLUGINS = (Plugin("detector", "change_point", ChangePointConfig, ChangePoint),)
