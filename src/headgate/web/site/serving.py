"""Serves a page at an address.

Invariant: a question that a page refuses is answered by a page too, never a trace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from headgate.insights.views.refusal import Refused
from headgate.web.answering import finished
from headgate.web.site.frame import Site

__all__ = ["page"]

P = ParamSpec("P")


def page(app: FastAPI, site: Site, path: str) -> Callable[[Callable[P, Awaitable[Response]]], None]:
    """Serve a page at a path; a question that it refuses is answered by a page too."""

    def add(handler: Callable[P, Awaitable[Response]]) -> None:
        @wraps(handler)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
            request = next(one for one in kwargs.values() if isinstance(one, Request))
            try:
                return await finished(request, await handler(*args, **kwargs))
            except Refused as exc:
                return site.refusal(request, exc)

        app.get(path, response_class=HTMLResponse, include_in_schema=False)(answer)

    return add
