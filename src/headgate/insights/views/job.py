"""One job of a workflow: credits, p95, runs and success over time, by machine size, and its last runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from headgate.core.runrows import JobRow
from headgate.core.status import OUR_STATUSES
from headgate.core.times import format_ms
from headgate.insights.views.figures import JOB_FIGURES, Figure, Plot, Trends, figure, measured, plot, trends
from headgate.insights.views.known import job_must_be_known
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.rightsizing import RightSizing, right_sizes
from headgate.insights.views.window import StepName, Window

__all__ = ["CLASS_FIGURES", "JobPage", "JobRunView", "ResourceClass", "job_page", "job_run_pages"]

_PLOTTED = (
    "credits_of_jobs",
    "duration_p50_of_jobs",
    "duration_p95_of_jobs",
    "runs_of_jobs",
    "failed_runs_of_jobs",
    "success_rate_of_jobs",
    "queue_p50",
)
CLASS_FIGURES = ("credits_of_jobs", "duration_p95_of_jobs", "runs_of_jobs", "success_rate_of_jobs")

_PAGE = 500


@dataclass(frozen=True, slots=True)
class ResourceClass:
    """What the job cost and took on one machine size; empty where it is not known."""

    resource_class: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class JobRunView:
    """One ended run of the job. `duration`, `queue`: seconds, None where unknown."""

    id: str
    workflow_id: str
    branch: str
    status: str
    stopped_at: str
    duration: float | None
    queue: float | None
    credits: int | None
    resource_class: str
    executor: str
    parallelism: int | None
    revision: str
    number: int | None
    url: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """`resource_classes`: most credits first; `machines`: what the usage export says of their size.

    `runs`: the newest of the window that pass the filters, newest first.
    """

    project: str
    workflow: str
    job: str
    team: str
    since: str
    until: str
    previous_since: str
    figures: Trends
    plot: Plot
    resource_classes: tuple[ResourceClass, ...]
    machines: tuple[RightSizing, ...]
    runs: tuple[JobRunView, ...]


async def job_page(
    lens: Lens,
    *,
    project: str,
    workflow: str,
    job: str,
    window: Window,
    step: StepName,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    limit: int = 50,
) -> JobPage:
    """A job by the names of its workflow and itself. Raises Refused."""
    row = await lens.project(project)
    where = filters.matchers(workflow=workflow, job=job)
    slugs, reader = [row.project], lens.reader()
    await job_must_be_known(lens, row.project, workflow, job, window)
    lines = await plot(lens, reader, _PLOTTED, projects=slugs, window=window, step=step, where=where)
    names = (*JOB_FIGURES, "approval_wait")
    whole = (await trends(lens, reader, names, projects=slugs, window=window, where=where))[()]
    newest = await _newest(lens, row.project, window, filters, workflow=workflow, job=job, limit=limit)
    return JobPage(
        project=row.project,
        workflow=workflow,
        job=job,
        team=lens.owners.team(row.project, workflow, job),
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        figures=whole,
        plot=lines,
        resource_classes=await _classes(lens, slugs, window, filters, workflow=workflow, job=job),
        machines=tuple(
            one for one in await right_sizes(lens, slugs, window) if (one.workflow, one.job) == (workflow, job)
        ),
        runs=tuple(map(_view, newest)),
    )


async def _classes(
    lens: Lens, slugs: Sequence[str], window: Window, filters: Filters, *, workflow: str, job: str
) -> tuple[ResourceClass, ...]:
    groups = await measured(
        lens.reader(),
        lens.metrics(CLASS_FIGURES),
        by=("resource_class",),
        where=filters.matchers(workflow=workflow, job=job),
        bounds=window.bounds(slugs),
    )
    found = [
        ResourceClass(dict(labels)["resource_class"], {name: figure(values.get(name)) for name in CLASS_FIGURES})
        for labels, values in groups.items()
    ]
    return tuple(sorted(found, key=lambda one: (-(one.figures["credits_of_jobs"].value or 0), one.resource_class)))


async def _newest(
    lens: Lens, project: str, window: Window, filters: Filters, *, workflow: str, job: str, limit: int
) -> Sequence[JobRow]:
    """The newest that ended in the window and pass the filters, newest first."""
    if not lens.takes(filters, project, workflow, job):
        return ()
    chosen = filters.choice()
    rows = await lens.store.series(
        "job",
        project=project,
        workflow=workflow,
        job=job,
        branch_class=chosen.branch_class,
        branch=chosen.branch,
        trigger=chosen.trigger,
        statuses=frozenset(OUR_STATUSES),
        since_ms=window.since_ms,
        before_ms=window.until_ms,
        limit=limit,
    )
    return sorted((one for one in rows if isinstance(one, JobRow)), key=_place, reverse=True)


async def job_run_pages(
    lens: Lens, *, project: str, workflow: str, job: str, window: Window, filters: Filters
) -> AsyncIterator[Sequence[JobRunView]]:
    """Every ended run of the job in the window that passes the filters, newest first, each once. Raises Refused."""
    row = await lens.project(project)
    filters.matchers()
    await job_must_be_known(lens, row.project, workflow, job, window)
    place, asked = (window.until_ms, ""), _PAGE
    while True:
        left = Window(window.since_ms, min(place[0] + 1, window.until_ms))
        rows = await _newest(lens, row.project, left, filters, workflow=workflow, job=job, limit=asked)
        fresh = [one for one in rows if _place(one) < place]
        yield [_view(one) for one in fresh]
        if len(rows) < asked:
            return
        # So many ended within one millisecond that a page has none that is new: a larger one has.
        place, asked = (_place(fresh[-1]), asked) if fresh else (place, asked * 2)


def _place(row: JobRow) -> tuple[int, str]:
    return row.stopped_ms, row.job_id


def _view(row: JobRow) -> JobRunView:
    return JobRunView(
        id=row.job_id,
        workflow_id=row.workflow_id,
        branch=row.ref,
        status=row.status,
        stopped_at=format_ms(row.stopped_ms),
        duration=None if row.duration_ms is None else row.duration_ms / 1000,
        queue=None if row.queue_ms is None else row.queue_ms / 1000,
        credits=row.credits,
        resource_class=row.resource_class,
        executor=row.executor,
        parallelism=row.parallelism,
        revision=row.revision,
        number=row.number,
        url=row.url,
    )
