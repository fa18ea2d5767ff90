"""All pages, what they load, and what is answered where no page is.

Invariant: what cannot be answered is a page with a status and words, never a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from headgate.core.errors import StoreError
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused
from headgate.web.access.forms import FormRefused
from headgate.web.badges import add_badges
from headgate.web.live import Feed, add_live
from headgate.web.operations import Operations, Problem
from headgate.web.problems import REASONS, headers_of, not_served, refused, unanswered, undone
from headgate.web.reading import history_hints
from headgate.web.site.advice import add_advice_pages
from headgate.web.site.alerting import add_alerting
from headgate.web.site.builds import add_builds
from headgate.web.site.data import add_data
from headgate.web.site.delivery import add_delivery
from headgate.web.site.frame import Site
from headgate.web.site.lists import add_lists
from headgate.web.site.overview import add_overview
from headgate.web.site.places import add_places
from headgate.web.site.reports import add_report_page
from headgate.web.site.runs import add_runs

__all__ = ["add_pages", "add_problems"]

_OWN = ("/api/", "/static/", "/metrics")


def add_pages(app: FastAPI, operations: Operations, lens: Callable[[], Lens], version: str) -> Feed:
    """Add every page and what they load; the feed that they are renewed by is closed by who stops the server."""
    app.mount("/static", _Static(directory=Path(__file__).parent.parent / "static"), name="static")

    async def reading() -> list[str]:
        return history_hints(await operations.backfills())

    site = Site(lens, version, reading)
    add_problems(app, site)
    feed = Feed(lens)
    add_live(app, feed)
    add_badges(app, lens)
    add_overview(app, site, operations, feed)
    add_places(app, site)
    add_runs(app, site)
    add_lists(app, site)
    add_advice_pages(app, site)
    add_builds(app, site)
    add_alerting(app, site, operations)
    add_delivery(app, site, operations)
    add_data(app, site, operations)
    add_report_page(app, site, operations)
    return feed


class _Static(StaticFiles):
    """Files that a browser keeps and asks about again: what did not change is not sent twice."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """As the framework makes it, with how it may be kept."""
        made = super().file_response(*args, **kwargs)
        made.headers["cache-control"] = "private, no-cache"
        return made


def add_problems(app: FastAPI, site: Site) -> None:
    """Answer what goes wrong: a page for people, a problem for scripts."""

    def is_own(request: Request) -> bool:
        return request.url.path.startswith(_OWN)

    @app.exception_handler(HTTPException)
    async def nowhere(request: Request, exc: HTTPException) -> Response:
        if is_own(request):
            return not_served(exc)
        made = site.problem(request, exc.status_code, str(exc.detail), "The navigation leads to every page there is.")
        made.headers.update(headers_of(exc))
        return made

    @app.exception_handler(FormRefused)
    async def form(request: Request, exc: FormRefused) -> Response:
        return site.problem(request, exc.status, exc.title, str(exc))

    @app.exception_handler(Refused)
    async def refusal(request: Request, exc: Refused) -> Response:
        return refused(exc) if is_own(request) else site.refusal(request, exc)

    @app.exception_handler(Problem)
    async def problem(request: Request, exc: Problem) -> Response:
        return undone(exc) if is_own(request) else site.problem(request, *REASONS[exc.reason], f"{exc}.")

    @app.exception_handler(StoreError)
    async def store(request: Request, exc: StoreError) -> Response:
        if is_own(request):
            return unanswered(exc)
        return site.problem(request, 503, "The store does not answer", f"{exc}. `headgate status` says more.")
