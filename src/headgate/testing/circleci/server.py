"""Runs a twin behind a loopback socket.

Invariant: the port is bound before anything is said to be ready.
"""

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from headgate.testing.circleci.app import TwinApp
from headgate.testing.circleci.knobs import Options


class TwinServer(uvicorn.Server):
    """A uvicorn server that says when it listens."""

    def __init__(self, options: Options, port: int, on_ready: Callable[[int], None]) -> None:
        """Bind the port (0 takes a free one) on 127.0.0.1. Raises OSError if it is taken."""
        self.app = TwinApp(options)
        config = uvicorn.Config(
            self.app,
            log_level="critical",
            access_log=False,
            lifespan="on",
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._on_ready = on_ready
        # the protocol is named because asyncio sets TCP_NODELAY only then; without it each answer takes 40 ms
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then tell."""
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready(self.port)

    def run_until_stopped(self) -> None:
        """Serve in this thread, on a loop of its own, until `should_exit` is set or a signal comes."""
        try:
            with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
                runner.run(self.serve(sockets=[self._socket]))
        finally:
            self._socket.close()
