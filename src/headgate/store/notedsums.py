"""Sums of stretches that are over, remembered in memory: every answer of a window begins with the same ones.

Invariant: what is remembered is of stretches that were noted as whole, and is found by the versions of their notes
(`notes`) alone, so an answer is the same with it and without.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.store.remembered import Remembered

__all__ = ["NotedRow", "NotedRows", "NotedSums"]

# The sums, in the order of `SUMS`, and a sketch of each measure that was asked for.
NotedRow = tuple[tuple[int, ...], tuple[bytes | None, ...]]
# Numbers of the key -> its row.
NotedRows = Mapping[tuple[int | None, ...], NotedRow]
# Bytes: of all, and about as many as a question, a number in it, and a row without its sketches take.
_MOST = 24_000_000
_QUESTION, _NUMBER, _ROW = 1_000, 40, 800


class NotedSums(Remembered[NotedRows]):
    """For any thread."""

    def __init__(self, most: int = _MOST) -> None:
        super().__init__(most)

    def put(self, question: object, rows: NotedRows, *, numbers: int) -> None:
        """Remember it. `numbers`: how many there are in the question."""
        self.keep(question, rows, asked=_QUESTION + _NUMBER * numbers, held=sum(map(_size, rows.values())))


def _size(row: NotedRow) -> int:
    return _ROW + sum(len(sketch) for sketch in row[1] if sketch)
