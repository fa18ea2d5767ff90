"""The few words of ASGI that the bare handlers share. Owns no state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

__all__ = ["App", "Receive", "Scope", "Send", "answer_json", "start_message"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = (b"content-type", b"application/json")


def start_message(status: int, length: int, extra: tuple[tuple[bytes, bytes], ...] = ()) -> dict[str, Any]:
    """The opening message of a JSON answer of `length` bytes."""
    headers = [_JSON, (b"content-length", b"%d" % length), *extra]
    return {"type": "http.response.start", "status": status, "headers": headers}


async def answer_json(send: Send, status: int, content: Any, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    """Send one whole JSON answer."""
    body = orjson.dumps(content)
    await send(start_message(status, len(body), extra))
    await send({"type": "http.response.body", "body": body})
