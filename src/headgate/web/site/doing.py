"""Forms that do something: read and checked, done, and back to the page they were on, which says so.

Invariant: what is refused is a page that says why, and nothing was done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import ImmutableMultiDict

from headgate.web.access.forms import FormRefused, local_path, submitted
from headgate.web.access.who import Role
from headgate.web.operations import Problem
from headgate.web.problems import REASONS

__all__ = ["DONE", "Fields", "form"]

Fields = ImmutableMultiDict[str, str]
# What a page says after a form, by the word in its address.
DONE: Mapping[str, str] = {
    "acknowledged": "Acknowledged: nobody is reminded of this alert any more.",
    "silenced": "Silenced.",
    "expired": "The silence has ended.",
    "replayed": "Queued to be sent again.",
    "purged": "Forgotten for good.",
    "merging": "Queued to be merged again.",
}


def form(
    app: FastAPI, path: str, done: str, *, needs: Role = "operator"
) -> Callable[[Callable[[Request, Fields], Awaitable[None]]], None]:
    """Take a form at a path. `done`: a word of DONE. What the handler raises as Problem becomes a page."""

    def add(handler: Callable[[Request, Fields], Awaitable[None]]) -> None:
        async def answer(request: Request) -> Response:
            fields = await submitted(request, needs)
            try:
                await handler(request, fields)
            except Problem as exc:
                raise FormRefused(*REASONS[exc.reason], f"Nothing was done: {exc}.") from exc
            return RedirectResponse(_with_word(local_path(fields.get("back", "")), done), 303)

        app.post(path, include_in_schema=False)(answer)

    return add


def _with_word(address: str, done: str) -> str:
    parts = urlsplit(address)
    kept = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if key != "done"]
    return f"{parts.path}?{urlencode([*kept, ('done', done)])}"
