"""`/api/v1/insights/...`, `/api/v1/metrics` and `/api/v1/query`: what pages show, for scripts.

Thin: parameters are read here, `headgate.insights.views` answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from headgate.insights.views.ask import MetricsPage, QueryPage, SeriesPage, metrics_page, query_page, series_page
from headgate.insights.views.credits import CreditsBy, CreditsPage, credits_page
from headgate.insights.views.job import JobPage, job_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.overview import Overview, overview
from headgate.insights.views.project import ProjectPage, project_page
from headgate.insights.views.projects import ProjectsPage, projects_page
from headgate.insights.views.run import RunPage, run_page
from headgate.insights.views.runs import RunsPage, runs_page
from headgate.insights.views.tests import TEST_LISTS, PageOfTests, TestList, page_of_tests
from headgate.insights.views.window import StepName
from headgate.insights.views.workflow import WorkflowPage, workflow_page
from headgate.web.answering import AnsweringRoute, answer
from headgate.web.asking import Filtered, Limit, Listed, Name, Plotted, Text, Windowed, known_values
from headgate.web.documented import documented
from headgate.web.insights_advice import add_advice
from headgate.web.insights_builds import add_builds
from headgate.web.insights_operation import add_operation_insights

__all__ = ["add_insights"]

_Status = Literal["", "success", "failure", "error", "timeout", "canceled", "skipped", "unknown"]


class ProjectsQuery(Filtered, Listed):
    """Projects."""


class ProjectQuery(Plotted):
    """One project."""

    project: Name
    builds: Limit = Field(default=50, description="How many of the last builds.")


class WorkflowQuery(Plotted):
    """One workflow."""

    project: Name
    workflow: Text


class JobQuery(WorkflowQuery):
    """One job."""

    job: Text
    limit: Limit = Field(default=50, description="How many of its last runs.")


class RunsQuery(Filtered, Listed):
    """Runs of a project, or of a workflow of it."""

    project: Name
    workflow: Text | None = None
    status: _Status = Field(default="", description="Only runs that ended so.")


class RunQuery(BaseModel):
    """One run."""

    model_config = ConfigDict(extra="forbid")

    run: Annotated[str, Field(min_length=1, max_length=200, description="Id of the workflow.")]


class TestsQuery(Filtered, Listed):
    """Tests."""

    project: Name | None = None
    show: list[TestList] = Field(default=list(TEST_LISTS), description="Which lists.")


class CreditsQuery(Plotted, Listed):
    """Credits."""

    by: CreditsBy = "project"
    project: Name | None = None


class SeriesQuery(Windowed):
    """Any metric over time."""

    metric: Text = Field(description="A name of `/api/v1/metrics`.")
    by: list[Text] = Field(default=[], max_length=10, description="Dimensions to group by.")
    where: list[Text] = Field(
        default=[], max_length=20, description="Matchers: project=gh/acme/web, branch!=main, job=~test.*"
    )
    step: StepName | None = Field(default=None, description="Step of the plot; of `query`: adds one.")


class MetricQuery(SeriesQuery, Listed):
    """Any metric."""


class RowsQuery(MetricQuery):
    """Any metric as rows."""

    limit: Limit = Field(default=200, description="Groups at most; `total` says how many there are.")


def add_insights(app: FastAPI, lens: Callable[[], Lens]) -> None:
    """Add the routes. `lens`: a new one for each answer."""
    router = APIRouter(
        prefix="/api/v1",
        route_class=AnsweringRoute,
        tags=["insights"],
        dependencies=[known_values(lens)],
    )
    _add_places(router, lens)
    _add_runs(router, lens)
    _add_numbers(router, lens)
    add_advice(router, lens)
    add_operation_insights(router, lens)
    add_builds(router, lens)
    app.include_router(router)


def _add_places(router: APIRouter, lens: Callable[[], Lens]) -> None:
    @router.get("/insights/overview", **documented(Overview))
    async def get_overview(asked: Annotated[Filtered, Query()]) -> Response:
        """Health and trend of every project, what got worse and with which jobs, what goes on now."""
        at = lens()
        return answer(await overview(at, window=asked.window_at(at.now_ms), filters=asked.filters))

    @router.get("/insights/projects", **documented(ProjectsPage))
    async def get_projects(asked: Annotated[ProjectsQuery, Query()]) -> Response:
        """Projects with their medians, branches and last builds."""
        at = lens()
        window = asked.window_at(at.now_ms)
        page = await projects_page(at, window=window, filters=asked.filters, cursor=asked.cursor, limit=asked.limit)
        return answer(page)

    @router.get("/insights/project", **documented(ProjectPage))
    async def get_project(asked: Annotated[ProjectQuery, Query()]) -> Response:
        """One project: charts, workflows, branches, last builds."""
        at = lens()
        window = asked.window_at(at.now_ms)
        page = await project_page(
            at,
            project=asked.project,
            window=window,
            step=asked.step_of(window),
            filters=asked.filters,
            builds=asked.builds,
        )
        return answer(page)

    @router.get("/insights/workflow", **documented(WorkflowPage))
    async def get_workflow(asked: Annotated[WorkflowQuery, Query()]) -> Response:
        """One workflow over time, and its jobs."""
        at = lens()
        window = asked.window_at(at.now_ms)
        page = await workflow_page(
            at,
            project=asked.project,
            workflow=asked.workflow,
            window=window,
            step=asked.step_of(window),
            filters=asked.filters,
        )
        return answer(page)

    @router.get("/insights/job", **documented(JobPage))
    async def get_job(asked: Annotated[JobQuery, Query()]) -> Response:
        """One job over time, by machine size, and its last runs."""
        at = lens()
        window = asked.window_at(at.now_ms)
        page = await job_page(
            at,
            project=asked.project,
            workflow=asked.workflow,
            job=asked.job,
            window=window,
            step=asked.step_of(window),
            filters=asked.filters,
            limit=asked.limit,
        )
        return answer(page)


def _add_runs(router: APIRouter, lens: Callable[[], Lens]) -> None:
    @router.get("/insights/runs", **documented(RunsPage))
    async def get_runs(asked: Annotated[RunsQuery, Query()]) -> Response:
        """Ended runs of a project or workflow, newest first."""
        at = lens()
        page = await runs_page(
            at,
            project=asked.project,
            window=asked.window_at(at.now_ms),
            workflow=asked.workflow,
            status=asked.status,
            filters=asked.filters,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/insights/run", **documented(RunPage))
    async def get_run(asked: Annotated[RunQuery, Query()]) -> Response:
        """One run with its jobs, critical path and steps."""
        return answer(await run_page(lens(), run=asked.run))

    @router.get("/insights/tests", **documented(PageOfTests))
    async def get_tests(asked: Annotated[TestsQuery, Query()]) -> Response:
        """Tests that are flaky, that fail, that take longest."""
        at = lens()
        page = await page_of_tests(
            at,
            window=asked.window_at(at.now_ms),
            project=asked.project,
            filters=asked.filters,
            lists=asked.show,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)


def _add_numbers(router: APIRouter, lens: Callable[[], Lens]) -> None:
    @router.get("/insights/credits", **documented(CreditsPage))
    async def get_credits(asked: Annotated[CreditsQuery, Query()]) -> Response:
        """Credits by project, workflow, job, team, machine size or branch."""
        at = lens()
        window = asked.window_at(at.now_ms)
        page = await credits_page(
            at,
            by=asked.by,
            window=window,
            step=asked.step_of(window),
            project=asked.project,
            filters=asked.filters,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/metrics", **documented(MetricsPage))
    async def get_metrics() -> Response:
        """Every metric: what it means, how it is computed, its dimensions."""
        return answer(metrics_page(lens()))

    @router.get("/query", **documented(QueryPage))
    async def get_query(asked: Annotated[MetricQuery, Query()]) -> Response:
        """Any metric by any of its dimensions, with a plot where a step is said."""
        at = lens()
        page = await query_page(
            at,
            metric=asked.metric,
            by=asked.by,
            where=asked.where,
            window=asked.window_at(at.now_ms),
            step=asked.step,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/series", **documented(SeriesPage))
    async def get_series(asked: Annotated[RowsQuery, Query()]) -> Response:
        """Any metric over time as rows, one for each step and group of this page: for programs that read tables."""
        at = lens()
        page = await series_page(
            at,
            metric=asked.metric,
            by=asked.by,
            where=asked.where,
            window=asked.window_at(at.now_ms),
            step=asked.step,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)
