"""HEAD, answered as GET is: the same status and headers, and no body (RFC 9110 section 9.3.2).

Invariant: an answer without end is over after its headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from headgate.web.asgi import App, Receive, Scope, Send

__all__ = ["answering_head"]


def answering_head(app: App) -> App:
    """An application that knows GET alone, and HEAD with it."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return
        over = asyncio.Event()

        async def gone() -> MutableMapping[str, Any]:
            await over.wait()
            return {"type": "http.disconnect"}

        async def headers_only(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                over.set()
            else:
                await asyncio.sleep(0)  # whoever still writes hears now that nobody listens

        await app({**scope, "method": "GET"}, gone, headers_only)

    return answer
