"""What waits for one notifier: in which order it goes, and until when which part of it waits.

Invariant: of one group or alert, nothing goes before what was written earlier. Times are monotonic seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from headgate.core.messages import CallNotifier, Notification, Notifier, content_of
from headgate.core.storeport import OutboxRow

__all__ = ["Aside", "Channel", "notification_of"]

_LONGEST_ASIDE_SECONDS = 3600.0


@dataclass(slots=True)
class Aside:
    """A message that waits by itself until a time, with what follows of its group or alert."""

    ready_at: float = 0.0
    failures: int = 0
    told: str = ""


@dataclass(slots=True, eq=False)
class Channel:
    """Rows of one notifier at hand, oldest first, and until when all of it waits."""

    rows: deque[OutboxRow] = field(default_factory=deque)
    ready_at: float = 0.0
    failures: int = 0
    told: str = ""
    task: asyncio.Task[None] | None = None
    _threads: dict[int, str] = field(default_factory=dict)
    _aside: dict[str, Aside] = field(default_factory=dict)

    def add(self, row: OutboxRow, notifier: Notifier | CallNotifier | None) -> None:
        """Take a row to hand."""
        self._threads[row.id] = _thread_of(row, notifier)
        self.rows.append(row)

    def settled(self, first: OutboxRow, ids: set[int]) -> None:
        """The message of `first` needs no further attempt; `ids`: its rows, at hand or not."""
        self._aside.pop(self._threads[first.id], None)
        self.rows = deque(row for row in self.rows if row.id not in ids)
        for number in ids:
            self._threads.pop(number, None)

    def next(self) -> OutboxRow:
        """The oldest row of those that may go first. There must be rows."""
        return min(self.rows, key=self._row_ready_at) if self._aside else self.rows[0]

    def next_at(self) -> float:
        """When that one may go."""
        return max(self.ready_at, self._row_ready_at(self.next()))

    def after(self, row: OutboxRow) -> Sequence[OutboxRow]:
        """The rows at hand that were written later."""
        return list(self.rows)[self.rows.index(row) + 1 :]

    def set_aside(self, first: OutboxRow, now: float, seconds: float) -> Aside:
        """Let the message of `first` wait by itself: `seconds` the first time, then twice as long each time."""
        aside = self._aside.setdefault(self._threads[first.id], Aside())
        aside.ready_at = now + min(seconds * 2.0**aside.failures, _LONGEST_ASIDE_SECONDS)
        aside.failures += 1
        return aside

    def forget(self) -> None:
        """Wait for nothing any more."""
        self.ready_at, self.failures, self.told = 0.0, 0, ""
        self._aside.clear()

    def _row_ready_at(self, row: OutboxRow) -> float:
        aside = self._aside.get(self._threads[row.id])
        return aside.ready_at if aside else 0.0


def _thread_of(row: OutboxRow, notifier: Notifier | CallNotifier | None) -> str:
    """What a row must stay in order with: a group that goes together, one alert, or nothing but itself."""
    if row.group and (notifier is None or notifier.grouped):
        return row.group
    said = notification_of(row)
    return said.fingerprint if said else row.key


def notification_of(row: OutboxRow) -> Notification | None:
    """The notification of a row; None for a digest and what cannot be read."""
    try:
        content = content_of(row.payload)
    except msgspec.DecodeError:
        return None
    return content if isinstance(content, Notification) else None
