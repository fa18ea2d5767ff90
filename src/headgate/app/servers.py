"""Listening: sockets bound before anything is announced, and uvicorn on top of them.

Invariant: a port that is announced is bound; a connection that sends nothing, or not HTTP, costs a bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headgate.app.sections import split_address
from headgate.core.errors import ConfigError
from headgate.web.asgi import App, Receive, Scope, Send, answer_json

__all__ = ["Server", "bind", "dispatch", "url_of"]

# A client has this long to send the first bytes of a request.
_SILENCE_SECONDS = 20.0
_MALFORMED = orjson.dumps({"error": "malformed", "detail": "this is not an HTTP request"})


def bind(address: str, key: str) -> socket.socket:
    """A listening socket. Raises ConfigError naming the key when the address cannot be had."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        raise ConfigError(
            f"{key}: cannot listen on {address}: {exc.strerror}; choose another port or stop what uses it"
        ) from exc
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket) -> str:
    """Where to reach a bound socket from this machine."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # names the wildcard, binds nothing
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def dispatch(page: App | None, webhooks: App | None) -> App:
    """One application of both listeners; a part that is not served here answers 404."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        chosen = webhooks if scope["path"].startswith("/webhooks") else page
        if chosen is None:
            await answer_json(send, 404, {"error": "not_found", "detail": "nothing is served here"})
            return
        await chosen(scope, receive, send)

    return app


class _Protocol(HttpToolsProtocol):
    """uvicorn's own, with a JSON answer to what is not HTTP, counted, and an end to silent connections."""

    on_malformed: Callable[[], None]
    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._silence = self.loop.call_later(_SILENCE_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._speaks()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        self._speaks()
        super().on_headers_complete()

    def _speaks(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # ours says it in JSON
        self.on_malformed()
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(_MALFORMED) + _MALFORMED)
        self.transport.close()


class Server:
    """One uvicorn server on one socket, without signal handlers of its own."""

    def __init__(self, app: App, sock: socket.socket, on_malformed: Callable[[], None]) -> None:
        protocol = type("_Counting", (_Protocol,), {"on_malformed": staticmethod(on_malformed)})
        self._sock = sock
        self._server = _Quiet(
            uvicorn.Config(
                app,
                http=protocol,
                loop="none",
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=1,
            )
        )

    @property
    def started(self) -> bool:
        """Whether connections are answered."""
        return self._server.started

    async def serve(self) -> None:
        """Answer until `stop`."""
        await self._server.serve(sockets=[self._sock])

    def stop(self, *, force: bool = False) -> None:
        """Finish requests at work (1 s at most) and return from `serve`; `force` drops them."""
        self._server.should_exit = True
        self._server.force_exit = self._server.force_exit or force


class _Quiet(uvicorn.Server):
    """uvicorn leaves signals to the lifecycle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the lifecycle handles signals."""
        yield
