"""The addresses of the pages of builds and of deployments. Thin: reads the query, asks a view, renders."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.core.times import DAY_MS
from headgate.insights.views.builds import BRANCH_BUILDS, DEFAULT_BUILDS, LONGEST_MS, builds_page, project_builds
from headgate.insights.views.dora import DORA_FIGURES, dora_page
from headgate.insights.views.lens import Filters
from headgate.insights.views.refusal import Refused
from headgate.web.site.bars import bars
from headgate.web.site.frame import Site
from headgate.web.site.serving import page
from headgate.web.site.shapes import charts, figure_tiles

__all__ = ["add_builds"]


def add_builds(app: FastAPI, site: Site) -> None:
    """Add the pages of builds, and of DORA metrics."""

    @page(app, site, "/builds")
    async def builds(  # noqa: PLR0917  # query parameters have names
        request: Request, project: str = "", branch: str = "", org: str = "", team: str = "", cursor: str = ""
    ) -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        _belong(project, {"branch": branch}, {"org": org, "team": team, "cursor": cursor})
        if not project:
            view = await builds_page(lens, window=asked.window, filters=asked.chosen, cursor=cursor or None, limit=25)
            shown = {"view": view, "choices": await site.owners(lens)}
            return site.answer("builds.html", request, asked, shown, ("Builds", "/builds"))
        one = await project_builds(lens, project=project, window=asked.window, branch=branch)
        values = {
            "view": one,
            "charts": charts(one.days),
            "default_bars": bars(one.default_builds, DEFAULT_BUILDS),
            "branch_bars": bars(one.branch_builds, BRANCH_BUILDS),
            # The time that they are looked for in, as words of a question.
            "back": {"window": f"{LONGEST_MS // DAY_MS}d", "until": asked.kept.get("until")},
        }
        crumbs = (("Builds", "/builds"), (one.project, ""))
        own = {"project": one.project}
        return site.answer("project_builds.html", request, asked, values, *crumbs, own=own)

    @page(app, site, "/dora")
    async def dora(request: Request, project: str = "", org: str = "", team: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await dora_page(lens, window=asked.window, project=project, filters=Filters(org=org, team=team))
        values = {
            "view": view,
            "charts": charts(view.plot),
            "tiles": figure_tiles(view.figures, DORA_FIGURES[:4]),
            "project": project,
            "team": team,
        }
        own = {key: value for key, value in {"project": project, "org": org, "team": team}.items() if value}
        return site.answer("dora.html", request, asked, values, ("DORA", "/dora"), own=own)


def _belong(project: str, of_one: Mapping[str, str], of_all: Mapping[str, str]) -> None:
    """The words of one project's builds, and those of all projects, exclude each other. Raises Refused."""
    for name, value in (of_all if project else of_one).items():
        if value:
            detail = f"{name} is for all projects, leave it or project out" if project else f"{name} needs a project"
            raise Refused("bad-parameter", detail, parameter=name, valid=tuple(of_one if project else of_all))
