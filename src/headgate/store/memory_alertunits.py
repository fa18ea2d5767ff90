"""The part of the store in memory that the outbox and silences are. See the port for what each method promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from headgate.core.clock import Clock
from headgate.core.silences import Silence
from headgate.core.storeport import OutboxRow
from headgate.store.memory_alerts import MemoryAlerts

__all__ = ["MemoryAlertUnits"]


class MemoryAlertUnits(ABC):
    """What happens to notifications and silences."""

    alerting: MemoryAlerts
    clock: Clock

    @abstractmethod
    def _unit(self) -> None: ...

    async def outbox_due(self, *, now_ms: int, limit: int) -> Sequence[OutboxRow]:
        return self.alerting.due(now_ms, limit)

    async def outbox_bind(self, row_id: int, *, limit: int) -> Sequence[OutboxRow]:
        self._unit()
        return self.alerting.bind(row_id, limit)

    async def outbox_done(
        self, ids: Sequence[int], *, memory: tuple[str, str, Mapping[str, str]] | None = None, sent: bool = True
    ) -> None:
        self._unit()
        self.alerting.leave(ids, self.clock.now_ms(), sent=sent)
        if memory is not None:
            self.alerting.remember(memory, self.clock.now_ms())

    async def outbox_retry(self, ids: Sequence[int], *, due_ms: int, error: str) -> None:
        self._unit()
        self.alerting.retry(ids, due_ms, error)

    async def outbox_dead(self, ids: Sequence[int], *, error: str, at_ms: int) -> None:
        self._unit()
        self.alerting.leave(ids, at_ms, error)

    async def notifier_memory(self, notifier: str, thread: str) -> Mapping[str, str]:
        return self.alerting.memory.get((notifier, thread), ({}, 0))[0]

    async def put_silence(self, silence: Silence, line: bytes, *, at_ms: int) -> int:
        self._unit()
        return self.alerting.put_silence(silence, line, at_ms)

    async def silences(self) -> Sequence[Silence]:
        return [silence for _, silence in sorted(self.alerting.silences.items())]

    async def outbox_groups(self, *, since_ms: int) -> Mapping[tuple[str, str], int]:
        return self.alerting.groups(since_ms)

    async def outbox_failing(self) -> Mapping[str, tuple[int, int, str]]:
        return self.alerting.failing()

    async def notifier_memories(self, notifier: str) -> Mapping[str, Mapping[str, str]]:
        found = sorted(self.alerting.memory.items())
        return {thread: body for (name, thread), (body, _) in found if name == notifier}
