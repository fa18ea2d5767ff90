"""A few read-only connections, each used by one thread at a time. They see committed state and never checkpoint."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headgate.core.errors import StoreError
from headgate.store.sql import Database

__all__ = ["Readers"]

T = TypeVar("T")


class Readers:
    """Runs questions on threads, each in one short transaction. Closed ones raise StoreError."""

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
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, question)

    def _run(self, question: Callable[[Database], T]) -> T:
        db = self._free.get()
        try:
            db.execute("BEGIN")
            try:
                return question(db)
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        finally:
            self._free.put(db)

    def close(self) -> None:
        """Wait for the questions under way and close the connections. Safe twice."""
        self._closed = True
        self._threads.shutdown(wait=True)
        for db in self._all:
            db.close()
