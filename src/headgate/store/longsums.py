"""Sums of long stretches that are over, remembered in memory: every answer of a window begins with the same ones.

Invariant: what is remembered is of stretches that were noted as whole, and is forgotten with the first note that is
taken away (`notes`), so an answer is the same with it and without.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

from headgate.store.sql import Database

__all__ = ["NOTES_TAKEN", "LongRow", "LongRows", "LongSums", "notes_taken"]

# The sums, in the order of `SUMS`, and a sketch of each measure that was asked for.
LongRow = tuple[tuple[int, ...], tuple[bytes | None, ...]]
# Numbers of the key -> its row.
LongRows = Mapping[tuple[int | None, ...], LongRow]
# Counter: how often notes of a day or longer were taken away.
NOTES_TAKEN = "notes:taken"
# Some 1 kB each.
_MOST_ROWS = 12_000


def notes_taken(db: Database) -> int:
    """As of what the connection sees."""
    return db.execute("SELECT n FROM counter WHERE name = ?", (NOTES_TAKEN,)).get or 0


class LongSums:
    """For any thread. `taken`: `notes_taken` of what the asker sees."""

    def __init__(self, most_rows: int = _MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._taken = -1
        self._known: OrderedDict[object, LongRows] = OrderedDict()
        self._rows = 0

    def get(self, taken: int, question: object) -> LongRows | None:
        """What was put, unless a note was taken away since."""
        with self._lock:
            if taken != self._taken or question not in self._known:
                return None
            self._known.move_to_end(question)
            return self._known[question]

    def put(self, taken: int, question: object, rows: LongRows) -> None:
        """Remember it; what was not asked for longest makes room. Somebody who sees an older store changes nothing."""
        with self._lock:
            if taken > self._taken:
                self._known.clear()
                self._taken, self._rows = taken, 0
            if taken < self._taken or question in self._known or len(rows) > self._most_rows:
                return
            self._known[question] = rows
            self._rows += len(rows)
            while self._rows > self._most_rows:
                self._rows -= len(self._known.popitem(last=False)[1])
