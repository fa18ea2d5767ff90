"""`headgate detect`: run a detector over a column of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.output import JsonOption, note, print_json, print_table
from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import Change, Detector

__all__ = ["detect"]


def detect(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="One row a run, oldest first, names on top.")],
    column: Annotated[str, typer.Option("--column", metavar="C", help="The column to judge.")],
    detector: Annotated[str, typer.Option("--detector", metavar="NAME", help="Which detector.")] = "change_point",
    online: Annotated[
        bool, typer.Option("--online", help="Ask after each row, and tell at which one each change is first reported.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find where a series changed for good; rows are counted from 0, blank cells are passed over."""
    from headgate.app.seriesfile import read_series

    cells = read_series(file, column)
    rows = [row for row, cell in enumerate(cells) if cell is not None]
    if len(rows) < len(cells):
        note(f"headgate: {file}: {len(cells) - len(rows)} blank cells of {column} were passed over")
    values = [cell for cell in cells if cell is not None]
    made = _detector(detector)
    (_online if online else _offline)(made, values, rows, json=json)


def _detector(name: str) -> Detector:
    from headgate.app.compose import context_of
    from headgate.plugins import build_plugin, load_plugins

    plugin = load_plugins().find("detector", name)
    built: Detector = build_plugin(plugin, name, plugin.config(), context_of(SystemClock(), NullMetrics()))
    return built


def _offline(detector: Detector, values: Sequence[float], rows: Sequence[int], *, json: bool) -> None:
    changes = detector.changes(values)
    if json:
        print_json([_plain(rows[change.index], change) for change in changes])
        return
    lines = [(rows[change.index], change.kind, change.before, change.after) for change in changes]
    print_table(("Index", "Kind", "Before", "After"), lines, empty="Nothing changed.")


def _online(detector: Detector, values: Sequence[float], rows: Sequence[int], *, json: bool) -> None:
    from headgate.detectors.following import reports

    told = list(reports(detector, values))
    if json:
        lines = [_plain(rows[one.at], one.change) | {"first_bad": rows[one.change.index]} for one in told]
        print_json(lines)
        return
    table = [
        (rows[one.at], rows[one.change.index], one.change.kind, one.change.before, one.change.after) for one in told
    ]
    print_table(("Reported at", "Changed at", "Kind", "Before", "After"), table, empty="Nothing would be reported.")


def _plain(index: int, change: Change) -> dict[str, float]:
    return {"index": index, "before": change.before, "after": change.after}
