"""Hourly and daily sums and sketches, moved by contribution(new) - contribution(old).

Invariant: what a fact added under one key is taken away under the same key; both are on the fact's row.
"""

from __future__ import annotations

from collections import defaultdict

from headgate.core.rollup import MEASURES, Contribution
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.projects import default_branches
from headgate.store.sql import Database, insert

__all__ = ["Rollups", "branch_class"]

_MEASURE_NUMBER = {measure: number for number, measure in enumerate(MEASURES)}
_COLUMNS = "n, ok, failed, canceled, credits, duration_ms, queue_ms"
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in _COLUMNS.split(", "))

# (kind number, project, run name, job name or 0, branch class)
Place = tuple[int, int, int, int, int]


def branch_class(ref_type: object, ref_name: object, default_branch: str | None) -> int:
    """1 for the project's default branch (main, master or trunk while it is unknown), else 0; a tag is never one."""
    if ref_type == "tag" or not isinstance(ref_name, str):
        return 0
    return int(ref_name in default_branches(default_branch))


class Rollups:
    """Differences gathered by one unit, written once per key."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[int, Place], list[int]] = defaultdict(lambda: [0] * 7)
        self._bins: defaultdict[tuple[int, Place, int, int], int] = defaultdict(int)

    def add(self, place: Place, part: Contribution, sign: int) -> None:
        """Add (+1) or take back (-1) one contribution."""
        hour = part.at_ms // HOUR_MS
        sums = self._sums[hour, place]
        for position, value in enumerate(
            (part.n, part.ok, part.failed, part.canceled, part.credits, part.duration_ms, part.queue_ms)
        ):
            sums[position] += sign * value
        for measure, index in part.bins:
            self._bins[hour, place, _MEASURE_NUMBER[measure], index] += sign

    def flush(self, db: Database) -> None:
        """Write what was gathered, for hours and for UTC days."""
        hours_per_day = DAY_MS // HOUR_MS
        for table, hours in (("hour", 1), ("day", hours_per_day)):
            sums: defaultdict[tuple[int, Place], list[int]] = defaultdict(lambda: [0] * 7)
            for (hour, place), values in self._sums.items():
                total = sums[hour // hours, place]
                for position, value in enumerate(values):
                    total[position] += value
            rows = [(bucket, *place, *values) for (bucket, place), values in sums.items() if any(values)]
            if rows:
                head = f"INSERT INTO rollup_{table} (bucket, kind, project, run, job, class, {_COLUMNS})"
                insert(db, head, rows, f"ON CONFLICT DO UPDATE SET {_ADDED}")
            self._flush_bins(db, table, hours)
        self._sums.clear()
        self._bins.clear()

    def _flush_bins(self, db: Database, table: str, hours: int) -> None:
        bins: defaultdict[tuple[int, Place, int, int], int] = defaultdict(int)
        for (hour, place, measure, index), n in self._bins.items():
            bins[hour // hours, place, measure, index] += n
        rows = [(bucket, *place, measure, index, n) for (bucket, place, measure, index), n in bins.items() if n]
        if rows:
            head = f"INSERT INTO sketch_{table} (bucket, kind, project, run, job, class, measure, bin, n)"
            insert(db, head, rows, "ON CONFLICT DO UPDATE SET n = n + excluded.n")
