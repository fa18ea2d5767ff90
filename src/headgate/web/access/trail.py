"""What of a request is kept in the trail: every change, every read of personal data, every export.

Invariants: nobody has to remember a change: the guard notes what a handler did not. Reading waits for nothing; a change
is in the store before it is answered. An entry names all that a request was answered about. What does not fit is
counted, and that is an entry too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.core.trail import TrailEntry
from headgate.web.asgi import Asking, Scope

__all__ = ["LONGEST", "Note", "Trail", "note", "notes"]

_KEY = "headgate.notes"
# Of what an entry is about; a request that needs more to be noted whole is refused. Numbers of 150 dead letters fit.
LONGEST: Final = 2000
# Entries that differ; the same ones within the same few seconds are one with a count.
_MOST_WAITING = 10_000
_FLUSH_SECONDS = 5.0
_log = structlog.get_logger("headgate.web")


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody did (`acknowledge`, `export`, `read`) and about what. Never a secret, never personal data."""

    action: str
    about: str


def note(request: Asking, action: str, about: str) -> None:
    """Keep in the trail that this request does this; it is written with the status of the answer."""
    noted = request.scope.get(_KEY)
    if isinstance(noted, list):
        noted.append(Note(action, about))


def notes(scope: Scope) -> list[Note]:
    """Begin the notes of a request; the guard alone calls this."""
    made: list[Note] = []
    scope[_KEY] = made
    return made


class Trail:
    """Entries on their way into the store. `append`: keeps them, as `Store.append_trail` does."""

    def __init__(self, append: Callable[[Sequence[TrailEntry]], Awaitable[None]], clock: Clock) -> None:
        self._append = append
        self._clock = clock
        self._waiting: dict[TrailEntry, TrailEntry] = {}
        self._lost = 0
        self._some = asyncio.Event()
        self._one = asyncio.Lock()

    def add(self, entry: TrailEntry) -> None:
        """Keep an entry at the next flush. Does not wait."""
        entry = replace(entry, about=_short(entry.about), who=_short(entry.who))
        same = replace(entry, at_ms=0, times=1)
        known = self._waiting.get(same)
        if known is None and len(self._waiting) >= _MOST_WAITING:
            self._lost += entry.times
        elif known is None:
            self._waiting[same] = entry
        else:
            self._waiting[same] = replace(known, times=known.times + entry.times)
        self._some.set()

    async def flush(self) -> None:
        """Return when all that was added is in the store; where it takes nothing, it is tried again later."""
        async with self._one:
            waiting, lost = self._waiting, self._lost
            self._waiting, self._lost = {}, 0
            self._some.clear()
            entries = list(waiting.values())
            if lost:
                about = "entries that did not fit"
                entries.append(TrailEntry(self._clock.now_ms(), "headgate", "", "", "lost", about, 0, lost))
            if not entries:
                return
            try:
                await self._append(entries)
            except StoreError as exc:
                _log.error("the trail cannot be written; it is tried again", entries=len(entries), error=str(exc))
                for entry in waiting.values():
                    self.add(entry)
                self._lost += lost

    async def run(self) -> None:
        """Flush every few seconds while there is something, and at the end."""
        try:
            while True:
                await self._some.wait()
                await asyncio.sleep(_FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush()


def _short(text: str) -> str:
    plain = "".join(one if one.isprintable() else "?" for one in text)
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
