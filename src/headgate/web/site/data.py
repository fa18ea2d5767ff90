"""The address of the page about what is kept, and of the configuration as it was loaded. Thin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from headgate.web.access.trail import note
from headgate.web.access.who import who
from headgate.web.operations import Json, Operations
from headgate.web.site.frame import Site
from headgate.web.site.serving import page

__all__ = ["Line", "add_data", "lines_of"]

_SHOWN = 30
_BACKUP = "backup"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the configuration. `depth`: how far in; `key`: empty for an element of a list; `text`: its value."""

    depth: int
    key: str
    text: str


def add_data(app: FastAPI, site: Site, operations: Operations) -> None:
    """Add the page."""

    @page(app, site, "/data")
    async def data(request: Request) -> Response:
        # What is configured, and who did what, is for those who may change it.
        trusted = who(request).may("admin")
        configured = await operations.configuration() if trusted else {}
        done: list[Json] = []
        backups: list[Json] = []
        if trusted:
            done = await operations.trail(0, None, _SHOWN)
            backups = await operations.trail(0, None, _SHOWN, _BACKUP)
            note(request, "read", request.url.path)
        values = {
            "data": await operations.data(),
            "sections": [(name, list(lines_of(value))) for name, value in configured.items()],
            "trail": done,
            "backups": backups,
        }
        return site.answer("data.html", request, site.asked(request, site.lens()), values, ("Data", "/data"))


def lines_of(value: Any, depth: int = 0, key: str = "") -> Iterator[Line]:
    """Plain data as lines, as YAML would have them."""
    inner: Sequence[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        inner = [(f"{name}:", item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        inner = [("-", item) for item in value]
    if not inner:
        yield Line(depth, key, _text(value))
        return
    if key:
        yield Line(depth, key, "")
    for name, item in inner:
        yield from lines_of(item, depth + bool(key), name)


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case {} | [] | ():
            return "nothing"
        case _:
            return str(value)
