"""The part of the SQLite adapter that alerting and the outbox use. See the port for what each method promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from headgate.core.clock import Clock
from headgate.core.silences import Silence
from headgate.core.storeport import AlertChange, OutboxRow
from headgate.store import alerts, silences
from headgate.store.facts import Facts
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["AlertUnits"]

T = TypeVar("T")


class AlertUnits(ABC):
    """Units of work and questions about alerts; the adapter runs them."""

    _clock: Clock

    @abstractmethod
    async def _unit(self, name: str, unit: Callable[[Session, Facts], T]) -> T: ...

    @abstractmethod
    async def _ask(self, question: Callable[[Database], T]) -> T: ...

    async def transition(self, change: AlertChange) -> None:
        now_ms = self._clock.now_ms()
        await self._unit("transition", lambda session, _: alerts.transition(session, change, now_ms))

    async def outbox_due(self, *, now_ms: int, limit: int) -> Sequence[OutboxRow]:
        return await self._ask(lambda db: alerts.outbox_due(db, now_ms, limit))

    async def outbox_bind(self, row_id: int, *, limit: int) -> Sequence[OutboxRow]:
        return await self._unit("outbox", lambda session, _: alerts.outbox_bind(session, row_id, limit))

    async def outbox_done(
        self, ids: Sequence[int], *, memory: tuple[str, str, Mapping[str, str]] | None = None, sent: bool = True
    ) -> None:
        now_ms = self._clock.now_ms()
        await self._unit("outbox", lambda session, _: alerts.outbox_done(session, ids, memory, now_ms, sent))

    async def outbox_retry(self, ids: Sequence[int], *, due_ms: int, error: str) -> None:
        await self._unit("outbox", lambda session, _: alerts.outbox_retry(session, ids, due_ms, error))

    async def outbox_dead(self, ids: Sequence[int], *, error: str, at_ms: int) -> None:
        await self._unit("outbox", lambda session, _: alerts.outbox_dead(session, ids, error, at_ms))

    async def notifier_memory(self, notifier: str, thread: str) -> Mapping[str, str]:
        return await self._ask(lambda db: alerts.notifier_memory(db, notifier, thread))

    async def notifier_memories(self, notifier: str) -> Mapping[str, Mapping[str, str]]:
        return await self._ask(lambda db: alerts.notifier_memories(db, notifier))

    async def put_silence(self, silence: Silence, line: bytes, *, at_ms: int) -> int:
        return await self._unit("silence", lambda session, _: silences.put_silence(session, silence, line, at_ms))

    async def silences(self) -> Sequence[Silence]:
        return await self._ask(silences.silences)

    async def outbox_groups(self, *, since_ms: int) -> Mapping[tuple[str, str], int]:
        return await self._ask(lambda db: alerts.outbox_groups(db, since_ms))

    async def outbox_failing(self) -> Mapping[str, tuple[int, int, str]]:
        return await self._ask(alerts.outbox_failing)

    async def projects_since(self) -> Mapping[str, int]:
        return await self._ask(alerts.projects_since)
