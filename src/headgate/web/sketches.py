"""Charts as shapes of SVG, for pages that must do without a script. Pure.

Invariant: every value of a chart is drawn at its place; a step without a value interrupts its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.core.times import format_ms
from headgate.web.site.shapes import Chart
from headgate.web.site.words import shown

__all__ = ["HEIGHT", "WIDTH", "Mark", "Sketch", "sketch"]

WIDTH, HEIGHT = 560, 150
_LEFT, _BOTTOM, _TOP = 64, 20, 8


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar, or a point of a line. `line`: which of the chart's; `title`: what it says."""

    line: int
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Sketch:
    """`bars`, `points`: marks; `paths`: (line, path of SVG). `top`: what the highest place stands for.

    `first`, `last`: days at the ends of the axis.
    """

    chart: Chart
    bars: tuple[Mark, ...]
    points: tuple[Mark, ...]
    paths: tuple[tuple[int, str], ...]
    top: str
    first: str
    last: str


def sketch(chart: Chart) -> Sketch:
    """A chart drawn."""
    known = [value for row in chart.rows for value in chart.drawn(row) if value is not None]
    most = 1.0 if chart.form == "percentage" else max([*known, 0.0]) or 1.0
    step = (WIDTH - _LEFT) / max(1, len(chart.rows))
    marks = [_marks(chart, line, step, most) for line in range(len(chart.names))]
    bars = tuple(mark for line in marks for mark in line if mark is not None) if chart.kind != "line" else ()
    drawn = marks if chart.kind == "line" else []
    return Sketch(
        chart,
        bars,
        tuple(mark for line in drawn for mark in line if mark is not None),
        tuple((line, _path(points)) for line, points in enumerate(drawn)),
        shown(most, chart.form),
        _day(chart, 0),
        _day(chart, -1),
    )


def _marks(chart: Chart, line: int, step: float, most: float) -> list[Mark | None]:
    """One for each row; None where it has no value."""
    found: list[Mark | None] = []
    room = HEIGHT - _BOTTOM - _TOP
    for place, row in enumerate(chart.rows):
        value, high = row.values[line], chart.drawn(row)[line]
        if value is None or high is None:
            found.append(None)
            continue
        height = room * min(high / most, 1.0)
        words = f"{format_ms(row.at_ms)[:10]}: {chart.names[line]} {shown(value, chart.form)}"
        x, y = _LEFT + step * place, HEIGHT - _BOTTOM - height
        found.append(Mark(line, round(x + step * 0.1, 2), round(y, 2), round(step * 0.8, 2), round(height, 2), words))
    return found


def _path(points: Sequence[Mark | None]) -> str:
    """Through the middle of each step; it begins anew after a gap."""
    parts, goes_on = [], False
    for mark in points:
        if mark is not None:
            parts.append(f"{'L' if goes_on else 'M'}{mark.x + mark.width / 2:.2f} {mark.y:.2f}")
        goes_on = mark is not None
    return "".join(parts)


def _day(chart: Chart, place: int) -> str:
    return format_ms(chart.rows[place].at_ms)[:10] if chart.rows else ""
