"""The page of everything: health of each project, trends, what got worse and with which jobs, what goes on now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.slug import org_slug
from headgate.insights.metric import Labels
from headgate.insights.reader import Reader
from headgate.insights.views.figures import QUEUE_FIGURES, RUN_FIGURES, Trend, Trends, trends
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.live import Now
from headgate.insights.views.moment import now_of
from headgate.insights.views.window import Window
from headgate.insights.views.worse import CAUSES, WORSE_FIGURES, Worse, find_worse, with_causes

__all__ = ["Health", "Overview", "ProjectHealth", "health_of", "overview"]

Health = Literal["good", "warning", "bad", "idle"]
# Success rates from which a project is well, and below which it is not.
GOOD_RATE, BAD_RATE = 0.9, 0.7
_MOST_WORSE = 10
_OF_JOBS = ("project", "workflow", "job")
_HEALTH_ORDER: tuple[Health, ...] = ("bad", "warning", "good", "idle")


@dataclass(frozen=True, slots=True)
class ProjectHealth:
    """One project. `figures`: metric -> trend. `idle`: nothing succeeded or failed in the window."""

    project: str
    org: str
    team: str
    health: Health
    figures: Trends


@dataclass(frozen=True, slots=True)
class Overview:
    """`totals`: over all projects. `projects`: worst health first, then by runs. `now`: of this moment, not the window.

    `worse`: worst first, the first ten of `worse_found`; under a filter by branch or trigger without the jobs that are
    the reason, which the page of each workflow has.
    """

    since: str
    until: str
    previous_since: str
    totals: Trends
    projects: tuple[ProjectHealth, ...]
    worse: tuple[Worse, ...]
    worse_found: int
    now: Now


def health_of(rate: Trend) -> Health:
    """By the success rate of the window."""
    if rate.value is None:
        return "idle"
    return "good" if rate.value >= GOOD_RATE else "warning" if rate.value >= BAD_RATE else "bad"


async def overview(
    lens: Lens,
    *,
    window: Window,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    most_worse: int | None = _MOST_WORSE,
) -> Overview:
    """All projects, or those that filters take. `most_worse`: figures that got worse, None for all. Raises Refused."""
    where = filters.matchers()
    slugs, reader = [one.project for one in await lens.projects()], lens.reader()
    flows = await trends(
        lens, reader, WORSE_FIGURES, projects=slugs, window=window, by=("project", "workflow"), where=where
    )
    runs = await trends(lens, reader, RUN_FIGURES, projects=slugs, window=window, by=("project",), where=where)
    waits = await trends(lens, reader, QUEUE_FIGURES, projects=slugs, window=window, by=("project",), where=where)
    totals = (await trends(lens, reader, RUN_FIGURES, projects=slugs, window=window, where=where))[()]
    queues = (await trends(lens, reader, QUEUE_FIGURES, projects=slugs, window=window, where=where))[()]
    cards = _cards(lens, runs, waits)
    worse = find_worse(flows, most=None)
    return Overview(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        totals={**totals, **queues},
        projects=cards,
        worse=await _explained(lens, reader, worse[:most_worse], window, filters),
        worse_found=len(worse),
        now=(await now_of(lens, filters))[0],
    )


def _cards(lens: Lens, runs: Mapping[Labels, Trends], waits: Mapping[Labels, Trends]) -> tuple[ProjectHealth, ...]:
    cards = [
        ProjectHealth(
            project=(slug := dict(labels)["project"]),
            org=org_slug(slug),
            team=lens.owners.team(slug, "", ""),
            health=health_of(figures["success_rate"]),
            figures={**figures, **waits.get(labels, {})},
        )
        for labels, figures in runs.items()
    ]
    return tuple(sorted(cards, key=lambda one: (_HEALTH_ORDER.index(one.health), -one.figures["runs"].n, one.project)))


async def _explained(
    lens: Lens, reader: Reader, found: Sequence[Worse], window: Window, filters: Filters
) -> tuple[Worse, ...]:
    """With the jobs of those projects alone, which costs little.

    Without, under a filter by branch or trigger: no sums tell both it and the job, and reading every job of ten
    workflows takes seconds at ten million; the page of the one workflow that somebody looks at has them.
    """
    if not found or filters.branch or filters.trigger:
        return tuple(found)
    slugs = sorted({one.project for one in found})
    jobs = await trends(lens, reader, CAUSES, projects=slugs, window=window, by=_OF_JOBS, where=filters.matchers())
    return with_causes(found, jobs)
