"""How long the body of a request may be, whoever reads it; forms and deployments have lower bounds of their own.

Invariant: what arrives beyond the bound is neither kept nor read on.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from starlette.exceptions import HTTPException

from headgate.web.asgi import Receive

__all__ = ["MOST_BYTES", "TooLong", "bounded"]

# Ten thousand numbers of dead letters are a fifth of it.
MOST_BYTES: Final = 1_048_576


class TooLong(HTTPException):
    """The body is longer; raised where it is read. Of the framework's own kind, since it lets nothing else through."""

    def __init__(self) -> None:
        super().__init__(413, "The body is too long", {"Connection": "close"})


def bounded(receive: Receive) -> Receive:
    """What a request is received by, counted. Raises TooLong beyond the bound."""
    size = 0

    async def counted() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            raise TooLong
        return message

    return counted
