"""Budgets: what was spent of them, how their period is likely to end, and which days were out of the ordinary.

A budget is the limit of a `forecast` rule of the alerts; teams and projects without one have an outlook all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, get_args

from headgate.core.times import DAY_MS, format_ms
from headgate.insights.match import Matcher
from headgate.insights.metric import Labels, Measured
from headgate.insights.outlook import Budget, outlooks, period_of, spread, weekday
from headgate.insights.reader import Reader
from headgate.insights.views.lens import Lens

__all__ = ["BUDGETS_BY", "BudgetDay", "BudgetLine", "BudgetsBy", "BudgetsPage", "budgets_page", "top_budgets"]

BudgetsBy = Literal["budget", "team", "project"]
BUDGETS_BY: tuple[BudgetsBy, ...] = get_args(BudgetsBy)
State = Literal["within", "at_risk", "over", "spent", "no_limit", "too_few_days"]
_DAYS, _SHOWN_DAYS, _FEWEST_DAYS = 63, 28, 14
# The range holds the end of four of five periods.
_CHANCE = 0.9
# A day is out of the ordinary three deviations from the days of its weekday, and by a quarter of them at least.
_DEVIATIONS, _LEAST_SHARE = 3.0, 0.25


@dataclass(frozen=True, slots=True)
class BudgetDay:
    """One whole UTC day. `usual`: median of that weekday; `anomaly`: out of the ordinary, `high` or `low`."""

    at: str
    credits: float
    usual: float
    anomaly: Literal["", "high", "low"]


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget of one group. `budget`: name of its rule, empty without one; `limit`: None without one.

    `spent`: from `since` to the page's `as_of`; `estimated`: some of it is no bill. `expected`: at `until`, most
    likely; `low`, `high`: between them it ends four times of five; None on too few days. `state`: `at_risk` where the
    range reaches the limit, `over` where what is expected does. `days`: the last four weeks, oldest first.
    """

    budget: str
    metric: str
    labels: Mapping[str, str]
    limit: float | None
    since: str
    until: str
    spent: float
    estimated: bool
    share: float | None
    expected: float | None
    low: float | None
    high: float | None
    state: State
    anomalies: int
    days: tuple[BudgetDay, ...]


@dataclass(frozen=True, slots=True)
class BudgetsPage:
    """`as_of`: end of the last day of which credits are known, None without any. `budgets`: how many are defined.

    `lines`: what is expected to exceed its limit first, then by what was spent.
    """

    as_of: str | None
    by: BudgetsBy
    budgets: int
    lines: tuple[BudgetLine, ...]


@dataclass(frozen=True, slots=True)
class _Series:
    """Credits of one group: one value for each day, oldest first."""

    values: tuple[float, ...]
    estimated: tuple[bool, ...]


async def budgets_page(lens: Lens, *, by: BudgetsBy) -> BudgetsPage:
    """Every budget that is defined, or the outlook of each team or project for this calendar month."""
    reader, starts = lens.reader(), _starts(lens)
    asked = lens.budgets if by == "budget" else (_plain(lens, by),)
    read = [(budget, await _series(lens, reader, budget, starts)) for budget in asked]
    kept = _known([series for _, groups in read for series in groups.values()])
    return _page(lens, by, read, starts[:kept], shown_days=_SHOWN_DAYS)


async def top_budgets(lens: Lens, *, by: BudgetsBy, takes: Callable[[Labels], bool], most: int) -> BudgetsPage:
    """The first `most` lines of `budgets_page` whose labels are taken, without days; others are not worked out."""
    reader, starts = lens.reader(), _starts(lens)
    if by == "budget":
        read = [(budget, await _series(lens, reader, budget, starts)) for budget in lens.budgets]
        kept = _known([series for _, groups in read for series in groups.values()])
    else:
        plain = _plain(lens, by)
        kept = _known((await _series(lens, reader, replace(plain, by=()), starts)).values())
        if kept:
            plain = await _leading(lens, reader, plain, starts[:kept], takes=takes, most=most)
        read = [(plain, await _series(lens, reader, plain, starts))] if kept else []
    taken = [(budget, {one: series for one, series in groups.items() if takes(one)}) for budget, groups in read]
    page = _page(lens, by, taken, starts[:kept], shown_days=0)
    return replace(page, lines=page.lines[:most])


async def _leading(
    lens: Lens, reader: Reader, plain: Budget, starts: Sequence[int], *, takes: Callable[[Labels], bool], most: int
) -> Budget:
    """The same for those groups alone that used most of the period so far, where that many used anything."""
    since_ms, _ = period_of(plain.period, plain.starts_on, lens.now_ms)
    window = (max(since_ms, starts[0]), starts[-1] + DAY_MS)
    if window[0] >= window[1]:
        return plain
    bounds = {row.project: window for row in await lens.projects()}
    used = await reader.measure(plain.metric, by=plain.by, where=(), bounds=bounds)
    ranked = sorted((-(one.value or 0.0), labels) for labels, one in used.items() if one.value and takes(labels))
    if len(ranked) < most:
        return plain
    names = "|".join(re.escape(dict(labels)[plain.by[0]]) for _, labels in ranked[:most])
    return replace(plain, where=(Matcher(plain.by[0], "=~", names),))


def _starts(lens: Lens) -> Sequence[int]:
    """Begin of each day that is looked at, oldest first."""
    today_ms = lens.now_ms // DAY_MS * DAY_MS
    return [today_ms - back * DAY_MS for back in range(_DAYS, 0, -1)]


def _known(found: Iterable[_Series]) -> int:
    """How many days there are up to the last one of which credits are known."""
    return max((at + 1 for series in found for at, value in enumerate(series.values) if value), default=0)


def _page(
    lens: Lens,
    by: BudgetsBy,
    read: Iterable[tuple[Budget, Mapping[Labels, _Series]]],
    starts: Sequence[int],
    *,
    shown_days: int,
) -> BudgetsPage:
    """`starts`: of the days of which credits are known. `shown_days`: that each line has, judged by all others."""
    if not starts:
        return BudgetsPage(None, by, len(lens.budgets), ())
    lines = [
        _line(budget, labels, _cut(series, len(starts)), starts, now_ms=lens.now_ms, shown_days=shown_days)
        for budget, groups in read
        for labels, series in groups.items()
    ]
    order: Mapping[State, int] = {"spent": 0, "over": 1, "at_risk": 2}
    lines.sort(key=lambda line: (order.get(line.state, 3), -line.spent, line.budget, sorted(line.labels.items())))
    return BudgetsPage(format_ms(starts[-1] + DAY_MS), by, len(lens.budgets), tuple(lines))


def _plain(lens: Lens, by: BudgetsBy) -> Budget:
    """What a group without a budget is looked at as."""
    metric = lens.metrics(["credits"])["credits"]
    return Budget("", metric, (by,), (), float("inf"), "month", 1, _CHANCE)


async def _series(lens: Lens, reader: Reader, budget: Budget, starts: Sequence[int]) -> Mapping[Labels, _Series]:
    slugs = [row.project for row in await lens.projects()]
    bounds = [dict.fromkeys(slugs, (at, at + DAY_MS)) for at in starts]
    parts = await reader.timeline(budget.metric, by=budget.by, where=budget.where, bounds=bounds)
    none = Measured(None, 0)
    return {
        labels: _Series(
            tuple(part.get(labels, none).value or 0.0 for part in parts),
            tuple(part.get(labels, none).estimated for part in parts),
        )
        for labels in sorted({labels for part in parts for labels in part})
    }


def _cut(series: _Series, kept: int) -> _Series:
    return replace(series, values=series.values[:kept], estimated=series.estimated[:kept])


def _line(
    budget: Budget, labels: Labels, series: _Series, starts: Sequence[int], *, now_ms: int, shown_days: int
) -> BudgetLine:
    since_ms, until_ms = period_of(budget.period, budget.starts_on, now_ms)
    inside = [at for at, start in enumerate(starts) if start >= since_ms]
    spent = sum(series.values[at] for at in inside)
    begun = next((at for at, value in enumerate(series.values) if value), len(starts))
    days = [(weekday(starts[at]), series.values[at]) for at in range(begun, len(starts))]
    limit = None if budget.limit == float("inf") else budget.limit
    line = BudgetLine(
        budget=budget.name,
        metric=budget.metric.id,
        labels=dict(labels),
        limit=limit,
        since=format_ms(since_ms),
        until=format_ms(until_ms),
        spent=spent,
        estimated=any(series.estimated[at] for at in inside),
        share=spent / limit if limit else None,
        expected=None,
        low=None,
        high=None,
        state="too_few_days" if len(days) < _FEWEST_DAYS else "no_limit",
        anomalies=0,
        days=(),
    )
    if len(days) < _FEWEST_DAYS:
        return line
    left = [weekday(at) for at in range(max(starts[-1] + DAY_MS, since_ms), until_ms, DAY_MS)]
    low, high = outlooks(spent, days, left, (_CHANCE, 1 - _CHANCE))
    shown = _days(series.values, starts, begun, shown_days)
    return replace(
        line,
        expected=low.middle,
        low=max(spent, low.sure),
        high=max(spent, high.sure),
        state=_state(limit, spent, low.middle, high.sure),
        anomalies=sum(bool(day.anomaly) for day in shown),
        days=shown,
    )


def _state(limit: float | None, spent: float, expected: float, high: float) -> State:
    if limit is None:
        return "no_limit"
    if spent >= limit:
        return "spent"
    return "over" if expected >= limit else "at_risk" if high >= limit else "within"


def _away(values: Sequence[float]) -> Sequence[float]:
    middle = median(values)
    return [value - middle for value in values]


def _days(values: Sequence[float], starts: Sequence[int], begun: int, shown: int) -> tuple[BudgetDay, ...]:
    """The last days, each judged by all other days of the group: only its own weekday has another median without it."""
    weekdays = [weekday(start) for start in starts]
    of: dict[int, list[float]] = {}
    for at in range(begun, len(starts)):
        of.setdefault(weekdays[at], []).append(values[at])
    away = {day: _away(same) for day, same in of.items()}
    elsewhere = {day: [one for other, found in away.items() if other != day for one in found] for day in of}
    found = []
    for at in range(max(begun, len(starts) - shown), len(starts)):
        day = weekdays[at]
        same = list(of[day])
        same.remove(values[at])
        usual = median(same or [value for other, known in of.items() if other != day for value in known])
        off = abs(values[at] - usual)
        odd = off > _LEAST_SHARE * usual and off > _DEVIATIONS * spread(
            elsewhere[day] + [value - usual for value in same]
        )
        word: Literal["", "high", "low"] = "" if not odd else "high" if values[at] > usual else "low"
        found.append(BudgetDay(format_ms(starts[at]), values[at], usual, word))
    return tuple(found)
