"""Alerts and the outbox in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from headgate.core.storeport import AlertChange, AlertRow, OutboxRow

__all__ = ["MemoryAlerts"]


@dataclass(slots=True)
class MemoryAlerts:
    """`gone`: outbox rows that were accepted or are dead; they stay so that an equal key is never sent twice.

    `memory`: what notifiers remember, by notifier and thread.
    """

    rows: dict[str, AlertRow] = field(default_factory=dict)
    history: list[tuple[str, int, bytes]] = field(default_factory=list)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    gone: dict[int, OutboxRow] = field(default_factory=dict)
    memory: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def transition(self, change: AlertChange, now_ms: int) -> None:
        """Alert state, history and outbox rows."""
        self.rows |= {row.fingerprint: row for row in change.rows}
        for fingerprint in change.removed:
            self.rows.pop(fingerprint, None)
        self.history += change.history
        known = {(row.notifier, row.key) for row in (*self.outbox.values(), *self.gone.values())}
        for one in change.outbox:
            if (one.notifier, one.key) not in known:
                known.add((one.notifier, one.key))
                number = len(self.outbox) + len(self.gone) + 1
                self.outbox[number] = OutboxRow(
                    number, one.notifier, one.key, one.payload, now_ms, one.due_ms, group=one.group
                )

    def due(self, now_ms: int, limit: int) -> list[OutboxRow]:
        """Notifications whose next attempt is due."""
        found = [row for row in self.outbox.values() if row.due_ms <= now_ms]
        return sorted(found, key=lambda row: (row.due_ms, row.id))[:limit]

    def bind(self, number: int, limit: int) -> list[OutboxRow]:
        """The rows of one message, bound to each other."""
        first = self.outbox.get(number)
        if first is None or not first.group:
            return [] if first is None else [first]
        if first.batch is None:
            others = [
                row.id
                for row in self.outbox.values()
                if (row.notifier, row.group, row.batch) == (first.notifier, first.group, None) and row.id != number
            ]
            for one in (number, *sorted(others)[: limit - 1]):
                self.outbox[one] = replace(self.outbox[one], batch=number)
        leader = number if first.batch is None else first.batch
        return sorted((row for row in self.outbox.values() if row.batch == leader), key=lambda row: row.id)

    def leave(self, ids: Sequence[int], error: str | None = None) -> None:
        """These were accepted, or are dead for a reason."""
        for number in ids:
            row = self.outbox.pop(number, None)
            if row is not None:
                self.gone[number] = row if error is None else replace(row, last_error=error)

    def retry(self, ids: Sequence[int], due_ms: int, error: str) -> None:
        """Try again at a time."""
        for number in ids:
            row = self.outbox.get(number)
            if row is not None:
                self.outbox[number] = replace(row, due_ms=due_ms, attempts=row.attempts + 1, last_error=error)
