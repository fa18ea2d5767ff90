"""Which stretches of time are added up, whole or in part; what a fact changes in is no longer noted.

Invariant: a note goes in the transaction of the change that it does not hold for, so a stretch that is noted as whole
is the sum of its facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from headgate.store.sql import Database

__all__ = ["NOTES_PUT", "WHOLE", "Noted", "Notes", "Place", "whole"]

# Length in hours, and which one since the epoch.
Place = tuple[int, int]
Table = Literal["span_built", "cut_built"]
# As the highest project in it: all of them are.
WHOLE = (1 << 63) - 1
# Counter: how often a note was put, which is the version of the last one.
NOTES_PUT = "notes:put"


class Notes:
    """Owned by the writer's thread: the notes of one table, remembered. `version`: gives one that no note had."""

    def __init__(self, db: Database, table: Table, version: Callable[[], int]) -> None:
        self._db = db
        self._table = table
        self._version = version
        self._read: dict[Place, int] | None = None

    def load(self) -> None:
        """Read them again when asked for: whoever only looks whether a store is sound may find an older one."""
        self._read = None

    @property
    def _upto(self) -> dict[Place, int]:
        if self._read is None:
            rows = self._db.execute(f"SELECT hours, bucket, upto FROM {self._table}")
            self._read = {(hours, bucket): upto for hours, bucket, upto in rows}
        return self._read

    def put(self, place: Place, upto: int) -> None:
        """Projects with a number up to this are in it."""
        self._upto[place] = upto
        self._db.execute(f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?, ?, ?)", (*place, upto, self._version()))

    def outdated(self, hours: Iterable[int], lengths: Iterable[int]) -> None:
        """Facts changed that ended in these hours since the epoch."""
        for hour in hours:
            for length in lengths:
                place = (length, hour // length)
                if self._upto.pop(place, None) is not None:
                    self._db.execute(f"DELETE FROM {self._table} WHERE hours = ? AND bucket = ?", place)

    def drop_before(self, length: int, bucket: int) -> None:
        """Stretches of a length before one are no more."""
        gone = [place for place in self._upto if place[0] == length and place[1] < bucket]
        for place in gone:
            del self._upto[place]
        if gone:
            self._db.execute(f"DELETE FROM {self._table} WHERE hours = ? AND bucket < ?", (length, bucket))

    def clear(self) -> None:
        """Nothing that was added up holds any more."""
        self._read = {}
        self._db.execute(f"DELETE FROM {self._table}")

    def missing(self, length: int, buckets: Iterable[int]) -> tuple[int, int] | None:
        """The first of these that is not whole, and up to which project it is; None where all are."""
        for bucket in buckets:
            upto = self._upto.get((length, bucket), 0)
            if upto != WHOLE:
                return bucket, upto
        return None


class Noted:
    """Numbers of the stretches of one length that are whole, looked up one by one: most answers need few of many."""

    def __init__(self, db: Database, table: Table, length: int) -> None:
        self._db = db
        self._statement = f"SELECT version FROM {table} WHERE hours = {length} AND bucket = ? AND upto = {WHOLE}"
        self._known: dict[object, int | None] = {}

    def version(self, bucket: object) -> int | None:
        """Of its note: as long as it is the same, so are its sums. None where it is not whole."""
        if bucket not in self._known:
            self._known[bucket] = self._db.execute(self._statement, (bucket,)).get
        return self._known[bucket]

    def __contains__(self, bucket: object) -> bool:
        return self.version(bucket) is not None


def whole(db: Database, table: Table, lengths: Iterable[int]) -> Mapping[int, Noted]:
    """Length in hours -> numbers of the stretches that are whole."""
    return {length: Noted(db, table, length) for length in lengths}
