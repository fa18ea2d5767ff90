"""A column of numbers from a CSV file, for `headgate detect`. Whatever is wrong with it is said with its line.

Invariant: item i of a series is data row i of the file, so what is found can be looked up there.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from headgate.core.errors import ConfigError

__all__ = ["read_series"]


def read_series(path: Path, column: str) -> list[float | None]:
    """The cells of one column; None where one is blank: a run without a value. Raises ConfigError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return list(_cells(path, column, lines))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}; name a CSV file") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not text in UTF-8 (byte {exc.start}); save it as CSV in UTF-8") from exc


def _cells(path: Path, column: str, lines: Iterable[str]) -> Iterator[float | None]:
    rows = csv.reader(lines)
    found = False
    try:
        names = [name.strip() for name in next(rows, [])]
        place = _place(path, column, names)
        for row in rows:
            if row:
                found = True
                yield _number(_cell(row, place, names, path, rows.line_num), path, rows.line_num, column)
    except csv.Error as exc:
        raise ConfigError(f"{path}: line {rows.line_num} is not CSV: {exc}; mend the line or remove it") from exc
    if not found:
        raise ConfigError(f"{path}: has no rows below the names of its columns; give it one row a run, oldest first")


def _cell(row: Sequence[str], place: int, names: Sequence[str], path: Path, line: int) -> str:
    if place < len(row):
        return row[place].strip()
    raise ConfigError(
        f"{path}: line {line} has {len(row)} of {len(names)} columns, {names[place]} is missing; "
        "complete the line or remove it"
    )


def _place(path: Path, column: str, names: Sequence[str]) -> int:
    if not any(names):
        raise ConfigError(f"{path}: line 1 is empty; write the names of the columns there, then one row a run")
    if column in names:
        return names.index(column)
    near = difflib.get_close_matches(column, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"its columns are {', '.join(names)}"
    raise ConfigError(f"{path}: line 1 has no column {column}; {hint}")


def _number(cell: str, path: Path, line: int, column: str) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"{path}: line {line}: {column} is {cell[:40]!r}, not a number; correct it, leave the cell blank, "
            "or remove the line"
        )
    return value
