"""The contract suite finds broken sinks: each mutant of a good sink fails the rule that it breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.ports import BuildContext, CheckResult, HttpReply, HttpRequest, LogEntry, Plugin, TransportOptions
from headgate.core.verdicts import Reject, SendResult, classify, raise_for
from headgate.sinks import http
from headgate.sinks.http import HttpConfig, HttpSink, HttpSinkSignal
from headgate.testing.sink_harness import deliver, make_batch, make_entry, outcome_class
from headgate.testing.sink_suite import CANARY, VendorSinkContract, VendorSubject


class Believing(HttpSinkSignal):
    """Takes every answer for success."""

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """Success."""
        return SendResult()


class Telling(HttpSinkSignal):
    """Repeats the far side's words as they are, and no wait."""

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        """The class without care for secrets."""
        raise_for(classify(reply.status), reply.status, reply.text())
        return SendResult()


class Shuffling(HttpSinkSignal):
    """Sends a batch backwards."""

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest:
        """The batch in another order."""
        return super().encode(list(reversed(batch)))


class Counting(HttpSinkSignal):
    """Puts a number into each request."""

    sent = 0

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest:
        """Never the same twice."""
        self.sent += 1
        request = super().encode(batch)
        return replace(request, headers=(*request.headers, ("x-try", str(self.sent))))


class Careless(HttpSinkSignal):
    """Looks at no certificate and no proxy, and waits as long as it takes."""

    def __init__(self, name: str, config: HttpConfig, user_agent: str) -> None:
        super().__init__(name, config, user_agent)
        self.transport = TransportOptions(verify=False)


class RaisingSink(HttpSink):
    """Lets check fail as it comes."""

    async def check(self) -> Sequence[CheckResult]:
        """No line, but an error."""
        raise SinkUnavailable("nobody there")


def contract(signal: type[HttpSinkSignal], sink: type[HttpSink] = HttpSink) -> VendorSinkContract:
    """The suite over a mutant of the generic sink."""

    def build(name: str, config: HttpConfig, context: BuildContext) -> HttpSink:
        built = sink(name, config, context)
        built._signal = signal(name, config, context.user_agent)
        return built

    class Contract(VendorSinkContract):
        subject = VendorSubject(
            plugin=Plugin(kind="sink", name="mutant", config=HttpConfig, build=build),
            vendor="http",
            secret_settings={"bearer_token": CANARY},
        )

    return Contract()


@pytest.mark.parametrize(
    ("signal", "rule"),
    [
        (Believing, lambda suite, _: suite.test_each_status_has_its_class()),
        (Believing, lambda suite, _: suite.test_retry_after_is_obeyed_in_both_forms()),
        (Believing, lambda suite, _: suite.test_no_failing_call_shows_a_secret()),
        (Telling, lambda suite, _: suite.test_retry_after_is_obeyed_in_both_forms()),
        (Telling, lambda suite, _: suite.test_no_failing_call_shows_a_secret()),
        (Shuffling, lambda suite, folder: suite.test_a_batch_is_taken_whole_and_in_order(folder)),
        (Careless, lambda suite, folder: suite.test_tls_is_verified_against_the_private_ca(folder)),
        (Careless, lambda suite, _: suite.test_requests_go_through_the_proxy()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_broken_signal_fails_its_rule(
    signal: type[HttpSinkSignal],
    rule: Callable[[VendorSinkContract, Path], Awaitable[None]],
    tmp_path: Path,
) -> None:
    """The unbroken sink passes the rule, the mutant does not."""
    await rule(contract(HttpSinkSignal), tmp_path)
    with pytest.raises(AssertionError):
        await rule(contract(signal), tmp_path)


def test_a_signal_that_counts_fails(tmp_path: Path) -> None:
    """A request that differs from one time to the next breaks SINK-06."""
    with pytest.raises(AssertionError):
        contract(Counting).test_the_same_batch_gives_the_same_bytes(tmp_path)


async def test_a_check_that_raises_fails() -> None:
    """An error out of check breaks SINK-19."""
    with pytest.raises(SinkUnavailable):
        await contract(HttpSinkSignal, RaisingSink).test_check_names_what_is_wrong()


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (SendResult(), "ok"),
        (SendResult(retry=frozenset({0})), "partial"),
        (SendResult(rejected={0: Reject("x")}), "partial"),
        (SinkUnavailable("x"), "retry"),
        (SinkRefused("x", reason="auth"), "auth"),
        (SinkRefused("x", reason="config"), "config"),
        (BatchRejected("x", reason="too_large"), "split"),
        (BatchRejected("x", reason="refused"), "drop"),
        (BatchRejected("x", reason="too_old"), "partial"),
    ],
    ids=str,
)
def test_outcomes_have_classes(outcome: SendResult | SinkUnavailable, wanted: str) -> None:
    """The eight classes as they can be seen from outside."""
    assert outcome_class(outcome) == wanted


class Picky:
    """A signal without network: refuses one record, is busy once with another, and is down at first."""

    name = "picky"
    kinds = None
    destination = "nowhere"
    limits = http.Limits()

    def __init__(self) -> None:
        self.calls = 0
        self.seen: list[str] = []

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        """Down, then per record."""
        self.calls += 1
        if self.calls == 1:
            raise SinkUnavailable("down")
        if any(entry.seq == 3 for entry in batch):
            raise BatchRejected("no", reason="refused")
        busy = {i for i, entry in enumerate(batch) if entry.seq == 6 and entry.record_id not in self.seen}
        self.seen += [entry.record_id for entry in batch]
        return SendResult(retry=frozenset(busy))


async def test_the_delivery_loop_settles_every_record() -> None:
    """Unavailable is repeated, rejected halved, busy sent again: seven accepted, one rejected, none twice."""
    batch = make_batch(8)
    done = await deliver(Picky(), batch)
    assert list(done.rejected) == [make_entry(3).record_id]
    assert sorted(done.accepted) == sorted(entry.record_id for entry in batch if entry.seq != 3)


async def test_a_sink_without_end_is_an_error() -> None:
    """A signal that is never available does not hang the test."""

    class Down(Picky):
        async def send(self, batch: Sequence[LogEntry]) -> SendResult:
            """Down for ever."""
            raise SinkUnavailable("down")

    with pytest.raises(AssertionError, match="no end"):
        await deliver(Down(), make_batch(1))
