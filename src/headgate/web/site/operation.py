"""The addresses of the pages about Headgate at work: alerts and delivery. Thin: asks, renders."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from headgate.web.operations import Operations
from headgate.web.page import Page
from headgate.web.site.alerts import history
from headgate.web.site.frame import Site
from headgate.web.site.serving import page

__all__ = ["add_operation"]


def add_operation(app: FastAPI, site: Site, operations: Operations) -> None:
    """Add the pages of alerts and of delivery."""
    delivery_page = Page(operations, site.templates)

    @page(app, site, "/alerts")
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

    @page(app, site, "/delivery")
    async def delivery(request: Request) -> Response:
        frame = site.frame(request, site.asked(request, site.lens()), ("Delivery", "/delivery"))
        return HTMLResponse(await delivery_page.whole(**frame))

    @app.get("/live", response_class=HTMLResponse, include_in_schema=False)
    async def live() -> Response:
        return HTMLResponse(await delivery_page.live())
