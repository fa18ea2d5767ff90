"""A table as a workbook: a sheet with its rows, and one that says what they are. Written row by row to a file.

A workbook is an archive of XML (ECMA-376); rows go into it packed, as they come, so memory does not grow with them.
Excel's limits: 1,048,576 rows ("Excel specifications and limits", Microsoft, read 2026-11-21), and parts of the archive
below 2 GiB, so that it needs none of the extensions that not every program reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZipFile

from headgate.insights.formats.sheet import BOLD, Cells, letters, text_cell
from headgate.insights.tables.table import Column, Opened, Row
from headgate.insights.views.refusal import Refused

__all__ = ["MOST_ROWS", "write_book"]

# One of Excel's rows is the header.
MOST_ROWS = 1_048_575
_MOST_BYTES = (1 << 31) - (1 << 24)
_FAST = 1
_WIDTH, _WIDE, _WIDEST = 16, 28, 60
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEETS = ("Table", "About")


def _too_large() -> Refused:
    text = f"a sheet holds {MOST_ROWS} rows or 2 GB, and the table has more: narrow the window, or take another format"
    return Refused("too-large", text, parameter="format", valid=("csv", "jsonl", "json"))


def _types() -> str:
    parts = [("workbook", "sheet.main"), ("styles", "styles")]
    parts += [(f"worksheets/sheet{place}", "worksheet") for place, _ in enumerate(_SHEETS, 1)]
    told = "".join(f'<Override PartName="/xl/{part}.xml" ContentType="{_KIND}.{kind}+xml"/>' for part, kind in parts)
    return (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{told}</Types>'
    )


def _relations(targets: Iterable[tuple[str, str]]) -> str:
    """`targets`: kind and part."""
    told = "".join(
        f'<Relationship Id="rId{place}" Type="{_OFFICE}/{kind}" Target="{part}"/>'
        for place, (kind, part) in enumerate(targets, 1)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{told}</Relationships>'


def _workbook() -> str:
    told = "".join(f'<sheet name="{name}" sheetId="{at}" r:id="rId{at}"/>' for at, name in enumerate(_SHEETS, 1))
    return f'<workbook {_MAIN} xmlns:r="{_OFFICE}"><sheets>{told}</sheets></workbook>'


_FONT = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
_NOTHING = 'numFmtId="0" fontId="0" fillId="0" borderId="0"'
# Cell formats in the order of `sheet.BOLD` and `sheet.TIME`.
_STYLES = (
    f'<styleSheet {_MAIN}><numFmts count="1">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm:ss.000"/></numFmts>'
    f'<fonts count="2"><font>{_FONT}</font><font><b/>{_FONT}</font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    f'<cellStyleXfs count="1"><xf {_NOTHING}/></cellStyleXfs><cellXfs count="3"><xf {_NOTHING} xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


def _begin(widths: Sequence[int], *, frozen: bool) -> str:
    """A sheet up to its first row."""
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>' if frozen else ""
    columns = "".join(
        f'<col min="{at}" max="{at}" width="{wide}" customWidth="1"/>' for at, wide in enumerate(widths, 1)
    )
    view = f'<sheetView workbookViewId="0">{pane}</sheetView>'
    return f"{_XML}<worksheet {_MAIN}><sheetViews>{view}</sheetViews><cols>{columns}</cols><sheetData>"


_END = "</sheetData></worksheet>"


def _texts(number: int, texts: Sequence[str], bold: int) -> str:
    """A row of texts, the first `bold` of them bold."""
    cells = (
        text_cell(f"{letters(place)}{number}", text, BOLD if place < bold else 0) for place, text in enumerate(texts)
    )
    return f'<row r="{number}">{"".join(cells)}</row>'


class _Target:
    """A file that, once it has refused a write, takes everything: an archive that is let go of writes its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.gone = False

    def write(self, data: bytes) -> int:
        """Write all of it; raises OSError once."""
        view = memoryview(data)
        try:
            while view and not self.gone:
                view = view[self._file.write(view) :]
        except OSError:
            self.gone = True
            raise
        return len(data)

    def flush(self) -> None:
        """As a file's."""
        if not self.gone:
            self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        """As a file's."""
        return 0 if self.gone else self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file's."""
        return 0 if self.gone else self._file.tell()


class _Book:
    """Not for two threads at once."""

    def __init__(self, target: BinaryIO, columns: Sequence[Column]) -> None:
        self._target = _Target(target)
        self._archive = ZipFile(cast("BinaryIO", self._target), "w", ZIP_DEFLATED, compresslevel=_FAST)
        self._columns = columns
        self._cells = Cells(columns)
        self.rows = 0
        self._bytes = 0
        for name, text in (
            ("[Content_Types].xml", _types()),
            ("_rels/.rels", _relations([("officeDocument", "xl/workbook.xml")])),
            ("xl/workbook.xml", _workbook()),
            (
                "xl/_rels/workbook.xml.rels",
                _relations(
                    [("worksheet", f"worksheets/sheet{at}.xml") for at, _ in enumerate(_SHEETS, 1)]
                    + [("styles", "styles.xml")]
                ),
            ),
            ("xl/styles.xml", _STYLES),
        ):
            self._archive.writestr(name, _XML + text)
        wide = [_WIDE if column.kind in ("text", "time", "json") else _WIDTH for column in columns]
        head = _texts(1, [column.id for column in columns], len(columns))
        self._sheet = self._archive.open("xl/worksheets/sheet1.xml", "w")
        self._sheet.write((_begin(wide, frozen=True) + head).encode())

    def add(self, page: Sequence[Row]) -> None:
        """Write rows below those that are there. Raises Refused where they do not fit."""
        if self.rows + len(page) > MOST_ROWS:
            raise _too_large()
        data = self._cells.rows(page, self.rows + 2)
        self.rows += len(page)
        self._bytes += len(data)
        if self._bytes > _MOST_BYTES:
            raise _too_large()
        self._sheet.write(data)

    def finish(self, facts: Sequence[tuple[str, str]]) -> None:
        """Write the second sheet and the end of the file."""
        self._sheet.write(_END.encode())
        self._sheet.close()
        lines: list[tuple[Sequence[str], int]] = [(fact, 1) for fact in (*facts, ("Rows", str(self.rows)))]
        lines += [((), 0), (("Column", "Title", "What it is", "Unit", "Type"), 5)]
        lines += [((one.id, one.title, one.doc, one.unit, one.kind), 0) for one in self._columns]
        rows = "".join(_texts(number, texts, bold) for number, (texts, bold) in enumerate(lines, 1))
        begin = _begin([_WIDE, _WIDE, *[_WIDEST] * 3], frozen=False)
        self._archive.writestr("xl/worksheets/sheet2.xml", begin + rows + _END)
        self._archive.close()

    def discard(self) -> None:
        """Let go of what is open; no file is made."""
        self._target.gone = True
        self._sheet.close()
        self._archive.close()


async def write_book(opened: Opened, target: BinaryIO) -> int:
    """Write the table to an empty file; returns how many rows it has.

    Raises Refused where it does not fit, OSError where the disk does not take it; what is in the file then is no
    workbook.
    """
    book = await asyncio.to_thread(_Book, target, opened.columns)
    try:
        async for page in opened.pages:
            await asyncio.to_thread(book.add, page)
        await asyncio.to_thread(book.finish, _facts(opened))
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
