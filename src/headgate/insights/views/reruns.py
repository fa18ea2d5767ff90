"""What repeating failed runs costs: how many are green only on retry, the credits and minutes that retries burnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from headgate.core.detailrows import RerunSum
from headgate.insights.match import Matcher, matches
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.figures import Trends, trends
from headgate.insights.views.lens import OF_RUNS, Filters, Lens
from headgate.insights.views.window import Window

__all__ = ["RERUNS_BY", "RerunLine", "RerunsBy", "RerunsPage", "reruns_page"]

RerunsBy = Literal["project", "workflow", "team", "job"]
RERUNS_BY: tuple[RerunsBy, ...] = get_args(RerunsBy)
_METRICS = ("rerun_waste", "reruns", "rerun_credits", "rerun_time")
_BY: Mapping[RerunsBy, tuple[str, ...]] = {
    "project": ("project",),
    "workflow": ("project", "workflow"),
    "team": ("team",),
    "job": (),
}


@dataclass(frozen=True, slots=True)
class RerunLine:
    """One group. `waste`: share of its green runs that are green only on retry, None of jobs; `reruns`: repeats.

    `credits`: that they used, None where none are told of, `estimated`: some of them are no bill;
    `minutes`: that they took.
    """

    labels: Mapping[str, str]
    waste: float | None
    reruns: int
    credits: float | None
    estimated: bool
    minutes: float


@dataclass(frozen=True, slots=True)
class RerunsPage:
    """`figures`: of all of it, by metric, beside the window before. `lines`: most credits first, then most minutes.

    By job, jobs that ran in repeats are counted, with credits of the usage export alone.
    """

    since: str
    until: str
    previous_since: str
    by: RerunsBy
    figures: Trends
    groups: int
    lines: tuple[RerunLine, ...]
    next: str | None


async def reruns_page(
    lens: Lens,
    *,
    by: RerunsBy,
    window: Window,
    project: str | None = None,
    workflow: str | None = None,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 50,
) -> RerunsPage:
    """Repeats in a project or workflow, or in all. Raises Refused."""
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    where = filters.matchers(**({"workflow": workflow} if workflow else {}))
    cursors = Cursors.of("reruns", by, window.asked, slugs[0] if project else "", workflow, filters)
    start, window = cursors.read_rank(cursor, window)
    reader = lens.reader()
    if by == "job":
        lines = await _jobs(lens, slugs, window, filters, where)
    else:
        # What is finer comes first: the reader adds up the rest of it.
        groups = await trends(lens, reader, _METRICS, projects=slugs, window=window, by=_BY[by], where=where)
        lines = [_line(dict(labels), found) for labels, found in groups.items() if found["reruns"].value]
    figures = (await trends(lens, reader, _METRICS, projects=slugs, window=window, where=where))[()]
    lines.sort(key=lambda line: (-(line.credits or 0.0), -line.minutes, sorted(line.labels.items())))
    end = start + limit
    return RerunsPage(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        by=by,
        figures=figures,
        groups=len(lines),
        lines=tuple(lines[start:end]),
        next=cursors.write_rank(end, window) if len(lines) > end else None,
    )


def _line(labels: Mapping[str, str], found: Trends) -> RerunLine:
    return RerunLine(
        labels=labels,
        waste=found["rerun_waste"].value,
        reruns=round(found["reruns"].value or 0),
        credits=found["rerun_credits"].value,
        estimated=found["rerun_credits"].estimated,
        minutes=(found["rerun_time"].value or 0.0) / 60,
    )


async def _jobs(
    lens: Lens, slugs: Sequence[str], window: Window, filters: Filters, where: Sequence[Matcher]
) -> list[RerunLine]:
    filters.refuse(OF_RUNS, "jobs of repeats are counted over all runs", ("project", "team"))
    rows = await lens.store.rerun_sums(window.bounds(slugs))
    return [
        RerunLine(
            labels={"project": row.project, "workflow": row.workflow, "job": row.job},
            waste=None,
            reruns=row.jobs,
            credits=float(row.credits) if row.credits else None,
            estimated=False,
            minutes=row.duration_ms / 60_000,
        )
        for row in rows
        if not where or matches(where, _labels(lens, row))
    ]


def _labels(lens: Lens, row: RerunSum) -> Mapping[str, str]:
    team = lens.owners.team(row.project, row.workflow, row.job)
    return {"workflow": row.workflow, "org": row.project.rpartition("/")[0], "team": team}
