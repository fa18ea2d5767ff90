"""The few words of ASGI that the bare handlers share. Owns no state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

import orjson

__all__ = ["App", "Asking", "Receive", "Scope", "Send", "answer_json"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Asking(Protocol):
    """What has the scope of a request: one of the framework's, or of a test."""

    @property
    def scope(self) -> Scope:
        """The request, as the server gave it."""
        ...


_JSON = (b"content-type", b"application/json")


async def answer_json(send: Send, status: int, content: Any, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send one whole JSON answer."""
    body = orjson.dumps(content)
    headers = [_JSON, (b"content-length", b"%d" % len(body)), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
