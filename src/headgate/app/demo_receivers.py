"""Who listens to the daemon of the demo: a pager that is told of alerts, and a board of releases.

The board does not know one environment, so there are dead letters to see.

Invariant: the board refuses a release that is alone at most once, so that what is sent again from the dead letters is
taken.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

__all__ = ["Receivers"]

# The environment that the board has not heard of, and how many of its releases it refuses.
_REFUSED = "registry"
_REFUSALS = 3
_ANSWERS = {200: b"HTTP/1.1 200 OK", 400: b"HTTP/1.1 400 Bad Request"}


class Receivers:
    """Both at one address. `told`: state and summary of each alert; `lost`: a connection ended too early."""

    def __init__(self, host: str, told: Callable[[str, str], None], lost: Callable[[], None]) -> None:
        self._host, self._told, self._lost = host, told, lost
        self._refused: set[str] = set()

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[int]:
        """Listen; the port."""
        server = await asyncio.start_server(self._answer, self._host, 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                path, body = await _request(reader.readuntil, reader.readexactly)
                status, words = self._board(body) if path == "/board" else self._pager(body)
                length = f"content-length: {len(words)}\r\nconnection: close\r\n\r\n".encode()
                writer.write(_ANSWERS[status] + b"\r\n" + length + words)
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            self._lost()
        finally:
            writer.close()

    def _pager(self, message: Mapping[str, Any]) -> tuple[int, bytes]:
        for alert in message["alerts"]:
            self._told(alert["status"], alert["annotations"].get("summary", alert["labels"]["alertname"]))
        return 200, b"ok"

    def _board(self, records: Sequence[Mapping[str, Any]]) -> tuple[int, bytes]:
        """All are taken or none, so that the one that is at fault has to be found."""
        strange = {one["id"] for one in records if one["attributes"]["deployment.environment.name"] == _REFUSED}
        if len(self._refused) >= _REFUSALS or strange <= self._refused:
            return 200, b"ok"
        if len(records) == 1:
            self._refused |= strange
        return 400, f"unknown environment {_REFUSED!r}".encode()


async def _request(
    until: Callable[[bytes], Awaitable[bytes]], exactly: Callable[[int], Awaitable[bytes]]
) -> tuple[str, Any]:
    """Path and JSON body."""
    lines = (await until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
    return lines[0].split(" ")[1], orjson.loads(await exactly(length))
