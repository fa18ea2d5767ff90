"""Stores what became of records, for all signals together.

Invariant: an outcome is handed to the store within `delay_seconds` of the first that waits, in the order in which it
happened per signal, and is kept until the store has it. While the store takes none, `blocked` is true and no worker
sends more: a crash repeats at most what was sent within the delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from headgate.core.clock import Clock
from headgate.core.errors import StoreError, StoreFailed
from headgate.core.storeport import Outcomes, Store

__all__ = ["OutcomeSource", "OutcomeWriter"]

_log = structlog.get_logger(__name__)

# Between two tries while the store is full.
_FULL_SECONDS = 1.0


class OutcomeSource(Protocol):
    """A worker, as the writer sees it. Called on the event loop."""

    key: str

    def take_outcomes(self, at_ms: int) -> Sequence[Outcomes]:
        """What is settled and was not taken before."""
        ...

    def outcomes_stored(self) -> None:
        """Everything taken is in the store."""
        ...

    def outcomes_refused(self, error: Exception) -> None:
        """The store will never take them: read the cursor again and go on from there."""
        ...


class OutcomeWriter:
    """Coalesces outcomes over signals and requests into few transactions."""

    def __init__(
        self, store: Store, clock: Clock, *, delay_seconds: float = 0.2, on_unblocked: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._delay = delay_seconds
        self._on_unblocked = on_unblocked
        self._dirty: dict[OutcomeSource, None] = {}
        self._taken: dict[OutcomeSource, list[Outcomes]] = {}
        self._waiting = asyncio.Event()
        self._lock = asyncio.Lock()
        self.blocked = False

    def mark(self, source: OutcomeSource) -> None:
        """The source has outcomes to store."""
        self._dirty[source] = None
        self._waiting.set()

    async def run(self) -> None:
        """Store outcomes until canceled. Raises StoreFailed."""
        while True:
            await self._waiting.wait()
            await asyncio.sleep(_FULL_SECONDS if self.blocked else self._delay)
            await self.flush()

    async def halt(self, running: asyncio.Task[None]) -> None:
        """Cancel the task of `run`, but never while it stores: nobody would know whether the store has it."""
        async with self._lock:
            running.cancel()

    async def flush(self) -> bool:
        """Store everything that waits now. False when the store is full and kept nothing. Raises StoreFailed."""
        async with self._lock:
            self._waiting.clear()
            self._collect()
            if not self._taken:
                return True
            try:
                await self._store.record_outcomes([one for many in self._taken.values() for one in many])
            except StoreFailed:
                raise
            except StoreError as exc:
                self._block(exc)
                return False
            except Exception as exc:  # noqa: BLE001  # one bad unit must not keep the others from being stored
                await self._one_by_one(exc)
            else:
                self._confirm(list(self._taken))
            self._unblock()
            return True

    def _collect(self) -> None:
        dirty, self._dirty = self._dirty, {}
        at_ms = self._clock.now_ms()
        for source in dirty:
            outcomes = source.take_outcomes(at_ms)
            if outcomes:
                self._taken.setdefault(source, []).extend(outcomes)

    def _confirm(self, sources: Sequence[OutcomeSource]) -> None:
        for source in sources:
            del self._taken[source]
            source.outcomes_stored()

    async def _one_by_one(self, first: Exception) -> None:
        """The unit failed as a whole and kept nothing: find out whose outcomes it was."""
        for source, outcomes in list(self._taken.items()):
            error = first
            if len(self._taken) > 1 or len(outcomes) > 1:
                try:
                    await self._store.record_outcomes(outcomes)
                except StoreError:
                    raise
                except Exception as exc:  # noqa: BLE001  # told to its worker below
                    error = exc
                else:
                    self._confirm([source])
                    continue
            del self._taken[source]
            _log.error("the store refuses outcomes", signal=source.key, error=type(error).__name__)
            source.outcomes_refused(error)

    def _block(self, exc: StoreError) -> None:
        if not self.blocked:
            _log.error("outcomes cannot be stored, deliveries wait", error=str(exc))
        self.blocked = True
        self._waiting.set()

    def _unblock(self) -> None:
        if self.blocked:
            self.blocked = False
            _log.info("outcomes are stored again")
            self._on_unblocked()
