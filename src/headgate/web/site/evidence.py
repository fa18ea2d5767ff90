"""The evidence chart of an alert as a table of lines, which is what is drawn. Pure; owns no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.core.times import parse_ms
from headgate.insights.metric import Format
from headgate.insights.views.evidence import ChartPoint, EvidenceChart, Level, Mark

__all__ = ["Drawn", "DrawnRow", "drawn"]


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """One point. `values`: its own, then that of each level where it holds; `marks`: what happened by then."""

    at_ms: int
    values: tuple[float | None, ...]
    point: ChartPoint
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """`names`: of the lines: the metric, then the levels. `marks`: name and time, in order of time."""

    title: str
    form: Format
    names: tuple[str, ...]
    rows: tuple[DrawnRow, ...]
    marks: tuple[tuple[str, int], ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(row.point.value is not None for row in self.rows)


def drawn(chart: EvidenceChart) -> Drawn:
    """A chart as it is drawn: every point has the value of each level that holds there."""
    times = [_ms(point.at) for point in chart.points]
    marks = tuple(sorted(((mark.name, _ms(mark.at)) for mark in chart.marks), key=lambda pair: pair[1]))
    rows = [
        DrawnRow(
            at,
            (point.value, *(level.value if _holds(level, at) else None for level in chart.levels)),
            point,
            _since(times, index, chart.marks),
        )
        for index, (at, point) in enumerate(zip(times, chart.points, strict=True))
    ]
    names = (chart.metric.replace("_", " "), *(level.name for level in chart.levels))
    return Drawn(names[0], chart.format, names, tuple(rows), marks)


def _ms(text: str) -> int:
    return parse_ms(text) or 0


def _holds(level: Level, at_ms: int) -> bool:
    return (level.since is None or _ms(level.since) <= at_ms) and (level.until is None or at_ms < _ms(level.until))


def _since(times: Sequence[int], index: int, marks: Sequence[Mark]) -> tuple[str, ...]:
    """Marks between the point before and this one."""
    before = times[index - 1] if index else -1
    return tuple(mark.name for mark in marks if before < _ms(mark.at) <= times[index])
