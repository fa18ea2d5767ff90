"""A column of a CSV file: what is read, and what is said of each file that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.app.seriesfile import read_series
from headgate.core.errors import ConfigError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "runs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("d,x\n1,a\n2.5,b\n", [1.0, 2.5]),
        ("\ufeffd,x\r\n1,a\r\n-2e3,b\r\n", [1.0, -2000.0]),
        ('x, d\n"a,b",1\nc, 2 \n', [1.0, 2.0]),
        ("d,x\n1,a\n,b\n\n 3,c", [1.0, None, 3.0]),
        ("d\n7", [7.0]),
    ],
    ids=["plain", "byte order mark", "quoted and spaced", "blank cell and blank line", "one row"],
)
def test_a_column_is_read(tmp_path, text, wanted):
    """One value a row, oldest first; a blank cell is a run without a value, a blank line is nothing."""
    assert wanted == read_series(written(tmp_path, text), "d")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["line 1 is empty", "names of the columns"]),
        ("d\n", ["no rows"]),
        ("d\n\n\n", ["no rows"]),
        ("duration,x\n1,2\n", ["line 1 has no column d", "its columns are duration, x"]),
        ("dd,x\n1,2\n", ["did you mean dd?"]),
        ("x,d\n1,2\n1\n", ["line 3", "d is missing", "complete the line"]),
        ("d\n1\nfast\n", ["line 3", "'fast', not a number", "correct it"]),
        ("d\n1\nnan\n", ["line 3", "not a number"]),
        ("d\ninf\n", ["line 2", "not a number"]),
        ("d\n1,5 s\n", []),
        (b"d\n1\n\xff\xfe\n", ["UTF-8"]),
        ("d\n" + "1" * 200_000 + "\n", ["line 2", "not CSV"]),
    ],
    ids=[
        "empty",
        "names only",
        "blank lines only",
        "unknown column",
        "misspelt column",
        "short line",
        "word",
        "nan",
        "infinity",
        "more cells than names",
        "other encoding",
        "endless cell",
    ],
)
def test_a_file_that_cannot_be_read_is_explained(tmp_path, text, words):
    """With the file, the line where there is one, and what to do; cells beyond the names are passed over."""
    path = written(tmp_path, text)
    if not words:
        assert [1.0] == read_series(path, "d")
        return
    with pytest.raises(ConfigError) as caught:
        read_series(path, "d")
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_missing_file_and_a_folder_are_explained(tmp_path):
    """The reason is the system's own."""
    for path, words in ((tmp_path / "no.csv", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=words):
            read_series(path, "d")
