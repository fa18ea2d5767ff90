"""Sums of long stretches that are over, remembered in memory: every answer of a window begins with the same ones.

Invariant: what is remembered is of stretches that were noted as whole, and is forgotten with the first note that is
taken away (`notes`), so an answer is the same with it and without.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

__all__ = ["LongRow", "LongRows", "LongSums"]

# The sums, in the order of `SUMS`, and a sketch of each measure that was asked for.
LongRow = tuple[tuple[int, ...], tuple[bytes | None, ...]]
# Numbers of the key -> its row.
LongRows = Mapping[tuple[int | None, ...], LongRow]
# Bytes: of all, and about as many as a question, a number in it, and a row without its sketches take.
_MOST = 12_000_000
_QUESTION, _NUMBER, _ROW = 1_000, 40, 800


class LongSums:
    """For any thread. `taken`: `notes.notes_taken` of what the asker sees."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken = -1
        # Rows, None where they are too many to be kept, and bytes.
        self._known: OrderedDict[object, tuple[LongRows | None, int]] = OrderedDict()
        self._bytes = 0

    def get(self, taken: int, question: object) -> LongRows | None:
        """What was put, unless a note was taken away since."""
        with self._lock:
            if taken != self._taken or question not in self._known:
                return None
            self._known.move_to_end(question)
            return self._known[question][0]

    def too_large(self, taken: int, question: object) -> bool:
        """Whether what was put was not kept."""
        with self._lock:
            return taken == self._taken and question in self._known and self._known[question][0] is None

    def put(self, taken: int, question: object, rows: LongRows, *, numbers: int) -> None:
        """Remember it; what was not asked for longest makes room. Somebody who sees an older store changes nothing.

        `numbers`: how many there are in the question.
        """
        asked, held = _QUESTION + _NUMBER * numbers, sum(map(_size, rows.values()))
        with self._lock:
            if taken > self._taken:
                self._known.clear()
                self._taken, self._bytes = taken, 0
            if taken < self._taken or question in self._known:
                return
            fits = asked + held <= self._most
            self._known[question] = rows if fits else None, asked + held * fits
            self._bytes += asked + held * fits
            while self._bytes > self._most:
                self._bytes -= self._known.popitem(last=False)[1][1]


def _size(row: LongRow) -> int:
    return _ROW + sum(len(sketch) for sketch in row[1] if sketch)
