"""The addresses of the pages about tests and credits. Thin: reads the query, asks a view, renders."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.insights.views.charges import charges_page
from headgate.insights.views.credits import CREDITS_BY, credits_page
from headgate.insights.views.onetest import one_test
from headgate.insights.views.refusal import Refused, unknown
from headgate.insights.views.tests import TEST_LISTS, page_of_tests
from headgate.web.site.frame import Site
from headgate.web.site.lines import suites, times
from headgate.web.site.serving import page
from headgate.web.site.shapes import charts

__all__ = ["add_lists"]

# Projects whose charges the page of credits lists.
_CHARGED = 10


def add_lists(app: FastAPI, site: Site) -> None:
    """Add the pages of tests and of credits."""

    @page(app, site, "/tests", filtered=True)
    async def tests(request: Request, project: str = "", show: str = "", cursor: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        chosen = next((one for one in TEST_LISTS if one == show), None)
        if show and chosen is None:
            raise unknown("bad-parameter", "show", show, TEST_LISTS)
        if cursor and not show:
            raise Refused("bad-parameter", "a cursor is of one list: say which", parameter="show", valid=TEST_LISTS)
        view = await page_of_tests(
            lens,
            window=asked.window,
            project=project or None,
            filters=asked.chosen,
            lists=[chosen] if chosen else TEST_LISTS,
            cursor=cursor or None,
        )
        place = {"project": project} if project else {}
        own = place | ({"show": show} if show else {})
        values = {"view": view, "suites": suites(view.suites), "place": place, "show": show}
        return site.answer("tests.html", request, asked, values, ("Tests", "/tests"), own=own)

    @page(app, site, "/test")
    async def test(request: Request, project: str = "", test: str = "") -> Response:
        lens = site.lens()
        asked = site.asked(request, lens)
        view = await one_test(lens, project=project, test=test, window=asked.window)
        own = {"project": view.project, "test": view.test_id}
        crumbs = (
            ("Tests", "/tests"),
            (view.project, asked.url("/tests", project=view.project)),
            (view.name, ""),
        )
        return site.answer("test.html", request, asked, {"view": view, "times": times(view)}, *crumbs, own=own)

    @page(app, site, "/credits", filtered=True)
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
        charges = await charges_page(lens, by="project", window=asked.window, project=project or None, limit=_CHARGED)
        values = {
            "view": view,
            "charts": charts(view.plot),
            "choices": CREDITS_BY,
            "project": project,
            "charges": charges,
        }
        own = {"by": by} | ({"project": project} if project else {})
        return site.answer("credits.html", request, asked, values, ("Credits", "/credits"), own=own)
