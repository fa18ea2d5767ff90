"""The addresses of the pages that say what to do. Thin: reads the query, asks a view, renders."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.insights.views.budgets import BUDGETS_BY, budgets_page
from headgate.insights.views.failures import failures_page
from headgate.insights.views.refusal import unknown
from headgate.insights.views.reruns import RERUNS_BY, reruns_page
from headgate.insights.views.rightsizing import SHOWN, rightsizing_page
from headgate.web.site.frame import Site
from headgate.web.site.lines import days
from headgate.web.site.serving import page

__all__ = ["add_advice_pages"]

# Budgets that are drawn day by day.
_DRAWN = 6


def add_advice_pages(app: FastAPI, site: Site) -> None:
    """Add the pages of failures, machine sizes, repeats and budgets."""
    _add_failures(app, site)
    _add_money(app, site)


def _add_failures(app: FastAPI, site: Site) -> None:
    @page(app, site, "/failures", filtered=True)
    async def failures(request: Request, project: str = "", cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await failures_page(
            lens, window=asked.window, project=project or None, filters=asked.chosen, cursor=cursor or None
        )
        own = {"project": project} if project else {}
        values = {"view": view, "project": project}
        return site.answer("failures.html", request, asked, values, ("Failures", "/failures"), own=own)


def _add_money(app: FastAPI, site: Site) -> None:
    @page(app, site, "/rightsizing", filtered=True)
    async def rightsizing(request: Request, show: str = "all", project: str = "", cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        chosen = next((one for one in SHOWN if one == show), None)
        if chosen is None:
            raise unknown("bad-parameter", "show", show, SHOWN)
        view = await rightsizing_page(
            lens,
            window=asked.window,
            project=project or None,
            show=chosen,
            filters=asked.chosen,
            cursor=cursor or None,
        )
        own = ({} if show == "all" else {"show": show}) | ({"project": project} if project else {})
        values = {"view": view, "choices": SHOWN, "show": show, "project": project}
        crumbs = (("Credits", "/credits"), ("Machine sizes", ""))
        return site.answer("rightsizing.html", request, asked, values, *crumbs, own=own)

    @page(app, site, "/reruns", filtered=True)
    async def reruns(
        request: Request, by: str = "project", project: str = "", workflow: str = "", cursor: str = ""
    ) -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        chosen = next((one for one in RERUNS_BY if one == by), None)
        if chosen is None:
            raise unknown("bad-dimension", "by", by, RERUNS_BY)
        view = await reruns_page(
            lens,
            by=chosen,
            window=asked.window,
            project=project or None,
            workflow=workflow or None,
            filters=asked.chosen,
            cursor=cursor or None,
        )
        about = {"project": project, "workflow": workflow}
        own = {"by": by} | {name: value for name, value in about.items() if value}
        # Jobs of repeats are counted over all runs.
        choices = [one for one in RERUNS_BY if one != "job" or not asked.chosen.of_runs]
        values = {"view": view, "choices": choices, **about}
        crumbs = (("Credits", "/credits"), ("Waste by retries", ""))
        return site.answer("reruns.html", request, asked, values, *crumbs, own=own)

    @page(app, site, "/budgets")
    async def budgets(request: Request, by: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        chosen = next((one for one in BUDGETS_BY if one == by), None)
        if by and chosen is None:
            raise unknown("bad-dimension", "by", by, BUDGETS_BY)
        view = await budgets_page(lens, by=chosen or ("budget" if lens.budgets else "team"))
        values = {"view": view, "choices": BUDGETS_BY, "charts": [days(line) for line in view.lines[:_DRAWN]]}
        crumbs = (("Credits", "/credits"), ("Budgets", ""))
        return site.answer("budgets.html", request, asked, values, *crumbs, own={"by": by} if by else {})
