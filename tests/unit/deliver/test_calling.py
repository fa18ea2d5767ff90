"""Every way one attempt can end."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import current_thread, main_thread

import pytest
from tests.unit.deliver.fakes import (
    FakeTransport,
    HttpScripted,
    LoopClock,
    ScriptedSignal,
    entry,
    run_virtual,
    unavailable,
)

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused
from headgate.core.ports import HttpReply, HttpRequest, Limits
from headgate.core.verdicts import Reject, SendResult
from headgate.deliver.calling import Caller
from headgate.deliver.transport import TimedOut

BATCH = [entry(1), entry(2)]


def raising(error):
    """A function that raises."""

    def run(*_):
        raise error

    return run


@pytest.mark.parametrize(
    ("script", "verdict", "reason"),
    [
        pytest.param(lambda *_: None, "ok", "", id="ok"),
        pytest.param(lambda *_: SendResult(rejected={1: Reject("x")}), "partial", "", id="partial"),
        pytest.param(lambda *_: SendResult(rejected={2: Reject("x")}), "internal", "internal", id="index too high"),
        pytest.param(lambda *_: SendResult(retry=frozenset({-1})), "internal", "internal", id="index too low"),
        pytest.param(raising(unavailable()), "retry", "", id="unavailable"),
        pytest.param(raising(BatchRejected("m", status=413, reason="too_large")), "split", "too_large", id="split"),
        pytest.param(raising(BatchRejected("m", status=400, reason="refused")), "drop", "refused", id="drop"),
        pytest.param(raising(SinkRefused("m", reason="auth")), "auth", "auth", id="auth"),
        pytest.param(raising(SinkRefused("m", reason="config")), "config", "config", id="config"),
        pytest.param(raising(KeyError("hunter2")), "internal", "internal", id="bug"),
        pytest.param(lambda *_: (1e6, None), "retry", "", id="never ends"),
    ],
)
def test_a_call_ends_as_one_answer(script, verdict, reason):
    """Nothing but cancellation escapes, and no text of a bug is told."""

    async def scenario():
        caller = Caller(ScriptedSignal(script=script), FakeTransport(lambda *_: None), LoopClock(), None)
        return await caller.attempt(BATCH, None)

    answer = run_virtual(scenario())
    assert (answer.verdict, answer.reason) == (verdict, reason)
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("reply", "error", "verdict", "overloaded", "unforeseen"),
    [
        pytest.param(HttpReply(200, {}, b""), None, "ok", False, False, id="ok"),
        pytest.param(HttpReply(429, {}, b""), unavailable(), "retry", True, False, id="429"),
        pytest.param(HttpReply(500, {}, b""), unavailable(), "retry", False, False, id="500"),
        pytest.param(HttpReply(418, {}, b""), unavailable(), "retry", False, True, id="418"),
        pytest.param(HttpReply(400, {}, b"why"), BatchRejected("m", words="w"), "drop", False, False, id="400"),
    ],
)
def test_an_http_answer_is_read_once(*, reply, error, verdict, overloaded, unforeseen):
    """Status and words go with the verdict; the bytes are kept for another attempt."""

    def read(got, batch):
        if error is not None:
            raise error
        return SendResult()

    async def scenario():
        caller = Caller(HttpScripted(read=read), FakeTransport(lambda *_: reply), LoopClock(), None)
        return await caller.attempt(BATCH, None)

    answer = run_virtual(scenario())
    assert (answer.verdict, answer.overloaded, answer.unforeseen) == (verdict, overloaded, unforeseen)
    assert (answer.status, answer.wire.body) == (reply.status, b'{"n":1}\n{"n":2}')
    assert answer.words == ("w" if verdict == "drop" else "")


def test_a_batch_of_which_nothing_is_for_the_far_side_is_done_without_a_request():
    """Nothing is sent, and every record counts as accepted."""

    class Signal(HttpScripted):
        def encode(self, batch):
            return None

    async def scenario():
        return await Caller(Signal(), FakeTransport(raising(AssertionError)), LoopClock(), None).attempt(BATCH, None)

    answer = run_virtual(scenario())
    assert (answer.verdict, answer.result, answer.wire) == ("ok", SendResult(), None)


@pytest.mark.parametrize(("seconds", "encoded"), [(59.9, 1), (60.1, 2)])
def test_a_request_is_sent_again_as_it_is_while_it_is_good(seconds, encoded):
    """After that the same entries are encoded anew; bytes without an end are good for ever."""
    bodies = []

    class Signal(HttpScripted):
        def encode(self, batch):
            bodies.append(len(bodies))
            return HttpRequest("POST", "http://x", (), b"%d" % bodies[-1], good_until_ms=clock.now_ms() + 60_000)

    async def scenario():
        transport = FakeTransport(lambda *_: HttpReply(200, {}, b""))
        caller = Caller(Signal(), transport, clock, None)
        first = await caller.attempt(BATCH, None)
        clock.advance(seconds)
        await caller.attempt(BATCH, first.wire)
        return [wire.body for wire in transport.sent]

    clock = ManualClock()
    assert run_virtual(scenario()) == [b"0", b"%d" % (encoded - 1)]


def test_a_time_out_is_overload():
    """It shrinks the number of requests in flight."""

    async def scenario():
        transport = FakeTransport(raising(TimedOut("no answer")))
        return await Caller(HttpScripted(), transport, LoopClock(), None).attempt(BATCH, None)

    answer = run_virtual(scenario())
    assert (answer.verdict, answer.overloaded, answer.status) == ("retry", True, None)


def test_cancellation_passes():
    """A stop is not an answer."""

    async def scenario():
        caller = Caller(ScriptedSignal(seconds=10), FakeTransport(lambda *_: None), LoopClock(), None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await caller.attempt(BATCH, None)

    run_virtual(scenario())


async def test_long_encoding_goes_to_a_thread():
    """What is known to be quick stays on the event loop, the rest does not hold it up."""
    clock, threads = ManualClock(), []

    class Signal(HttpScripted):
        def encode(self, batch):
            threads.append(current_thread() is not main_thread())
            clock.advance(self.cost)
            return HttpRequest("POST", "http://x", (), b"x")

    signal = Signal(limits=Limits())
    with ThreadPoolExecutor(1) as executor:
        caller = Caller(signal, FakeTransport(lambda *_: HttpReply(200, {}, b"")), clock, executor)
        signal.cost = 0.0
        for _ in range(20):
            await caller.attempt(BATCH, None)
        assert (threads[0], threads[-1]) == (True, False)
        signal.cost = 0.5
        await caller.attempt(BATCH, None)
        await caller.attempt(BATCH, None)
        assert threads[-1] is True
