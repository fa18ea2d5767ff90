"""One kept-alive HTTP/1.1 connection that posts deliveries.

Small on purpose: a general client costs ten times the processor per request, and the load of a burst must
come from the twin. Invariant: one request at a time; any trouble closes the connection.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit


class Sender:
    """Posts bodies to one URL; not for concurrent use."""

    def __init__(self, url: str, *, verify_tls: bool = True) -> None:
        """Take an http or https URL. Raises ValueError on anything else."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"not an http or https URL: {url}")
        self._host = parts.hostname
        self._tls = _context(verify_tls) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authority = parts.netloc.rpartition("@")[2]
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> int:
        """Post and give the status. Raises OSError (time-outs too), EOFError or ValueError."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(body, headers)
        except BaseException:  # raised on; after any trouble, cancelling too, the answer could be another request's
            self.close()
            raise

    async def _exchange(self, body: bytes, headers: Mapping[str, str]) -> int:
        reader, writer = await self._connection()
        lines = [f"POST {self._target} HTTP/1.1", f"host: {self._authority}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, answer = _read_head(head)
        if not await _skip_body(reader, answer, status) or answer.get("connection", "").lower() == "close":
            self.close()
        return status

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams and not self._streams[0].at_eof() and not self._streams[1].is_closing():
            return self._streams
        self.close()
        self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return self._streams

    def close(self) -> None:
        """Close the connection, if there is one; the next post opens another."""
        if self._streams:
            self._streams[1].close()
        self._streams = None


def _context(verify: bool) -> ssl.SSLContext:
    made = ssl.create_default_context()
    if not verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    return made


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Read status and headers. Raises ValueError if this is not HTTP."""
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1."):
        raise ValueError(f"not an HTTP answer: {first[:80]!r}")
    pairs = (line.partition(":") for line in rest)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _skip_body(reader: asyncio.StreamReader, headers: Mapping[str, str], status: int) -> bool:
    """Read the body away; say whether the connection can be used again."""
    if status in {204, 304}:
        return True
    if "chunked" in headers.get("transfer-encoding", ""):
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            await reader.readexactly(size + 2)
            if size == 0:
                return True
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
        return True
    await reader.read()
    return False
