"""Every project at a glance, as Insights of a CircleCI Server shows them: last builds, medians, branches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from headgate.core.runrows import RunChoice, RunRow
from headgate.core.tally import TallyQuery
from headgate.insights.metric import Labels
from headgate.insights.reader import Reader
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.figures import QUEUE_FIGURES, RUN_FIGURES, Trends, measured, trends
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.overview import Health, health_of
from headgate.insights.views.runs import RunView, run_view
from headgate.insights.views.window import Window

__all__ = ["ProjectCard", "ProjectsPage", "projects_page"]

_LAST = 5


@dataclass(frozen=True, slots=True)
class ProjectCard:
    """One project. `last_run`, `last_runs`: its newest, newest first; of the window. `branches`: that had runs in it.

    Of all of these what filters take; `branches` is None with a filter by trigger alone, since no sums tell both. The
    median build time is `duration_p50`, the median queue time `queue_p50`.
    """

    project: str
    org: str
    team: str
    default_branch: str
    health: Health
    branches: int | None
    last_run: RunView | None
    last_runs: tuple[RunView, ...]
    figures: Trends


@dataclass(frozen=True, slots=True)
class ProjectsPage:
    """Projects by slug, those without a run in the window too. `next`: cursor, None at the end; `total`: of them.

    With a filter by team those that it owns whole, and those in which it owns a workflow or a job that ran.
    """

    since: str
    until: str
    total: int
    projects: tuple[ProjectCard, ...]
    next: str | None


async def projects_page(
    lens: Lens,
    *,
    window: Window,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 25,
) -> ProjectsPage:
    """A page of them. Raises Refused."""
    where = filters.matchers()
    reader = lens.reader()
    owned = await _owned(lens, reader, window, filters)
    rows = [row for row in await lens.projects() if row.project in owned or lens.takes(filters, row.project)]
    cursors = Cursors.of("projects", window.asked, filters)
    after = cursors.read(cursor, str) if cursor else ""
    page = [row for row in rows if row.project > after][: limit + 1]
    following = cursors.write(page[limit - 1].project) if len(page) > limit else None
    page = page[:limit]
    slugs = [row.project for row in page]
    runs = await trends(lens, reader, RUN_FIGURES, projects=slugs, window=window, by=("project",), where=where)
    waits = await trends(lens, reader, QUEUE_FIGURES, projects=slugs, window=window, by=("project",), where=where)
    none = (await trends(lens, reader, (*RUN_FIGURES, *QUEUE_FIGURES), projects=(), window=window))[()]
    branches = await _branches(lens, reader, slugs, window, filters)
    last = await _last(lens, slugs, window, filters)
    cards = []
    for row in page:
        labels: Labels = (("project", row.project),)
        figures = {**none, **runs.get(labels, {}), **waits.get(labels, {})}
        newest = tuple(run_view(run) for run in last.get(row.project, ()))
        card = ProjectCard(
            project=row.project,
            org=row.org,
            team=lens.owners.team(row.project, "", ""),
            default_branch=row.default_branch,
            health=health_of(figures["success_rate"]),
            branches=None if branches is None else branches.get(row.project, 0),
            last_run=newest[0] if newest else None,
            last_runs=newest,
            figures=figures,
        )
        cards.append(card)
    return ProjectsPage(window.since, window.until, len(rows), tuple(cards), following)


async def _owned(lens: Lens, reader: Reader, window: Window, filters: Filters) -> Collection[str]:
    """Projects with runs in the window, or jobs, of the team that is asked for; none where none is."""
    if not filters.team:
        return ()
    metrics = lens.metrics(("runs", "runs_of_jobs") if "job" in lens.owners.needs else ("runs",))
    where = Filters(org=filters.org, team=filters.team).matchers()
    bounds = window.bounds([row.project for row in await lens.projects()])
    return {labels[0][1] for labels in await measured(reader, metrics, by=("project",), where=where, bounds=bounds)}


async def _branches(
    lens: Lens, reader: Reader, slugs: Sequence[str], window: Window, filters: Filters
) -> Mapping[str, int] | None:
    """Of each project, how many had runs; None where that would take reading every run."""
    bounds = window.bounds(slugs)
    if filters.choice() == RunChoice() and not filters.team:
        return await lens.store.branch_counts(bounds)
    if filters.trigger and not filters.branch:
        return None
    metrics, where = lens.metrics(("runs",)), filters.matchers()
    found = await measured(reader, metrics, by=("project", "branch"), where=where, bounds=bounds)
    names = [dict(labels) for labels in found]
    return Counter(one["project"] for one in names if one["branch"])


async def _last(lens: Lens, slugs: Sequence[str], window: Window, filters: Filters) -> Mapping[str, list[RunRow]]:
    """The newest runs of each project in the window."""
    found: dict[str, list[RunRow]] = {}
    names: Mapping[str, Collection[str] | None] = dict.fromkeys(slugs)
    if filters.team:
        ran = await lens.store.tallies(TallyQuery("workflow", window.bounds(slugs), ("project", "workflow")))
        names = {slug: [name for of, name in ran if of == slug and lens.takes(filters, slug, name)] for slug in slugs}
    for run in await lens.store.newest_runs(
        names,
        chosen=filters.choice(),
        since_ms=window.since_ms,
        before=(window.until_ms, ""),
        limit=_LAST,
    ):
        found.setdefault(run.project, []).append(run)
    return found
