"""The addresses of the pages. Thin: reads the query, asks a view, renders its template.

Invariant: what cannot be answered is a page with a status and words, never a trace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from headgate.core.errors import StoreError
from headgate.insights.views.credits import CREDITS_BY, credits_page
from headgate.insights.views.figures import plot
from headgate.insights.views.job import job_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.overview import overview
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.refusal import Refused, unknown
from headgate.insights.views.run import run_page
from headgate.insights.views.runs import runs_page
from headgate.insights.views.tests import page_of_tests
from headgate.insights.views.workflow import workflow_page
from headgate.web.answering import finished
from headgate.web.operations import Operations
from headgate.web.page import Page
from headgate.web.site.alerts import history
from headgate.web.site.frame import Site
from headgate.web.site.shapes import charts, tiles, waterfall

__all__ = ["add_pages"]

P = ParamSpec("P")
_PLOTTED = ("runs", "failed_runs", "success_rate", "duration_p50", "duration_p95", "credits")
_OWN = ("/api/", "/static/", "/metrics")


def add_pages(app: FastAPI, operations: Operations, lens: Callable[[], Lens], version: str) -> None:
    """Add every page and what they load."""
    app.mount("/static", _Static(directory=Path(__file__).parent.parent / "static"), name="static")
    site = Site(lens, version)
    _add_problems(app, site)
    _add_overview(app, site, operations)
    _add_places(app, site)
    _add_runs(app, site)
    _add_lists(app, site)
    _add_operation(app, site, operations)


class _Static(StaticFiles):
    """Files that a browser keeps and asks about again: what did not change is not sent twice."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """As the framework makes it, with how it may be kept."""
        made = super().file_response(*args, **kwargs)
        made.headers["cache-control"] = "private, no-cache"
        return made


def _add_problems(app: FastAPI, site: Site) -> None:
    @app.exception_handler(HTTPException)
    async def refused(request: Request, exc: HTTPException) -> Response:
        if request.url.path.startswith(_OWN):
            return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)
        return site.problem(request, exc.status_code, str(exc.detail), "The navigation leads to every page there is.")

    @app.exception_handler(StoreError)
    async def store(request: Request, exc: StoreError) -> Response:
        if request.url.path.startswith(_OWN):
            return JSONResponse({"error": "store", "detail": str(exc)}, 503)
        return site.problem(request, 503, "The store does not answer", f"{exc}. `headgate status` says more.")


def _page(app: FastAPI, site: Site, path: str) -> Callable[[Callable[P, Awaitable[Response]]], None]:
    """Serve a page at a path; a question that it refuses is answered by a page too."""

    def add(handler: Callable[P, Awaitable[Response]]) -> None:
        @wraps(handler)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
            request = next(one for one in kwargs.values() if isinstance(one, Request))
            try:
                return await finished(request, await handler(*args, **kwargs))
            except Refused as exc:
                return site.refusal(request, exc)

        app.get(path, response_class=HTMLResponse, include_in_schema=False)(answer)

    return add


def _add_overview(app: FastAPI, site: Site, operations: Operations) -> None:
    @_page(app, site, "/")
    async def index(request: Request) -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await overview(lens, window=asked.window, filters=asked.chosen)
        whole = await operations.overview()
        slugs = [one.project for one in view.projects]
        lines = await plot(
            lens,
            lens.reader(),
            _PLOTTED,
            projects=slugs,
            window=asked.window,
            step=asked.step,
            where=asked.chosen.matchers(),
        )
        values = {
            "view": view,
            "known": len(await lens.projects()),
            "charts": charts(lines),
            "tiles": tiles(view.totals),
            "hints": whole["hints"],
            "firing": [alert for alert in whole["alerts"] if alert["state"] == "firing"],
        }
        return site.answer("overview.html", request, asked, values, ("Overview", "/"))

    @_page(app, site, "/now")
    async def now(request: Request) -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await overview(lens, window=asked.window)
        return HTMLResponse(site.templates.render("now.html", view=view, asked=asked))


def _add_places(app: FastAPI, site: Site) -> None:
    @_page(app, site, "/projects")
    async def projects(request: Request, cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await projects_page(lens, window=asked.window, filters=asked.chosen, cursor=cursor or None, limit=50)
        return site.answer("projects.html", request, asked, {"view": view}, ("Projects", "/projects"))

    @_page(app, site, "/project")
    async def project(request: Request, project: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await project_page(
            lens, project=project, window=asked.window, step=asked.step, filters=asked.chosen, builds=25
        )
        values = {"view": view, "charts": charts(view.plot), "tiles": tiles(view.figures)}
        crumbs = (("Projects", "/projects"), (view.project, ""))
        return site.answer("project.html", request, asked, values, *crumbs, own={"project": view.project})

    @_page(app, site, "/workflow")
    async def workflow(request: Request, project: str = "", workflow: str = "", cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await workflow_page(
            lens, project=project, workflow=workflow, window=asked.window, step=asked.step, filters=asked.chosen
        )
        listed = await runs_page(
            lens,
            project=project,
            workflow=workflow,
            window=asked.window,
            filters=asked.chosen,
            cursor=cursor or None,
        )
        values = {"view": view, "listed": listed, "charts": charts(view.plot), "tiles": tiles(view.figures)}
        crumbs = (
            ("Projects", "/projects"),
            (view.project, asked.url("/project", project=view.project)),
            (workflow, ""),
        )
        own = {"project": view.project, "workflow": workflow}
        return site.answer("workflow.html", request, asked, values, *crumbs, own=own)


def _add_runs(app: FastAPI, site: Site) -> None:
    @_page(app, site, "/job")
    async def job(request: Request, project: str = "", workflow: str = "", job: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await job_page(
            lens,
            project=project,
            workflow=workflow,
            job=job,
            window=asked.window,
            step=asked.step,
            filters=asked.chosen,
        )
        own = {"project": view.project, "workflow": workflow, "job": job}
        values = {"view": view, "charts": charts(view.plot), "tiles": tiles(view.figures)}
        crumbs = (
            ("Projects", "/projects"),
            (view.project, asked.url("/project", project=view.project)),
            (workflow, asked.url("/workflow", project=view.project, workflow=workflow)),
            (job, ""),
        )
        return site.answer("job.html", request, asked, values, *crumbs, own=own)

    @_page(app, site, "/run/{run_id}")
    async def run(request: Request, run_id: str) -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await run_page(lens, run=run_id)
        crumbs = (
            ("Projects", "/projects"),
            (view.project, asked.url("/project", project=view.project)),
            (view.workflow, asked.url("/workflow", project=view.project, workflow=view.workflow)),
            (f"#{view.pipeline_number}" if view.pipeline_number is not None else view.id[:8], ""),
        )
        return site.answer("run.html", request, asked, {"view": view, "fall": waterfall(view)}, *crumbs)


def _add_lists(app: FastAPI, site: Site) -> None:
    @_page(app, site, "/tests")
    async def tests(request: Request, project: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await page_of_tests(lens, window=asked.window, project=project or None)
        own = {"project": project} if project else {}
        return site.answer("tests.html", request, asked, {"view": view}, ("Tests", "/tests"), own=own)

    @_page(app, site, "/credits")
    async def credits_of(request: Request, by: str = "project", project: str = "", cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        chosen = next((one for one in CREDITS_BY if one == by), None)
        if chosen is None:
            raise unknown("bad-dimension", "by", by, CREDITS_BY)
        view = await credits_page(
            lens,
            by=chosen,
            window=asked.window,
            step=asked.step,
            project=project or None,
            filters=asked.chosen,
            cursor=cursor or None,
        )
        values = {"view": view, "charts": charts(view.plot), "choices": CREDITS_BY, "project": project}
        own = {"by": by} | ({"project": project} if project else {})
        return site.answer("credits.html", request, asked, values, ("Credits", "/credits"), own=own)


def _add_operation(app: FastAPI, site: Site, operations: Operations) -> None:
    delivery_page = Page(operations, site.templates)

    @_page(app, site, "/alerts")
    async def alerts(request: Request, rule: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        values = {
            "alerts": [alert for alert in await operations.alerts() if rule in ("", alert["rule"])],
            "history": await history(lens.store, rule),
            "rule": rule,
        }
        own = {"rule": rule} if rule else {}
        return site.answer("alerts.html", request, asked, values, ("Alerts", "/alerts"), own=own)

    @_page(app, site, "/delivery")
    async def delivery(request: Request) -> Response:
        frame = site.frame(request, site.asked(request, site.lens()), ("Delivery", "/delivery"))
        return HTMLResponse(await delivery_page.whole(**frame))

    @app.get("/live", response_class=HTMLResponse, include_in_schema=False)
    async def live() -> Response:
        return HTMLResponse(await delivery_page.live())
