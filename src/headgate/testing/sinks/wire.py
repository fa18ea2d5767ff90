"""A small HTTP/1.1 server that can also misbehave on purpose.

Owns sockets, framing and timing; knows no vendor. Invariant: answers leave a connection in the order in
which its requests came, and a connection that was cut or left hanging gets no further byte.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote

import httptools

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, BaseTransport, Transport

CHUNK_BYTES = 7  # small and odd, so that even a short answer is cut inside its tokens
MAX_WIRE_BYTES = 512 * 1024 * 1024  # protects the test machine; vendors' own limits are far lower


class Fault(Enum):
    """What the server does with a finished answer instead of plainly sending it."""

    NONE = "none"
    CUT = "cut"  # close without a byte of answer
    CUT_ANSWER = "cut_answer"  # send half of the answer, then close
    HANG = "hang"  # keep the connection open and never answer
    CHUNKED = "chunked"  # send the whole answer in chunks of a few bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came off the wire.

    `path` is decoded and without the query; `headers` have lower-case names, the last of equal names wins;
    `body` is as sent, still compressed, with chunked framing removed.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: status, headers with lower-case names (framing is added), body; and how to send it.

    `delay_seconds` passes before the first byte. `fault` is carried out after that.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    fault: Fault = Fault.NONE


Handler = Callable[[Request], Reply]
"""Answers one request; called on the event loop, must not block."""


def reason_phrase(status: int) -> str:
    """Return the standard phrase of a status, or `Unknown` for private ones such as Loki's 260."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def render(reply: Reply, *, keep_alive: bool, head: bool = False) -> bytes:
    """Return the bytes of an answer; `head` leaves the body out but states its length."""
    lines = [f"HTTP/1.1 {reply.status} {reason_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    chunked = reply.fault is Fault.CHUNKED
    if chunked:
        lines.append("transfer-encoding: chunked")
    elif reply.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        lines.append(f"content-length: {len(reply.body)}")
    if not keep_alive:
        lines.append("connection: close")
    start = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if head or reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return start
    return start + (_chunks(reply.body) if chunked else reply.body)


def _chunks(body: bytes) -> bytes:
    parts = [body[i : i + CHUNK_BYTES] for i in range(0, len(body), CHUNK_BYTES)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class HttpProtocol(asyncio.Protocol):
    """One connection: parses requests, asks the handler one at a time, writes answers in order."""

    def __init__(self, handler: Handler, loop: AbstractEventLoop, peers: set[HttpProtocol]) -> None:
        self._handler = handler
        self._loop = loop
        self._peers = peers
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0

    def connection_made(self, transport: BaseTransport) -> None:
        """Keep the transport and switch Nagle's algorithm off, without which 100 kB bodies crawl."""
        self._transport = cast("Transport", transport)  # uvloop's is no subclass of asyncio's
        self._peers.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget what was still to be answered."""
        self._peers.discard(self)
        self._waiting.clear()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; broken framing gets a 400 and the end of the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a mistake of the fake itself: the loop logs it and closes the connection
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        """Start a new request."""
        self._url, self._headers, self._body, self._size = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Tell a waiting client to go on sending its body."""
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Collect a piece of the body."""
        self._size += len(body)
        if self._size > MAX_WIRE_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Queue the finished request."""
        try:
            url = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        query = (url.query or b"").decode("latin-1")
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=unquote((url.path or b"/").decode("latin-1")),
            query={k: v[-1] for k, v in parse_qs(query, keep_blank_values=True).items()} if query else {},
            headers=self._headers,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
        )
        self._body = []
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._next()

    def _next(self) -> None:
        while self._waiting and not self._busy and self._transport is not None:
            request, keep_alive = self._waiting.popleft()
            self._busy = True
            reply = self._handler(request)
            head = request.method == "HEAD"
            if reply.delay_seconds > 0:
                self._timer = self._loop.call_later(reply.delay_seconds, self._finish, reply, keep_alive, head, True)
            else:
                self._finish(reply, keep_alive, head, False)

    def _finish(self, reply: Reply, keep_alive: bool, head: bool, resume: bool) -> None:
        if self._transport is None or reply.fault is Fault.HANG:
            return
        data = b"" if reply.fault is Fault.CUT else render(reply, keep_alive=keep_alive, head=head)
        if reply.fault is Fault.CUT_ANSWER:
            data = data[: max(len(data) - len(reply.body) // 2 - 1, 1)]
        if data:
            self._transport.write(data)
        self._busy = False
        if reply.fault in (Fault.CUT, Fault.CUT_ANSWER) or not keep_alive:
            self._transport.close()
            self._transport = None
        elif resume:
            self._next()

    def _refuse(self, status: HTTPStatus) -> None:
        if self._transport is not None:
            self._transport.write(render(Reply(status), keep_alive=False))
            self._transport.close()
            self._transport = None

    def abort(self) -> None:
        """Drop the connection at once; part of stopping the server."""
        if self._transport is not None:
            self._transport.abort()


class HttpServer:
    """A listening socket on loopback and its connections."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._peers: set[HttpProtocol] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen and return the port; 0 takes a free one. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: HttpProtocol(self._handler, loop, self._peers), host, port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Stop listening and drop every connection; may be called twice."""
        if self._server is not None:
            self._server.close()
            for peer in tuple(self._peers):
                peer.abort()
            await self._server.wait_closed()
            self._server = None
