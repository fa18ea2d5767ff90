"""The usage export: which job runs it covers, what each cost, and the CSV of them.

The header is that of a real export of July 2025. Times of workflows and jobs are whole seconds, floored, as they
are there; those of pipelines have milliseconds. Invariant: pure in the world and the moment the export was asked
for, so a file is the same however often it is made, and `totals` is the sum of the rows.
"""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from headgate.testing.circleci import origin
from headgate.testing.circleci.cast import Family
from headgate.testing.circleci.history import History
from headgate.testing.circleci.model import Job, Workflow
from headgate.testing.circleci.times import DAY, SECOND, csv_date, csv_time
from headgate.testing.circleci.world import World

MISSING = r"\N"
CREDIT_COLUMNS = (
    "COMPUTE_CREDITS", "DLC_CREDITS", "USER_CREDITS", "STORAGE_CREDITS", "NETWORK_CREDITS", "LEASE_CREDITS",
    "LEASE_OVERAGE_CREDITS", "IPRANGES_CREDITS", "TOTAL_CREDITS",
)  # fmt: skip
COLUMNS = (
    "ORGANIZATION_ID", "ORGANIZATION_NAME", "ORGANIZATION_CREATED_DATE", "PROJECT_ID", "PROJECT_NAME",
    "PROJECT_CREATED_DATE", "LAST_BUILD_FINISHED_AT", "VCS_NAME", "VCS_URL", "VCS_BRANCH", "PIPELINE_ID",
    "PIPELINE_CREATED_AT", "PIPELINE_NUMBER", "IS_UNREGISTERED_USER", "PIPELINE_TRIGGER_SOURCE",
    "PIPELINE_TRIGGER_USER_ID", "WORKFLOW_ID", "WORKFLOW_NAME", "WORKFLOW_FIRST_JOB_QUEUED_AT",
    "WORKFLOW_FIRST_JOB_STARTED_AT", "WORKFLOW_STOPPED_AT", "IS_WORKFLOW_SUCCESSFUL", "JOB_NAME", "JOB_RUN_NUMBER",
    "JOB_ID", "JOB_RUN_DATE", "JOB_RUN_QUEUED_AT", "JOB_RUN_STARTED_AT", "JOB_RUN_STOPPED_AT", "JOB_BUILD_STATUS",
    "RESOURCE_CLASS", "OPERATING_SYSTEM", "EXECUTOR", "PARALLELISM", "JOB_RUN_SECONDS",
    "MEDIAN_CPU_UTILIZATION_PCT", "MAX_CPU_UTILIZATION_PCT", "MEDIAN_RAM_UTILIZATION_PCT",
    "MAX_RAM_UTILIZATION_PCT", *CREDIT_COLUMNS,
)  # fmt: skip

_EXTRAS = CREDIT_COLUMNS[1:-1]
_EXTRA_PERCENT_MAX = 5  # of the total for each kind but compute, so that compute stays most of it
_UNMEASURED_MS = 10 * SECOND  # a shorter run has no figures of processor and memory
_YOUNGEST_DAYS, _OLDEST_DAYS = 400, 1500  # how long before the history an organization or project was made


@dataclass(frozen=True, slots=True)
class Shape:
    """How the columns differ from the real ones: `style` is inserted, renamed or missing, at one column."""

    style: str
    column: str

    def header(self) -> list[str]:
        """Give the header of the odd file."""
        return self._changed(COLUMNS, f"NEW_{self.column}", f"{self.column}_V2")

    def row(self, values: Sequence[str]) -> list[str]:
        """Give a row under that header; an inserted column is empty."""
        return self._changed(values, MISSING, values[COLUMNS.index(self.column)])

    def _changed(self, values: Sequence[str], inserted: str, renamed: str) -> list[str]:
        at = COLUMNS.index(self.column)
        middle = {"inserted": [inserted, values[at]], "renamed": [renamed], "missing": []}[self.style]
        return [*values[:at], *middle, *values[at + 1 :]]


STYLES = ("inserted", "renamed", "missing")


def covered(histories: Iterable[History], start: int, end: int, as_of: int) -> list[Job]:
    """Give the job runs that started from `start` to `end` on full UTC days before `as_of` and have ended.

    Ordered by project, then by number.
    """
    last = min(end, as_of // DAY * DAY - 1)
    return [
        build
        for history in histories
        for build in history.builds[: history.builds_until(last)]
        if build.ran and start <= build.started <= last and build.stopped <= as_of
    ]


def cost(world: World, build: Job) -> dict[str, int]:
    """Give what a job cost by column; the total is `Job.credits`, and the other kinds add up to it."""
    project, total = build.workflow.pipeline.project, build.credits
    number = world.ids.number("credits", project.id, build.number)
    given = {"COMPUTE_CREDITS": total}
    for name in _EXTRAS:
        number, share = divmod(number, 3 * _EXTRA_PERCENT_MAX)
        given[name] = total * max(0, share - 2 * _EXTRA_PERCENT_MAX) // 100
        given["COMPUTE_CREDITS"] -= given[name]
    given["TOTAL_CREDITS"] = total
    return given


def totals(world: World, start: int, end: int) -> dict[str, Any]:
    """Give the sums over the rows that exports of all organizations have at this moment.

    `{"rows": n, "total": {column: credits}, "projects": {slug: {column: credits}}}`; both ends are included.
    """
    projects: dict[str, Counter[str]] = {}
    jobs = covered(world.histories, start, end, world.now())
    for build in jobs:
        projects.setdefault(build.workflow.pipeline.project.slug, Counter()).update(cost(world, build))
    whole: Counter[str] = Counter(dict.fromkeys(CREDIT_COLUMNS, 0))
    for found in projects.values():
        whole.update(found)
    return {"rows": len(jobs), "total": whole, "projects": projects}


def file(world: World, jobs: Sequence[Job], as_of: int, shape: Shape | None) -> bytes:
    """Give one file of an export: gzip of CSV with a header, the same bytes each time."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(shape.header() if shape else COLUMNS)
    for values in _rows(world, jobs, as_of):
        writer.writerow(shape.row(values) if shape else values)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _rows(world: World, jobs: Sequence[Job], as_of: int) -> Iterator[list[str]]:
    heads = {
        index: _project(world, world.histories[index], as_of)
        for index in {job.workflow.pipeline.project.index for job in jobs}
    }
    for job in jobs:
        run = job.workflow
        yield [
            *heads[run.pipeline.project.index],
            run.pipeline.branch or MISSING,
            *_pipeline(world, run),
            *_workflow(world, run, as_of),
            *_job(world, job),
            *_figures(world, job),
            *(str(credit) for credit in cost(world, job).values()),
        ]


def _project(world: World, history: History, as_of: int) -> list[str]:
    """Describe organization and project, which all rows of a project share."""
    project = history.project
    return [
        project.org.id,
        project.org.name,
        _made(world, project.org.id),
        project.id,
        project.name,
        _made(world, project.id),
        csv_time(max(build.stopped for build in history.builds if build.stopped <= as_of)),
        "github" if project.family is Family.APP else str(project.family),
        project.vcs_url,
    ]


def _made(world: World, owner_id: str) -> str:
    """Give the date an organization or project was made."""
    days = _YOUNGEST_DAYS + world.ids.number("made", owner_id) % (_OLDEST_DAYS - _YOUNGEST_DAYS)
    return csv_date(world.options.start_ms - days * DAY)


def _pipeline(world: World, run: Workflow) -> list[str]:
    pipeline = run.pipeline
    scheduled = pipeline.trigger == "schedule"
    return [
        world.id_of(pipeline),
        csv_time(pipeline.created),
        str(pipeline.number),
        "false",
        origin.trigger_type(pipeline),
        MISSING if scheduled else origin.author(world, pipeline).id,
    ]


def _workflow(world: World, run: Workflow, as_of: int) -> list[str]:
    own = [job for job in run.jobs if job.workflow is run and not job.approval]
    done = run.done_at(as_of)
    return [
        world.id_of(run),
        run.spec.name,
        _second(min(job.queued for job in own if job.queued)),
        _second(min(job.started for job in own if job.started)),
        _second(run.stopped) if done else MISSING,
        str(done and run.status == "success").lower(),
    ]


def _job(world: World, job: Job) -> list[str]:
    """Describe the run; when it stopped is told of success and failure alone."""
    spec = job.spec
    return [
        spec.name,
        str(job.number),
        world.id_of(job),
        csv_date(job.started),
        _second(job.queued),
        _second(job.started),
        _second(job.stopped) if job.status in {"success", "failed"} else MISSING,
        job.status,
        spec.resource_class,
        "macos" if spec.resource_class.startswith("macos") else "linux",
        spec.executor,
        str(spec.parallelism),
        str(job.stopped // SECOND - job.started // SECOND),
    ]


def _figures(world: World, job: Job) -> list[str]:
    """Give median and maximum of processor and memory, in percent with two decimals.

    Each job of a project has its usual use, which its runs keep to within a tenth: so some are on machines that are
    too large for them.
    """
    if job.stopped - job.started < _UNMEASURED_MS:
        return [MISSING] * 4
    project = job.workflow.pipeline.project
    usual, number = world.ids.number("load", project.id, job.spec.name), job.number
    given = list[str]()
    for name, lowest, highest in (("cpu", 5, 60), ("ram", 8, 80)):
        usual, typical = divmod(usual, highest - lowest)
        drawn = world.ids.number(name, project.id, number)
        most = (lowest + typical) * (90 + drawn % 21) / 100
        given += [f"{most * (60 + drawn // 21 % 31) / 100:.2f}", f"{most:.2f}"]
    return given


def _second(ms: int) -> str:
    return csv_time(ms // SECOND * SECOND)
