"""`headgate query`: any metric of the catalogue by any of its dimensions."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from headgate.cli.output import ConfigOption, JsonOption, note, print_json, print_table
from headgate.cli.session import answer
from headgate.web.operations import Asked, Json

__all__ = ["query"]


def query(
    metric: Annotated[str, typer.Argument(help="Name of a metric, as docs/metrics-catalogue.md lists them.")],
    *,
    by: Annotated[list[str] | None, typer.Option("--by", metavar="DIMENSION", help="Group by it.")] = None,
    window: Annotated[str | None, typer.Option("--window", help="Length, such as 24h or 30d; else 7d.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Begin: 30d (ago), 2026-11-01 or RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="End, exclusive; else now.")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="MATCHER", help="Only: branch=main, job=~test.*, team!=web.")
    ] = None,
    step: Annotated[str | None, typer.Option("--step", help="One row for each step: 1h, 1d or 7d.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Groups at most, highest first.")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show a metric over a window, by group."""
    asked = Asked(metric, tuple(by or ()), tuple(where or ()), since, until, window, step, None, limit)
    found = answer(config, lambda ask: ask.query(asked))
    rows = _steps(found) if found["plot"] else _groups(found)
    columns = (*found["by"], *(("at",) if found["plot"] else ()), metric, "n")
    if json:
        for row in rows:
            print_json(dict(zip(columns, row, strict=True)))
    elif as_csv:
        _print_csv(columns, rows)
    else:
        unit = found["metric"]["unit"]
        shown = [(*row[:-2], _shown(row[-2]), row[-1]) for row in rows]
        names = [*columns[:-2], f"{metric} ({unit})", "n"]
        print_table(names, shown, empty=f"Nothing counts for {metric} from {found['since']} to {found['until']}.")
    if found["total"] > len(found["groups"]):
        note(f"headgate: {found['total']} groups, the first {len(found['groups'])} are shown: raise --limit")


def _labels(found: Json, one: Json) -> Sequence[str]:
    return [one["labels"][name] for name in found["by"]]


def _groups(found: Json) -> list[tuple[object, ...]]:
    return [(*_labels(found, one), one["value"], one["n"]) for one in found["groups"]]


def _steps(found: Json) -> list[tuple[object, ...]]:
    """A row for each group and step in which something counts."""
    return [
        (*_labels(found, line), at, value, n)
        for line in found["plot"]["lines"]
        for at, value, n in zip(found["plot"]["at"], line["values"], line["n"], strict=True)
        if n
    ]


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ""


def _print_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """RFC 4180, names first; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    writer = csv.writer(sys.stdout)
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])


def _cell(value: object) -> object:
    from headgate.insights.formats import plain_text

    return plain_text(value) if isinstance(value, str) else value
