"""Budgets: what was spent of them, how their period is likely to end, and which days were out of the ordinary.

A budget is the limit of a `forecast` rule of the alerts; teams and projects without one have an outlook all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, NamedTuple, Self, get_args

from headgate.core.slug import org_slug
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.creditdays import LATE_DAYS
from headgate.insights.match import Matcher, matches
from headgate.insights.metric import Labels, Measured
from headgate.insights.outlook import Budget, outlooks, period_of, spread, weekday
from headgate.insights.reader import Reader
from headgate.insights.views.lens import Lens

__all__ = ["BUDGETS_BY", "BudgetDay", "BudgetLine", "BudgetsBy", "BudgetsPage", "budgets_page", "top_budgets"]

BudgetsBy = Literal["budget", "team", "project"]
BUDGETS_BY: tuple[BudgetsBy, ...] = get_args(BudgetsBy)
State = Literal["within", "at_risk", "over", "spent", "no_limit", "too_few_days"]
# An outlook follows from eight weeks up to the last day that is known, as in rules; more are read, as that day is late.
_DAYS, _PAST_DAYS, _SHOWN_DAYS, _FEWEST_DAYS = 70, 56, 28, 14
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

    `spent`: from `since` to `as_of`, the end of the last day that is known; `estimated`: some of it is no bill.
    `expected`: at `until`, most likely; `low`, `high`: between them it ends four times of five; None on too few days.
    `state`: `at_risk` where the range reaches the limit, `over` where what is expected does. `days`: the last four
    weeks, oldest first.
    """

    budget: str
    metric: str
    labels: Mapping[str, str]
    limit: float | None
    since: str
    until: str
    as_of: str
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
    """`as_of`: the latest of the lines', None without any. `budgets`: how many are defined.

    `lines`: what is expected to exceed its limit first, then by what was spent.
    """

    as_of: str | None
    by: BudgetsBy
    budgets: int
    lines: tuple[BudgetLine, ...]


class _Day(NamedTuple):
    """Credits of one group on a day that begins at `start`. `seen`: anything ran."""

    start: int
    value: float
    estimated: bool
    seen: bool


async def budgets_page(lens: Lens, *, by: BudgetsBy) -> BudgetsPage:
    """Every budget that is defined, or the outlook of each team or project for this calendar month."""
    days = await _Days.before(lens, lens.now_ms)
    asked = lens.budgets if by == "budget" else (_plain(lens, by),)
    lines = [line for budget in asked for line in await _lines(days, budget, shown_days=_SHOWN_DAYS)]
    return _page(lens, by, lines)


async def top_budgets(
    lens: Lens, *, by: BudgetsBy, until_ms: int, takes: Callable[[Labels], bool], most: int
) -> BudgetsPage:
    """The first `most` lines of a page whose labels are taken, as of the end of a UTC day.

    They have no days of their own, and others are not worked out.
    """
    asked: Sequence[Budget] = lens.budgets if by == "budget" else (_plain(lens, by),)
    if not asked:
        return _page(lens, by, ())
    days = await _Days.before(lens, until_ms)
    if by != "budget":
        asked = [await _leading(days, one, takes, most) for one in asked]
    page = _page(lens, by, [one for budget in asked for one in await _lines(days, budget, shown_days=0, takes=takes)])
    return replace(page, lines=page.lines[:most])


@dataclass(frozen=True, slots=True)
class _Days:
    """The days that are looked at. `starts`: their begins, oldest first; `until_ms`: as of when, maybe in a later one.

    `told`: organisation -> of how many of them credits are known; one that is not here has none.
    """

    lens: Lens
    reader: Reader
    until_ms: int
    starts: Sequence[int]
    told: Mapping[str, int]
    slugs: Sequence[str]

    @classmethod
    async def before(cls, lens: Lens, until_ms: int) -> Self:
        """Those that are over at a time."""
        end_ms = until_ms // DAY_MS * DAY_MS
        starts = [end_ms - back * DAY_MS for back in range(_DAYS, 0, -1)]
        slugs = [row.project for row in await lens.projects()]
        reader = lens.reader()
        # Up to the present: what ended since may say that a day is told whole.
        told = await reader.credits_told(dict.fromkeys(slugs, (starts[0], lens.now_ms))) if slugs else {}
        known = {
            org: min(_DAYS, (one.until_ms - starts[0]) // DAY_MS) if one.awaited else _DAYS for org, one in told.items()
        }
        return cls(lens, reader, until_ms, starts, known, slugs)

    def known(self, budget: Budget, labels: Labels) -> int:
        """Of how many the figures of a group are known: of its organisation, or of all that it may be in.

        Of those the least, as rules have it, but for organisations whose credits stopped days before.
        """
        if budget.metric.format != "credits":
            return _DAYS
        of = dict(labels)
        org = org_slug(of["project"]) if "project" in of else of.get("org", "")
        if org:
            return self.told.get(org, 0)
        values: Sequence[Mapping[str, str]] = [{"project": slug, "org": org_slug(slug)} for slug in self.slugs]
        takes = [one for one in budget.where if one.label in ("project", "org")]
        orgs = {one["org"] for one in values if matches(takes, one)} & self.told.keys()
        lately = [self.told[one] for one in orgs if self.told[one] > _DAYS - LATE_DAYS]
        return min(lately) if lately else max((self.told[one] for one in orgs), default=0)

    def period(self, budget: Budget) -> tuple[int, int]:
        """Begin and end of the period that is looked at."""
        return period_of(budget.period, budget.starts_on, self.until_ms - 1)


async def _leading(days: _Days, plain: Budget, takes: Callable[[Labels], bool], most: int) -> Budget:
    """The same for those groups alone that used most of the period so far, where that many used anything."""
    (name,), since_ms = plain.by, days.period(plain)[0]
    ends = {
        slug: days.starts[0] + days.known(plain, (("project", slug),) if name == "project" else ()) * DAY_MS
        for slug in days.slugs
    }
    bounds = {slug: (max(since_ms, days.starts[0]), end) for slug, end in ends.items() if end > since_ms}
    used = await days.reader.measure(plain.metric, by=plain.by, where=(), bounds=bounds) if bounds else {}
    ranked = sorted((-(one.value or 0.0), labels) for labels, one in used.items() if one.value and takes(labels))
    if len(ranked) < most:
        return plain
    names = "|".join(re.escape(dict(labels)[name]) for _, labels in ranked[:most])
    return replace(plain, where=(Matcher(name, "=~", names),))


async def _lines(
    days: _Days, budget: Budget, *, shown_days: int, takes: Callable[[Labels], bool] = lambda _: True
) -> list[BudgetLine]:
    """`shown_days`: how many of the last days each has, judged by all others."""
    groups = {labels: found for labels, found in (await _read(days, budget)).items() if takes(labels)}
    known = {labels: days.known(budget, labels) for labels in groups}
    kept = {labels: groups[labels][max(0, n - _PAST_DAYS) : n] for labels, n in known.items() if n}
    return [_line(days.period(budget), budget, labels, some, shown_days) for labels, some in kept.items()]


def _page(lens: Lens, by: BudgetsBy, lines: Iterable[BudgetLine]) -> BudgetsPage:
    order: Mapping[State, int] = {"spent": 0, "over": 1, "at_risk": 2}
    ranked = sorted(
        lines, key=lambda line: (order.get(line.state, 3), -line.spent, line.budget, sorted(line.labels.items()))
    )
    return BudgetsPage(max((line.as_of for line in ranked), default=None), by, len(lens.budgets), tuple(ranked))


def _plain(lens: Lens, by: BudgetsBy) -> Budget:
    """What a group without a budget is looked at as."""
    metric = lens.metrics(["credits"])["credits"]
    return Budget("", metric, (by,), (), float("inf"), "month", 1, _CHANCE)


async def _read(days: _Days, budget: Budget) -> Mapping[Labels, Sequence[_Day]]:
    bounds = [dict.fromkeys(days.slugs, (at, at + DAY_MS)) for at in days.starts]
    parts = await days.reader.timeline(budget.metric, by=budget.by, where=budget.where, bounds=bounds)
    none = Measured(None, 0)
    return {
        labels: [
            _Day(start, one.value or 0.0, one.estimated, labels in part)
            for start, part in zip(days.starts, parts, strict=True)
            for one in (part.get(labels, none),)
        ]
        for labels in sorted({labels for part in parts for labels in part})
    }


def _line(
    period: tuple[int, int], budget: Budget, labels: Labels, known: Sequence[_Day], shown_days: int
) -> BudgetLine:
    """`known`: the days that the outlook follows from, to the last of which credits are known."""
    since_ms, until_ms = period
    inside = [day for day in known if day.start >= since_ms]
    spent = sum(day.value for day in inside)
    # A group has days since it was first seen.
    begun = next((at for at, day in enumerate(known) if day.seen), len(known))
    past = [(weekday(day.start), day.value) for day in known[begun:]]
    limit = None if budget.limit == float("inf") else budget.limit
    line = BudgetLine(
        budget=budget.name,
        metric=budget.metric.id,
        labels=dict(labels),
        limit=limit,
        since=format_ms(since_ms),
        until=format_ms(until_ms),
        as_of=format_ms(known[-1].start + DAY_MS),
        spent=spent,
        estimated=any(day.estimated for day in inside),
        share=spent / limit if limit else None,
        expected=None,
        low=None,
        high=None,
        state="too_few_days" if len(past) < _FEWEST_DAYS else "no_limit",
        anomalies=0,
        days=(),
    )
    if len(past) < _FEWEST_DAYS:
        return line
    left = [weekday(at) for at in range(max(known[-1].start + DAY_MS, since_ms), until_ms, DAY_MS)]
    low, high = outlooks(spent, past, left, (_CHANCE, 1 - _CHANCE))
    shown = _judged(known[begun:], shown_days)
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


def _judged(known: Sequence[_Day], shown: int) -> tuple[BudgetDay, ...]:
    """The last days, each judged by all other days of the group: only its own weekday has another median without it."""
    of: dict[int, list[float]] = {}
    for day in known:
        of.setdefault(weekday(day.start), []).append(day.value)
    away = {name: _away(same) for name, same in of.items()}
    elsewhere = {name: [one for other, found in away.items() if other != name for one in found] for name in of}
    found = []
    for day in known[max(0, len(known) - shown) :]:
        name = weekday(day.start)
        same = list(of[name])
        same.remove(day.value)
        usual = median(same or [value for other, values in of.items() if other != name for value in values])
        off = abs(day.value - usual)
        odd = off > _LEAST_SHARE * usual and off > _DEVIATIONS * spread(
            elsewhere[name] + [value - usual for value in same]
        )
        word: Literal["", "high", "low"] = "" if not odd else "high" if day.value > usual else "low"
        found.append(BudgetDay(format_ms(day.start), day.value, usual, word))
    return tuple(found)
