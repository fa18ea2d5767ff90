"""How a period will end that has begun: what was used, and for each day that is left what is usual. Pure.

Invariant: an outlook is never below what was used, unless days were negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import NormalDist, median
from typing import Literal

from headgate.core.times import DAY_MS
from headgate.insights.match import Matcher
from headgate.insights.metric import MetricDef

__all__ = ["Budget", "Outlook", "Period", "outlook", "outlooks", "period_of", "spread", "usual_days", "weekday"]

Period = Literal["month", "week"]
# Of a normal distribution, by the median absolute deviation.
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class Budget:
    """What must not be used up in a period, as a rule of alerts says. `by`, `where`: of which groups.

    `limit`: in the metric's unit. `starts_on`: as `period_of`. `chance`: how sure the rule must be to fire.
    """

    name: str
    metric: MetricDef
    by: tuple[str, ...]
    where: tuple[Matcher, ...]
    limit: float
    period: Period
    starts_on: int
    chance: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a period will have used at its end. `middle`: most likely; `sure`: reached with the band's chance."""

    middle: float
    sure: float


def outlook(used: float, days: Sequence[tuple[int, float]], left: Sequence[int], chance: float) -> Outlook:
    """Forecast a period. `days`: (weekday, value) of past whole days; `left`: weekdays that are left."""
    return outlooks(used, days, left, (chance,))[0]


def outlooks(
    used: float, days: Sequence[tuple[int, float]], left: Sequence[int], chances: Sequence[float]
) -> list[Outlook]:
    """The same for several chances, in their order."""
    usual = usual_days(days)
    deviation = spread([value - usual[day] for day, value in days]) * math.sqrt(len(left))
    middle = used + sum(usual[day] for day in left)
    return [Outlook(middle, middle - NormalDist().inv_cdf(chance) * deviation) for chance in chances]


def usual_days(days: Sequence[tuple[int, float]]) -> dict[int, float]:
    """Weekday -> the median of its days, of all days where it has none. `days` is not empty."""
    by_weekday: dict[int, list[float]] = {number: [] for number in range(7)}
    for day, value in days:
        by_weekday[day].append(value)
    whole = 0.0 if all(by_weekday.values()) else median(value for _, value in days)
    return {number: median(values) if values else whole for number, values in by_weekday.items()}


def spread(values: Sequence[float]) -> float:
    """Standard deviation as the median absolute deviation tells it; `values` is not empty."""
    middle = median(values)
    return _MAD_TO_SIGMA * median([abs(value - middle) for value in values])


def period_of(period: Period, starts_on: int, at_ms: int) -> tuple[int, int]:
    """Beginning and end of the period that holds a moment, milliseconds, UTC.

    `starts_on`: day of the month, or of the week (1 is Monday).
    """
    day = datetime.fromtimestamp(at_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        since = day - timedelta(days=(day.isoweekday() - starts_on) % 7)
        until = since + timedelta(days=7)
    else:
        month = day if day.day >= starts_on else day.replace(day=1) - timedelta(days=1)
        since = month.replace(day=starts_on)
        until = (since.replace(day=1) + timedelta(days=32)).replace(day=starts_on)
    return round(since.timestamp() * 1000), round(until.timestamp() * 1000)


def weekday(at_ms: int) -> int:
    """Monday is 0, as `datetime` counts; the epoch began on a Thursday."""
    return (at_ms // DAY_MS + 3) % 7
