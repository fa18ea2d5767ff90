"""Alerts and the outbox in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.core.silences import Silence, history_name
from headgate.core.storeport import AlertChange, AlertRow, OutboxRow
from headgate.store.threads import open_threads

__all__ = ["MemoryAlerts"]


@dataclass(slots=True)
class MemoryAlerts:
    """`gone`: outbox rows that left; they stay so that an equal key is never sent twice. `dead`, `sent`: which, when.

    `memory`: what notifiers remember and since when, by notifier and thread.
    """

    rows: dict[str, AlertRow] = field(default_factory=dict)
    history: list[tuple[str, int, bytes]] = field(default_factory=list)
    outbox: dict[int, OutboxRow] = field(default_factory=dict)
    gone: dict[int, OutboxRow] = field(default_factory=dict)
    dead: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    memory: dict[tuple[str, str], tuple[dict[str, str], int]] = field(default_factory=dict)
    silences: dict[int, Silence] = field(default_factory=dict)

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

    def leave(self, ids: Sequence[int], at_ms: int, error: str | None = None, *, sent: bool = True) -> None:
        """These were accepted, are dead for a reason, or were not sent."""
        for number in ids:
            row = self.outbox.pop(number, None)
            if row is None:
                continue
            self.gone[number] = row if error is None else replace(row, last_error=error)
            if error is not None:
                self.dead[number] = at_ms
            elif sent:
                self.sent[number] = at_ms

    def groups(self, since_ms: int) -> dict[tuple[str, str], int]:
        """When the newest message of each group was or will be sent."""
        found: dict[tuple[str, str], int] = {}
        times = {number: row.due_ms for number, row in self.outbox.items()} | self.sent | self.dead
        for number, at_ms in times.items():
            row = self.outbox.get(number) or self.gone[number]
            if row.group and at_ms >= since_ms:
                place = (row.notifier, row.group)
                found[place] = max(at_ms, found.get(place, 0))
        return found

    def failing(self) -> dict[str, tuple[int, int, str]]:
        """Notifiers that took nothing since their last dead letter."""
        taken: dict[str, int] = {}
        for number, at_ms in self.sent.items():
            name = self.gone[number].notifier
            taken[name] = max(at_ms, taken.get(name, 0))
        found: dict[str, tuple[int, int, str]] = {}
        for number, at_ms in sorted(self.dead.items(), key=lambda one: one[1]):
            row = self.gone[number]
            if at_ms > taken.get(row.notifier, 0):
                since_ms, count, _ = found.get(row.notifier, (at_ms, 0, ""))
                found[row.notifier] = (since_ms, count + 1, row.last_error)
        return found

    def put_silence(self, silence: Silence, line: bytes, at_ms: int) -> int:
        """Insert or replace, with its line of history."""
        number = silence.id or max(self.silences, default=0) + 1
        self.silences[number] = replace(silence, id=number)
        self.history.append((history_name(number), at_ms, line))
        return number

    def forget(self, old: Callable[[OutboxRow], bool]) -> int:
        """Drop rows that left long ago; returns how many."""
        numbers = [number for number, row in self.gone.items() if old(row)]
        for number in numbers:
            for kept in (self.gone, self.dead, self.sent):
                kept.pop(number, None)
        return len(numbers)

    def remember(self, memory: tuple[str, str, Mapping[str, str]], at_ms: int) -> None:
        """What a notifier remembers of a thread from now on; nothing forgets it."""
        notifier, thread, body = memory
        self.memory.pop((notifier, thread), None)
        if body:
            self.memory[notifier, thread] = (dict(body), at_ms)

    def forget_memories(self, before_ms: int) -> int:
        """Drop old ones about alerts that are over, of notifiers that have nothing to send; returns how many."""
        needed = open_threads((row.fingerprint, row.state_json) for row in self.rows.values())
        sending = {row.notifier for row in self.outbox.values()}
        gone = [
            place
            for place, (_, at_ms) in self.memory.items()
            if at_ms < before_ms and place not in needed and place[0] not in sending
        ]
        for place in gone:
            del self.memory[place]
        return len(gone)

    def retry(self, ids: Sequence[int], due_ms: int, error: str) -> None:
        """Try again at a time."""
        for number in ids:
            row = self.outbox.get(number)
            if row is not None:
                self.outbox[number] = replace(row, due_ms=due_ms, attempts=row.attempts + 1, last_error=error)
