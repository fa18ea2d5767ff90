"""Tables of runs and of their parts: runs, runs of a job, jobs and steps of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from headgate.insights.tables.columns import column, of_fields
from headgate.insights.tables.places import BRANCH_CLASSES
from headgate.insights.tables.table import FILTERS, WINDOW, Asking, Cell, Column, Material, Pages, Table
from headgate.insights.views.job import JobRunView, job_run_pages
from headgate.insights.views.refusal import Refused
from headgate.insights.views.run import JobBar, StepBar, run_page
from headgate.insights.views.runs import RunView, runs_page

__all__ = ["RUNS"]

_PAGE = 500
_STATUSES = ("success", "failure", "error", "timeout", "canceled", "skipped", "unknown")


async def _runs(material: Material, asked: Asking) -> Pages:
    """Of one project, or of one after the other."""
    lens, named = material.lens, asked.one("project")
    if asked.one("workflow") and not named:
        raise Refused("bad-parameter", "a workflow is of a project: say which", parameter="project")
    for project in [named] if named else [row.project for row in await lens.projects()]:
        cursor: str | None = None
        while True:
            page = await runs_page(
                lens,
                project=project,
                window=asked.window,
                workflow=asked.one("workflow") or None,
                status=asked.one("status"),
                filters=asked.filters,
                cursor=cursor,
                limit=_PAGE,
            )
            yield page.runs
            cursor = page.next
            if cursor is None:
                break


async def _job_runs(material: Material, asked: Asking) -> Pages:
    async for page in job_run_pages(
        material.lens,
        project=asked.one("project"),
        workflow=asked.one("workflow"),
        job=asked.one("job"),
        window=asked.window,
        filters=asked.filters,
    ):
        yield page


async def _run_jobs(material: Material, asked: Asking) -> Pages:
    yield (await run_page(material.lens, run=asked.one("run"))).jobs


async def _steps(material: Material, asked: Asking) -> Pages:
    page = await run_page(material.lens, run=asked.one("run"))
    yield [(job, step) for job in page.jobs for step in job.steps]


_RUN = of_fields(
    RunView,
    docs={
        "duration": "Seconds from its creation to its end.",
        "approval_wait": "Seconds of its duration that it was on hold; empty while nobody read the list of its jobs.",
        "trigger": "What started it, CircleCI's word.",
    },
)
_BAR = of_fields(
    JobBar,
    leave=("steps",),
    docs={
        "begin": "Seconds from the begin of the run.",
        "started": "Seconds from the begin of the run.",
        "ended": "Seconds from the begin of the run.",
        "critical": "Whether it is on the critical path.",
        "critical_share": "Seconds by which it moved the end of the run.",
        "exclusive": "Seconds that it ran while no other job did.",
        "requires": "Ids of jobs that it waited for.",
    },
)


def _of_step(one: Column) -> Callable[[tuple[JobBar, StepBar]], Cell]:
    return lambda row: one.pick(row[1])


_STEP = (
    column("job", "text", "", lambda row: row[0].job),
    column("job_id", "text", "", lambda row: row[0].id),
    *(
        replace(one, pick=_of_step(one))
        for one in of_fields(StepBar, docs={"node": "Which of the parallel machines, from 0."})
    ),
)

RUNS = (
    Table(
        "runs",
        "Runs",
        "Ended runs of a project or of a workflow, newest first; without a project those of all, one after the other.",
        ("project", "workflow", "status", *WINDOW, *FILTERS),
        lambda *_: _RUN,
        _runs,
        choices={**BRANCH_CLASSES, "status": _STATUSES},
    ),
    Table(
        "job_runs",
        "Runs of a job",
        "Ended runs of one job, newest first.",
        ("project", "workflow", "job", *WINDOW, *FILTERS),
        lambda *_: of_fields(JobRunView),
        _job_runs,
        needs=("project", "workflow", "job"),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "run_jobs",
        "Jobs of a run",
        "Jobs of one run by begin, with the critical path.",
        ("run",),
        lambda *_: _BAR,
        _run_jobs,
        needs=("run",),
    ),
    Table(
        "steps",
        "Steps",
        "Steps of the jobs of one run.",
        ("run",),
        lambda *_: _STEP,
        _steps,
        needs=("run",),
    ),
)
