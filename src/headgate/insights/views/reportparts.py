"""Parts of a report beside its figures: waste by retries, budgets, what alerts did.

Invariant: each is what the page of its own would say of the same window, cut to what the report is of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from headgate.insights.metric import Labels
from headgate.insights.views.budgets import BudgetLine, BudgetsBy, top_budgets
from headgate.insights.views.lens import Lens
from headgate.insights.views.window import Window

__all__ = ["WASTE_FIGURES", "Outlooks", "ToldRule", "alerts_of", "budgets_of"]

WASTE_FIGURES = ("rerun_waste", "reruns", "rerun_credits", "rerun_time")
_LINES = 500
_BUDGETS = 12


@dataclass(frozen=True, slots=True)
class ToldRule:
    """What alerts of a rule did. `fired`, `resolved`: how often; `told`: messages; `before`: fired before."""

    rule: str
    fired: int
    resolved: int
    told: int
    before: int


@dataclass(frozen=True, slots=True)
class Outlooks:
    """Budgets of rules, or without any the month by team or project; their days are not judged.

    `as_of`: None where no credits are known.
    """

    as_of: str | None
    by: BudgetsBy
    lines: tuple[BudgetLine, ...]


async def budgets_of(lens: Lens, window: Window, slugs: Collection[str], teams: Collection[str]) -> Outlooks:
    """As of the end of the window: those of everything, and those of these projects and teams (none: all)."""

    def takes(labels: Labels, *, by: BudgetsBy) -> bool:
        of = dict(labels)
        project, team = of.get("project"), of.get("team")
        fits = (project is None or project in slugs) and (team is None or not teams or team in teams)
        return fits and (by == "budget" or any(of.values()))

    choices: tuple[BudgetsBy, ...] = ("budget", "team", "project") if lens.owners.teams else ("budget", "project")
    for by in choices:
        page = await top_budgets(lens, by=by, until_ms=window.until_ms, takes=partial(takes, by=by), most=_BUDGETS)
        if page.lines:
            return Outlooks(page.as_of, by, page.lines)
    return Outlooks(None, "budget", ())


async def alerts_of(lens: Lens, window: Window, slugs: Collection[str], teams: Collection[str]) -> tuple[ToldRule, ...]:
    """By rule, most fired first: alerts about everything, and about these projects and teams (none: all)."""
    fired, resolved, told = Counter[str](), Counter[str](), Counter[str]()
    async for line in _history(lens, window, slugs, teams):
        rule, was, became = line["rule"], line.get("from"), line.get("to")
        fired[rule] += _fires(line)
        resolved[rule] += was != became and became == "resolved"
        told[rule] += len(line.get("told") or ())
    before = Counter[str]()
    async for line in _history(lens, window.previous, slugs, teams):
        before[line["rule"]] += _fires(line)
    names = sorted({*fired, *(+before)}, key=lambda rule: (-fired[rule], -told[rule], rule))
    return tuple(ToldRule(rule, fired[rule], resolved[rule], told[rule], before[rule]) for rule in names)


def _fires(line: dict[str, Any]) -> bool:
    was, became = line.get("from"), line.get("to")
    return was != became and became == "firing" and was != "recovering"


def _about(lens: Lens, labels: Mapping[str, str], slugs: Collection[str], teams: Collection[str]) -> bool:
    """Whether an alert is in a report. Its team is the one that it names, else the one that owns what it is about."""
    project, team = labels.get("project", ""), labels.get("team", "")
    if project and not team and teams:
        team = lens.owners.team(project, labels.get("workflow", ""), labels.get("job", ""))
    everyones = not project and not team
    return everyones or ((not project or project in slugs) and (not teams or team in teams))


async def _history(
    lens: Lens, window: Window, slugs: Collection[str], teams: Collection[str]
) -> AsyncIterator[dict[str, Any]]:
    """What alerts of rules did in the window; what cannot be read, or is of a silence, is left out."""
    before: int | None = None
    while True:
        lines = await lens.store.alert_lines(window.since_ms, window.until_ms, before=before, limit=_LINES)
        for _, _, _, body in lines:
            try:
                line = msgspec.json.decode(body, type=dict[str, Any])
            except (msgspec.DecodeError, msgspec.ValidationError):
                continue
            if line.get("rule") and _about(lens, line.get("labels", {}), slugs, teams):
                yield line
        if len(lines) < _LINES:
            return
        before = lines[-1][0]
