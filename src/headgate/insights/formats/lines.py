"""CSV, JSON and JSON Lines, as chunks of bytes while rows come.

CSV is RFC 4180 in UTF-8: names of columns first, CRLF after each row, numbers with full precision, times RFC 3339,
lists and mappings as JSON, no value as an empty cell. A text that a spreadsheet would run as a formula begins with an
apostrophe there (OWASP, "CSV Injection", read 2026-11-21); in the other formats it is as it is.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import AsyncIterator, Sequence

import orjson

from headgate.insights.tables.table import Cell, Column, Opened, Row

__all__ = ["csv_lines", "json_array", "json_lines", "plain_text"]

# Full-width forms are signs too where a spreadsheet is set up for Chinese or Japanese.
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def plain_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_RUN) else text


def _csv_cell(cell: Cell) -> str | int | float:
    match cell:
        case None:
            return ""
        case str():
            return plain_text(cell)
        case bool():
            return "true" if cell else "false"
        case int():
            return cell
        case float():
            return cell if math.isfinite(cell) else ""
        case _:
            return plain_text(orjson.dumps(cell).decode())


async def csv_lines(opened: Opened) -> AsyncIterator[bytes]:
    """The header, then rows."""
    yield _csv([[column.id for column in opened.columns]])
    async for page in opened.pages:
        yield _csv([[_csv_cell(cell) for cell in row] for row in page])


def _csv(rows: Sequence[Sequence[str | int | float]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


async def json_lines(opened: Opened) -> AsyncIterator[bytes]:
    """One object a line, keys in the order of the columns; none for an empty table."""
    async for page in opened.pages:
        yield b"".join(_json(opened.columns, row) + b"\n" for row in page)


async def json_array(opened: Opened) -> AsyncIterator[bytes]:
    """An array of objects, each on a line of its own."""
    begun = False
    async for page in opened.pages:
        text = b"".join(b",\n" + _json(opened.columns, row) for row in page)
        if text:
            yield text if begun else b"[" + text[1:]
            begun = True
    yield b"\n]\n" if begun else b"[]\n"


def _json(columns: Sequence[Column], row: Row) -> bytes:
    return orjson.dumps({column.id: cell for column, cell in zip(columns, row, strict=True)})
