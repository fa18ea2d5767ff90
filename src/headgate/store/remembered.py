"""What answers have in common, remembered in memory up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Remembered"]

T = TypeVar("T")


class Remembered(Generic[T]):
    """For any thread. What was not asked for longest makes room; `most`: bytes of all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        # What it is, None where it is too large to be kept, and bytes.
        self._known: OrderedDict[object, tuple[T | None, int]] = OrderedDict()
        self._bytes = 0

    def get(self, question: object) -> T | None:
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

    def keep(self, question: object, what: T, *, asked: int, held: int) -> None:
        """Remember it. `asked`, `held`: bytes of the question and of what it is."""
        with self._lock:
            if question in self._known or asked > self._most:
                return
            fits = asked + held <= self._most
            self._known[question] = what if fits else None, asked + held * fits
            self._bytes += asked + held * fits
            while self._bytes > self._most:
                self._bytes -= self._known.popitem(last=False)[1][1]
