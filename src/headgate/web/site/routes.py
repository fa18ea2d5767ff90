"""The addresses of the pages. Thin: reads the query, asks a view model, renders its template.

Invariant: what cannot be answered is a page with a status and words, never a trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from headgate.core.errors import StoreError
from headgate.web.operations import Operations
from headgate.web.page import Page
from headgate.web.rendering import Templates
from headgate.web.site import alerts, overview, places, runs
from headgate.web.site.asked import PRESETS, Asked, Unusable, read_asked
from headgate.web.site.measures import Looks

__all__ = ["add_pages"]

_NAVIGATION = (("Overview", "/"), ("Projects", "/projects"), ("Alerts", "/alerts"), ("Delivery", "/delivery"))
_MOMENT = re.compile(r"\d{1,15}")
_EMPTY: Mapping[str, str] = {}


class _Site:
    """What every page needs."""

    def __init__(self, operations: Operations, looks: Looks, version: str) -> None:
        self.operations = operations
        self.looks = looks
        self.templates = Templates(version)
        self.delivery = Page(operations, self.templates)

    def asked(self, request: Request) -> Asked:
        """What the address asks for."""
        return read_asked(dict(request.query_params), self.looks.clock.now_ms())

    def answer(
        self,
        template: str,
        request: Request,
        asked: Asked,
        view: Mapping[str, Any],
        *crumbs: tuple[str, str],
        own: Mapping[str, str] = _EMPTY,
    ) -> HTMLResponse:
        """A page. `crumbs`: (name, address) from the top down to itself; `own`: its query but for window and filters."""
        frame = self.frame(request.url.path, asked, *crumbs, own=own)
        return HTMLResponse(self.templates.render(template, **frame, view=view))

    def frame(
        self, path: str, asked: Asked, *crumbs: tuple[str, str], own: Mapping[str, str] = _EMPTY
    ) -> dict[str, Any]:
        """What the layout shows."""
        return {
            "asked": asked,
            "crumbs": crumbs,
            "navigation": _NAVIGATION,
            "now_ms": self.looks.clock.now_ms(),
            "own": dict(own),
            "path": path,
            "presets": PRESETS,
            "section": crumbs[0][1] if crumbs else path,
        }

    def problem(self, request: Request, status: int, title: str, hint: str) -> HTMLResponse:
        """A page that says what is wrong and what is valid."""
        frame = self.frame(request.url.path, read_asked({}, self.looks.clock.now_ms()))
        return HTMLResponse(
            self.templates.render("problem.html", **frame, status=status, title=title, hint=hint), status
        )


def add_pages(app: FastAPI, operations: Operations, looks: Looks, version: str) -> None:
    """Add every page."""
    site = _Site(operations, looks, version)
    _add_problems(app, site)
    _add_summaries(app, site)
    _add_places(app, site)
    _add_operation(app, site)


def _add_problems(app: FastAPI, site: _Site) -> None:
    @app.exception_handler(Unusable)
    async def unusable(request: Request, exc: Unusable) -> Response:
        return site.problem(request, exc.status, exc.title, exc.hint)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, exc: HTTPException) -> Response:
        if request.url.path.startswith(("/api/", "/static/", "/metrics")):
            return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)
        hint = "The navigation above leads to every page there is."
        return site.problem(request, exc.status_code, str(exc.detail), hint)

    @app.exception_handler(StoreError)
    async def store(request: Request, exc: StoreError) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": "store", "detail": str(exc)}, 503)
        return site.problem(request, 503, "The store does not answer", f"{exc}. `headgate status` says more.")


def _add_summaries(app: FastAPI, site: _Site) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index(request: Request) -> Response:
        asked = site.asked(request)
        whole = await site.operations.overview()
        firing = [alert for alert in whole["alerts"] if alert["state"] == "firing"]
        view = {**await overview.overview_view(site.looks, asked), "hints": whole["hints"], "firing": firing}
        return site.answer("overview.html", request, asked, view, ("Overview", "/"))

    @app.get("/now", response_class=HTMLResponse, include_in_schema=False)
    async def now(project: str | None = None, workflow: str | None = None) -> Response:
        view = await overview.now_view(site.looks, project or None, workflow or None)
        asked = read_asked({}, site.looks.clock.now_ms())
        scope = {"project": project or "", "workflow": workflow or ""}
        return HTMLResponse(site.templates.render("now.html", now=view, scope=scope, asked=asked))

    @app.get("/projects", response_class=HTMLResponse, include_in_schema=False)
    async def projects(request: Request) -> Response:
        asked = site.asked(request)
        view = await places.projects_view(site.looks, asked)
        return site.answer("projects.html", request, asked, view, ("Projects", "/projects"))


def _add_places(app: FastAPI, site: _Site) -> None:
    @app.get("/project", response_class=HTMLResponse, include_in_schema=False)
    async def project(request: Request, project: str = "") -> Response:
        asked = site.asked(request)
        view = await places.project_view(site.looks, asked, project)
        crumbs = (("Projects", "/projects"), (project, ""))
        return site.answer("project.html", request, asked, view, *crumbs, own={"project": project})

    @app.get("/workflow", response_class=HTMLResponse, include_in_schema=False)
    async def workflow(request: Request, project: str = "", workflow: str = "", before: str = "") -> Response:
        asked = site.asked(request)
        view = await places.workflow_view(site.looks, asked, project, workflow, _before(before))
        crumbs = (("Projects", "/projects"), (project, asked.url("/project", project=project)), (workflow, ""))
        own = {"project": project, "workflow": workflow}
        return site.answer("workflow.html", request, asked, view, *crumbs, own=own)

    @app.get("/job", response_class=HTMLResponse, include_in_schema=False)
    async def job(request: Request, project: str = "", workflow: str = "", job: str = "", before: str = "") -> Response:
        asked = site.asked(request)
        view = await places.job_view(site.looks, asked, project, workflow, job, _before(before))
        own = {"project": project, "workflow": workflow, "job": job}
        crumbs = (
            ("Projects", "/projects"),
            (project, asked.url("/project", project=project)),
            (workflow, asked.url("/workflow", project=project, workflow=workflow)),
            (job, ""),
        )
        return site.answer("job.html", request, asked, view, *crumbs, own=own)

    @app.get("/run/{workflow_id}", response_class=HTMLResponse, include_in_schema=False)
    async def run(request: Request, workflow_id: str) -> Response:
        asked = site.asked(request)
        view = await runs.run_view(site.looks, workflow_id)
        found = view["run"]
        of = {"project": found.project, "workflow": found.workflow}
        crumbs = (
            ("Projects", "/projects"),
            (found.project, asked.url("/project", project=found.project)),
            (found.workflow, asked.url("/workflow", **of)),
            (f"#{found.pipeline_number}" if found.pipeline_number is not None else workflow_id[:8], ""),
        )
        return site.answer("run.html", request, asked, view, *crumbs)


def _before(text: str) -> int | None:
    """Where a list goes on, milliseconds since the epoch."""
    if not text:
        return None
    if not _MOMENT.fullmatch(text):
        raise Unusable(400, "before is not a moment", "It is a number of milliseconds, as the link Older has it.")
    return int(text)


def _add_operation(app: FastAPI, site: _Site) -> None:
    @app.get("/alerts", response_class=HTMLResponse, include_in_schema=False)
    async def listed(request: Request, rule: str = "") -> Response:
        asked = site.asked(request)
        found = await site.operations.alerts()
        view = {
            "alerts": [alert for alert in found if rule in ("", alert["rule"])],
            "history": await alerts.history(site.looks.store, rule),
            "rule": rule,
        }
        return site.answer(
            "alerts.html", request, asked, view, ("Alerts", "/alerts"), own={"rule": rule} if rule else {}
        )

    @app.get("/delivery", response_class=HTMLResponse, include_in_schema=False)
    async def delivery(request: Request) -> Response:
        frame = site.frame(request.url.path, site.asked(request), ("Delivery", "/delivery"))
        return HTMLResponse(await site.delivery.whole(**frame))

    @app.get("/live", response_class=HTMLResponse, include_in_schema=False)
    async def live() -> Response:
        return HTMLResponse(await site.delivery.live())
