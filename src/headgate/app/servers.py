"""Listening: sockets bound before anything is announced, and uvicorn on top of them.

Invariant: a port that is announced is bound; a connection that sends nothing, slowly, or not HTTP, or that does not
read its answer, costs a bounded time, and there is a bounded number of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from headgate.app.handshake import Handshakes
from headgate.app.sections import split_address
from headgate.core.errors import ConfigError
from headgate.web.asgi import App, Receive, Scope, Send, answer_json

__all__ = ["Listener", "Server", "bind", "dispatch", "most_connections", "url_of"]

_Phase = Literal["silent", "head", "body", "answering", "reading", "idle", "closing"]
# Seconds that a connection may stay in one phase. Answering is ours alone; the receiver ends a webhook's body earlier.
_PATIENCE: Mapping[_Phase, float] = {"silent": 20, "head": 20, "body": 30, "reading": 30, "idle": 75, "closing": 5}
# While most connections are taken, those that do nothing make room.
_CROWDED: Mapping[_Phase, float] = {"silent": 2, "head": 5, "body": 10, "reading": 10, "idle": 2, "closing": 1}
_CROWDED_SHARE = 0.75
_MOST_CONNECTIONS = 4096
# Senders have a few hundred bytes of headers; more than this is no webhook.
_MOST_HEAD_BYTES = 65_536
_TICKS_A_SECOND = 10  # how often uvicorn's main loop calls on_tick


def _plain(status: bytes, reason: str, detail: str) -> bytes:
    """A whole answer that ends its connection."""
    body = orjson.dumps({"error": reason, "detail": detail})
    retry = b"retry-after: 5\r\n" if status.startswith(b"503") else b""
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\n%s" % (status, retry)
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


_MALFORMED = _plain(b"400 Bad Request", "malformed", "this is not an HTTP request")
_SLOW = _plain(b"408 Request Timeout", "slow_head", "the request took too long to arrive")
_LARGE = _plain(b"431 Request Header Fields Too Large", "large_head", "the headers are longer than a webhook's may be")
_FULL = _plain(b"503 Service Unavailable", "full", "too many connections at once")


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


def url_of(sock: socket.socket, *, secure: bool = False) -> str:
    """Where to reach a bound socket from this machine. `secure`: over TLS."""
    scheme = "https" if secure else "http"
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # names the wildcard, binds nothing
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
    """uvicorn's own, with JSON answers to what is not HTTP, bounds on headers and connections, and all of it counted.

    What a connection is busy with is read off by the sweep once a second, so that a request pays for none of it.
    """

    listener: Listener
    _head_bytes = 0
    _seen: tuple[_Phase, object] = ("silent", None)
    _since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        if len(self.connections) >= self.listener.most:
            self.transport = transport
            self._end(_FULL, "full")
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if getattr(self.cycle, "scope", None) is self.scope:
            self._head_bytes = 0
        else:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES and not self.transport.is_closing():
                self._end(_LARGE, "large_head")

    def on_response_complete(self) -> None:
        """As uvicorn's, without its timer for each request: the sweep ends what waits too long for the next one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # ours says it in JSON
        self.listener.on_malformed()
        self.transport.write(_MALFORMED)
        self.transport.close()

    def _end(self, answer: bytes, reason: str) -> None:
        self.listener.on_ended(reason)
        self.transport.write(answer)
        self.transport.close()

    def _phase(self) -> _Phase:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if self.transport.is_closing():
            return "closing"
        if cycle is None or cycle.scope is not self.scope:
            return "silent" if cast("object | None", self.scope) is None else "head"
        if cycle.more_body:
            return "body"
        if self.flow.write_paused:
            return "reading"
        return "idle" if cycle.response_complete else "answering"

    def sweep(self, now: float, patience: Mapping[_Phase, float]) -> None:
        """End the connection when it has been in one phase of one request for too long. `now`: the loop's time."""
        phase = self._phase()
        before, scope = self._seen
        if self._since is None or phase != before or scope is not self.scope:
            self._seen, self._since = (phase, self.scope), now
        elif now - self._since >= patience.get(phase, math.inf):
            self._give_up(phase)

    def _give_up(self, phase: _Phase) -> None:
        if phase == "head" and getattr(self.cycle, "response_complete", True):
            self._end(_SLOW, "slow_head")
        elif phase in ("closing", "reading"):
            self.listener.on_ended("slow_reader")
            self.transport.abort()
        else:
            if phase != "idle":
                self.listener.on_ended(f"slow_{phase}" if phase != "silent" else phase)
            self.transport.close()


@dataclass(frozen=True, slots=True)
class Listener:
    """What the connections of one socket have in common.

    `on_malformed`: called for each that does not speak HTTP. `on_ended`: called with the reason for each that is
    refused or ended: full, silent, slow_head, large_head, slow_body, slow_reader, tls. `most`: connections at once.
    """

    on_malformed: Callable[[], None]
    on_ended: Callable[[str], None]
    most: int


def most_connections() -> int:
    """How many connections one listener may have; raises this process's soft limit of open files for them if it can.

    Two listeners leave half of the files to the store, the sinks and the sources.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * _MOST_CONNECTIONS
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, soft // 4)


class Server:
    """One uvicorn server on one socket, without signal handlers of its own. `context`: it speaks TLS with that."""

    def __init__(
        self, app: App, sock: socket.socket, listener: Listener, context: ssl.SSLContext | None = None
    ) -> None:
        protocol = type("_Listening", (_Protocol,), {"listener": listener})
        self._handshakes: Handshakes | None = None
        if context is not None:
            self._handshakes = Handshakes(context, listener.most // 4, lambda: listener.on_ended("tls"))
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
                timeout_graceful_shutdown=1,
            ),
            listener.most,
            self._handshakes,
        )

    @property
    def started(self) -> bool:
        """Whether connections are answered."""
        return self._server.started

    async def serve(self) -> None:
        """Answer until `stop`."""
        await self._server.serve(sockets=[self._sock])

    def secure_with(self, context: ssl.SSLContext) -> None:
        """Agree on TLS with this from now on, where TLS is spoken."""
        if self._handshakes is not None:
            self._handshakes.context = context

    def sweep(self, now: float) -> None:
        """End every connection that has taken too long; runs once a second by itself. `now`: the loop's time."""
        self._server.sweep(now)

    def stop(self, *, force: bool = False) -> None:
        """Finish requests at work (1 s at most) and return from `serve`; `force` drops them."""
        self._server.should_exit = True
        self._server.force_exit = self._server.force_exit or force


class _Quiet(uvicorn.Server):
    """uvicorn that leaves signals to the lifecycle and looks over its connections once a second.

    `handshakes`: it takes its connections through them, where there are any.
    """

    def __init__(self, config: uvicorn.Config, most: int, handshakes: Handshakes | None) -> None:
        super().__init__(config)
        self._most = most
        self._handshakes = handshakes
        self._accepting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        if self._handshakes is None or sockets is None:
            await super().startup(sockets)
            return
        await super().startup([])
        [listener] = sockets
        self._accepting = asyncio.get_running_loop().create_task(self._handshakes.accept(listener, self._protocol))

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes for each connection."""
        return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls it
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and end those that are there."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second. Raises what ended the taking of connections."""
        if self._accepting is not None and self._accepting.done():
            self._accepting.result()
        if counter % _TICKS_A_SECOND == 0:
            self.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def sweep(self, now: float) -> None:
        """One look at each connection."""
        connections = self.server_state.connections
        patience = _CROWDED if len(connections) > self._most * _CROWDED_SHARE else _PATIENCE
        for connection in tuple(connections):
            if isinstance(connection, _Protocol):
                connection.sweep(now, patience)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the lifecycle handles signals."""
        yield
