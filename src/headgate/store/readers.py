"""A few read-only connections, each used by one thread at a time. They see committed state and never checkpoint."""

from __future__ import annotations

import asyncio
import math
import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apsw

from headgate.core.errors import StoreError, TookTooLong
from headgate.core.patience import until
from headgate.store.sql import Database

__all__ = ["Readers"]

T = TypeVar("T")
# Steps of SQLite's machine between two looks at the time: a millisecond or two.
_STEPS = 100_000


class Readers:
    """Runs questions on threads, each in one short transaction. Closed ones raise StoreError.

    One for which nobody waits any more (`core.patience`) is ended, and raises TookTooLong: few threads read for all.
    """

    def __init__(self, connect: Callable[[], Database], size: int = 3) -> None:
        self._free: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._all = [connect() for _ in range(size)]
        for db in self._all:
            self._free.put(db)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="headgate-read")
        self._closed = False

    async def ask(self, question: Callable[[Database], T]) -> T:
        """The answer of `question`, which gets a connection inside a read transaction."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, question, until())

    def _run(self, question: Callable[[Database], T], until_s: float) -> T:
        db = self._free.get()
        try:
            if until_s == math.inf:
                return self._answer(db, question)
            db.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS)
            try:
                if time.monotonic() > until_s:
                    raise TookTooLong("the question took too long to read")
                return self._answer(db, question)
            except apsw.InterruptError as exc:
                raise TookTooLong("the question took too long to read") from exc
            finally:
                db.set_progress_handler(None)
        finally:
            self._free.put(db)

    @staticmethod
    def _answer(db: Database, question: Callable[[Database], T]) -> T:
        db.execute("BEGIN")
        try:
            return question(db)
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def close(self) -> None:
        """Wait for the questions under way and close the connections. Safe twice."""
        self._closed = True
        self._threads.shutdown(wait=True)
        for db in self._all:
            db.close()
