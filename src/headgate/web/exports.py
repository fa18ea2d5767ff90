"""`/api/v1/export`: every table as a file. Thin: `insights.formats` writes it while it is sent.

Invariant: an export is noted for the trail, with its table, before its first byte leaves. Opening a table has to be in
time, as every answer has; writing it takes as long as it takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from headgate.core.packing import packed
from headgate.insights.formats import FORMATS, export_opened, media_type, read_format
from headgate.insights.tables import TABLES, Material, find_table, open_table, read_asking
from headgate.insights.tables.table import Row
from headgate.insights.views.known import must_be_known
from headgate.insights.views.lens import Lens
from headgate.web.access.trail import note
from headgate.web.answering import AnsweringRoute, answer, takes_gzip, within_patience
from headgate.web.answers import Answer
from headgate.web.documented import documented
from headgate.web.operations import Operations
from headgate.web.parameters import CheckedRoute
from headgate.web.turns import Busy, Turns

__all__ = ["TableView", "add_exports", "list_tables"]

# A workbook is a second of a processor for 10,000 rows; one at once leaves the other processor to all else.
_BOOKS_AT_ONCE, _BOOKS_WAITING, _BOOKS_RETRY_SECONDS = 1, 4, 20
# What the log says of a caller who left; nobody reads it.
_NOBODY = 499
_MEANINGS: Mapping[str, str] = {
    "format": "Of the file.",
    "since": "Begin: 7d (ago), a date or RFC 3339.",
    "until": "End, exclusive; else now.",
    "window": "Length before `until`, where `since` is not given: 7d.",
    "by": "What rows are grouped by; of table `query` as often as needed.",
    "where": "Matchers of table `query`, as often as needed.",
    "metric": "That table `query` is of: a name of `/api/v1/metrics`.",
    "step": "Of what goes over time; else one that fits the window, or of table `query` none.",
    "show": "Verdict of the jobs in table `rightsizing`; else all.",
    "proven": "How far table `completeness` goes back: 24h by the hour, which it is else, 7d and 30d by the day.",
}


class TableView(Answer):
    """A table. `takes`: words of its question; `needs`: those of them that must be given."""

    name: str
    title: str
    doc: str
    takes: list[str]
    needs: list[str]


class TableList(Answer):
    """All tables."""

    tables: list[TableView]
    formats: list[str]


def list_tables() -> list[dict[str, Any]]:
    """All tables, as the API and the command list them."""
    return [
        {
            "name": table.name,
            "title": table.title,
            "doc": table.doc,
            "takes": list(table.takes),
            "needs": list(table.needs),
        }
        for table in TABLES.values()
    ]


def _parameters() -> list[dict[str, Any]]:
    """Every word that any table takes; each table takes some of them."""
    taken: dict[str, set[str] | None] = {"format": set(FORMATS)}
    for table in TABLES.values():
        for name in table.takes:
            choices, others = table.choices.get(name), taken.get(name, set())
            # Anything may be said to one table, so to all of them.
            taken[name] = {*others, *choices} if choices and others is not None else None
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": _MEANINGS.get(name, "Only these."),
            "schema": {"type": "string", "enum": sorted(choices)} if choices else {"type": "string", "maxLength": 1000},
        }
        for name, choices in taken.items()
    ]


def add_exports(app: FastAPI, operations: Operations, lens: Callable[[], Lens]) -> None:
    """Add the routes. `lens`: a new one for each answer."""
    lists = APIRouter(prefix="/api/v1", route_class=AnsweringRoute, tags=["exports"])
    tables = APIRouter(prefix="/api/v1", route_class=CheckedRoute, tags=["exports"])

    @lists.get("/export", **documented(TableList))
    async def get_tables() -> Response:
        """Tables that can be exported, with what each may be asked."""
        return answer({"tables": list_tables(), "formats": FORMATS})

    books = Turns("workbooks", at_once=_BOOKS_AT_ONCE, waiting=_BOOKS_WAITING, retry_seconds=_BOOKS_RETRY_SECONDS)
    files: dict[str, Any] = {media_type(name).partition(";")[0]: {} for name in FORMATS}
    extra = {"parameters": _parameters(), "responses": {"200": {"description": "The file.", "content": files}}}

    @tables.get("/export/{table}", response_class=StreamingResponse, openapi_extra=extra)
    async def get_export(request: Request, table: str) -> Response:
        """A table as a file: CSV, JSON, JSON Lines or XLSX, with the words that its view takes.

        A workbook is made before it is sent, one after the other; 503 says when to ask again where too many wait.
        """
        words: dict[str, Sequence[str]] = {
            name: request.query_params.getlist(name) for name in request.query_params if name != "format"
        }
        await within_patience(must_be_known(lens(), request.query_params))
        form = read_format(request.query_params.get("format", "csv"))
        material = Material(lens(), operations)
        asked = read_asking(find_table(table), words, now_ms=material.lens.now_ms)
        async with AsyncExitStack() as turn:
            if form == "xlsx":
                await turn.enter_async_context(books.take())
            opened = await within_patience(open_table(material, asked))
            if form == "xlsx":
                opened = replace(opened, pages=_while_here(request, opened.pages))
            try:
                made = await export_opened(opened, form)
            except OSError as exc:
                raise Busy(f"there is no room for the workbook: {exc.strerror or exc}", _BOOKS_RETRY_SECONDS) from exc
            except ClientDisconnect:
                return Response(status_code=_NOBODY)
        note(request, "export", made.name)
        headers = {"content-disposition": f'attachment; filename="{made.name}"', "vary": "accept-encoding"}
        chunks = made.chunks
        # A workbook is packed in itself.
        if form != "xlsx" and takes_gzip(request):
            headers["content-encoding"] = "gzip"
            chunks = packed(chunks)
        return StreamingResponse(chunks, 200, headers, media_type(form))

    app.include_router(lists)
    app.include_router(tables)


async def _while_here(request: Request, pages: AsyncIterator[Sequence[Row]]) -> AsyncIterator[Sequence[Row]]:
    """Pages for as long as somebody waits for them: others wait for the turn. Raises ClientDisconnect."""
    if await request.is_disconnected():
        raise ClientDisconnect
    async for page in pages:
        if await request.is_disconnected():
            raise ClientDisconnect
        yield page
