"""`/api/v1/export`: every table as a file. Thin: `insights.formats` writes it while it is sent.

Invariant: an export is in the trail with its table before its first byte leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from headgate.insights.formats import FORMATS, export, media_type, read_format
from headgate.insights.tables import TABLES, Material
from headgate.insights.views.lens import Lens
from headgate.web.access.trail import note
from headgate.web.answering import TAGGED, AnsweringRoute, answer
from headgate.web.asking import known_values
from headgate.web.operations import Operations

__all__ = ["TableView", "add_exports", "list_tables"]

_MEANINGS: Mapping[str, str] = {
    "format": "Of the file.",
    "since": "Begin: 7d (ago), a date or RFC 3339.",
    "until": "End, exclusive; else now.",
    "window": "Length before `until`, where `since` is not given: 7d.",
    "by": "What rows are grouped by; of table `query` as often as needed.",
    "where": "Matchers of table `query`, as often as needed.",
}


class TableView(BaseModel):
    """A table. `takes`: words of its question; `needs`: those of them that must be given."""

    name: str
    title: str
    doc: str
    takes: list[str]
    needs: list[str]


class TableList(BaseModel):
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
    taken: dict[str, list[str]] = {"format": list(FORMATS)}
    for table in TABLES.values():
        for name in table.takes:
            taken.setdefault(name, list(table.choices.get(name, ())))
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": _MEANINGS.get(name, "Only these."),
            "schema": {"type": "string", "enum": choices} if choices else {"type": "string", "maxLength": 1000},
        }
        for name, choices in taken.items()
    ]


def add_exports(app: FastAPI, operations: Operations, lens: Callable[[], Lens]) -> None:
    """Add the routes. `lens`: a new one for each answer."""
    router = APIRouter(
        prefix="/api/v1",
        route_class=AnsweringRoute,
        tags=["exports"],
        dependencies=[known_values(lens)],
    )

    @router.get("/export", response_model=TableList, responses=dict(TAGGED))
    async def get_tables() -> Response:
        """Tables that can be exported, with what each may be asked."""
        return answer({"tables": list_tables(), "formats": FORMATS})

    files: dict[str, Any] = {media_type(name).partition(";")[0]: {} for name in FORMATS}
    extra = {"parameters": _parameters(), "responses": {"200": {"description": "The file.", "content": files}}}

    @router.get("/export/{table}", response_class=StreamingResponse, openapi_extra=extra)
    async def get_export(request: Request, table: str) -> Response:
        """A table as a file: CSV, JSON, JSON Lines or XLSX, with the words that its view takes."""
        words: dict[str, Sequence[str]] = {
            name: request.query_params.getlist(name) for name in request.query_params if name != "format"
        }
        form = read_format(request.query_params.get("format", "csv"))
        made = await export(Material(lens(), operations), table, form, words)
        note(request, "export", made.name)
        headers = {"content-disposition": f'attachment; filename="{made.name}"'}
        return StreamingResponse(made.chunks, 200, headers, media_type(form))

    app.include_router(router)
