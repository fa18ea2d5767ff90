"""Hourly and daily sums and sketches, moved by contribution(new) - contribution(old).

Invariant: what a fact added under one key is taken away under the same key; both are on the fact's row.
"""

from __future__ import annotations

from collections import defaultdict

from headgate.core.rollup import MEASURES, SUMS, Contribution, Measure
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store import cuts
from headgate.store.projects import default_branches
from headgate.store.session import Session
from headgate.store.sketches import pack
from headgate.store.spans import outdated
from headgate.store.sql import Database, insert

__all__ = ["Rollups", "branch_class", "move_rollups"]

_COLUMNS = ", ".join((*SUMS, *MEASURES))
_ADDED = ", ".join(
    [f"{name} = {name} + excluded.{name}" for name in SUMS]
    + [f"{name} = iif(excluded.{name} IS NULL, {name}, add_bins({name}, excluded.{name}))" for name in MEASURES]
)
_PLACE = "bucket, kind, run, job, class"

# (kind number, project, run name, job name or 0, branch class)
Place = tuple[int, int, int, int, int]
_Key = tuple[int, Place]
_Bins = defaultdict[Measure, defaultdict[int, int]]


def branch_class(ref_type: object, ref_name: object, default_branch: str | None) -> int:
    """1 for the project's default branch (main, master or trunk while it is unknown), else 0; a tag is never one."""
    if ref_type == "tag" or not isinstance(ref_name, str):
        return 0
    return int(ref_name in default_branches(default_branch))


def move_rollups(session: Session, old: int, new: int) -> None:
    """Two projects are one: what `old` has belongs to `new`."""
    db = session.db
    session.spans.clear()
    session.cuts.clear()
    for table in ("rollup_hour", "rollup_day"):
        db.execute(
            f"INSERT INTO {table} (project, {_PLACE}, {_COLUMNS}) SELECT ?, {_PLACE}, {_COLUMNS} FROM {table}"
            f" WHERE project = ? ON CONFLICT DO UPDATE SET {_ADDED}",
            (new, old),
        )
        db.execute(f"DELETE FROM {table} WHERE project = ?", (old,))


def _no_sums() -> list[int]:
    return [0] * len(SUMS)


def _no_bins() -> _Bins:
    return defaultdict(lambda: defaultdict(int))


class Rollups:
    """Differences gathered by one unit, written once per key."""

    def __init__(self) -> None:
        self._sums: defaultdict[_Key, list[int]] = defaultdict(_no_sums)
        self._bins: defaultdict[_Key, _Bins] = defaultdict(_no_bins)
        self._touched: set[int] = set()

    def touch(self, part: Contribution) -> None:
        """What it adds is the same; it may belong to another trigger, machine or branch."""
        self._touched.add(part.at_ms // HOUR_MS)

    def add(self, place: Place, part: Contribution, sign: int) -> None:
        """Add (+1) or take back (-1) one contribution."""
        key = (part.at_ms // HOUR_MS, place)
        sums = self._sums[key]
        for position, value in enumerate(part.sums):
            if value:
                sums[position] += sign * value
        for measure, index in part.bins:
            self._bins[key][measure][index] += sign

    def flush(self, session: Session) -> None:
        """Write what was gathered, for hours and for UTC days."""
        db = session.db
        hours = {hour for hour, _ in self._sums}
        outdated(session, hours)
        cuts.outdated(session, hours | self._touched)
        self._write(db, "hour", self._sums, self._bins)
        days: defaultdict[_Key, list[int]] = defaultdict(_no_sums)
        bins: defaultdict[_Key, _Bins] = defaultdict(_no_bins)
        for (hour, place), values in self._sums.items():
            total = days[hour // (DAY_MS // HOUR_MS), place]
            total[:] = [one + more for one, more in zip(total, values, strict=True)]
        for (hour, place), measures in self._bins.items():
            of_day = bins[hour // (DAY_MS // HOUR_MS), place]
            for measure, counts in measures.items():
                for index, n in counts.items():
                    of_day[measure][index] += n
        self._write(db, "day", days, bins)
        self._sums.clear()
        self._bins.clear()
        self._touched.clear()

    @staticmethod
    def _write(db: Database, table: str, sums: dict[_Key, list[int]], bins: dict[_Key, _Bins]) -> None:
        rows = []
        for key, values in sums.items():
            measures = bins.get(key)
            packed = [pack(measures[name]) if measures and name in measures else None for name in MEASURES]
            if any(values) or any(packed):
                rows.append((key[0], *key[1], *values, *packed))
        if rows:
            head = f"INSERT INTO rollup_{table} (bucket, kind, project, run, job, class, {_COLUMNS})"
            insert(db, head, rows, f"ON CONFLICT DO UPDATE SET {_ADDED}")
