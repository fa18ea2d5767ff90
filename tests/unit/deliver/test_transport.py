"""What goes over the wire, and what comes back as which error."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import zlib
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpRequest, TransportOptions
from headgate.deliver.transport import MAX_REPLY_BYTES, HttpTransport, TimedOut, prepare, public_address

DATA = Path(__file__).parent / "data"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """A raw server on loopback: gives the same bytes to each request, keeps what it got."""

    def __init__(self, answer, *, close=True):
        self.answer, self.close = answer, close
        self.requests: list[bytes] = []
        self.connections = 0
        self.writers = []

    async def handle(self, reader, writer):
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
                )
                self.requests.append(head + await reader.readexactly(size))
                if self.answer is None:
                    await asyncio.Event().wait()
                writer.write(self.answer)
                await writer.drain()
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer, *, close=True, tls=None):
    """A server and its address."""
    server = Server(answer, close=close)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    try:
        yield server, f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        listener.close()
        for writer in server.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@pytest.fixture
async def transport():
    """A transport that is closed at the end."""
    made = HttpTransport(user_agent="headgate/test")
    yield made
    await made.aclose()
    await made.aclose()


def request(url, **more):
    """A small POST whose address is full of secrets."""
    more.setdefault("timeout_seconds", 5.0)
    headers = (("x-key", "hunter2"),)
    return prepare(HttpRequest("POST", url + "/hunter2?token=hunter2", headers, b"body", **more))


def reply(body, *headers, status=b"200 OK"):
    """An answer with a body and headers."""
    lines = [b"HTTP/1.1 " + status, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_the_same_body_gives_the_same_compressed_bytes():
    """No time and no name is in the gzip header, and the length before compression is known."""
    body = b"line\n" * 1000
    wire = prepare(HttpRequest("POST", "http://x", (), body, gzip=True))
    assert wire == prepare(HttpRequest("POST", "http://x", (), body, gzip=True))
    assert body == gzip.decompress(wire.body)
    assert len(body) == wire.body_bytes
    assert wire.headers == (("content-encoding", "gzip"),)
    assert wire.body[4:8] == b"\0\0\0\0"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:hunter2@host.example:8443/p/hunter2?key=hunter2", "https://host.example:8443"),
        ("https://host.example/hunter2", "https://host.example"),
        ("hunter2", "the configured address"),
        ("http://host:hunter2/", "the configured address"),
        ("http://[::1/hunter2", "the configured address"),
    ],
)
def test_addresses_are_shown_without_secrets(url, expected):
    """Only scheme, host and port are told."""
    assert public_address(url) == expected


async def test_a_request_arrives_as_it_was_made(transport):
    """Method, path, headers, compressed body; the answer's headers are lower case."""
    async with serving(reply(b"ok", b"X-Thing: A")) as (server, url):
        got = await transport.send(request(url, gzip=True), TransportOptions())
    assert (got.status, got.body, got.headers["x-thing"]) == (200, b"ok", "A")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hunter2?token=hunter2 HTTP/1.1\r\n")
    lower = head.lower()
    assert b"user-agent: headgate/test" in lower
    assert b"x-key: hunter2" in lower
    assert b"content-encoding: gzip" in lower
    assert b"accept-encoding: identity" in lower
    assert gzip.decompress(body) == b"body"


async def test_connections_are_kept(transport):
    """Twenty requests one after the other use one connection."""
    async with serving(OK, close=False) as (server, url):
        for _ in range(20):
            await transport.send(request(url), TransportOptions())
        assert (server.connections, len(server.requests)) == (1, 20)


async def test_redirects_are_answers_and_cookies_are_not_kept(transport):
    """Nobody follows, nobody remembers."""
    answer = reply(b"", b"location: /elsewhere", b"set-cookie: a=b", status=b"302 Found")
    async with serving(answer) as (server, url):
        assert (await transport.send(request(url), TransportOptions())).status == 302
        await transport.send(request(url), TransportOptions())
        assert len(server.requests) == 2
        assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        pytest.param(b"gzip", gzip.compress(b"hello " * 100), id="gzip"),
        pytest.param(b"deflate", zlib.compress(b"hello " * 100), id="deflate"),
    ],
)
async def test_compressed_answers_are_read(transport, coding, packed):
    """Some servers compress although nobody asked."""
    async with serving(reply(packed, b"content-encoding: " + coding)) as (_, url):
        assert (await transport.send(request(url), TransportOptions())).body == b"hello " * 100


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(gzip.compress(b"\0" * 50_000_000), b"content-encoding: gzip"), id="bomb"),
        pytest.param(reply(b"\0" * (MAX_REPLY_BYTES + 1_000_000)), id="long"),
    ],
)
async def test_answers_are_cut_at_10_mb(transport, answer):
    """No answer can fill the memory; its status still counts."""
    async with serving(answer) as (_, url):
        got = await transport.send(request(url), TransportOptions())
    assert (got.status, len(got.body)) == (200, MAX_REPLY_BYTES)


async def test_an_unreadable_body_does_not_hide_the_status(transport):
    """What cannot be decompressed is empty."""
    async with serving(reply(b"nonsense", b"content-encoding: gzip", status=b"400 Bad")) as (_, url):
        got = await transport.send(request(url), TransportOptions())
    assert (got.status, got.body) == (400, b"")


def without_secrets(error):
    """The text of an error, which must not hold the canary."""
    assert "hunter2" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", "broke off", id="body cut"),
        pytest.param(b"hunter2 is not HTTP\r\n\r\n", "not HTTP", id="not HTTP"),
        pytest.param(b"", "broke off", id="closed"),
    ],
)
async def test_broken_answers_are_unavailable(transport, answer, words):
    """Nobody knows whether it was taken: send again."""
    async with serving(answer) as (_, url):
        with pytest.raises(SinkUnavailable) as caught:
            await transport.send(request(url), TransportOptions())
    assert words in without_secrets(caught.value)
    assert url in str(caught.value)


async def test_no_answer_is_a_time_out(transport):
    """A server that says nothing is given up within the request's time-out."""
    async with serving(None) as (_, url):
        with pytest.raises(TimedOut) as caught:
            await transport.send(request(url, timeout_seconds=0.05), TransportOptions())
    assert "0.05 s" in without_secrets(caught.value) or "in time" in str(caught.value)


async def test_a_closed_port_is_unavailable(transport):
    """The system's words are told."""
    async with serving(OK) as (_, url):
        pass
    with pytest.raises(SinkUnavailable) as caught:
        await transport.send(request(url), TransportOptions())
    assert "could not connect" in without_secrets(caught.value)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1", "http://[::1"])
async def test_a_useless_address_is_refused(transport, url):
    """It will never work: tell a human."""
    with pytest.raises(SinkRefused) as caught:
        await transport.send(request(url), TransportOptions())
    assert caught.value.reason == "config"
    without_secrets(caught.value)


async def test_a_missing_ca_file_is_refused(transport):
    """The file is named by its option, not by its path."""
    with pytest.raises(SinkRefused, match="ca_file"):
        await transport.send(request("https://127.0.0.1:1"), TransportOptions(ca_file="/nowhere/ca.pem"))


def tls_context():
    """A server's context with the test certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "server.pem", DATA / "server.key")
    return context


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        pytest.param(TransportOptions(ca_file=str(DATA / "ca.pem")), True, id="private CA"),
        pytest.param(TransportOptions(verify=False), True, id="not verified"),
        pytest.param(TransportOptions(), False, id="unknown CA"),
    ],
)
async def test_tls(transport, options, taken):
    """Verification is on unless it is switched off; a private CA can be given."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server sees the refused handshake
    async with serving(OK, tls=tls_context()) as (_, url):
        if taken:
            assert (await transport.send(request(url), options)).status == 200
            return
        with pytest.raises(SinkUnavailable, match="certificate not accepted") as caught:
            await transport.send(request(url), options)
        without_secrets(caught.value)


async def test_a_proxy_is_used(transport):
    """The proxy gets the whole address; the far side's name is never looked up here."""
    async with serving(OK) as (server, url):
        options = TransportOptions(proxy=url)
        assert (await transport.send(request("http://nowhere.invalid"), options)).status == 200
    assert server.requests[0].startswith(b"POST http://nowhere.invalid/hunter2?token=hunter2 HTTP/1.1")
