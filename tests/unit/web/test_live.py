"""Events as they happen: what is told, to whom, for how long, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
import orjson
import pytest
from fastapi import FastAPI

from headgate.app.servers import Listener, Server, bind, url_of
from headgate.core.clock import ManualClock
from headgate.core.errors import StoreError
from headgate.core.storeport import AlertChange
from headgate.insights.views import changes as changes_module
from headgate.insights.views.lens import Filters, Lens
from headgate.store import MemoryStore
from headgate.testing.store_data import LOGS, NOW, WORKFLOW, job, merge, pipeline, workflow
from headgate.web.access.gate import Gate
from headgate.web.access.grants import Access, TokenGrant, digest_of
from headgate.web.guard import Guard
from headgate.web.live import Feed, add_live

HOUR = 3_600_000
PATH = "/api/v1/live"


class Counted(MemoryStore):
    """A store that counts how often it is looked at, and fails when told to."""

    looks = 0
    broken = False

    async def live_counts(self, *asked: Any) -> Any:
        self.looks += 1
        if self.broken:
            raise StoreError("the disk\nis gone")
        return await super().live_counts(*asked)


class Bench:
    """A feed over a store in memory. `every`: seconds between looks; 0 looks again on every turn."""

    def __init__(self, **options: Any) -> None:
        self.store = Counted(clock=ManualClock(NOW))
        self.feed = Feed(lambda: Lens(self.store, NOW + 1), **({"every": 0.0} | options))

    async def listen(self, after: str = "") -> Listening:
        """A client that has heard how it stands."""
        heard = Listening(self.feed.stream(after))
        await heard.next()
        return heard


class Listening:
    """What one client hears. `first`: the event that says how it stands."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.id = ""

    async def next(self) -> tuple[str, Any]:
        """The next event, with its data."""
        while True:
            async with asyncio.timeout(5):
                text = (await anext(self._stream)).decode()
            if text.startswith("id: "):
                number, event, data, *rest = text.split("\n")
                assert ["", ""] == rest
                self.id, self.event = number.removeprefix("id: "), event.removeprefix("event: ")
                return self.event, orjson.loads(data.removeprefix("data: "))

    async def until(self, event: str) -> Any:
        """The data of the next event of that name."""
        while True:
            name, data = await self.next()
            if name == event:
                return data


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.store.open()
    return made


async def test_a_run_is_told_of_when_it_begins_and_when_it_ends(bench: Bench) -> None:
    """Once each, with what the API says of it, and with the counts that changed."""
    heard = await bench.listen()
    assert heard.event == "ready"
    await merge(bench.store, pipeline(), workflow(ended=False))
    name, started = await heard.next()
    assert ("run-started", WORKFLOW, "main") == (name, started["id"], started["branch"])
    assert ("now", {"running": 1, "queued": 0, "on_hold": 0, "stuck": 0}) == await heard.next()
    assert (await heard.next())[0] == "delivery"
    await merge(bench.store, workflow(at=NOW + 1), job())
    name, ended = await heard.next()
    assert ("run-finished", WORKFLOW, "success", 8.0) == (name, ended["id"], ended["status"], ended["duration"])
    assert ("now", {"running": 0, "queued": 0, "on_hold": 0, "stuck": 0}) == await heard.next()


async def test_a_new_run_is_told_of_behind_any_number_of_open_ones(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; one that comes into sight again as others end is not new."""
    monkeypatch.setattr(changes_module, "_NEWEST_OPEN", 3)
    ids = [f"00000000-0000-4000-8000-{n:012d}" for n in range(6)]
    olds = [workflow(one, ended=False, created_at=NOW - HOUR + n, status="on_hold") for n, one in enumerate(ids)]
    await merge(bench.store, pipeline(), *olds)
    heard = await bench.listen()
    await merge(bench.store, workflow(ended=False))
    assert WORKFLOW == (await heard.until("run-started"))["id"]
    assert {"running": 1, "queued": 0, "on_hold": 6, "stuck": 0} == await heard.until("now")
    await merge(bench.store, *(workflow(one, at=NOW + 1) for one in ids[3:]))
    names = []
    while "now" not in names:
        names.append((await heard.next())[0])
    assert "run-started" not in names


async def test_filters_take_their_part_of_what_goes_on(bench: Bench) -> None:
    """Looked at once for everybody who asks for the same within a look."""
    bench.feed = Feed(lambda: Lens(bench.store, NOW + 1), every=60.0)
    await merge(bench.store, pipeline(), workflow(ended=False))
    for _ in range(3):
        found = [await bench.feed.now(Filters(branch=branch)) for branch in ("", "main", "fix")]
        assert [1, 1, 0] == [one.running for one in found]
    assert bench.store.looks == 3


async def test_what_ended_long_ago_is_history(bench: Bench) -> None:
    """Runs that are collected more than an hour after their end are no events."""
    heard = await bench.listen()
    old = workflow("33333333-3333-4333-8333-333333333334", created_at=NOW - 3 * HOUR, stopped_at=NOW - 2 * HOUR)
    await merge(bench.store, pipeline(), old)
    await merge(bench.store, workflow())
    assert WORKFLOW == (await heard.until("run-finished"))["id"]


async def test_alerts_and_sinks_are_told_of_when_they_change(bench: Bench) -> None:
    """From which state to which; a reminder, and a line that cannot be read, are no change."""
    await bench.store.open_signals([LOGS], now_ms=NOW)
    heard = await bench.listen()
    fires = orjson.dumps({"rule": "r", "labels": {"project": "p"}, "from": "pending", "to": "firing", "why": "w"})
    lines = [("f", NOW, fires), ("f", NOW, orjson.dumps({"from": "firing", "to": "firing"})), ("f", NOW, b"?")]
    await bench.store.transition(AlertChange(history=lines))
    told = await heard.until("alert")
    assert ("f", "r", "pending", "firing") == (told["fingerprint"], told["rule"], told["from"], told["to"])
    await bench.store.set_signal_state(LOGS.key, "held", "401")
    name, told = await heard.next()
    assert ("sink", {"signal": LOGS.key, "from": "ok", "to": "held", "reason": "401"}) == (name, told)


async def test_a_client_goes_on_where_it_was(bench: Bench) -> None:
    """With the id of the last event it heard; one that is not known is told that something was missed."""
    heard = await bench.listen()
    ready = heard.id
    await merge(bench.store, pipeline(), workflow(ended=False))
    await heard.until("delivery")
    again = await bench.listen(ready)
    assert [again.event, (await again.next())[0], (await again.next())[0]] == ["ready", "run-started", "now"]
    assert (await bench.listen(heard.id)).event == "ready"
    for unknown in ("x", "1-1", f"{ready}9", ready.replace("-", "-\u0663"), "-", ready.partition("-")[0] + "--1"):
        assert (await bench.listen(unknown)).event == "missed"


async def test_who_reads_too_slowly_missed_something() -> None:
    """What is kept for clients is bounded."""
    bench = Bench(kept=2)
    await bench.store.open()
    slow = await bench.listen()
    fast = await bench.listen()
    await merge(bench.store, pipeline(), workflow(ended=False))
    await fast.until("missed")  # three events at once are more than two
    assert (await slow.next())[0] == "missed"
    await bench.store.open_signals([LOGS], now_ms=NOW)
    assert (await slow.next())[0] == "sink"


async def test_many_clients_are_one_look() -> None:
    """Within a second; nobody looks while nobody listens."""
    bench = Bench(every=60.0)
    await bench.store.open()
    assert bench.store.looks == 0
    await asyncio.gather(*(bench.feed.now(Filters()) for _ in range(20)), *(bench.listen() for _ in range(20)))
    assert bench.store.looks == 1


async def test_a_store_that_fails_ends_the_stream(bench: Bench) -> None:
    """With the reason as a comment; a browser comes again by itself."""
    stream = bench.feed.stream("")
    assert await anext(stream) == b"retry: 3000\n\n"
    await anext(stream)
    bench.store.broken = True
    assert [b": the disk is gone\n\n"] == [text async for text in stream]


# -- over a connection


class Served:
    """The feed behind the guard, on a port."""

    def __init__(self, bench: Bench, tokens: tuple[str, ...] = ()) -> None:
        app = FastAPI()
        add_live(app, bench.feed)
        self.ended: list[str] = []
        self._socket = bind("127.0.0.1:0", "test")
        self.address = url_of(self._socket)
        grants = tuple(TokenGrant("token", "viewer", digest_of(token)) for token in tokens)
        listener = Listener(lambda: None, self.ended.append, most=100)
        self.server = Server(Guard(app, gate=Gate(ManualClock(), Access(grants))), self._socket, listener)

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.server.serve())
        while not self.server.started:  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.01)
        self.http = httpx.AsyncClient(base_url=self.address, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        self.server.stop(force=True)
        await self.task
        self._socket.close()


async def until_gone(bench: Bench) -> None:
    """No client is left."""
    async with asyncio.timeout(5):
        while bench.feed.clients:  # noqa: ASYNC110  # a count has no event
            await asyncio.sleep(0.01)


async def test_clients_are_bounded_and_leave_their_place() -> None:
    """One too many is refused with words; when one hangs up, there is room."""
    bench = Bench(every=0.02, most=1)
    await bench.store.open()
    async with Served(bench) as served:
        async with served.http.stream("GET", PATH) as first:
            assert (200, "text/event-stream; charset=utf-8") == (first.status_code, first.headers["content-type"])
            assert "no-store" == first.headers["cache-control"]
            assert await anext(first.aiter_lines()) == "retry: 3000"
            second = await served.http.get(PATH)
            assert (503, "busy", "30") == (second.status_code, second.json()["error"], second.headers["retry-after"])
        await until_gone(bench)
        async with served.http.stream("GET", PATH) as third:
            assert third.status_code == 200


async def test_the_guard_stands_before_it() -> None:
    """As before everything else."""
    bench = Bench(every=0.02)
    await bench.store.open()
    async with Served(bench, tokens=("secret",)) as served:
        assert (await served.http.get(PATH)).status_code == 401
        async with served.http.stream("GET", PATH, headers={"authorization": "Bearer secret"}) as answer:
            assert answer.status_code == 200


async def test_the_end_does_not_wait_for_listeners() -> None:
    """`close` ends every stream, whole, and nobody comes again."""
    bench = Bench(every=0.02)
    await bench.store.open()
    async with Served(bench) as served:
        async with served.http.stream("GET", PATH) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            bench.feed.close()
            async with asyncio.timeout(2):
                assert [line async for line in lines][-3:-1] == ["event: ready", "data: {}"]
        assert (await served.http.get(PATH)).status_code == 503
        assert bench.feed.clients == 0


async def test_a_client_that_reads_nothing_is_dropped() -> None:
    """Half a minute after its connection is full, however much happens."""
    bench = Bench(kept=5000)
    await bench.store.open()
    async with Served(bench) as served:
        host, port = served.address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /api/v1/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b"event: ready")
        for turn in range(40):
            lines = [("f", NOW, orjson.dumps({"from": "a", "to": "b", "why": "w" * 300_000, "n": turn}))]
            await bench.store.transition(AlertChange(history=lines))
            await bench.feed.now(Filters())
            for _ in range(10):
                await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        served.server.sweep(loop.time())
        served.server.sweep(loop.time() + 31)
        await until_gone(bench)
        assert served.ended == ["slow_reader"]
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
