"""`/api/v1/report` and `/api/v1/reports`: reviews, made now or saved. Thin: every answer comes from `Operations`.

Invariant: a review is answered with a policy that forbids scripts, whatever a file holds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, Response

from headgate.web.access.trail import note
from headgate.web.answers import SavedReport
from headgate.web.documented import documented
from headgate.web.operations import Json, Operations, WantedReport
from headgate.web.reviews import REPORT_CSP

__all__ = ["add_reports", "review"]

_FILE = {"description": "One file of HTML.", "content": {"text/html": {"schema": {"type": "string"}}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {200: _FILE}
_Some = Annotated[list[str], Query(max_length=100)]


def review(text: str) -> HTMLResponse:
    """A review as an answer."""
    return HTMLResponse(text, headers={"content-security-policy": REPORT_CSP})


def add_reports(app: FastAPI, operations: Operations) -> None:
    """Add the routes."""

    @app.get("/api/v1/report", response_class=Response, responses=_ANSWERS)
    async def report(
        request: Request,
        every: Literal["week", "month"] = "week",
        until: Annotated[str | None, Query(max_length=100)] = None,
        project: _Some = [],  # noqa: B006  # the framework copies it
        team: _Some = [],  # noqa: B006  # the framework copies it
    ) -> HTMLResponse:
        """The review of the last whole week or month (UTC) before a time, as one file of HTML."""
        made = await operations.report(WantedReport(every, until, tuple(project), tuple(team)))
        note(request, "export", f"report of a {every}")
        return review(made)

    @app.get("/api/v1/reports", **documented(list[SavedReport]))
    async def reports() -> list[Json]:
        """Saved reviews, the newest first."""
        return await operations.saved_reports()

    @app.get("/api/v1/reports/{name}/{file}", response_class=Response, responses=_ANSWERS)
    async def saved(request: Request, name: str, file: str) -> HTMLResponse:
        """One of them."""
        found = await operations.saved_report(name, file)
        note(request, "export", file)
        return review(found)
