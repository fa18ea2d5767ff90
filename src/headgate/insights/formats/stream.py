"""A table in a format as one stream of bytes, whoever wants it: the API, the command, a schedule.

Invariant: everything that can be refused is refused before the first byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from headgate.insights.formats.lines import csv_lines, json_array, json_lines
from headgate.insights.formats.names import FormatName, file_name
from headgate.insights.tables.registry import find_table
from headgate.insights.tables.table import Asking, Material, Opened, open_table, read_asking

__all__ = ["Exported", "export", "export_asked", "export_opened"]

_TEXTS = {"csv": csv_lines, "json": json_array, "jsonl": json_lines}
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that is about to be. `name`: of the file; `chunks`: to be read once, to the end, or closed."""

    name: str
    form: FormatName
    chunks: AsyncIterator[bytes]


async def export(material: Material, table: str, form: FormatName, words: Mapping[str, Sequence[str]]) -> Exported:
    """A table by its name and the words of a question. Raises Refused, and what the store raises."""
    return await export_asked(material, read_asking(find_table(table), words, now_ms=material.lens.now_ms), form)


async def export_asked(material: Material, asked: Asking, form: FormatName) -> Exported:
    """As `export`, of a question that was read. Raises OSError where there is no room for a workbook."""
    return await export_opened(await open_table(material, asked), form)


async def export_opened(opened: Opened, form: FormatName) -> Exported:
    """As `export_asked`, of a table whose first page was read. A workbook is written here, whole."""
    name = file_name(opened.asked, form)
    return Exported(name, form, _TEXTS[form](opened) if form in _TEXTS else await _book(opened))


def _unnamed() -> BinaryIO:
    return cast("BinaryIO", TemporaryFile(prefix="headgate-book-"))  # closed by who reads it


def _writer() -> Callable[[Opened, BinaryIO], Awaitable[int]]:
    """Imported for the first workbook, as few ask for one: 2 MB, and 80 ms that the loop need not wait."""
    from headgate.insights.formats.book import write_book

    return write_book


async def _book(opened: Opened) -> AsyncIterator[bytes]:
    """Written whole to a file without a name, which goes with the last that holds it open."""
    target: BinaryIO = await asyncio.to_thread(_unnamed)
    try:
        write = await asyncio.to_thread(_writer)
        await write(opened, target)
        target.seek(0)
    except BaseException:
        target.close()
        raise
    return _read(target)


async def _read(target: BinaryIO) -> AsyncIterator[bytes]:
    with target:
        while chunk := await asyncio.to_thread(target.read, _CHUNK):
            yield chunk
