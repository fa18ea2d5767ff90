"""A far side that repeats our request in its answer: no dead letter, no status and no event holds a secret of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from headgate.core.clock import ManualClock, SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import HttpReply, HttpSignal, TransportOptions
from headgate.core.record import Record
from headgate.core.storeport import AlertChange, Store
from headgate.deliver import DeliveryEngine, DeliveryEvent, EngineOptions, SignalStatus
from headgate.deliver.calling import Answer, Caller
from headgate.deliver.transport import Wire
from headgate.sinks import datadog, http, loki, newrelic, otlp, sumologic
from headgate.store.memory import MemoryStore
from headgate.store.sqlite import SqliteStore
from headgate.testing.sink_harness import NOW_MS, build_sink, make_batch

# Whoever reads the beginning of a secret has read too much, so each begins with this.
MARK = "canary"
SECRET = f"{MARK}-5f3c9a17-b2d4-and-more-of-it"
FAR = "https://far.example.com"
HTTP = {
    "url": f"{FAR}/ingest/{SECRET}?v=1&key={MARK}-of-the-query-0123",
    "headers": {"x-key": f"{MARK}-of-a-header"},
    "basic_auth": {"user": "me", "password": f"{MARK}-password"},
}
SINKS = {
    "http": (http, HTTP),
    "loki": (loki, {"url": FAR, "bearer_token": SECRET, "headers": {"x-scope": f"{MARK}-scope"}}),
    "newrelic": (newrelic, {"license_key": SECRET, "account_id": 1, "signals": ["logs"]}),
    "datadog": (datadog, {"api_key": SECRET, "signals": ["logs"]}),
    "sumologic": (
        sumologic,
        {"url": f"{FAR}/receiver/v1/http/{SECRET}", "token": f"{MARK}-token", "signals": ["logs"]},
    ),
    "otlp": (otlp, {"url": FAR, "signals": ["logs"], "bearer_token": SECRET}),
}


class Echo:
    """A transport that sends nothing: its answer is our own request, at the end of `before`."""

    def __init__(self, status: int, write: Callable[[Wire], bytes], before: str = "") -> None:
        self._status, self._write, self._before = status, write, before

    async def send(self, wire: Wire, options: TransportOptions) -> HttpReply:
        """What was sent, as the far side writes it."""
        del options
        return HttpReply(self._status, {"content-type": "application/json"}, self._before.encode() + self._write(wire))

    async def aclose(self) -> None:
        """Nothing is held open."""


def as_json(wire: Wire) -> bytes:
    """As a framework's page of an error shows a request."""
    parts = urlsplit(wire.url)
    shown = {"status": 400, "path": parts.path, "query": dict(parse_qsl(parts.query)), "headers": dict(wire.headers)}
    return orjson.dumps(shown)


def with_slashes(wire: Wire) -> bytes:
    """As PHP writes JSON."""
    return as_json(wire).replace(b"/", b"\\/")


def as_text(wire: Wire) -> bytes:
    """Secrets first: where this is cut, one is cut."""
    return (" ".join(value for _, value in wire.headers) + wire.url).encode()


async def answer_to(name: str, transport: Echo) -> Answer:
    """How an attempt of the sink's first signal ends."""
    module, settings = SINKS[name]
    signal = build_sink(module.PLUGINS[0], settings).signals()[0]
    assert isinstance(signal, HttpSignal)
    return await Caller(signal, transport, ManualClock(NOW_MS), None).attempt(make_batch(1), None)


@pytest.mark.parametrize("write", [as_json, with_slashes, as_text])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500])
@pytest.mark.parametrize("name", SINKS)
async def test_an_answer_that_repeats_the_request_holds_no_secret(
    name: str, status: int, write: Callable[[Wire], bytes]
) -> None:
    """Neither what is told of an attempt nor what a dead letter keeps of it."""
    answer = await answer_to(name, Echo(status, write))
    assert answer.verdict in {"drop", "auth", "config", "split", "retry", "partial"}
    assert MARK not in f"{answer.text} {answer.words} {answer.result}"


@pytest.mark.parametrize("name", SINKS)
async def test_no_secret_is_cut_in_half(name: str) -> None:
    """Wherever the far side's words are cut, a secret that stands there goes as a whole."""
    for length in (*range(380, 510, 6), *range(1880, 2060, 6)):
        for status in (400, 401, 413):
            answer = await answer_to(name, Echo(status, as_text, "é" * (length // 2)))
            assert MARK not in f"{answer.text} {answer.words} {answer.result}", (length, status)


async def test_the_words_of_a_refusal_are_kept() -> None:
    """What is no secret is there for who reads the dead letter."""
    answer = await answer_to("http", Echo(400, lambda _: b'{"error": "no field team"}'))
    assert (answer.verdict, answer.words) == ("drop", '{"error": "no field team"}')


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Either store, with 150 records; signals of sink `a` begin before them."""
    made: MemoryStore | SqliteStore = (
        MemoryStore(clock=SystemClock())
        if request.param == "memory"
        else SqliteStore(tmp_path / "headgate.db", clock=SystemClock(), metrics=NullMetrics())
    )
    await made.open()
    records = [
        Record(
            id=f"00000000-0000-5000-8000-{number:012d}",
            schema=1,
            kind="alert",
            occurred_at="2026-11-20T10:02:10.000Z",
            observed_at="2026-11-20T10:02:11.000Z",
            sources=["test"],
            tenant="circleci.com",
            attributes={"test.number": number},
        )
        for number in range(150)
    ]
    await made.transition(AlertChange(records=records))
    yield made
    await made.close()


async def deliver(store: Store, transport: Echo, more: Mapping[str, object]) -> tuple[SignalStatus, list[str]]:
    """Send until the signal is held: its status, and the text of each event."""
    events: list[str] = []
    told = asyncio.Event()

    def on_event(event: DeliveryEvent) -> None:
        events.append(event.text)
        told.set()

    engine = DeliveryEngine(
        store,
        {"a": build_sink(http.PLUGINS[0], {**HTTP, **more}, name="a")},
        clock=SystemClock(),
        metrics=NullMetrics(),
        starts={"a": "retained"},
        transport=transport,
        options=EngineOptions(poll_seconds=0.05, linger_seconds=0.0, outcome_seconds=0.01),
        on_event=on_event,
    )
    task = asyncio.create_task(engine.run())
    async with asyncio.timeout(60):
        await told.wait()
    await engine.stop()
    await task
    snapshot = await engine.snapshot()
    return snapshot["a"]["post"], events


@pytest.mark.parametrize(("status", "reason", "letters"), [(400, "refused", 99), (413, "too_large", 99), (401, "", 0)])
async def test_no_secret_reaches_a_dead_letter_or_a_status(
    store: Store, status: int, reason: str, letters: int
) -> None:
    """From the far side's answer to what pages, API, commands and alerts read."""
    shown, events = await deliver(store, Echo(status, as_json), {"format": "single", "concurrency": 1})
    dead = await store.dead_letters(limit=200)
    assert (shown.state, len(events), len(dead), {one.reason for one in dead}) == (
        "held",
        1,
        letters,
        {reason} if letters else set(),
    )
    assert str(status) in shown.reason
    assert all('"path":"/***' in one.answer for one in dead)
    assert MARK not in f"{shown} {events} {[one.answer for one in dead]}"
