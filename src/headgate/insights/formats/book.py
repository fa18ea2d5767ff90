"""A table as a workbook: a sheet with its rows, and one that says what they are. Written row by row to a file.

Rows go to a temporary file as they come and from there into the workbook, so memory does not grow with them. Cells are
written by type: a text is never a formula, a link or a number, whatever it looks like. Excel's limits: 1,048,576 rows,
32,767 characters of a cell ("Excel specifications and limits", Microsoft, read 2026-11-21), counted as UTF-16 does, as
LEN in a cell: two for what is beyond the first 65,536 of Unicode.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import orjson
import xlsxwriter
from xlsxwriter.exceptions import FileCreateError, FileSizeError
from xlsxwriter.worksheet import Worksheet

from headgate.core.times import parse_ms
from headgate.insights.tables.table import Cell, Column, Opened, Row
from headgate.insights.views.refusal import Refused

__all__ = ["MOST_ROWS", "write_book"]

# One of Excel's rows is the header.
MOST_ROWS = 1_048_575
_MOST_TEXT = 32_767
# Excel's days begin with the year 1900, and it takes that for a leap year until March.
_FIRST_DAY_MS = -2_203_891_200_000
_EXACT = 1 << 53
_WIDTH, _WIDE = 16, 28


def _too_large() -> Refused:
    text = f"a sheet holds {MOST_ROWS} rows, and the table has more: narrow the window, or take another format"
    return Refused("too-large", text, parameter="format", valid=("csv", "jsonl", "json"))


class _Target:
    """A file that, once it has refused a write, takes everything: an archive that is let go of writes its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._broken = False

    def write(self, data: bytes) -> int:
        """Write all of it; raises OSError once."""
        view = memoryview(data)
        try:
            while view and not self._broken:
                view = view[self._file.write(view) :]
        except OSError:
            self._broken = True
            raise
        return len(data)

    def flush(self) -> None:
        """As a file's."""
        if not self._broken:
            self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return 0 if self._broken else self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return 0 if self._broken else self._file.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Book:
    """Not for two threads at once."""

    def __init__(self, target: BinaryIO, scratch: str, columns: Sequence[Column]) -> None:
        options = {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_numbers": False,
            "strings_to_urls": False,
            "tmpdir": scratch,
        }
        self._book = xlsxwriter.Workbook(_Target(target), options)
        self._bold = self._book.add_format({"bold": True})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        self._columns = columns
        self._sheet = self._book.add_worksheet("Table")
        self._about = self._book.add_worksheet("About")
        self._sheet.freeze_panes(1, 0)
        self.rows = 0
        for place, column in enumerate(columns):
            self._sheet.set_column(place, place, _WIDE if column.kind in ("text", "time", "json") else _WIDTH)
            self._sheet.write_string(0, place, column.id, self._bold)

    def add(self, page: Sequence[Row]) -> None:
        """Write rows below those that are there. Raises Refused where they do not fit."""
        if self.rows + len(page) > MOST_ROWS:
            raise _too_large()
        for row in page:
            self.rows += 1
            for place, (column, cell) in enumerate(zip(self._columns, row, strict=True)):
                self._write(self._sheet, self.rows, place, column, cell)

    def _write(self, sheet: Worksheet, row: int, place: int, column: Column, cell: Cell) -> None:
        match cell:
            case None:
                return
            case bool():
                sheet.write_boolean(row, place, cell)
            case int() if abs(cell) <= _EXACT:
                sheet.write_number(row, place, cell)
            case float() if math.isfinite(cell):
                sheet.write_number(row, place, cell)
            case str() if column.kind == "time" and (at_ms := _day_ms(cell)) is not None:
                when = datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
                sheet.write_datetime(row, place, when, self._time)
            case str():
                _write_text(sheet, row, place, _fitting(cell))
            case int() | float():
                sheet.write_string(row, place, str(cell))
            case _:
                sheet.write_string(row, place, _fitting(orjson.dumps(cell).decode()))

    def finish(self, facts: Sequence[tuple[str, str]]) -> None:
        """Write the second sheet and the file."""
        about = self._about
        about.set_column(0, 1, _WIDE)
        about.set_column(2, 4, 60)
        at = 0
        for name, value in (*facts, ("Rows", str(self.rows))):
            about.write_string(at, 0, name, self._bold)
            _write_text(about, at, 1, _fitting(value))
            at += 1
        at += 1
        for place, name in enumerate(("Column", "Title", "What it is", "Unit", "Type")):
            about.write_string(at, place, name, self._bold)
        for column in self._columns:
            at += 1
            for place, text in enumerate((column.id, column.title, column.doc, column.unit, column.kind)):
                about.write_string(at, place, text)
        self._book.close()

    def discard(self) -> None:
        """Let go of what is open; no file is made."""
        self._book.fileclosed = True
        for sheet in (self._sheet, self._about):
            sheet.row_data_fh.close()


def _write_text(sheet: Worksheet, row: int, place: int, text: str) -> None:
    """A text as it is; one that XlsxWriter would take for markup of its own goes in two pieces."""
    if text.startswith("<r>") and text.endswith("</r>"):
        sheet.write_rich_string(row, place, text[0], text[1], text[2:])
    else:
        sheet.write_string(row, place, text)


def _day_ms(text: str) -> int | None:
    found = parse_ms(text)
    return None if found is None or found < _FIRST_DAY_MS else found


def _fitting(text: str) -> str:
    """A text that a cell holds; one that is too long is cut, with an ellipsis."""
    text = text.encode("utf-8", "replace").decode()
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _MOST_TEXT:
        return text
    # Half a character at the cut is left out.
    return units[: 2 * (_MOST_TEXT - 1)].decode("utf-16-le", "ignore") + "\u2026"


async def write_book(opened: Opened, target: BinaryIO) -> int:
    """Write the table to an empty file; returns how many rows it has.

    The system's directory for temporary files needs room for as much again. Raises Refused where it does not fit,
    OSError where the disk does not take it; what is in the file then is no workbook.
    """
    with TemporaryDirectory(prefix=".headgate-book-") as folder:
        book = await asyncio.to_thread(_Book, target, folder, opened.columns)
        try:
            async for page in opened.pages:
                await asyncio.to_thread(book.add, page)
            await asyncio.to_thread(book.finish, _facts(opened))
        except FileCreateError as exc:
            book.discard()
            raise OSError(str(exc)) from exc
        except FileSizeError as exc:
            book.discard()
            raise _too_large() from exc
        except BaseException:
            book.discard()
            raise
    return book.rows


def _facts(opened: Opened) -> list[tuple[str, str]]:
    asked = opened.asked
    facts = [("Table", asked.table.title), ("What it holds", asked.table.doc)]
    if asked.table.windowed:
        facts += [("From", asked.window.since), ("Before", asked.window.until)]
    words = {name: values for name, values in asked.words.items() if name not in ("since", "until", "window")}
    facts += [(name, ", ".join(values)) for name, values in words.items()]
    return facts
