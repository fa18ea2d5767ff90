"""What it cost, by project, workflow, job, team, machine size or branch.

By project, workflow and team sums are those of runs, which have estimates where no bill is known; by job and machine
size they are those of jobs, which the usage export alone tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from headgate.insights.views.cursors import Cursors
from headgate.insights.views.figures import Plot, Trend, plot, trends
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import StepName, Window

__all__ = ["CREDITS_BY", "CreditsBy", "CreditsLine", "CreditsPage", "credits_page", "metric_of"]

CreditsBy = Literal["project", "workflow", "job", "team", "resource_class", "branch"]
CREDITS_BY: tuple[CreditsBy, ...] = get_args(CreditsBy)
# What rows are grouped by, and which metric they have.
_BY: Mapping[CreditsBy, tuple[tuple[str, ...], str]] = {
    "project": (("project",), "credits"),
    "workflow": (("project", "workflow"), "credits"),
    "job": (("project", "workflow", "job"), "credits_of_jobs"),
    "team": (("team",), "credits"),
    "resource_class": (("resource_class",), "credits_of_jobs"),
    "branch": (("project", "branch"), "credits"),
}


@dataclass(frozen=True, slots=True)
class CreditsLine:
    """One group. `share`: of all groups' sum, None where that is 0; `runs`: how many runs or jobs used them."""

    labels: Mapping[str, str]
    credits: Trend
    share: float | None
    runs: int


@dataclass(frozen=True, slots=True)
class CreditsPage:
    """`metric`: the one that all numbers here are. `lines`: most credits first; `next`: cursor, None at the end."""

    since: str
    until: str
    previous_since: str
    by: CreditsBy
    metric: str
    total: Trend
    groups: int
    lines: tuple[CreditsLine, ...]
    plot: Plot
    next: str | None


def metric_of(by: CreditsBy) -> str:
    """The metric that credits by this are."""
    return _BY[by][1]


async def credits_page(
    lens: Lens,
    *,
    by: CreditsBy,
    window: Window,
    step: StepName,
    project: str | None = None,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 50,
) -> CreditsPage:
    """Credits of a project, or of all. Raises Refused."""
    where = filters.matchers()
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    names, metric = _BY[by]
    cursors = Cursors.of("credits", by, window.asked, slugs[0] if project else "", filters)
    start, window = cursors.read_rank(cursor, window)
    reader = lens.reader()
    groups = await trends(lens, reader, (metric,), projects=slugs, window=window, by=names, where=where)
    total = (await trends(lens, reader, (metric,), projects=slugs, window=window, where=where))[()][metric]
    lines = await plot(lens, reader, (metric,), projects=slugs, window=window, step=step, where=where)
    found = [(labels, one) for labels, figures in groups.items() if (one := figures[metric]).n or one.previous_n]
    found.sort(key=lambda group: (-(group[1].value or 0.0), group[0]))
    end = start + limit
    return CreditsPage(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        by=by,
        metric=metric,
        total=total,
        groups=len(found),
        lines=tuple(CreditsLine(dict(labels), one, _share(one, total), one.n) for labels, one in found[start:end]),
        plot=lines,
        next=cursors.write_rank(end, window) if len(found) > end else None,
    )


def _share(one: Trend, total: Trend) -> float | None:
    return one.value / total.value if one.value is not None and total.value else None
