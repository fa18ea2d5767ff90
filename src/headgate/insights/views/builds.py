"""Every project at a glance as a CircleCI Server's own Insights showed it, and the last builds of one of them.

A build is a run of a workflow here; Server counted jobs of the time before workflows. Medians are those of the window,
over successful runs; the last builds are looked for in the 90 days before its end, however short it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.times import DAY_MS
from headgate.insights.views.figures import Plot, Trend, measured, plot
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.moment import live_counts
from headgate.insights.views.overview import Health
from headgate.insights.views.projects import ProjectCard, projects_page
from headgate.insights.views.runs import RunView, runs_page
from headgate.insights.views.window import Window

__all__ = ["BuildsPage", "ProjectBuilds", "ProjectLine", "builds_page", "project_builds"]

LONGEST_MS = 90 * DAY_MS
# As many as Server showed, and of a branch that one chooses "over 100".
DEFAULT_BUILDS, BRANCH_BUILDS = 50, 120
_MOST_BRANCHES = 200


@dataclass(frozen=True, slots=True)
class ProjectLine:
    """One project. `running`, `on_hold`: runs at this moment; `queued`: jobs that wait for a machine.

    `build_time`, `queue_time`: medians, seconds. `branches`: that had runs in the window. `last_build`: the newest of
    the window; `parallelism`: the most machines that one job of it ran on, None where that is not known.
    """

    project: str
    team: str
    default_branch: str
    health: Health
    running: int
    queued: int
    on_hold: int
    build_time: Trend
    queue_time: Trend
    branches: int | None
    last_build: RunView | None
    last_builds: tuple[RunView, ...]
    parallelism: int | None


@dataclass(frozen=True, slots=True)
class BuildsPage:
    """Projects by slug. `next`: cursor, None at the end; `total`: of them."""

    since: str
    until: str
    total: int
    projects: tuple[ProjectLine, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class ProjectBuilds:
    """The last builds of one project, newest first. `branch_builds`: of `branch`, empty where none is chosen.

    `branches`: names to choose from, most runs first. `days`: median duration and median time in the queue by day, over
    the last 90 days of the window at most.
    """

    project: str
    default_branch: str
    branch: str
    since: str
    until: str
    default_builds: tuple[RunView, ...]
    branch_builds: tuple[RunView, ...]
    branches: tuple[str, ...]
    days: Plot


async def builds_page(
    lens: Lens,
    *,
    window: Window,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 25,
) -> BuildsPage:
    """A page of projects. Raises Refused."""
    page = await projects_page(lens, window=window, filters=filters, cursor=cursor, limit=limit)
    going = await _going_on(lens, filters)
    machines = await asyncio.gather(*(_parallelism(lens, one.last_run) for one in page.projects))
    lines = [_line(one, going, most) for one, most in zip(page.projects, machines, strict=True)]
    return BuildsPage(page.since, page.until, page.total, tuple(lines), page.next)


async def _going_on(lens: Lens, filters: Filters) -> Mapping[tuple[str, str], int]:
    """(project, status) -> runs, of what is queued jobs."""
    found: Counter[tuple[str, str]] = Counter()
    for (status, project, _, _), n in (await live_counts(lens, filters)).items():
        found[project, status] += n
    return found


async def _parallelism(lens: Lens, run: RunView | None) -> int | None:
    detail = await lens.store.run_detail(run.id) if run else None
    return max((job.parallelism for job in detail.jobs if job.parallelism), default=None) if detail else None


def _line(card: ProjectCard, going: Mapping[tuple[str, str], int], parallelism: int | None) -> ProjectLine:
    running, queued, on_hold = (going.get((card.project, word), 0) for word in ("running", "queued", "on_hold"))
    return ProjectLine(
        project=card.project,
        team=card.team,
        default_branch=card.default_branch,
        health=card.health,
        running=running,
        queued=queued,
        on_hold=on_hold,
        build_time=card.figures["duration_p50"],
        queue_time=card.figures["queue_p50"],
        branches=card.branches,
        last_build=card.last_run,
        last_builds=card.last_runs,
        parallelism=parallelism,
    )


async def project_builds(lens: Lens, *, project: str, window: Window, branch: str = "") -> ProjectBuilds:
    """The last builds of a project, of its default branch and of one that is chosen. Raises Refused."""
    row = await lens.project(project)
    back = Window(max(0, window.until_ms - LONGEST_MS), window.until_ms)
    days = Window(max(window.since_ms, back.since_ms), window.until_ms)
    reader = lens.reader()
    default = await runs_page(
        lens,
        project=row.project,
        window=back,
        filters=Filters(branch_class="@default"),
        limit=DEFAULT_BUILDS,
    )
    chosen: Sequence[RunView] = ()
    if branch:
        page = await runs_page(
            lens, project=row.project, window=back, filters=Filters(branch=branch), limit=BRANCH_BUILDS
        )
        chosen = page.runs
    names = ("duration_p50", "queue_p50")
    where = Filters(branch=branch).matchers()
    lines = await plot(lens, reader, names, projects=[row.project], window=days, step="1d", where=where)
    return ProjectBuilds(
        project=row.project,
        default_branch=row.default_branch,
        branch=branch,
        since=days.since,
        until=days.until,
        default_builds=default.runs,
        branch_builds=tuple(chosen),
        branches=await _branches(lens, row.project, back),
        days=lines,
    )


async def _branches(lens: Lens, project: str, window: Window) -> tuple[str, ...]:
    found = await measured(
        lens.reader(), lens.metrics(("runs",)), by=("branch",), where=(), bounds=window.bounds([project])
    )
    counted = [(values["runs"].n, dict(labels)["branch"]) for labels, values in found.items()]
    named = [(n, name) for n, name in counted if name]
    return tuple(name for _, name in sorted(named, key=lambda one: (-one[0], one[1]))[:_MOST_BRANCHES])
