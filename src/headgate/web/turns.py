"""Work that is heavy, a few at once: who comes too late waits, and who would wait too long is sent away.

Invariant: at most `at_once` hold a turn, and at most `waiting` wait for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Busy", "Turns"]


class Busy(Exception):
    """Too many wait already. `retry_seconds`: when it is worth trying again."""

    def __init__(self, detail: str, retry_seconds: int) -> None:
        super().__init__(detail)
        self.retry_seconds = retry_seconds


class Turns:
    """Used from one event loop. `what`: whose turns these are, in the plural, for who is sent away."""

    def __init__(self, what: str, *, at_once: int, waiting: int, retry_seconds: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._what = what
        self._most = waiting
        self._waiting = 0
        self._retry_seconds = retry_seconds

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Raises Busy at once."""
        if self._free.locked() and self._waiting >= self._most:
            detail = f"{self._waiting} {self._what} wait already; try again in {self._retry_seconds} s"
            raise Busy(detail, self._retry_seconds)
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()
