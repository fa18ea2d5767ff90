"""Cells as the XML of a sheet (ECMA-376 part 1, section 18.3). Pure.

Written here and not by a library because an outsider names branches: a text is never a formula, a link, a number or
markup, whatever it looks like (XlsxWriter takes a text between `<r>` and `</r>` for markup of its own); and because it
takes a fifth of the time. Texts stand in their cells, so nothing grows with the table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

import orjson

from headgate.core.times import DAY_MS, parse_ms
from headgate.insights.tables.table import Cell, Column, Row

__all__ = ["BOLD", "TIME", "Cells", "fitting", "letters", "text_cell"]

# Styles of `book`, by their place there.
BOLD, TIME = 1, 2
# Excel's limits: 32,767 characters of a cell ("Excel specifications and limits", Microsoft, read 2026-11-21).
_MOST_TEXT = 32_767
# Excel's days begin with the year 1900, and it takes that for a leap year until March.
_FIRST_DAY_MS = -2_203_891_200_000
_EPOCH_DAY = 25_569
_EXACT = 1 << 53
# What XML cannot hold is written `_xHHHH_`; so is a text that looks like that already (section 22.9.2.19).
_UNREADABLE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\ufffe\\uffff]|_(?=x[0-9a-fA-F]{4}_)")
_ODD = re.compile("[&<>\\x00-\\x1f\\ufffe\\uffff]|_x|^ | $")


def letters(place: int) -> str:
    """The name of a column from 0: A, Z, AA."""
    found = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        found = chr(65 + rest) + found
    return found


def fitting(text: str) -> str:
    """A text that a cell holds; one that is too long is cut, with an ellipsis."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    if len(text) <= _MOST_TEXT // 2 or len(text.encode("utf-16-le")) // 2 <= _MOST_TEXT:
        return text
    return text[: _MOST_TEXT // 2 - 1] + "\u2026"


def text_cell(name: str, text: str, style: int = 0) -> str:
    """A text in the cell `name`, such as B2."""
    kept = f' s="{style}"' if style else ""
    text = fitting(text)
    if not _ODD.search(text):
        return f'<c r="{name}"{kept} t="inlineStr"><is><t>{text}</t></is></c>'
    text = escape(_UNREADABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text))
    return f'<c r="{name}"{kept} t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


class Cells:
    """Rows of these columns as XML."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = [(letters(place), column.kind == "time") for place, column in enumerate(columns)]

    def rows(self, rows: Sequence[Row], first: int) -> bytes:
        """Rows of the sheet, the first of them with this number."""
        found: list[str] = []
        for number, row in enumerate(rows, first):
            found.append(f'<row r="{number}">')
            for (letter, timed), cell in zip(self._columns, row, strict=True):
                if cell is not None:
                    found.append(_cell(f"{letter}{number}", cell, timed=timed))
            found.append("</row>")
        return "".join(found).encode()


def _cell(name: str, cell: Cell, *, timed: bool) -> str:
    match cell:
        case str():
            return _time_cell(name, cell) if timed else text_cell(name, cell)
        case bool():
            return f'<c r="{name}" t="b"><v>{cell:d}</v></c>'
        case int() if abs(cell) <= _EXACT:
            return f'<c r="{name}"><v>{cell}</v></c>'
        case float() if math.isfinite(cell):
            return f'<c r="{name}"><v>{cell!r}</v></c>'
        case int() | float():
            return text_cell(name, str(cell))
        case _:
            return text_cell(name, orjson.dumps(cell).decode())


def _time_cell(name: str, text: str) -> str:
    at_ms = parse_ms(text)
    if at_ms is None or at_ms < _FIRST_DAY_MS:
        return text_cell(name, text)
    return f'<c r="{name}" s="{TIME}"><v>{at_ms / DAY_MS + _EPOCH_DAY!r}</v></c>'
