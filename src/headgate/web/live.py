"""`/api/v1/live`: what happens, told to those who listen as it happens (server-sent events).

Source: WHATWG HTML, section 9.2 "Server-sent events", read November 2026.

Invariant: however many listen, the store is looked at once a second, and not at all while nobody does; what waits to be
told takes a bounded room, and who reads too slowly is told that something was missed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from headgate.core.errors import StoreError
from headgate.insights.views.changes import EVENTS, Moment, changes, read_moment
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.live import Now
from headgate.insights.views.moment import Usual, now_of
from headgate.web.asgi import Receive, Scope, Send
from headgate.web.problems import problem

__all__ = ["Feed", "add_live"]

_EVERY_SECONDS = 1.0
# Proxies end connections that are silent for longer, most of them after a minute.
_HEARTBEAT_SECONDS = 15.0
# A stream ends now and then, so that a client whose rights were taken away does not listen for ever.
_LONGEST_SECONDS = 900.0
# For so long after the last client has gone a new one can go on where that one was.
_LINGER_SECONDS = 60.0
_KEPT = 1000
_MOST_CLIENTS = 100
_RETRY_MS = 3000


@dataclass(frozen=True, slots=True)
class _Told:
    number: int
    text: bytes


class Feed:
    """What happens, shared by everybody who listens. `lens`: makes what is looked through, of this moment.

    For one event loop. `every`: seconds between two looks; `most`: clients at once.
    """

    def __init__(
        self, lens: Callable[[], Lens], *, every: float = _EVERY_SECONDS, most: int = _MOST_CLIENTS, kept: int = _KEPT
    ) -> None:
        self._lens, self._every, self._most = lens, every, most
        self._looking = asyncio.Lock()
        self._closed = asyncio.Event()
        self._moment: Moment | None = None
        self._looked = 0.0
        self._filtered: dict[Filters, Now] = {}
        self._born = ""
        self._head = 0
        self._told: deque[_Told] = deque(maxlen=kept)
        self.clients = 0

    def close(self) -> None:
        """End every stream now, and take no more."""
        self._closed.set()

    def join(self) -> bool:
        """Take a client, which must `leave` in the end; False where there are too many, or at the end."""
        if self._closed.is_set() or self.clients >= self._most:
            return False
        self.clients += 1
        return True

    def leave(self) -> None:
        """A client has gone."""
        self.clients -= 1

    async def now(self, filters: Filters) -> Now:
        """What goes on of what filters take, at most one look old. Raises StoreError."""
        seen = await self._look()
        if filters == Filters():
            return seen.now
        async with self._looking:
            if filters not in self._filtered:
                self._filtered[filters], _ = await now_of(self._lens(), filters, known=seen.usual)
            return self._filtered[filters]

    async def _look(self) -> Moment:
        """Look at the store, unless somebody just has."""
        async with self._looking:
            at, known = asyncio.get_running_loop().time(), self._moment
            if known is not None and at - self._looked < self._every:
                return known
            lens = self._lens()
            fresh = await read_moment(lens, known.usual if known else Usual())
            if known is None or at - self._looked > _LINGER_SECONDS:
                self._told.clear()
                self._born, self._head = f"{lens.now_ms:x}", 0
            else:
                for change in changes(known, fresh):
                    self._tell(change.event, change.data)
            self._moment, self._looked, self._filtered = fresh, at, {}
            return fresh

    def _tell(self, event: str, data: Any) -> None:
        self._head += 1
        self._told.append(_Told(self._head, self._event(event, data, self._head)))

    def _event(self, event: str, data: Any, number: int) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._born.encode(), number, event.encode(), orjson.dumps(data))

    def _place(self, after: str) -> int | None:
        """The number after which a client goes on; None where that is not known any more."""
        born, _, number = after.rpartition("-")
        known = born == self._born and number.isascii() and number.isdigit() and len(number) < 16
        return int(number) if known and self._oldest <= int(number) <= self._head else None

    @property
    def _oldest(self) -> int:
        """After it nothing was forgotten."""
        return self._head - len(self._told)

    async def stream(self, after: str) -> AsyncIterator[bytes]:
        """What happens from now on, or after the id of an event; ends at `close`, or when the store fails."""
        loop = asyncio.get_running_loop()
        begun = spoken = loop.time()
        yield b"retry: %d\n\n" % _RETRY_MS
        try:
            await self._look()
            born, place = self._born, self._place(after)
            greeting = "missed" if after and place is None else "ready"
            place = self._head if place is None else place
            yield self._event(greeting, {}, place)
            while not self._closed.is_set() and loop.time() - begun < _LONGEST_SECONDS:
                fresh, born, place = self._since(born, place), self._born, self._head
                for text in fresh:
                    spoken = loop.time()
                    yield text  # while this waits, more may happen: it is told in the next round
                if loop.time() - spoken >= _HEARTBEAT_SECONDS:
                    spoken = loop.time()
                    yield b": nothing happens\n\n"
                await self._pause()
                await self._look()
        except StoreError as exc:
            yield b": %s\n\n" % " ".join(str(exc).split()).encode()

    def _since(self, born: str, place: int) -> list[bytes]:
        """Everything after a place; that something was missed, where it was forgotten meanwhile."""
        if born != self._born or place < self._oldest:
            return [self._event("missed", {}, self._head)]
        return [one.text for one in self._told if one.number > place]

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._every):
                await self._closed.wait()
        except TimeoutError:
            return


class _Stream(StreamingResponse):
    """The answer to one client, who is gone when it has ended, however it did."""

    def __init__(self, feed: Feed, after: str) -> None:
        super().__init__(feed.stream(after), media_type="text/event-stream", headers=_HEADERS)
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave()


# nginx would otherwise wait for more to send at once.
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_WORDS = "\n".join(f"- `{name}`: {words}" for name, words in EVENTS.items())
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events without end.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
}


def add_live(app: FastAPI, feed: Feed) -> None:
    """Serve the feed."""

    @app.get(
        "/api/v1/live",
        response_class=StreamingResponse,
        responses=_RESPONSES,
        tags=["live"],
        description="What happens, as server-sent events with JSON data:\n\n"
        + _WORDS
        + "\n\n`ready` comes first; `missed` instead"
        " where `Last-Event-ID` is not known any more, and where a client was too slow: read everything again.",
    )
    async def live(request: Request) -> Response:
        if not feed.join():
            full = problem(503, "busy", "Not now", "too many listen, or Headgate stops; ask for the figures instead")
            full.headers["retry-after"] = "30"
            return full
        return _Stream(feed, request.headers.get("last-event-id", ""))
