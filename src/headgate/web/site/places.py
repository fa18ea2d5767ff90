"""The addresses of the pages of organisations, projects and workflows. Thin: reads the query, asks a view, renders."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.insights.views.failures import failures_page
from headgate.insights.views.project import project_page
from headgate.insights.views.projects import projects_page
from headgate.insights.views.runs import runs_page
from headgate.insights.views.workflow import workflow_page
from headgate.web.site.frame import Site
from headgate.web.site.serving import page
from headgate.web.site.shapes import charts, tiles

__all__ = ["add_places"]

# The reasons of failures that a project's page lists; /failures has all.
_REASONS = 5


def add_places(app: FastAPI, site: Site) -> None:
    """Add the pages of projects and their workflows."""

    @page(app, site, "/projects", filtered=True)
    async def projects(request: Request, cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await projects_page(lens, window=asked.window, filters=asked.chosen, cursor=cursor or None, limit=50)
        values = {"view": view, "choices": await site.owners(lens)}
        return site.answer("projects.html", request, asked, values, ("Projects", "/projects"))

    @page(app, site, "/project", filtered=True)
    async def project(request: Request, project: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        slug = (await lens.project(project)).project
        # The one reads sums and the other failed jobs, so that neither waits for the other.
        view, failures = await asyncio.gather(
            project_page(lens, project=slug, window=asked.window, step=asked.step, filters=asked.chosen, builds=25),
            failures_page(lens, project=slug, window=asked.window, filters=asked.chosen, limit=_REASONS),
        )
        values = {"view": view, "charts": charts(view.plot), "tiles": tiles(view.figures), "failures": failures}
        crumbs = (("Projects", "/projects"), (view.project, ""))
        return site.answer("project.html", request, asked, values, *crumbs, own={"project": view.project})

    @page(app, site, "/workflow", filtered=True)
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
