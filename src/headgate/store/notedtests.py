"""What came of tests of a project in some time, remembered in memory: most of it is the same from page to page.

Invariant: an answer follows from the stretches and single results that it is made of, and is found by their marks
(`teststretches.Part`) alone, so it is the same with what is remembered and without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from headgate.store.remembered import Remembered
from headgate.store.teststretches import Part

__all__ = ["NotedTests"]

T = TypeVar("T")
# Bytes: of all, and about as many as a question, a test and a mark in it, and a row of an answer take.
_MOST = 24_000_000
_QUESTION, _KEY, _MARK, _ROW = 1_000, 150, 120, 320


class NotedTests(Remembered[Any]):
    """For any thread."""

    def __init__(self, most: int = _MOST) -> None:
        super().__init__(most)

    def of(
        self,
        asked: tuple[object, ...],
        tests: frozenset[bytes | str],
        read: Sequence[Sequence[Part]],
        answer: Callable[[], T],
        rows: Callable[[Any], int],
    ) -> T:
        """The answer to what was asked of some parts of a project, not to be changed.

        `tests`: of which alone, none for all; `rows`: how many are in it.
        """
        marks = [tuple([part.mark for part in parts]) for parts in read]
        if any(None in own for own in marks):
            return answer()
        question = (*asked, tests, *marks)
        known: T | None = self.get(question)
        if known is None:
            known = answer()
            single = sum(len(mark) for own in marks for mark in own if isinstance(mark, bytes))
            size = _QUESTION + sum(_KEY + len(test) for test in tests) + _MARK * sum(map(len, marks)) + single
            self.keep(question, known, asked=size, held=_ROW * rows(known))
        return known
