"""The webhook receiver behind a real uvicorn on loopback: every answer it can give."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest

from headgate.app.servers import Listener, Server, bind, dispatch, url_of
from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock, SystemClock
from headgate.core.errors import StoreFailed, StoreFull
from headgate.core.ports import Delivery, Refusal
from headgate.core.storeport import SpaceLevel
from headgate.web.asgi import App
from headgate.web.receiver import Receiver, ReceiverLimits

NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # nothing is asked over TLS

JSON = {"content-type": "application/json"}


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.001)


class Policy:
    """Takes what is signed `good`."""

    max_body_bytes = 1000

    def refuse(self, headers: Mapping[bytes, bytes], body: bytes) -> Refusal | None:
        if headers.get(b"circleci-signature") != b"good":
            return Refusal(401, "bad_signature", "the signature does not match")
        return None

    def event_type(self, headers: Mapping[bytes, bytes]) -> str:
        return headers.get(b"circleci-event-type", b"").decode()


class Intake:
    """Keeps deliveries in a list, or fails as told."""

    def __init__(self) -> None:
        self.kept: list[Delivery] = []
        self.groups: list[int] = []
        self.error: Exception | None = None
        self.wait = 0.0
        self.level: SpaceLevel = "ok"
        self.gate: asyncio.Event | None = None

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.groups.append(len(deliveries))
        self.kept.extend(deliveries)

    def accept_wait_seconds(self) -> float:
        return self.wait

    def space_level(self) -> SpaceLevel:
        return self.level


class Bench:
    """A receiver, its server and a client."""

    server: Server
    page: App | None = None

    def __init__(self, limits: ReceiverLimits | None = None, *, most: int = 100) -> None:
        self.intake = Intake()
        self.telemetry = Telemetry()
        self.woken = 0
        self.clock = ManualClock()
        self.receiver = Receiver(self.intake, self.clock, self.telemetry, self._wake, limits)
        self.receiver.configure({"circleci": Policy()})
        self.malformed = 0
        self.ended: list[str] = []
        self.most = most
        self.port = 0

    def _wake(self) -> None:
        self.woken += 1

    def _malformed(self) -> None:
        self.malformed += 1

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[httpx.AsyncClient]:
        sock = bind("127.0.0.1:0", "webhooks.listen")
        self.port = sock.getsockname()[1]
        listener = Listener(self._malformed, self.ended.append, self.most)
        self.server = server = Server(dispatch(self.page, self.receiver), sock, listener)
        task = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        async with httpx.AsyncClient(base_url=url_of(sock), verify=NO_AUTHORITIES, trust_env=False) as client:
            yield client
        server.stop(force=True)
        await task
        sock.close()

    def pass_seconds(self, seconds: float) -> None:
        """Let the sweep see each connection now and again so many seconds later."""
        now = asyncio.get_running_loop().time()
        self.server.sweep(now)
        self.server.sweep(now + seconds)

    def counted(self, status: int, source: str = "circleci") -> float:
        self.receiver.hand_over_counts()
        return self.telemetry.value("headgate_webhook_requests_total", source=source, status=str(status))


HALF = b"POST /webhooks/circleci HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"
GOOD = {**JSON, "circleci-signature": "good", "circleci-event-type": "job-completed"}


async def test_a_signed_webhook_is_kept_as_it_came_and_answered_with_an_id() -> None:
    """200 comes after the store has exactly the bytes, and wakes the collector."""
    bench = Bench()
    async with bench.serving() as client:
        body = b'{"id": "1" , "broken json'
        answer = await client.post("/webhooks/circleci/circleci", content=body, headers=GOOD)
        second = await client.post("/webhooks/circleci", content=body, headers=GOOD)
    assert (200, 200) == (answer.status_code, second.status_code)
    assert answer.json()["id"] != second.json()["id"]
    assert [("circleci", "job-completed", "application/json", body)] * 2 == [
        (kept.source, kept.event_type, kept.content_type, kept.body) for kept in bench.intake.kept
    ]
    assert bench.clock.now_ms() == bench.intake.kept[0].arrived_ms
    assert bench.woken == 2
    assert bench.counted(200) == 2


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "error", "source"),
    [
        ("POST", "/webhooks/circleci/nobody", GOOD, b"{}", 404, "unknown_source", "-"),
        ("GET", "/webhooks/circleci/circleci", GOOD, b"", 405, "method", "-"),
        ("POST", "/webhooks/circleci/circleci", {**GOOD, "content-type": "text/plain"}, b"{}", 415, "content_type", ""),
        (
            "POST",
            "/webhooks/circleci/circleci",
            {**GOOD, "content-encoding": "gzip"},
            b"{}",
            415,
            "content_encoding",
            "",
        ),
        ("POST", "/webhooks/circleci/circleci", GOOD, b"x" * 1001, 413, "too_large", ""),
        ("POST", "/webhooks/circleci/circleci", GOOD, b"", 400, "empty_body", ""),
        ("POST", "/webhooks/circleci/circleci", JSON, b"{}", 401, "bad_signature", ""),
        ("POST", "/elsewhere", GOOD, b"{}", 404, "not_found", None),
    ],
    ids=["unknown", "method", "type", "encoding", "large", "empty", "unsigned", "elsewhere"],
)
async def test_a_webhook_that_is_not_taken_is_told_why_and_counted(
    *, method: str, path: str, headers: dict[str, str], body: bytes, status: int, error: str, source: str | None
) -> None:
    """Each refusal has its status and a JSON reason, and keeps nothing."""
    bench = Bench()
    async with bench.serving() as client:
        answer = await client.request(method, path, content=body, headers=headers)
    assert (status, error) == (answer.status_code, answer.json()["error"])
    assert answer.json()["detail"]
    assert bench.intake.kept == []
    if source is not None:
        assert bench.counted(status, source or ("-" if status in (404, 405) else "circleci")) == 1


async def test_the_content_type_is_no_matter_of_case() -> None:
    """Media types are compared without case (RFC 9110, section 8.3.1)."""
    bench = Bench()
    async with bench.serving() as client:
        headers = {**GOOD, "content-type": "Application/JSON; charset=utf-8"}
        answer = await client.post("/webhooks/circleci", content=b"{}", headers=headers)
    assert answer.status_code == 200


async def test_a_body_without_length_is_bounded_too() -> None:
    """A chunked body beyond the limit is 413, and nothing stays counted as held."""
    bench = Bench()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with bench.serving() as client:
        answer = await client.post("/webhooks/circleci", content=chunks(), headers=GOOD)
    assert answer.status_code == 413
    assert bench.receiver._held == 0


async def test_a_chunked_body_within_the_limit_is_kept_whole() -> None:
    """Parts are joined in order."""
    bench = Bench()

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"a":'
        yield b"1}"

    async with bench.serving() as client:
        answer = await client.post("/webhooks/circleci", content=chunks(), headers=GOOD)
    assert answer.status_code == 200
    assert bench.intake.kept[0].body == b'{"a":1}'


async def _raw(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    return reader, writer


def seconds_counted(telemetry: Telemetry) -> dict[str, float]:
    """Count, sum and buckets of the answers' histogram, as the page has them."""
    lines = telemetry.page().decode().splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("headgate_webhook_answer_seconds_")]
    return {name.removeprefix("headgate_webhook_answer_seconds_"): float(value) for name, _, value in found}


async def test_every_answer_is_in_the_histogram() -> None:
    """Its count is that of the answered requests, refused ones too, from the first on, and its sum is theirs."""
    bench = Bench()
    bench.intake.gate = asyncio.Event()
    assert seconds_counted(bench.telemetry)["count"] == 0
    async with bench.serving() as client:
        slow = asyncio.create_task(client.post("/webhooks/circleci", content=b"{}", headers=GOOD))
        await until(lambda: bench.receiver._active)
        bench.clock.advance(0.3)
        bench.intake.gate.set()
        await slow
        for headers in (GOOD, GOOD, JSON):
            await client.post("/webhooks/circleci", content=b"{}", headers=headers)
    bench.receiver.hand_over_counts()
    bench.receiver.hand_over_counts()
    found = seconds_counted(bench.telemetry)
    assert (4, 3, 4) == (found["count"], found['bucket{le="0.25"}'], found['bucket{le="0.5"}'])
    assert found["sum"] == pytest.approx(0.3)


async def test_a_slow_body_is_ended_with_408() -> None:
    """A body that does not arrive in time costs its connection, not memory."""
    bench = Bench()
    async with bench.serving():
        reader, writer = await _raw(bench.port, HALF)
        await until(lambda: bench.receiver._reading)
        bench.clock.advance(9.0)
        bench.receiver.end_slow_bodies(bench.clock.monotonic())
        assert bench.receiver._late == set()
        bench.clock.advance(2.0)
        bench.receiver.end_slow_bodies(bench.clock.monotonic())
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "slow_body"
    assert bench.counted(408) == 1
    assert bench.receiver._reading == {}


async def test_what_is_not_http_is_400_in_json_and_counted() -> None:
    """Broken HTTP never reaches the receiver and is still told and counted."""
    bench = Bench()
    async with bench.serving():
        reader, writer = await _raw(bench.port, b"POST / nonsense\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "malformed"
    assert bench.malformed == 1


async def test_a_sender_that_hangs_up_is_counted_and_keeps_nothing() -> None:
    """Half a body and then nothing."""
    bench = Bench()
    async with bench.serving():
        _, writer = await _raw(bench.port, HALF)
        await until(lambda: bench.receiver._reading)
        writer.close()
        await until(lambda: not bench.receiver._reading)
    assert bench.intake.kept == []
    assert bench.counted(499) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [(StoreFull("full"), "store_full"), (StoreFailed("flush"), "store_failed")],
    ids=["full", "failed"],
)
async def test_a_store_that_cannot_keep_is_503_with_retry_after(error: Exception, reason: str) -> None:
    """No 2xx without a flush."""
    bench = Bench()
    bench.intake.error = error
    async with bench.serving() as client:
        answer = await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)
    assert (503, reason) == (answer.status_code, answer.json()["error"])
    assert int(answer.headers["retry-after"]) > 0


async def test_a_store_that_is_behind_is_503_before_the_body_is_read() -> None:
    """CircleCI gives 10 s; a queue of more than 2 s is told at once."""
    bench = Bench()
    bench.intake.wait = 2.1
    async with bench.serving() as client:
        answer = await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)
    assert (503, "store_slow") == (answer.status_code, answer.json()["error"])


async def test_at_the_end_of_the_quota_webhooks_are_503() -> None:
    """CircleCI retries; what is here already needs the rest of the space."""
    bench = Bench()
    bench.intake.level = "refuse"
    async with bench.serving() as client:
        answer = await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)
        bench.intake.level = "pause"
        again = await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)
    assert (503, "store_full", 200) == (answer.status_code, answer.json()["error"], again.status_code)
    assert int(answer.headers["retry-after"]) > 0
    assert len(bench.intake.kept) == 1


async def test_a_flood_is_told_to_come_back() -> None:
    """Bodies held at once are bounded: the one beyond is 429 while the first still waits for its flush."""
    bench = Bench(ReceiverLimits(held_bytes=5))
    bench.intake.gate = asyncio.Event()
    async with bench.serving() as client:
        first = asyncio.create_task(client.post("/webhooks/circleci", content=b"x" * 10, headers=GOOD))
        await until(lambda: not bench.receiver._held < 10)
        second = await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)
        bench.intake.gate.set()
        assert (await first).status_code == 200
    assert (429, "busy") == (second.status_code, second.json()["error"])
    assert bench.receiver._held == 0


async def test_deliveries_of_one_turn_are_kept_together() -> None:
    """Senders that come at once share a transaction, and each gets its answer."""
    bench = Bench()
    async with bench.serving() as client:
        answers = await asyncio.gather(
            *[client.post("/webhooks/circleci", content=b"%d" % number, headers=GOOD) for number in range(50)]
        )
    assert {answer.status_code for answer in answers} == {200}
    assert {b"%d" % number for number in range(50)} == {kept.body for kept in bench.intake.kept}
    assert len(bench.intake.groups) <= 50


async def test_two_sources_need_their_name() -> None:
    """The short address is served only while there is one source."""
    bench = Bench()
    bench.receiver.configure({"a": Policy(), "b": Policy()})
    async with bench.serving() as client:
        short = await client.post("/webhooks/circleci", content=b"{}", headers=GOOD)
        named = await client.post("/webhooks/circleci/b", content=b"{}", headers=GOOD)
    assert (404, 200) == (short.status_code, named.status_code)


async def test_counts_are_handed_over_when_the_receiver_ends() -> None:
    """Nothing counted in the last second is lost."""
    telemetry = Telemetry()
    receiver = Receiver(Intake(), SystemClock(), telemetry, lambda: None)
    receiver._count("x", 200)
    task = asyncio.create_task(receiver.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert telemetry.value("headgate_webhook_requests_total", source="x", status="200") == 1
