"""Cumulative series: what many points add up to since the start, for Prometheus. Pure but for the table that it keeps.

Invariant: a cell is never changed, only replaced, so a batch can be added up, sent, and forgotten or kept as a whole.
The number of label sets is bounded: beyond it they are counted together under `overflow="true"`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from headgate.sinks._measures import Labels, Measure, Point

__all__ = ["Cell", "Key", "Tally", "family_name", "samples"]

_UNITS = {"s": "_seconds", "1": "_ratio"}
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_OVERFLOW: Labels = (("overflow", "true"),)

Key = tuple[Measure, Labels]


class Cell(NamedTuple):
    """State of one label set. `total`: of a counter; last value of a gauge; sum of a histogram.

    `counts`: points in each bucket by itself, the last beyond all bounds; empty unless a histogram.
    `touched_ms`: when a point came last, our clock.
    """

    total: float
    counts: tuple[int, ...]
    touched_ms: int


class Tally:
    """All label sets that were measured and are not stale."""

    def __init__(self, *, most: int, stale_ms: int) -> None:
        self._cells: dict[Key, Cell] = {}
        self._most = most
        self._stale_ms = stale_ms

    def get(self, key: Key) -> Cell | None:
        """The cell of a label set, if any."""
        return self._cells.get(key)

    def after(self, points: Iterable[Point], now_ms: int) -> dict[Key, Cell]:
        """The cells that the points touch, as they will be. Changes nothing; `take` does."""
        changed: dict[Key, Cell] = {}
        for point in points:
            key = (point.measure, point.labels)
            if key not in self._cells and key not in changed and len(self._cells) + len(changed) >= self._most:
                key = (point.measure, _OVERFLOW)
            changed[key] = _added(changed.get(key) or self._cells.get(key), point, now_ms)
        return changed

    def take(self, changed: Mapping[Key, Cell]) -> None:
        """Keep cells that `after` made, with nothing taken between."""
        self._cells.update(changed)

    def drop_stale(self, now_ms: int) -> None:
        """Forget label sets that no point has touched for long: a job that was renamed, a project that is gone."""
        # A copy, because whoever asks for the page does so in another thread than who adds up.
        stale = [key for key, cell in list(self._cells.items()) if now_ms - cell.touched_ms > self._stale_ms]
        for key in stale:
            self._cells.pop(key, None)

    def items(self) -> list[tuple[Key, Cell]]:
        """All cells, sorted by metric and labels."""
        return sorted(self._cells.items(), key=lambda item: (item[0][0].name, item[0][1]))


def _added(cell: Cell | None, point: Point, now_ms: int) -> Cell:
    measure, value = point.measure, point.value
    if measure.instrument == "gauge":
        return Cell(value, (), now_ms)
    total = (cell.total if cell else 0.0) + value
    if measure.instrument == "counter":
        return Cell(total, (), now_ms)
    counts = list(cell.counts) if cell else [0] * (len(measure.bounds) + 1)
    counts[bisect_left(measure.bounds, value)] += 1
    return Cell(total, tuple(counts), now_ms)


def _plain(name: str) -> str:
    return _NOT_IN_A_NAME.sub("_", name)


def family_name(measure: Measure) -> str:
    """The metric's name in Prometheus, without `_total`, `_bucket` ...; OpenTelemetry's rules for units."""
    return _plain(measure.name) + _UNITS.get(measure.unit, "")


def samples(key: Key, cell: Cell) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each series of a label set; buckets cumulative, ascending, the last `+Inf`."""
    measure, labels = key
    name = family_name(measure)
    found = {_plain(label): value for label, value in labels}
    if measure.instrument == "gauge":
        yield name, found, cell.total
    elif measure.instrument == "counter":
        yield f"{name}_total", found, cell.total
    else:
        count = 0
        for bound, amount in zip((*map(_bound, measure.bounds), "+Inf"), cell.counts, strict=True):
            count += amount
            yield f"{name}_bucket", {**found, "le": bound}, count
        yield f"{name}_sum", found, cell.total
        yield f"{name}_count", found, count


def _bound(bound: float) -> str:
    """As Prometheus' own clients write it: `0.5`, `10.0`."""
    return repr(float(bound))
