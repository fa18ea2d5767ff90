"""TLS before HTTP: each new connection agrees on it with the certificate that is in force at that moment.

Invariant: whoever does not agree within a few seconds is gone, and there is a bounded number of them; what was agreed
with an older certificate goes on.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

__all__ = ["Handshakes"]

_SECONDS = 10.0
# Files are short; those who wait in the listener's queue lose nothing.
_PAUSE_SECONDS = 1.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Handshakes:
    """Those of one listener. `context` may be replaced at any time.

    `most`: at once; `on_failed`: called for each that comes to nothing.
    """

    context: ssl.SSLContext
    most: int
    on_failed: Callable[[], None]
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, listener: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        """Take connections until cancelled; `make` gives the protocol that speaks inside each."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError as exc:  # the far side has left already, or there are no more files
                    _log.warning("no connection can be taken", error=str(exc))
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                if len(self._under_way) >= self.most:
                    self.on_failed()
                    connection.close()
                    continue
                task = loop.create_task(self._agree(connection, make))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        finally:
            for task in self._under_way:
                task.cancel()

    async def _agree(self, connection: socket.socket, make: Callable[[], asyncio.Protocol]) -> None:
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make, connection, ssl=self.context, ssl_handshake_timeout=_SECONDS
            )
        except (OSError, TimeoutError) as exc:  # every error of TLS is one of these
            self.on_failed()
            _log.debug("no TLS was agreed", reason=str(exc))
