"""The review of a week or month: projects and teams beside the time before, what moved and with which jobs.

Invariant: every number is one that the API gives for the same window and projects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from headgate.insights.match import Matcher
from headgate.insights.metric import Labels
from headgate.insights.reader import Reader
from headgate.insights.views.dora import DORA_FIGURES
from headgate.insights.views.failuregroups import Reason
from headgate.insights.views.failures import worst_failures
from headgate.insights.views.figures import QUEUE_FIGURES, RUN_FIGURES, Plot, Trends, plot, trends
from headgate.insights.views.lens import Lens
from headgate.insights.views.overview import Health, health_of
from headgate.insights.views.refusal import unknown
from headgate.insights.views.reportparts import WASTE_FIGURES, Outlooks, ToldRule, alerts_of, budgets_of
from headgate.insights.views.tests import FailingView, FlakyView, worst_tests
from headgate.insights.views.window import Window
from headgate.insights.views.worse import CAUSES, WORSE_FIGURES, Worse, find_better, find_worse, with_causes

__all__ = ["Of", "Place", "ReportEvery", "ReportPage", "Wasted", "report_page"]

ReportEvery = Literal["week", "month"]
_PLOTTED = ("runs", "failed_runs", "success_rate", "duration_p50", "duration_p95", "credits")
_MOVED = 10
_TESTS = 10
_WASTED = 5
_REASONS = 8


@dataclass(frozen=True, slots=True)
class Of:
    """What a report is of: projects by slug or pattern, teams; empty takes all."""

    projects: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A project or team. `figures`: metric -> trend, waste by retries too."""

    name: str
    team: str
    health: Health
    figures: Trends


@dataclass(frozen=True, slots=True)
class Wasted:
    """A workflow whose failed runs were repeated. `figures`: of the repeats."""

    project: str
    workflow: str
    figures: Trends


@dataclass(frozen=True, slots=True)
class ReportPage:
    """`projects`, `teams`: most runs first. `worse`, `better`: the most first. `dora`: empty without deployments.

    `totals`: of runs, queues, flaky tests and repeats. `reasons`: of failures, the most frequent first, of those that
    ended from `reasons_from` on, which is later than `previous_since` where more failed than are read. `wasted`: most
    credits of repeats first. `flaky`, `failing`: the ten worst. `alerts`: those that fired most first.
    """

    every: ReportEvery
    since: str
    until: str
    previous_since: str
    of: Of
    totals: Trends
    plot: Plot
    projects: tuple[Place, ...]
    teams: tuple[Place, ...]
    worse: tuple[Worse, ...]
    better: tuple[Worse, ...]
    reasons: tuple[Reason, ...]
    reasons_from: str
    wasted: tuple[Wasted, ...]
    budgets: Outlooks
    dora: Trends
    flaky: tuple[FlakyView, ...]
    failing: tuple[FailingView, ...]
    alerts: tuple[ToldRule, ...]


async def report_page(lens: Lens, *, every: ReportEvery, window: Window, of: Of = Of()) -> ReportPage:  # frozen
    """The review of a window. Raises Refused where no project fits."""
    slugs = await _slugs(lens, of)
    reader = lens.reader()
    figures = await _figures(lens, reader, slugs, window, of)
    flaky, failing = await worst_tests(lens, reader, window=window, slugs=slugs, teams=of.teams, most=_TESTS)
    reasons, read_from = await worst_failures(
        lens, window=window, slugs=frozenset(slugs), teams=of.teams, most=_REASONS
    )
    budgets = await budgets_of(lens, window, frozenset(slugs), of.teams)
    alerts = await alerts_of(lens, window, frozenset(slugs), of.teams)
    return ReportPage(
        every=every,
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        of=of,
        totals=figures.totals,
        plot=figures.plot,
        projects=figures.projects,
        teams=figures.teams,
        worse=figures.worse,
        better=figures.better,
        reasons=reasons,
        reasons_from=read_from,
        wasted=figures.wasted,
        budgets=budgets,
        dora=figures.dora,
        flaky=flaky,
        failing=failing,
        alerts=alerts,
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    """What one reader measures, so that what several parts are made of is asked for once."""

    totals: Trends
    plot: Plot
    projects: tuple[Place, ...]
    teams: tuple[Place, ...]
    worse: tuple[Worse, ...]
    better: tuple[Worse, ...]
    wasted: tuple[Wasted, ...]
    dora: Trends


async def _figures(lens: Lens, reader: Reader, slugs: Sequence[str], window: Window, of: Of) -> _Figures:
    where = (Matcher("team", "=~", "|".join(map(re.escape, of.teams))),) if of.teams else ()
    read = _Read(lens, reader, slugs, window, where)
    # What is finest comes first: the reader adds up the rest of it.
    flows = await read.trends(WORSE_FIGURES, ("project", "workflow"))
    wasted = await read.wasted()
    projects = await read.places("project")
    teams = await read.places("team") if lens.owners.teams else ()
    runs, queues = await read.both(())
    waste = await read.trends(WASTE_FIGURES, ())
    worse, better = await _moved(lens, reader, flows, window)
    tests = await read.trends(("flaky_tests",), ())
    both = [(one.since_ms, one.until_ms) for one in (window.previous, window)]
    await reader.deployments.read_around(both, slugs[0] if len(slugs) == 1 else None)
    dora = (await read.trends(DORA_FIGURES, ()))[()]
    return _Figures(
        totals={**runs[()], **queues[()], **tests[()], **waste[()]},
        plot=await plot(lens, reader, _PLOTTED, projects=slugs, window=window, step="1d", where=where),
        projects=projects,
        teams=teams,
        worse=worse,
        better=better,
        wasted=wasted,
        dora=dora if dora["deployments"].n or dora["deployments"].previous_n else {},
    )


async def _slugs(lens: Lens, of: Of) -> list[str]:
    known = [row.project for row in await lens.projects()]
    for pattern in of.projects:
        if not any(fnmatchcase(slug, pattern) for slug in known):
            raise unknown("unknown-project", "project", pattern, known)
    for team in of.teams:
        if team not in lens.owners.teams:
            raise unknown("unknown-team", "team", team, lens.owners.teams)
    return [slug for slug in known if not of.projects or any(fnmatchcase(slug, one) for one in of.projects)]


@dataclass(frozen=True, slots=True)
class _Read:
    lens: Lens
    reader: Reader
    slugs: Sequence[str]
    window: Window
    where: tuple[Matcher, ...]

    async def trends(self, names: Iterable[str], by: Sequence[str]) -> Mapping[Labels, Trends]:
        """Metrics by some dimensions."""
        return await trends(
            self.lens, self.reader, names, projects=self.slugs, window=self.window, by=by, where=self.where
        )

    async def both(self, by: Sequence[str]) -> tuple[Mapping[Labels, Trends], Mapping[Labels, Trends]]:
        """Figures of runs, and of queues."""
        return await self.trends(RUN_FIGURES, by), await self.trends(QUEUE_FIGURES, by)

    async def places(self, by: Literal["project", "team"]) -> tuple[Place, ...]:
        """Each project or team with its figures; what nobody owns is no team."""
        runs, queues = await self.both((by,))
        waste = await self.trends(WASTE_FIGURES, (by,))
        names = (*QUEUE_FIGURES, *WASTE_FIGURES)
        none = (await trends(self.lens, self.reader, names, projects=(), window=self.window))[()]
        found = []
        for labels, figures in runs.items():
            name = dict(labels)[by]
            team = self.lens.owners.team(name, "", "") if by == "project" else name
            whole = {**figures, **none, **queues.get(labels, {}), **waste.get(labels, {})}
            found.append(Place(name, team, health_of(figures["success_rate"]), whole))
        return tuple(sorted((one for one in found if one.name), key=lambda one: (-one.figures["runs"].n, one.name)))

    async def wasted(self) -> tuple[Wasted, ...]:
        """Workflows whose repeats used most credits, then most time."""
        found = [
            Wasted(dict(labels)["project"], dict(labels)["workflow"], figures)
            for labels, figures in (await self.trends(WASTE_FIGURES, ("project", "workflow"))).items()
            if figures["reruns"].value
        ]
        found.sort(key=lambda one: [-(one.figures[name].value or 0.0) for name in ("rerun_credits", "rerun_time")])
        return tuple(found[:_WASTED])


async def _moved(
    lens: Lens, reader: Reader, flows: Mapping[Labels, Trends], window: Window
) -> tuple[tuple[Worse, ...], tuple[Worse, ...]]:
    worse, better = find_worse(flows, most=_MOVED), find_better(flows, most=_MOVED)
    slugs = sorted({one.project for one in (*worse, *better)})
    jobs = await trends(lens, reader, CAUSES, projects=slugs, window=window, by=("project", "workflow", "job"))
    return with_causes(worse, jobs), with_causes(better, jobs)
