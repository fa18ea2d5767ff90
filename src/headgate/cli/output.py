"""Prints data for people and for scripts. JSON goes to stdout as one line each; tables only to people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer

from headgate.core.clock import Clock
from headgate.core.times import parse_ms

__all__ = ["ConfigOption", "JsonOption", "moment_ms", "note", "print_json", "print_table"]

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Configuration; else HEADGATE_CONFIG, else /etc/headgate/headgate.yaml."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A word to the person at the terminal, on stderr, so that stdout stays data."""
    print(text, file=sys.stderr)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table for people; `empty` where there is no row. On a pipe: tab separated, whole values, names first."""
    listed = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not listed:
        note(empty)
        return
    if not sys.stdout.isatty():
        for row in (columns, *listed):
            print("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in listed:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)


def moment_ms(text: str, clock: Clock) -> int:
    """A time as people write it: `2h` (ago), `now`, a date, or RFC 3339. Raises typer.BadParameter."""
    from headgate.plugins.config import parse_duration

    if text == "now":
        return clock.now_ms()
    try:
        return clock.now_ms() - parse_duration(text)
    except ValueError:
        pass
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return round(day.timestamp() * 1000)
    except ValueError:
        found = parse_ms(text)
    if found is None:
        raise typer.BadParameter(f"{text}: write 2h, 7d, now, 2026-11-20 or 2026-11-20T10:00:00Z")
    return found
