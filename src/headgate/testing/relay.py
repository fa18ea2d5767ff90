"""Stands between a sink and a fake on loopback: as a TLS server with a private certificate, or as a forward proxy.

Invariant: bytes are passed on unchanged but for the request line of a proxied request; everything that was started ends
with the `async with`.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
    with suppress(OSError, ssl.SSLError):  # either side may go away at any time; the other is closed for it
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes = b""
) -> None:
    far_reader, far_writer = await asyncio.open_connection(host, port)
    far_writer.write(first)
    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


@asynccontextmanager
async def tls_front(url: str, certificate: Path, key: Path) -> AsyncIterator[str]:
    """Serve `url` over TLS; gives the https address."""
    target = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, str(target.hostname), int(target.port or 0))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass(slots=True)
class Proxy:
    """A running proxy: its address and the request lines that went through."""

    url: str = ""
    lines: list[str] = field(default_factory=list)


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A forward proxy for plain HTTP, one request a connection (RFC 9112 section 3.2.2)."""
    running = Proxy()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode("latin-1")
        running.lines.append(line.strip())
        method, address, version = line.split(" ", 2)
        target = urlsplit(address)
        path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
        first = f"{method} {path} {version}".encode("latin-1")
        await _join(reader, writer, str(target.hostname), int(target.port or 80), first)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        running.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield running
