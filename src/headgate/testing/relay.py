"""Stands between a sink and a fake on loopback: as a TLS server with a private certificate, or as a forward proxy.

Invariant: bytes are passed on unchanged but for the request line of a proxied request; everything that was started ends
with the `async with`.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["Proxy", "make_certificate", "proxy", "tls_front"]

_PIECE_BYTES = 65_536


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key, made by the `openssl` command in `directory`."""
    certificate, key = directory / "loopback.pem", directory / "loopback.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "3650", "-subj", "/CN=loopback", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)  # noqa: S603  # fixed words and our own paths
    return certificate, key


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    writer.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes = b""
) -> None:
    """Pass bytes both ways until either side ends or goes away; then both are closed."""
    far_reader, far_writer = await asyncio.open_connection(host, port)
    far_writer.write(first)
    ways = [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, far_writer):
            end.transport.abort()
        await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn of the loop


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _serving(serve: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on loopback, give the port, and end every connection at the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            return  # the relay ends; asyncio's own callback would report it as an error
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # an aborted transport closes its socket in the next turn of the loop

    server = await asyncio.start_server(tracked, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def tls_front(url: str, certificate: Path, key: Path) -> AsyncIterator[str]:
    """Serve `url` over TLS; gives the https address."""
    target = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, str(target.hostname), int(target.port or 0))

    async with _serving(serve, context) as port:
        yield f"https://127.0.0.1:{port}"


@dataclass(slots=True)
class Proxy:
    """A running proxy: its address and the request lines that went through."""

    url: str = ""
    lines: list[str] = field(default_factory=list)


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A forward proxy: plain HTTP, one request a connection, and CONNECT (RFC 9112 section 3.2.2, RFC 9110 9.3.6)."""
    running = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("latin-1")
        running.lines.append(line.strip())
        method, address, version = line.split(" ", 2)
        if method == "CONNECT":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            host, _, port = address.rpartition(":")
            await _join(reader, writer, host, int(port))
            return
        target = urlsplit(address)
        path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
        first = f"{method} {path} {version}".encode("latin-1")
        await _join(reader, writer, str(target.hostname), int(target.port or 80), first)

    async with _serving(serve) as port:
        running.url = f"http://127.0.0.1:{port}"
        yield running
