"""The addresses of the overview and of its part that says what happens now."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from headgate.insights.views.figures import plot
from headgate.insights.views.overview import overview
from headgate.web.live import Feed
from headgate.web.operations import Operations
from headgate.web.site.frame import Site
from headgate.web.site.serving import page
from headgate.web.site.shapes import charts, tiles

__all__ = ["add_overview"]

_PLOTTED = ("runs", "failed_runs", "success_rate", "duration_p50", "duration_p95", "credits")


def add_overview(app: FastAPI, site: Site, operations: Operations, feed: Feed) -> None:
    """Add the overview and what it refreshes."""

    @page(app, site, "/", filtered=True)
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
            "choices": await site.owners(lens),
            "charts": charts(lines),
            "tiles": tiles(view.totals),
            "hints": whole["hints"],
            "firing": [alert for alert in whole["alerts"] if alert["state"] == "firing"],
        }
        return site.answer("overview.html", request, asked, values, ("Overview", "/"))

    @page(app, site, "/now", filtered=True)
    async def now(request: Request) -> Response:
        asked = site.asked(request, site.lens())
        return HTMLResponse(site.templates.render("now.html", now=await feed.now(asked.chosen), asked=asked))
