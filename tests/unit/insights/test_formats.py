"""Files of tables are read back as what was written: CSV, JSON, JSON Lines, XLSX, whatever the names hold."""

import csv
import io
import json
import re
import tracemalloc
from datetime import datetime

import openpyxl
import pytest
from tests.unit.insights.world import NOW

from headgate.insights.formats import csv_lines, json_array, json_lines, plain_text
from headgate.insights.formats.book import write_book
from headgate.insights.tables.table import Column, Opened, Table, read_asking
from headgate.insights.views.refusal import Refused

HOSTILE = [
    '=HYPERLINK("http://evil";"x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1+1",
    'a"b,c;d\r\ne',
    "\u202egnp.exe \u05d0",
    "<script>alert(1)</script>&amp;",
    "_x0041_ \x01\x1f",
    "http://evil.example/",
    "0012",
    "<r></t></is></c><c r='ZZ9'><v>1</v></c></r>",
    "_x0009_",
    " edges ",
    "",
]
COLUMNS = tuple(
    Column(name, name.title(), kind, unit, f"What {name} is.", lambda row: row)
    for name, kind, unit in (
        ("name", "text", ""),
        ("n", "integer", "{run}"),
        ("share", "number", "1"),
        ("good", "flag", ""),
        ("stopped_at", "time", ""),
        ("jobs", "json", ""),
    )
)
AT = "2026-11-20T10:02:10.123Z"
ROWS = [(text, number, 0.1 + number, number % 2 == 0, AT, ["=a", "b"]) for number, text in enumerate(HOSTILE)]
ROWS.append((None, None, None, None, None, None))


async def _no_pages(*_):
    for page in ():
        yield page


TABLE = Table("things", "Things", "All things.", ("window", "project"), lambda *_: COLUMNS, _no_pages)


def opened(pages, columns=COLUMNS):
    """A table of these pages."""

    async def give():
        for page in pages:
            yield page

    asked = read_asking(TABLE, {"window": ["7d"], "project": ["gh/acme/web"]}, now_ms=NOW)
    return Opened(asked, columns, give())


def as_shown(cell):
    """A cell's text as a spreadsheet shows it: what XML cannot hold is `_xHHHH_` in its file."""
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), cell or "")


async def text_of(chunks):
    return b"".join([chunk async for chunk in chunks]).decode()


async def test_csv_is_read_back():
    """RFC 4180, with a header; what a spreadsheet would run begins with an apostrophe, and nothing else is changed."""
    text = await text_of(csv_lines(opened([ROWS[:5], ROWS[5:]])))
    assert text.startswith("name,n,share,good,stopped_at,jobs\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for row, (name, number, share, good, at, _) in zip(rows[:-1], ROWS, strict=False):
        assert (plain_text(name), str(number), share) == (row["name"], row["n"], float(row["share"]))
        assert ("true" if good else "false", at, '["=a","b"]') == (row["good"], row["stopped_at"], row["jobs"])
    assert [""] * 6 == list(rows[-1].values())
    assert not any(row["name"][:1] in "=+-@\t\r\n\uff1d" for row in rows if row["name"])


def test_what_a_spreadsheet_would_run():
    """All signs that begin a formula, and only at the begin of a text."""
    assert ["'" + text for text in HOSTILE[:8]] == [plain_text(text) for text in HOSTILE[:8]]
    assert HOSTILE[8:] == [plain_text(text) for text in HOSTILE[8:]]


async def test_numbers_keep_their_precision():
    """A negative number is no text, and what is no number is no value."""
    row = ("x", -5, -0.1 - 0.2, True, AT, {})
    odd = ("x", 2**60, float("nan"), True, AT, {})
    text = await text_of(csv_lines(opened([[row, odd]])))
    first, second = list(csv.DictReader(io.StringIO(text)))
    assert ("-5", "-0.30000000000000004") == (first["n"], first["share"])
    assert (str(2**60), "") == (second["n"], second["share"])


async def test_json_is_read_back():
    """An array of objects, and objects by line, with texts as they are; empty tables too."""
    expected = [dict(zip(("name", "n", "share", "good", "stopped_at", "jobs"), row, strict=True)) for row in ROWS]
    assert expected == json.loads(await text_of(json_array(opened([ROWS[:3], ROWS[3:]]))))
    lines = await text_of(json_lines(opened([ROWS[:3], ROWS[3:]])))
    assert expected == [json.loads(line) for line in lines.split("\n") if line]
    assert [] == json.loads(await text_of(json_array(opened([]))))
    assert "" == await text_of(json_lines(opened([[]])))
    assert await text_of(csv_lines(opened([]))) == "name,n,share,good,stopped_at,jobs\r\n"


async def test_a_workbook_is_read_back(tmp_path):
    """Numbers are numbers, times are times, texts are never formulas, links or numbers."""
    path = tmp_path / "b.xlsx"
    with path.open("wb") as target:
        assert len(ROWS) == await write_book(opened([ROWS[:5], ROWS[5:]]), target)
    book = openpyxl.load_workbook(path)
    sheet = book["Table"]
    rows = list(sheet.iter_rows(values_only=True))
    assert [column.id for column in COLUMNS] == list(rows[0])
    for got, (name, number, share, good, _, _) in zip(rows[1:-1], ROWS, strict=False):
        assert name == as_shown(got[0])
        assert (number, share, good, datetime(2026, 11, 20, 10, 2, 10, 123_000)) == got[1:5]  # noqa: DTZ001  # Excel has no zones
        assert got[5] == '["=a","b"]'
    for row in sheet.iter_rows(min_row=2, max_row=len(HOSTILE) + 1, max_col=1):
        assert (row[0].data_type in ("s", "n", "inlineStr"), row[0].hyperlink) == (True, None)
        assert row[0].data_type != "n" or row[0].value is None
    about = dict(book["About"].iter_rows(values_only=True, max_col=2))
    assert ("All things.", "gh/acme/web", str(len(ROWS))) == (
        about["What it holds"],
        about["project"],
        about["Rows"],
    )
    assert "share" in about
    assert [path] == list(tmp_path.iterdir())


async def test_odd_cells_of_a_workbook(tmp_path):
    """Times before Excel's days, numbers that it would round and texts that it would not hold."""
    path = tmp_path / "b.xlsx"
    row = ("\U0001f600" * 40_000, 2**60, float("inf"), True, "1850-01-01T00:00:00Z", {"a": 1})
    with path.open("wb") as target:
        await write_book(opened([[row]]), target)
    _, got = list(openpyxl.load_workbook(path)["Table"].iter_rows(values_only=True))
    assert (True, str(2**60), "inf", "1850-01-01T00:00:00Z") == (got[0].endswith("\u2026"), got[1], got[2], got[4])
    assert len(got[0].encode("utf-16-le")) // 2 <= 32_767


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("x" * 32_767, "x" * 32_767),
        ("x" * 32_768, "x" * 32_766 + "\u2026"),
        ("\U0001f600" * 16_383 + "x", "\U0001f600" * 16_383 + "x"),
        ("\U0001f600" * 16_384, "\U0001f600" * 16_383 + "\u2026"),
        ("x" + "\U0001f600" * 16_384, "x" + "\U0001f600" * 16_382 + "\u2026"),
    ],
    ids=["full", "one too many", "full of pairs", "one pair too many", "in the middle of a pair"],
)
async def test_a_cell_of_a_workbook_holds_as_much_as_excel_does(tmp_path, text, kept):
    """Counted in UTF-16; no more than that is cut."""
    path = tmp_path / "b.xlsx"
    with path.open("wb") as target:
        await write_book(opened([[(text, 1, 1.0, True, None, {})]]), target)
    _, got = list(openpyxl.load_workbook(path)["Table"].iter_rows(values_only=True))
    assert kept == got[0]


async def test_a_sheet_that_is_full_is_refused(tmp_path, monkeypatch):
    """With what to do; nothing is left behind."""
    monkeypatch.setattr("headgate.insights.formats.book.MOST_ROWS", 9)
    with pytest.raises(Refused, match="narrow the window") as refused:
        await write_book(opened([ROWS[:8], ROWS[8:]]), io.BytesIO())
    assert ("too-large", "csv") == (refused.value.kind, refused.value.valid[0])
    assert [] == list(tmp_path.iterdir())


async def test_a_disk_that_refuses_a_workbook():
    """Is told as an error of the disk; here of a file that takes nothing."""
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="No space left"):  # noqa: ASYNC230, PTH123
        await write_book(opened([ROWS]), full)


async def test_memory_does_not_grow_with_the_table(tmp_path):
    """Twenty thousand rows cost as little as a few, in every format that is sent as it is made, and in a workbook."""
    page = [ROWS[8]] * 500

    def pages(count=40):
        for _ in range(count):
            yield page

    async def drain(chunks):
        async for _ in chunks:
            pass

    for work in (csv_lines, json_lines, json_array):
        tracemalloc.start()
        await drain(work(opened(pages())))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000, work.__name__
    with (tmp_path / "b.xlsx").open("wb") as target:
        tracemalloc.start()
        await write_book(opened(pages(8)), target)  # tracing makes it slow
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2_000_000
