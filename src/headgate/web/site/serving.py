"""Serves a page at an address.

Invariant: a question that a page refuses is answered by a page too, never a trace. Links carry the window everywhere,
so every page takes its words; those of filters only pages that apply them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from headgate.insights.views.known import must_be_known
from headgate.insights.views.refusal import Refused
from headgate.web.answering import finished, within_patience
from headgate.web.parameters import WORDS
from headgate.web.site.frame import Site

__all__ = ["page"]

P = ParamSpec("P")
# What `read_asked` reads of an address.
_WINDOW = ("since", "until", "window")
_FILTERS = ("branch", "branch_class", "trigger", "org", "team")


def page(
    app: FastAPI, site: Site, path: str, *, filtered: bool = False
) -> Callable[[Callable[P, Awaitable[Response]]], None]:
    """Serve a page at a path; a question that it refuses is answered by a page too. `filtered`: it takes filters."""
    words = {WORDS: _WINDOW + _FILTERS if filtered else _WINDOW}

    def add(handler: Callable[P, Awaitable[Response]]) -> None:
        @wraps(handler)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> Response:
            request = next(one for one in kwargs.values() if isinstance(one, Request))
            try:
                await must_be_known(site.lens(), request.query_params)
                request.state.reading = await site.reading()
                return await finished(request, await within_patience(handler(*args, **kwargs)))
            except Refused as exc:
                return site.refusal(request, exc)

        app.get(path, response_class=HTMLResponse, include_in_schema=False, openapi_extra=words)(answer)

    return add
