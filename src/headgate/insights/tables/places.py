"""Tables of places: projects, workflows, branches, jobs, machine sizes, what got worse, and figures over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from headgate.core.tally import DEFAULT_BRANCH, OTHER_BRANCH
from headgate.insights.tables.columns import column, figures, of_fields
from headgate.insights.tables.table import FILTERS, STEP, WINDOW, Asking, Cell, Column, Material, Pages, Table
from headgate.insights.views.figures import JOB_FIGURES, QUEUE_FIGURES, RUN_FIGURES, Plot, plot
from headgate.insights.views.job import CLASS_FIGURES, JobPage, ResourceClass, job_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.live import LiveView
from headgate.insights.views.moment import now_of
from headgate.insights.views.overview import overview
from headgate.insights.views.project import (
    BRANCH_FIGURES,
    BranchLine,
    ProjectPage,
    WorkflowLine,
    branch_lines,
    project_page,
)
from headgate.insights.views.projects import ProjectCard, projects_page
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import STEP_NAMES
from headgate.insights.views.workflow import JobLine, WorkflowPage, workflow_page
from headgate.insights.views.worse import Worse

__all__ = ["BRANCH_CLASSES", "PLACES", "RUN_PLOTTED", "columns_of_steps", "rows_of_steps"]

# As large as a page of the API may be.
_PAGE = 500
# More than ever go on at once.
_EVERY = 1_000_000
BRANCH_CLASSES: Mapping[str, Sequence[str]] = {"branch_class": (DEFAULT_BRANCH, OTHER_BRANCH)}
_STEPS = {**BRANCH_CLASSES, "step": STEP_NAMES}
_LAST_RUN = (
    column("last_run", "text", "Id of its newest run in the window.", lambda row: _of_last(row, "id")),
    column("last_run_status", "text", "How that ended.", lambda row: _of_last(row, "status")),
    column("last_run_at", "time", "When that ended.", lambda row: _of_last(row, "stopped_at")),
)
RUN_PLOTTED = ("runs", "failed_runs", "success_rate", "duration_p50", "duration_p95", "credits")
_JOB_PLOTTED = tuple(f"{name}_of_jobs" for name in RUN_PLOTTED)


def _of_last(row: ProjectCard | WorkflowLine, name: str) -> Cell:
    found: Cell = None if row.last_run is None else getattr(row.last_run, name)
    return found


async def _projects(material: Material, asked: Asking) -> Pages:
    cursor: str | None = None
    while True:
        page = await projects_page(
            material.lens, window=asked.window, filters=asked.filters, cursor=cursor, limit=_PAGE
        )
        yield page.projects
        cursor = page.next
        if cursor is None:
            return


async def _workflows(material: Material, asked: Asking) -> Pages:
    page = await project_page(
        material.lens,
        project=asked.one("project"),
        window=asked.window,
        step=asked.step,
        filters=asked.filters,
        builds=_PAGE,
    )
    yield page.workflows


async def _branches(material: Material, asked: Asking) -> Pages:
    yield await branch_lines(material.lens, project=asked.one("project"), window=asked.window, filters=asked.filters)


async def _jobs(material: Material, asked: Asking) -> Pages:
    page = await workflow_page(
        material.lens,
        project=asked.one("project"),
        workflow=asked.one("workflow"),
        window=asked.window,
        step=asked.step,
        filters=asked.filters,
    )
    yield page.jobs


async def _classes(material: Material, asked: Asking) -> Pages:
    page = await job_page(
        material.lens,
        project=asked.one("project"),
        workflow=asked.one("workflow"),
        job=asked.one("job"),
        window=asked.window,
        step=asked.step,
        filters=asked.filters,
        limit=1,
    )
    yield page.resource_classes


async def _worse(material: Material, asked: Asking) -> Pages:
    yield (await overview(material.lens, window=asked.window, filters=asked.filters, most_worse=None)).worse


async def _now(material: Material, asked: Asking) -> Pages:
    now, _ = await now_of(material.lens, asked.filters, most=_EVERY)
    yield now.rows


def _plotted(_: Lens, asked: Asking) -> Sequence[Column]:
    """As many figures as the plot of that place has."""
    if asked.one("job") and not asked.one("workflow"):
        raise Refused("bad-parameter", "a job is of a workflow: say which", parameter="workflow")
    if asked.one("workflow") and not asked.one("project"):
        raise Refused("bad-parameter", "a workflow is of a project: say which", parameter="project")
    names = (*_JOB_PLOTTED, "queue_p50") if asked.one("job") else RUN_PLOTTED
    names = (*names, "queue_p50") if asked.one("project") and not asked.one("workflow") else names
    return columns_of_steps(names)


async def _plot(material: Material, asked: Asking) -> Pages:
    yield rows_of_steps(await _lines(material.lens, asked))


def columns_of_steps(names: Iterable[str]) -> Sequence[Column]:
    """Of a plot of these metrics: each step with its values."""
    begin = column("at", "time", "Begin of the step.", lambda row: row[0])
    end = column("until", "time", "End of the step, exclusive.", lambda row: row[1])
    return (begin, end, *figures(names, previous=False, of=lambda row: row[2]))


def rows_of_steps(lines: Plot) -> Sequence[object]:
    """The rows of these columns."""
    ends = [*lines.at[1:], lines.until]
    one = {line.metric: line for line in lines.lines}
    return [
        (at, end, {name: _Point(line.values[place], line.n[place]) for name, line in one.items()})
        for place, (at, end) in enumerate(zip(lines.at, ends, strict=True))
    ]


class _Point:
    """A value of a step and its sample, as figures have them."""

    __slots__ = ("n", "value")

    def __init__(self, value: float | None, n: int) -> None:
        self.value = value
        self.n = n


async def _lines(lens: Lens, asked: Asking) -> Plot:
    window, step, filters = asked.window, asked.step, asked.filters
    project, workflow, job = (asked.one(name) for name in ("project", "workflow", "job"))
    if job:
        page: JobPage | WorkflowPage | ProjectPage = await job_page(
            lens, project=project, workflow=workflow, job=job, window=window, step=step, filters=filters, limit=1
        )
        return page.plot
    if workflow:
        page = await workflow_page(lens, project=project, workflow=workflow, window=window, step=step, filters=filters)
        return page.plot
    if project:
        page = await project_page(lens, project=project, window=window, step=step, filters=filters, builds=1)
        return page.plot
    slugs = [row.project for row in await lens.projects()]
    return await plot(
        lens,
        lens.reader(),
        RUN_PLOTTED,
        projects=slugs,
        window=window,
        step=step,
        where=filters.matchers(),
    )


_PROJECT = (
    *of_fields(
        ProjectCard,
        leave=("last_run", "last_runs", "figures"),
        docs={"branches": "With runs in the window; empty with a filter by trigger alone."},
    ),
    *_LAST_RUN,
    *figures((*RUN_FIGURES, *QUEUE_FIGURES)),
)
_WORKFLOW = (*of_fields(WorkflowLine, leave=("last_run", "figures")), *_LAST_RUN, *figures(RUN_FIGURES))
_BRANCH = (*of_fields(BranchLine, leave=("figures",)), *figures(BRANCH_FIGURES, previous=False))
_JOB = (*of_fields(JobLine, leave=("figures",)), *figures((*JOB_FIGURES, "approval_wait")))
_CLASS = (*of_fields(ResourceClass, leave=("figures",)), *figures(CLASS_FIGURES, previous=False))
_WORSE = (
    *of_fields(
        Worse,
        leave=("because",),
        docs={
            "metric": "Which figure, by its name in the catalogue and in its unit.",
            "value": "In the window.",
            "previous": "In the window before.",
            "change": "The value less the one before.",
            "n": "How many runs it is made from.",
        },
    ),
    column("because", "json", "Jobs whose figures grew with it.", lambda row: [one.job for one in row.because]),
)
_NOW = of_fields(LiveView, docs={"seconds": "How long in this state.", "stuck": "Whether that is far too long."})

PLACES = (
    Table(
        "projects",
        "Projects",
        "Every project with its figures, beside those of the window before.",
        (*WINDOW, *FILTERS),
        lambda *_: _PROJECT,
        _projects,
        choices=BRANCH_CLASSES,
    ),
    Table(
        "workflows",
        "Workflows",
        "Workflows of a project, most runs first.",
        ("project", *WINDOW, *FILTERS),
        lambda *_: _WORKFLOW,
        _workflows,
        needs=("project",),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "branches",
        "Branches",
        "Every branch and tag of a project with runs in the window, most runs first.",
        ("project", *WINDOW, *FILTERS),
        lambda *_: _BRANCH,
        _branches,
        needs=("project",),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "jobs",
        "Jobs",
        "Jobs of a workflow, those that used most credits first.",
        ("project", "workflow", *WINDOW, *FILTERS),
        lambda *_: _JOB,
        _jobs,
        needs=("project", "workflow"),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "machine_sizes",
        "Machine sizes",
        "What a job cost and took on each machine size.",
        ("project", "workflow", "job", *WINDOW, *FILTERS),
        lambda *_: _CLASS,
        _classes,
        needs=("project", "workflow", "job"),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "plot",
        "Over time",
        "Figures step by step: of everything, of a project, of a workflow or of a job.",
        ("project", "workflow", "job", *WINDOW, *STEP, *FILTERS),
        _plotted,
        _plot,
        choices=_STEPS,
    ),
    Table(
        "worse",
        "What got worse",
        "Figures of workflows that are worse than in the window before, and with which jobs; the worst first.",
        (*WINDOW, *FILTERS),
        lambda *_: _WORSE,
        _worse,
        choices=BRANCH_CLASSES,
    ),
    Table(
        "now",
        "Now",
        "What runs, waits for a machine or is on hold at this moment, stuck ones first.",
        FILTERS,
        lambda *_: _NOW,
        _now,
        choices=BRANCH_CLASSES,
    ),
)
