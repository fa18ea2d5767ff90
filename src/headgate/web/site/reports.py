"""The page of reports: those that were saved, and those that can be made now."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.web.operations import Operations
from headgate.web.site.frame import Site
from headgate.web.site.serving import page

__all__ = ["add_report_page"]


def add_report_page(app: FastAPI, site: Site, operations: Operations) -> None:
    """Add `/reports`."""

    @page(app, site, "/reports")
    async def reports(request: Request) -> Response:
        asked = site.asked(request, site.lens())
        values = {"reports": await operations.saved_reports()}
        return site.answer("reports.html", request, asked, values, ("Reports", "/reports"))
