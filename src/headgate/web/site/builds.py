"""The addresses of the pages of builds and of deployments. Thin: reads the query, asks a view, renders."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.insights.views.builds import BRANCH_BUILDS, DEFAULT_BUILDS, builds_page, project_builds
from headgate.insights.views.dora import DORA_FIGURES, dora_page
from headgate.insights.views.lens import Filters
from headgate.web.site.bars import bars
from headgate.web.site.frame import Site
from headgate.web.site.serving import page
from headgate.web.site.shapes import charts, figure_tiles

__all__ = ["add_builds"]


def add_builds(app: FastAPI, site: Site) -> None:
    """Add the pages of builds, and of DORA metrics."""

    @page(app, site, "/builds")
    async def builds(request: Request, project: str = "", branch: str = "", cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        if not project:
            view = await builds_page(lens, window=asked.window, cursor=cursor or None, limit=25)
            return site.answer("builds.html", request, asked, {"view": view}, ("Builds", "/builds"))
        one = await project_builds(lens, project=project, window=asked.window, branch=branch)
        values = {
            "view": one,
            "charts": charts(one.days),
            "default_bars": bars(one.default_builds, DEFAULT_BUILDS),
            "branch_bars": bars(one.branch_builds, BRANCH_BUILDS),
        }
        crumbs = (("Builds", "/builds"), (one.project, ""))
        own = {"project": one.project}
        return site.answer("project_builds.html", request, asked, values, *crumbs, own=own)

    @page(app, site, "/dora")
    async def dora(request: Request, project: str = "", team: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await dora_page(lens, window=asked.window, project=project, filters=Filters(team=team))
        values = {
            "view": view,
            "charts": charts(view.plot),
            "tiles": figure_tiles(view.figures, DORA_FIGURES[:4]),
            "project": project,
            "team": team,
        }
        own = {key: value for key, value in {"project": project, "team": team}.items() if value}
        return site.answer("dora.html", request, asked, values, ("DORA", "/dora"), own=own)
