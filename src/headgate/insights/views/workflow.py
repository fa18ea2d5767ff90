"""One workflow over time: runs, success, duration, credits; and its jobs. Its runs are a list of their own."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.insights.views.figures import JOB_FIGURES, QUEUE_FIGURES, RUN_FIGURES, Plot, Trends, plot, trends
from headgate.insights.views.known import workflow_must_be_known
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.overview import Health, health_of
from headgate.insights.views.window import StepName, Window

__all__ = ["JobLine", "WorkflowPage", "workflow_page"]

_PLOTTED = ("runs", "failed_runs", "success_rate", "duration_p50", "duration_p95", "credits")


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job of the workflow; approvals have waits alone."""

    job: str
    team: str
    figures: Trends


@dataclass(frozen=True, slots=True)
class WorkflowPage:
    """`jobs`: those that used most credits first, then by runs."""

    project: str
    workflow: str
    team: str
    since: str
    until: str
    previous_since: str
    health: Health
    figures: Trends
    plot: Plot
    jobs: tuple[JobLine, ...]


async def workflow_page(
    lens: Lens,
    *,
    project: str,
    workflow: str,
    window: Window,
    step: StepName,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
) -> WorkflowPage:
    """A workflow by name; without a run in the window it is empty. Raises Refused."""
    row = await lens.project(project)
    where = filters.matchers(workflow=workflow)
    await workflow_must_be_known(lens, row.project, workflow, window)
    slugs, reader = [row.project], lens.reader()
    lines = await plot(lens, reader, _PLOTTED, projects=slugs, window=window, step=step, where=where)
    whole = (await trends(lens, reader, RUN_FIGURES, projects=slugs, window=window, where=where))[()]
    jobs = await trends(
        lens,
        reader,
        (*JOB_FIGURES, "approval_wait"),
        projects=slugs,
        window=window,
        by=("job",),
        where=where,
    )
    waits = (await trends(lens, reader, QUEUE_FIGURES, projects=slugs, window=window, where=where))[()]
    found = [
        JobLine(name := dict(labels)["job"], lens.owners.team(row.project, workflow, name), figures)
        for labels, figures in jobs.items()
    ]
    return WorkflowPage(
        project=row.project,
        workflow=workflow,
        team=lens.owners.team(row.project, workflow, ""),
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        health=health_of(whole["success_rate"]),
        figures={**whole, **waits},
        plot=lines,
        jobs=tuple(sorted(found, key=_cost)),
    )


def _cost(line: JobLine) -> tuple[float, int, str]:
    return -(line.figures["credits_of_jobs"].value or 0.0), -line.figures["runs_of_jobs"].n, line.job
