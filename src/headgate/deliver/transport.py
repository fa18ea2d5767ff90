"""Sends encoded requests. Owns every connection of the delivery engine.

Invariant: it never retries, never follows a redirect, keeps no cookies, ends within the request's time-out, and no
error it raises holds more of an address than scheme and host: paths, queries and user information may be secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.packing import pack
from headgate.core.ports import HttpReply, HttpRequest, TransportOptions
from headgate.plugins.tls import verification

__all__ = ["MAX_REPLY_BYTES", "HttpTransport", "TimedOut", "Transport", "Wire", "prepare", "public_address"]

MAX_REPLY_BYTES = 10_000_000
# Idle connections are kept shorter than common servers do (nginx 75 s, AWS load balancers 60 s).
_KEEP_ALIVE_SECONDS = 45.0
_CONNECT_SECONDS = 10.0


class TimedOut(SinkUnavailable):
    """No answer in time: the request may have been taken."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as its bytes go out; sent again as it is until `good_until_ms`.

    `body_bytes`: its length before compression.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_bytes: int
    timeout_seconds: float
    good_until_ms: int | None = None


class Transport(Protocol):
    """What the engine needs to send. Called from one event loop, many at once."""

    async def send(self, wire: Wire, options: TransportOptions) -> HttpReply:
        """The answer, whatever its status. Raises SinkUnavailable (TimedOut), or SinkRefused for a useless address."""
        ...

    async def aclose(self) -> None:
        """Free connections. Safe twice."""
        ...


def prepare(request: HttpRequest) -> Wire:
    """Compress where asked. Pure; takes as long as `pack`."""
    body, headers = request.body, request.headers
    if request.gzip:
        body, headers = pack(body), (*headers, ("content-encoding", "gzip"))
    return Wire(
        request.method,
        request.url,
        headers,
        body,
        len(request.body),
        request.timeout_seconds,
        request.good_until_ms,
    )


def public_address(url: str) -> str:
    """Scheme, host and port of an address; the rest may be secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the configured address"
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else "the configured address"


def _client(options: TransportOptions) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=verification(options),
        proxy=options.proxy,
        # Without `proxy` the variables that everybody knows: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY.
        trust_env=True,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # The engine bounds requests in flight; a common bound would let a slow sink starve the others.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS),
        headers={"accept-encoding": "identity"},
    )


class HttpTransport:
    """httpx, one client per set of connection options."""

    def __init__(self, *, user_agent: str = "headgate", client: Callable[..., httpx.AsyncClient] = _client) -> None:
        self._user_agent = user_agent
        self._make = client
        self._clients: dict[TransportOptions, httpx.AsyncClient] = {}
        self._making = asyncio.Lock()

    async def _get(self, options: TransportOptions) -> httpx.AsyncClient:
        client = self._clients.get(options)
        if client is not None:
            return client
        async with self._making:
            if options not in self._clients:
                self._clients[options] = await self._build(options)
            return self._clients[options]

    async def _build(self, options: TransportOptions) -> httpx.AsyncClient:
        """Reading certificates takes tens of milliseconds: not on the event loop."""
        try:
            client = await asyncio.to_thread(self._make, options)
        except (OSError, ValueError, httpx.InvalidURL) as exc:
            raise SinkRefused(
                f"cannot prepare connections: {type(exc).__name__}", reason="config", fix="check ca_file and proxy"
            ) from exc
        client.headers["user-agent"] = self._user_agent
        return client

    async def send(self, wire: Wire, options: TransportOptions) -> HttpReply:
        """Send once and read the answer."""
        client = await self._get(options)
        with _translated(wire):
            async with asyncio.timeout(wire.timeout_seconds):
                return await _exchange(client, wire)

    async def reach(self, url: str, options: TransportOptions) -> None:
        """Connect, through the proxy and with TLS where configured, and send nothing. Raises as `send` does."""
        wire = Wire("GET", url, (), b"", 0, _CONNECT_SECONDS)
        client = await self._get(options)
        with contextlib.suppress(_Reached), _translated(wire):
            async with asyncio.timeout(wire.timeout_seconds):
                await client.get(url, extensions={"trace": _stop_before_request})

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            await client.aclose()


class _Reached(Exception):
    """The connection is made and nothing was sent."""


async def _stop_before_request(event: str, info: Mapping[str, Any]) -> None:
    """Called by httpcore at each step; a CONNECT to a proxy is still part of the connection."""
    if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
        raise _Reached


@contextlib.contextmanager
def _translated(wire: Wire) -> Iterator[None]:
    """Raise what went wrong in the words of the port."""
    try:
        yield
    except TimeoutError as exc:
        words = f"no answer within {wire.timeout_seconds:g} s"
        raise TimedOut(f"{public_address(wire.url)}: {words}") from exc
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as exc:
        raise SinkRefused(
            f"{public_address(wire.url)}: not an address that can be used", reason="config", fix="check the url"
        ) from exc
    except httpx.TimeoutException as exc:
        raise TimedOut(f"{public_address(wire.url)}: {_words(exc)}") from exc
    except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError) as exc:
        raise SinkUnavailable(f"{public_address(wire.url)}: {_words(exc)}") from exc


async def _exchange(client: httpx.AsyncClient, wire: Wire) -> HttpReply:
    timeout = httpx.Timeout(wire.timeout_seconds, connect=min(_CONNECT_SECONDS, wire.timeout_seconds))
    request = client.build_request(wire.method, wire.url, headers=wire.headers, content=wire.body, timeout=timeout)
    response = await client.send(request, stream=True)
    try:
        body = await _read(response)
    finally:
        await response.aclose()
    return HttpReply(response.status_code, dict(response.headers.items()), body)


async def _read(response: httpx.Response) -> bytes:
    """The answer's body, decoded, cut at the limit; the rest is not read and the connection not used again."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    decode = _Inflate() if coding in {"gzip", "x-gzip", "deflate"} else None
    parts: list[bytes] = []
    size = 0
    async for raw in response.aiter_raw():
        part = raw if decode is None else decode.feed(raw, MAX_REPLY_BYTES - size)
        parts.append(part)
        size += len(part)
        if size >= MAX_REPLY_BYTES:
            break
    return b"".join(parts)[:MAX_REPLY_BYTES]


class _Inflate:
    """gzip or zlib, never more than asked for. What cannot be read ends the text: the status still counts."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._broken = False

    def feed(self, raw: bytes, most: int) -> bytes:
        """Decode one part to at most `most` bytes."""
        if self._broken or most <= 0:
            return b""
        try:
            return self._inner.decompress(raw, most)
        except zlib.error:
            self._broken = True
            return b""


_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (httpx.ConnectTimeout, "no connection in time"),
    (httpx.ReadTimeout, "no answer in time"),
    (httpx.WriteTimeout, "the request could not be sent in time"),
    (httpx.TimeoutException, "no answer in time"),
    (httpx.ProxyError, "the proxy refused"),
    (httpx.ConnectError, "could not connect"),
    (httpx.RemoteProtocolError, "the answer broke off or is not HTTP"),
    (httpx.ReadError, "the connection broke while the answer was read"),
    (httpx.WriteError, "the connection broke while the request was sent"),
    (httpx.LocalProtocolError, "the request is not valid HTTP: check configured headers"),
)


def _words(exc: BaseException) -> str:
    """What happened, in fixed words and the system's; never the library's, which may quote an address."""
    words = next((text for kind, text in _KINDS if isinstance(exc, kind)), f"failed ({type(exc).__name__})")
    inner: BaseException | None = exc
    for _ in range(8):
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"{words}: certificate not accepted ({inner.verify_message})"
        if isinstance(inner, socket.gaierror):
            return f"{words}: host name not known"
        if isinstance(inner, ssl.SSLError):
            return f"{words}: TLS failed ({inner.reason or 'no reason given'})"
        if isinstance(inner, OSError) and inner.errno is not None and inner.errno > 0:
            return f"{words}: {inner.strerror or inner.errno}"
        inner = (inner.__cause__ or inner.__context__) if inner is not None else None
    return words
