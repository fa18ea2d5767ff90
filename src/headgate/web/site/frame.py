"""What surrounds every page: navigation, breadcrumbs, the picker of windows; and pages that say what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse

from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import TITLES, Refused
from headgate.web.access.who import who
from headgate.web.rendering import shared_templates
from headgate.web.site.asked import PRESETS, Asked, read_asked

__all__ = ["Crumb", "Site"]

# A name and its address, which is empty for the page itself.
Crumb = tuple[str, str]

_NAVIGATION: tuple[Crumb, ...] = (
    ("Overview", "/"),
    ("Projects", "/projects"),
    ("Builds", "/builds"),
    ("Failures", "/failures"),
    ("Tests", "/tests"),
    ("Credits", "/credits"),
    ("DORA", "/dora"),
    ("Alerts", "/alerts"),
    ("Reports", "/reports"),
    ("Delivery", "/delivery"),
    ("Data", "/data"),
)
_EMPTY: Mapping[str, str] = {}


class Site:
    """Renders pages in their frame. `lens`: makes what an answer is made from, of this moment.

    `reading`: says what of the history that was asked for is still to come.
    """

    def __init__(self, lens: Callable[[], Lens], version: str, reading: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self.lens = lens
        self.reading = reading
        self.templates = shared_templates(version)

    def asked(self, request: Request, lens: Lens) -> Asked:
        """What the address asks for. Raises Refused."""
        return read_asked(dict(request.query_params), lens.now_ms)

    async def owners(self, lens: Lens) -> Mapping[str, Sequence[str]]:
        """Whose projects there are: values of the filters `org` and `team`."""
        return {"org": sorted({row.org for row in await lens.projects()}), "team": sorted(lens.owners.teams)}

    def answer(
        self,
        template: str,
        request: Request,
        asked: Asked,
        view: Mapping[str, Any],
        *crumbs: Crumb,
        own: Mapping[str, str] = _EMPTY,
    ) -> HTMLResponse:
        """A page. `crumbs`: from the top down to itself; `own`: its query but for window and filters."""
        frame = self.frame(request, asked, *crumbs, own=own)
        return HTMLResponse(self.templates.render(template, **frame, **view))

    def frame(self, request: Request, asked: Asked, *crumbs: Crumb, own: Mapping[str, str] = _EMPTY) -> dict[str, Any]:
        """What the layout shows."""
        path = request.url.path
        return {
            "asked": asked,
            "crumbs": crumbs,
            "here": quote(path) + (f"?{request.url.query}" if request.url.query else ""),
            "navigation": _NAVIGATION,
            "own": dict(own),
            "path": path,
            "presets": PRESETS,
            "reading": getattr(request.state, "reading", ()),
            "section": crumbs[0][1] if crumbs else path,
            "who": who(request),
        }

    def problem(
        self, request: Request, status: int, title: str, detail: str, valid: tuple[str, ...] = ()
    ) -> HTMLResponse:
        """A page that says what is wrong and what is valid."""
        frame = self.frame(request, read_asked({}, self.lens().now_ms))
        values = {"status": status, "title": title, "detail": detail, "valid": valid}
        return HTMLResponse(self.templates.render("problem.html", **frame, **values), status)

    def refusal(self, request: Request, exc: Refused) -> HTMLResponse:
        """The page of a question that cannot be answered."""
        return self.problem(request, 404 if exc.missing else 400, TITLES[exc.kind], str(exc), exc.valid)
