"""The addresses of the pages of one job and of one run. Thin: reads the query, asks a view, renders."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.insights.views.job import job_page
from headgate.insights.views.run import run_page
from headgate.web.site.frame import Site
from headgate.web.site.serving import page
from headgate.web.site.shapes import charts, tiles, waterfall

__all__ = ["add_runs"]


def add_runs(app: FastAPI, site: Site) -> None:
    """Add the pages of a job and of a run."""

    @page(app, site, "/job", filtered=True)
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

    @page(app, site, "/run/{run_id}")
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
