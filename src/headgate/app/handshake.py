"""TLS before HTTP: each new connection agrees on it with the certificate that is in force at that moment.

Invariant: whoever does not agree within a few seconds is gone, and there is a bounded number of them; what was agreed
with an older certificate goes on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

__all__ = ["Handshake", "Secured"]

_SECONDS = 10.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Secured:
    """What the connections of one listener have in common. `context` may be replaced at any time.

    `most`: handshakes at once; `on_failed`: called for each that comes to nothing.
    """

    context: ssl.SSLContext
    most: int
    on_failed: Callable[[], None]
    under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self.under_way:
            task.cancel()


class Handshake(asyncio.Protocol):
    """A connection until TLS is agreed; `make` gives the protocol that speaks inside it."""

    def __init__(self, secured: Secured, make: Callable[[], asyncio.Protocol]) -> None:
        self._secured = secured
        self._make = make
        self._early = bytearray()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to agree; until then nothing is read."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is wanted")
        if len(self._secured.under_way) >= self._secured.most:
            self._secured.on_failed()
            transport.abort()
            return
        transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._agree(transport))
        self._secured.under_way.add(task)
        task.add_done_callback(self._secured.under_way.discard)

    def data_received(self, data: bytes) -> None:
        """What came with the last words of the handshake waits for who reads it."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the far side may leave at any time
        """Nobody is left to speak to."""
        self._ended = True

    async def _agree(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            inner = await loop.start_tls(
                transport, self, self._secured.context, server_side=True, ssl_handshake_timeout=_SECONDS
            )
        except (OSError, TimeoutError) as exc:  # every error of TLS is one of these
            self._secured.on_failed()
            _log.debug("no TLS was agreed", reason=str(exc))
            transport.abort()
            return
        if inner is None or self._ended:
            transport.abort()
            return
        protocol = self._make()
        inner.set_protocol(protocol)
        protocol.connection_made(inner)
        if self._early:
            protocol.data_received(bytes(self._early))
            self._early.clear()
