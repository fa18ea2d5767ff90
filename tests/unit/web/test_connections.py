"""Connections that cost more than they bring: slow heads, trickling bodies, idle ones, and too many of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from tests.unit.web.test_receiver import GOOD, Bench, until

from headgate.web.asgi import Receive, Scope, Send

HEAD = b"POST /webhooks/circleci HTTP/1.1\r\nhost: x\r\n"
WHOLE = HEAD + b"content-type: application/json\r\ncircleci-signature: good\r\ncontent-length: 2\r\n\r\n{}"
REFUSED = HEAD + b"content-type: text/plain\r\ncontent-length: 1000\r\n\r\n{"


async def turns() -> None:
    """Let both ends of a loopback connection read what the other has written."""
    for _ in range(20):
        await asyncio.sleep(0)


class Raw:
    """A client that writes bytes when it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, data: bytes) -> None:
        """Write, and let the server read it."""
        self.writer.write(data)
        await self.writer.drain()
        await turns()

    async def hears(self) -> bytes:
        """One answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def ended(self) -> bytes:
        """What still comes until the server hangs up."""
        return await asyncio.wait_for(self.reader.read(), 5)


Connect = Callable[[Bench], Awaitable[Raw]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections; they are closed at the end."""
    opened: list[Raw] = []

    async def make(bench: Bench) -> Raw:
        opened.append(Raw(*await asyncio.open_connection("127.0.0.1", bench.port)))
        return opened[-1]

    yield make
    for raw in opened:
        raw.writer.close()
        with contextlib.suppress(OSError):
            await raw.writer.wait_closed()


@pytest.mark.parametrize("requests_before", [0, 1, 3], ids=["first", "second", "fourth"])
async def test_a_slow_head_is_ended_on_any_request_of_a_connection(connect: Connect, requests_before: int) -> None:
    """A slow-loris gets 408 and is counted, also after requests that were in order."""
    bench = Bench()
    async with bench.serving():
        raw = await connect(bench)
        for _ in range(requests_before):
            await raw.says(WHOLE)
            assert (await raw.hears()).startswith(b"HTTP/1.1 200")
        await raw.says(HEAD)
        bench.pass_seconds(19)
        await raw.says(b"x-a: b\r\n")
        bench.server.sweep(asyncio.get_running_loop().time() + 20)
        answer = await raw.ended()
    assert answer.startswith(b"HTTP/1.1 408")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "slow_head"
    assert bench.ended == ["slow_head"]


async def test_line_breaks_do_not_keep_a_connection(connect: Connect) -> None:
    """What is no request does not start the time anew."""
    bench = Bench()
    async with bench.serving():
        raw = await connect(bench)
        await raw.says(WHOLE)
        await raw.hears()
        bench.pass_seconds(40)
        await raw.says(b"\r\n")
        bench.server.sweep(asyncio.get_running_loop().time() + 75)
        assert await raw.ended() == b""


async def test_a_silent_connection_is_ended(connect: Connect) -> None:
    """Nobody keeps a place by opening a connection."""
    bench = Bench()
    async with bench.serving():
        raw = await connect(bench)
        await turns()
        bench.pass_seconds(20)
        assert await raw.ended() == b""
    assert bench.ended == ["silent"]


async def test_a_connection_that_waits_between_requests_is_kept_and_then_ended(connect: Connect) -> None:
    """74 s of nothing are allowed, 75 are not; that is no fault and not counted."""
    bench = Bench()
    async with bench.serving():
        raw = await connect(bench)
        await raw.says(WHOLE)
        await raw.hears()
        bench.pass_seconds(74)
        await raw.says(WHOLE)
        assert (await raw.hears()).startswith(b"HTTP/1.1 200")
        bench.pass_seconds(75)
        assert await raw.ended() == b""
    assert bench.ended == []


async def test_a_body_that_trickles_after_its_refusal_is_ended(connect: Connect) -> None:
    """415 is said before the body has come; what still trickles in has 30 s."""
    bench = Bench()
    async with bench.serving():
        raw = await connect(bench)
        await raw.says(REFUSED)
        assert (await raw.hears()).startswith(b"HTTP/1.1 415")
        bench.pass_seconds(15)
        await raw.says(b"x")
        bench.server.sweep(asyncio.get_running_loop().time() + 30)
        assert await raw.ended() == b""
    assert bench.ended == ["slow_body"]


async def test_a_head_without_end_is_431(connect: Connect) -> None:
    """Headers in memory are bounded."""
    bench = Bench()
    async with bench.serving():
        raw = await connect(bench)
        await raw.says(HEAD)
        for _ in range(9):
            raw.writer.write(b"x-a: " + b"y" * 8000 + b"\r\n")
        answer = await raw.ended()
    assert answer.startswith(b"HTTP/1.1 431")
    assert bench.ended == ["large_head"]


async def test_answering_takes_as_long_as_the_store_needs(connect: Connect) -> None:
    """The sweep never ends a request that waits for us."""
    bench = Bench()
    bench.intake.gate = asyncio.Event()
    async with bench.serving():
        raw = await connect(bench)
        await raw.says(WHOLE)
        await until(lambda: bench.receiver._waiters == [] and bench.receiver._active)
        bench.pass_seconds(500)
        bench.intake.gate.set()
        assert (await raw.hears()).startswith(b"HTTP/1.1 200")


async def test_connections_beyond_the_limit_are_refused_and_counted(connect: Connect) -> None:
    """503 with Retry-After; one that ends makes room for the next."""
    bench = Bench(most=2)
    async with bench.serving() as client:
        first, _ = [await connect(bench) for _ in range(2)]
        await turns()
        third = await connect(bench)
        answer = await third.ended()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5\r\n" in answer
        assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "full"
        first.writer.close()
        await first.writer.wait_closed()
        await turns()
        assert (await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)).status_code == 200
    assert bench.ended == ["full"]


async def test_idle_connections_make_room_when_most_places_are_taken(connect: Connect) -> None:
    """A crowd of silent ones holds the listener for two seconds, not for twenty."""
    bench = Bench(most=4)
    async with bench.serving() as client:
        crowd = [await connect(bench) for _ in range(4)]
        await turns()
        bench.pass_seconds(2)
        assert [b""] * 4 == [await one.ended() for one in crowd]
        assert (await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)).status_code == 200
    assert bench.ended == ["silent"] * 4


async def test_an_answer_that_nobody_reads_is_given_up(connect: Connect) -> None:
    """A client that asks for much and reads nothing is cut off after 30 s."""

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    bench = Bench()
    bench.page = page
    async with bench.serving():
        raw = await connect(bench)
        await raw.says(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        bench.pass_seconds(29)
        assert bench.ended == []
        bench.server.sweep(asyncio.get_running_loop().time() + 31)
    assert bench.ended == ["slow_reader"]
