"""One project: figures, charts by day, its workflows, its branches, its last builds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from headgate.insights.metric import Labels
from headgate.insights.views.figures import (
    QUEUE_FIGURES,
    RUN_FIGURES,
    Figure,
    Plot,
    Trends,
    figure,
    measured,
    plot,
    trends,
)
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.overview import Health, health_of
from headgate.insights.views.runs import RunsPage, RunView, run_view, runs_page
from headgate.insights.views.window import StepName, Window

__all__ = ["BRANCH_FIGURES", "BranchLine", "ProjectPage", "WorkflowLine", "branch_lines", "project_page"]

_PLOTTED = ("runs", "failed_runs", "success_rate", "duration_p50", "duration_p95", "credits")
BRANCH_FIGURES = ("runs", "success_rate", "duration_p50", "credits")
_MOST_BRANCHES = 100


@dataclass(frozen=True, slots=True)
class WorkflowLine:
    """One workflow of the project. `last_run`: its newest of the window."""

    workflow: str
    team: str
    health: Health
    figures: Trends
    last_run: RunView | None


@dataclass(frozen=True, slots=True)
class BranchLine:
    """One branch or tag. `branch_class`: `@default` or `@other`."""

    branch: str
    branch_class: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """`last_builds`: newest first, as many as were asked for. `branches`: most runs first, at most a hundred.

    A tag that is named as the default branch has a line of its own; `branch_count`: names of all that had runs.
    `plot`: metrics of all runs, and `queue_p50` of jobs.
    """

    project: str
    org: str
    team: str
    default_branch: str
    since: str
    until: str
    previous_since: str
    health: Health
    figures: Trends
    plot: Plot
    workflows: tuple[WorkflowLine, ...]
    branch_count: int
    branches: tuple[BranchLine, ...]
    last_builds: tuple[RunView, ...]


async def project_page(
    lens: Lens,
    *,
    project: str,
    window: Window,
    step: StepName,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    builds: int = 50,
) -> ProjectPage:
    """A project by its slug. Raises Refused."""
    row, where = await lens.project(project), filters.matchers()
    slugs, reader = [row.project], lens.reader()
    lines = await plot(lens, reader, (*_PLOTTED, "queue_p50"), projects=slugs, window=window, step=step, where=where)
    flows = await trends(lens, reader, RUN_FIGURES, projects=slugs, window=window, by=("workflow",), where=where)
    whole = await trends(lens, reader, (*RUN_FIGURES, *QUEUE_FIGURES), projects=slugs, window=window, where=where)
    branches = await branch_lines(lens, project=row.project, window=window, filters=filters)
    newest = await runs_page(lens, project=row.project, window=window, filters=filters, limit=builds)
    names = [dict(labels)["workflow"] for labels in flows]
    last = await _last_runs(lens, row.project, names, newest, window=window, filters=filters)
    return ProjectPage(
        project=row.project,
        org=row.org,
        team=lens.owners.team(row.project, "", ""),
        default_branch=row.default_branch,
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        health=health_of(whole[()]["success_rate"]),
        figures=whole[()],
        plot=lines,
        workflows=_workflows(lens, row.project, flows, last),
        branch_count=len({one.branch for one in branches} - {""}),
        branches=branches[:_MOST_BRANCHES],
        last_builds=newest.runs,
    )


async def _last_runs(
    lens: Lens, project: str, names: Iterable[str], newest: RunsPage, *, window: Window, filters: Filters
) -> Mapping[str, RunView]:
    """The newest run of each workflow: of those that were read, else looked for by itself."""
    last: dict[str, RunView] = {}
    for view in newest.runs:
        last.setdefault(view.workflow, view)
    if newest.next is None:
        return last
    ask = partial(
        lens.store.newest_runs,
        chosen=filters.choice(),
        since_ms=window.since_ms,
        before=(window.until_ms, ""),
        limit=1,
    )
    found = await asyncio.gather(*(ask({project: (name,)}) for name in names if name not in last))
    return last | {run.workflow: run_view(run) for runs in found for run in runs}


def _workflows(
    lens: Lens, project: str, flows: Mapping[Labels, Trends], last: Mapping[str, RunView]
) -> tuple[WorkflowLine, ...]:
    found = []
    for labels, figures in flows.items():
        name = dict(labels)["workflow"]
        team, health = lens.owners.team(project, name, ""), health_of(figures["success_rate"])
        found.append(WorkflowLine(name, team, health, figures, last.get(name)))
    return tuple(sorted(found, key=lambda one: (-one.figures["runs"].n, one.workflow)))


async def branch_lines(lens: Lens, *, project: str, window: Window, filters: Filters) -> tuple[BranchLine, ...]:
    """Every branch and tag with runs in the window, most runs first. Raises Refused."""
    groups = await measured(
        lens.reader(),
        lens.metrics(BRANCH_FIGURES),
        by=("branch", "branch_class"),
        where=filters.matchers(),
        bounds=window.bounds([(await lens.project(project)).project]),
    )
    found = [
        BranchLine(names["branch"], names["branch_class"], {name: figure(values.get(name)) for name in BRANCH_FIGURES})
        for labels, values in groups.items()
        if (names := dict(labels))
    ]
    return tuple(sorted(found, key=lambda one: (-one.figures["runs"].n, one.branch)))
