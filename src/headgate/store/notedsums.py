"""Sums of stretches that are over, remembered in memory: every answer of a window begins with the same ones.

Invariant: what is remembered is of stretches that were noted as whole, and is found by the versions of their notes
(`notes`) alone, so an answer is the same with it and without.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

__all__ = ["NotedRow", "NotedRows", "NotedSums"]

# The sums, in the order of `SUMS`, and a sketch of each measure that was asked for.
NotedRow = tuple[tuple[int, ...], tuple[bytes | None, ...]]
# Numbers of the key -> its row.
NotedRows = Mapping[tuple[int | None, ...], NotedRow]
# Bytes: of all, and about as many as a question, a number in it, and a row without its sketches take.
_MOST = 24_000_000
_QUESTION, _NUMBER, _ROW = 1_000, 40, 800


class NotedSums:
    """For any thread."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        # Rows, None where they are too many to be kept, and bytes.
        self._known: OrderedDict[object, tuple[NotedRows | None, int]] = OrderedDict()
        self._bytes = 0

    def get(self, question: object) -> NotedRows | None:
        """What was put, unless it had to make room."""
        with self._lock:
            if question not in self._known:
                return None
            self._known.move_to_end(question)
            return self._known[question][0]

    def too_large(self, question: object) -> bool:
        """Whether what was put was not kept."""
        with self._lock:
            return question in self._known and self._known[question][0] is None

    def put(self, question: object, rows: NotedRows, *, numbers: int) -> None:
        """Remember it; what was not asked for longest makes room. `numbers`: how many there are in the question."""
        asked, held = _QUESTION + _NUMBER * numbers, sum(map(_size, rows.values()))
        with self._lock:
            if question in self._known:
                return
            fits = asked + held <= self._most
            self._known[question] = rows if fits else None, asked + held * fits
            self._bytes += asked + held * fits
            while self._bytes > self._most:
                self._bytes -= self._known.popitem(last=False)[1][1]


def _size(row: NotedRow) -> int:
    return _ROW + sum(len(sketch) for sketch in row[1] if sketch)
