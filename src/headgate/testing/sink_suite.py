"""The rules of docs/spec/component.md as tests that any sink is put through.

A plugin's author writes `class TestMine(SinkContract)` (pytest, asyncio mode auto) and says how the sink is built and
what its far side holds. A sink that speaks to one of the fake vendors takes `VendorSinkContract`, which also makes that
vendor misbehave. Each test names the rule that it enforces. Invariant: knows sinks through core.ports alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from headgate.core.errors import SinkError, SinkUnavailable
from headgate.core.ports import HttpSignal, LogEntry, Plugin, SetsUp, Sink
from headgate.core.verdicts import SendResult
from headgate.testing.relay import make_certificate, proxy, tls_front
from headgate.testing.sink_harness import (
    NOW_MS,
    Signal,
    build_sink,
    deliver,
    ids_of,
    make_batch,
    open_sink,
    outcome_class,
    send,
    try_send,
)
from headgate.testing.sinks import FakeVendor, all_cases

__all__ = ["CANARY", "STATUS_CLASSES", "Far", "SinkContract", "Subject", "VendorSinkContract", "VendorSubject"]

CANARY = "canary-5f3c9a17"
# What a bare status means to every sink; a sink whose vendor documents something else says so in `statuses`.
STATUS_CLASSES: Mapping[int, str] = {
    301: "config",
    302: "config",
    307: "config",
    400: "drop",
    401: "auth",
    403: "auth",
    404: "config",
    405: "config",
    408: "retry",
    413: "split",
    415: "config",
    425: "retry",
    429: "retry",
    500: "retry",
    502: "retry",
    503: "retry",
    504: "retry",
    299: "retry",
    418: "retry",
    599: "retry",
}


@dataclass(frozen=True, slots=True)
class Far:
    """A far side: the settings of a sink that sends to it, and the ids of the records that it holds, in order."""

    settings: Mapping[str, object]
    ids: Callable[[], list[str | None]]


@dataclass(frozen=True, slots=True)
class Subject:
    """The sink under test. `secret_settings` put CANARY into secrets of its configuration."""

    plugin: Plugin
    secret_settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VendorSubject(Subject):
    """A sink that sends to a fake vendor.

    `settings`: the smallest configuration for a base address. `vendor_options`: of the fake. `locked_options` make it
    want credentials, `key_settings` satisfy it, `wrong_key_settings` do not. `cases_of`: the sink's name in
    sink-cases.json. `statuses`: where the vendor documents another class than STATUS_CLASSES. `deduplicates`: the far
    side folds a resend. `reads_body`: a success is only believed with a readable body. `packs`: the content encoding
    that `gzip: true` leads to, empty where the endpoint takes none.
    """

    vendor: str = ""
    settings: Callable[[str], Mapping[str, object]] = lambda url: {"url": url}
    vendor_options: Mapping[str, Any] = field(default_factory=dict)
    locked_options: Mapping[str, Any] = field(default_factory=dict)
    key_settings: Mapping[str, object] = field(default_factory=dict)
    wrong_key_settings: Mapping[str, object] = field(default_factory=dict)
    cases_of: str = ""
    statuses: Mapping[int, str] = field(default_factory=dict)
    deduplicates: bool = True
    reads_body: bool = False
    packs: str = "gzip"


class SinkContract:
    """Rules for every sink. Subclasses give `subject` and `far`."""

    subject: ClassVar[Subject]

    @abstractmethod
    def far(self, directory: Path) -> AbstractContextManager[Far]:
        """A far side for one test. `directory` is empty and may be written to."""

    def batch(self, count: int, *, first: int = 1) -> list[LogEntry]:
        """`count` records of a kind that the signal takes, unlike all with another `first`; jobs unless overridden."""
        return make_batch(count, first=first)

    def test_the_configuration_is_closed_and_described(self) -> None:
        """SINK-01: a sink's configuration is frozen, refuses unknown keys and describes each option."""
        model = self.subject.plugin.config
        assert model.model_config.get("frozen") is True
        assert model.model_config.get("extra") == "forbid"
        assert [name for name, option in model.model_fields.items() if not option.description] == []

    async def test_building_is_silent_and_closing_is_safe(self, tmp_path: Path) -> None:
        """SINK-02: building does no I/O; signals have unique names; closing is safe at once and twice."""
        with self.far(tmp_path) as far:
            sink = build_sink(self.subject.plugin, far.settings)
            names = [signal.name for signal in sink.signals()]
            assert names
            assert len(set(names)) == len(names)
            assert [signal.name for signal in sink.signals()] == names
            await sink.aclose()
            await sink.aclose()
            assert far.ids() == []

    async def test_a_batch_is_taken_whole_and_in_order(self, tmp_path: Path) -> None:
        """SINK-03: every record of a good batch is stored once, in the order of the batch."""
        with self.far(tmp_path) as far:
            async with open_sink(self.subject.plugin, far.settings) as (_, signal):
                batch = self.batch(min(20, signal.limits.max_records))
                assert await send(signal, batch) == SendResult()
                assert far.ids() == ids_of(batch)

    async def test_check_finds_nothing_wrong(self, tmp_path: Path) -> None:
        """SINK-04: check of a sink that works is ok and stores nothing."""
        with self.far(tmp_path) as far:
            async with open_sink(self.subject.plugin, far.settings) as (sink, _):
                results = await sink.check()
                assert results
                assert [(result.ok, result.fix) for result in results] == [(True, "")] * len(results)
                assert far.ids() == []

    def test_secrets_are_never_shown(self, tmp_path: Path) -> None:
        """SINK-05: neither the configuration's text, nor an error about it, nor the destination holds a secret."""
        model = self.subject.plugin.config
        with self.far(tmp_path) as far:
            settings = {**far.settings, **self.subject.secret_settings}
            signal = build_sink(self.subject.plugin, settings).signals()[0]
        config = model.model_validate(settings)
        for text in (repr(config), config.model_dump_json(), signal.destination):
            assert CANARY not in text
        with pytest.raises(ValidationError) as caught:
            model.model_validate({**settings, "no_such_key": CANARY})
        assert CANARY not in str(caught.value)

    def test_the_same_batch_gives_the_same_bytes(self, tmp_path: Path) -> None:
        """SINK-06: encoding is a function of the batch; two sinks of one configuration agree byte by byte."""
        with self.far(tmp_path) as far:
            one, other = (build_sink(self.subject.plugin, far.settings).signals()[0] for _ in range(2))
        if isinstance(one, HttpSignal) and isinstance(other, HttpSignal):
            batch = self.batch(min(20, one.limits.max_records))
            assert one.encode(batch) == one.encode(batch) == other.encode(list(batch))


class VendorSinkContract(SinkContract):
    """Rules for a sink that sends to a fake vendor over HTTP."""

    subject: ClassVar[VendorSubject]

    @contextmanager
    def running(self, **options: Any) -> Iterator[FakeVendor]:
        """The fake vendor with a fixed clock; `options` on top of the subject's."""
        wanted = {**self.subject.vendor_options, **options}
        with FakeVendor(self.subject.vendor, clock_ms=lambda: NOW_MS, **wanted) as vendor:
            yield vendor

    @contextmanager
    def far(self, directory: Path) -> Iterator[Far]:
        """The fake vendor as a far side."""
        del directory
        with self.running() as vendor:
            yield Far(self.subject.settings(vendor.url), vendor.record_ids)

    def opened(self, url: str, **more: object) -> AbstractAsyncContextManager[tuple[Sink, Signal]]:
        """The sink for this address and its first signal; `more` are further settings."""
        return open_sink(self.subject.plugin, {**self.subject.settings(url), **more})

    async def test_each_documented_answer_has_its_class(self) -> None:
        """SINK-10: each row of sink-cases.json about this sink is read as the class that the row demands.

        `ok_async` is a success whose contents the far side looks at later: to the engine, `ok`.
        """
        cases = [case for case in all_cases() if case.sink == self.subject.cases_of]
        wrong: dict[str, str] = {}
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                for number, case in enumerate(cases):
                    vendor.clear()
                    vendor.answer(case=case.name)
                    outcome = await try_send(
                        signal, self.batch(min(4, signal.limits.max_records), first=1 + 10 * number)
                    )
                    if outcome_class(outcome) != case.expect.removesuffix("_async"):
                        wrong[case.name] = f"{case.expect} wanted, got {outcome_class(outcome)}: {outcome}"
        assert wrong == {}

    async def test_each_status_has_its_class(self) -> None:
        """SINK-11: a bare status is read as the common table says; an unforeseen one is retry, a redirect config."""
        wanted = {**STATUS_CLASSES, **self.subject.statuses}
        found: dict[int, str] = {}
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                batch = self.batch(min(4, signal.limits.max_records))
                for status in wanted:
                    vendor.answer(status=status, headers={"location": f"{vendor.url}/elsewhere"}, store=False)
                    found[status] = outcome_class(await try_send(signal, batch))
            assert vendor.record_ids() == []
            assert [row for row in vendor.requests() if row["path"] == "/elsewhere"] == []
        assert found == wanted

    async def test_retry_after_is_obeyed_in_both_forms(self) -> None:
        """SINK-12: the seconds that the far side asks for reach the engine, as a number and as an HTTP date."""
        dates = {"retry-after": "Fri, 20 Nov 2026 10:02:22 GMT", "date": "Fri, 20 Nov 2026 10:02:10 GMT"}
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                for headers, wanted in (({"retry-after": "7"}, 7.0), (dates, 12.0), ({}, None)):
                    vendor.answer(status=503, headers=headers)
                    outcome = await try_send(signal, self.batch(1))
                    assert isinstance(outcome, SinkUnavailable)
                    assert outcome.retry_after == wanted

    async def test_a_server_without_an_answer_is_unavailable(self) -> None:
        """SINK-13: a slow server, a cut connection and nobody listening are SinkUnavailable."""
        batch = self.batch(1)
        orders: list[dict[str, Any]] = [{"hang": True}, {"slow_seconds": 5.0}, {"cut": "before_store"}]
        if self.subject.reads_body:
            orders.append({"cut": "mid_answer"})
        with self.running() as vendor:
            async with self.opened(vendor.url, timeout="200ms") as (_, signal):
                for order in orders:
                    vendor.answer(order)
                    assert isinstance(await try_send(signal, batch), SinkUnavailable), order
        async with self.opened(vendor.url) as (_, signal):
            assert isinstance(await try_send(signal, batch), SinkUnavailable)

    async def test_a_resend_after_a_lost_answer_is_harmless(self) -> None:
        """SINK-14: what was stored before the connection was cut is sent again with the same bytes and not doubled."""
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                batch = self.batch(min(5, signal.limits.max_records))
                vendor.answer(cut="after_store", count=1)
                assert isinstance(await try_send(signal, batch), SinkUnavailable)
                assert vendor.record_ids() == ids_of(batch)
                assert await send(signal, batch) == SendResult()
            first, second = vendor.requests()
            assert first["body"] == second["body"]
            assert (vendor.record_ids() == ids_of(batch)) is self.subject.deduplicates

    async def test_an_unreadable_answer_is_not_success(self) -> None:
        """SINK-15: where the body tells what was stored, a broken one means that nobody knows: SinkUnavailable."""
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                vendor.answer(broken_json=True)
                outcome = await try_send(signal, self.batch(1))
        assert outcome_class(outcome) == ("retry" if self.subject.reads_body else "ok")

    async def test_a_chunked_answer_is_read(self) -> None:
        """SINK-16: an answer in chunks of a few bytes is read like any other."""
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                vendor.answer(chunked=True)
                assert await send(signal, self.batch(min(3, signal.limits.max_records))) == SendResult()

    async def test_too_large_is_halved_and_nothing_is_lost(self) -> None:
        """SINK-17: 413 is BatchRejected; the halves go through, and a single record that never does is named."""
        with self.running() as vendor:
            async with self.opened(vendor.url) as (_, signal):
                batch = self.batch(min(8, signal.limits.max_records))
                vendor.answer(status=413, count=len(batch).bit_length() - 1, store=False)
                assert sorted((await deliver(signal, batch)).accepted) == sorted(ids_of(batch))
                assert sorted(map(str, vendor.record_ids())) == sorted(ids_of(batch))
                vendor.answer(status=413, store=False)
                rejected = (await deliver(signal, batch[:1])).rejected
        assert [reject.reason for reject in rejected.values()] == ["too_large"]

    async def test_a_wrong_key_holds_everything(self) -> None:
        """SINK-18: a wrong key is SinkRefused for reason auth; the right one works, and check says so."""
        subject = self.subject
        with self.running(**subject.locked_options) as vendor:
            async with self.opened(vendor.url, **subject.wrong_key_settings) as (_, signal):
                outcome = await try_send(signal, self.batch(1))
                assert outcome_class(outcome) == ("auth" if subject.locked_options else "ok")
            async with self.opened(vendor.url, **subject.key_settings) as (sink, signal):
                assert await send(signal, self.batch(1, first=2)) == SendResult()
                assert all(result.ok for result in await sink.check())

    async def test_check_names_what_is_wrong(self) -> None:
        """SINK-19: check of a dead address or a refused key is not ok, says how to fix it, and does not raise."""
        with self.running() as vendor:
            async with self.opened(vendor.url) as (sink, _):
                for status in (401, 403):
                    vendor.answer(status=status)
                    (result,) = await sink.check()
                    assert (result.ok, result.reason) == (False, "auth")
                    assert result.fix
        async with self.opened(vendor.url) as (sink, _):
            assert [(result.ok, result.reason) for result in await sink.check()] == [(False, "unreachable")]

    async def test_no_failing_call_shows_a_secret(self) -> None:
        """SINK-20: whatever the far side answers, even our own credentials, no error or check holds a secret."""
        with self.running() as vendor:
            async with self.opened(vendor.url, **self.subject.secret_settings) as (sink, signal):
                await try_send(signal, self.batch(1))
                echo = " ".join(value for row in vendor.requests() for value in row["headers"].values())
                for status in (400, 401, 403, 404, 413, 429, 500, 302, 299):
                    vendor.answer(status=status, body=f"you sent {echo} {CANARY}")
                    outcome = await try_send(signal, self.batch(1))
                    assert isinstance(outcome, SinkError)
                    told = (outcome, getattr(outcome, "fix", ""), getattr(outcome, "words", ""))
                    assert CANARY not in f"{outcome!r} {told}", status
                    assert CANARY not in repr(await sink.check()), status

    async def test_tls_is_verified_against_the_private_ca(self, tmp_path: Path) -> None:
        """SINK-21: a private CA's certificate is refused without `ca_file`, taken with it and with `verify: false`."""
        certificate, key = make_certificate(tmp_path)
        ways: list[tuple[dict[str, object], bool]] = [({}, False), ({"ca_file": str(certificate)}, True)]
        ways.append(({"verify": False}, True))
        with self.running() as vendor:
            async with tls_front(vendor.url, certificate, key) as url:
                for more, wanted in ways:
                    async with self.opened(url, **more) as (sink, signal):
                        outcome = await try_send(signal, self.batch(1))
                        assert isinstance(outcome, SendResult) is wanted, more
                        assert all(result.ok for result in await sink.check()) is wanted, more

    async def test_requests_go_through_the_proxy(self) -> None:
        """SINK-22: with `proxy` set every request goes through it, those of check too."""
        with self.running() as vendor:
            async with proxy() as running:
                async with self.opened(vendor.url, proxy=running.url) as (_, signal):
                    assert await send(signal, self.batch(1)) == SendResult()
                assert [vendor.url in line for line in running.lines] == [True]
                async with self.opened(vendor.url, proxy=running.url) as (sink, _):
                    assert all(result.ok for result in await sink.check())
                assert len(running.lines) > 1
                assert all(vendor.url in line for line in running.lines)

    async def test_compression_changes_nothing_but_the_size(self) -> None:
        """SINK-23: with gzip on and off the same records are stored."""
        for packed in (True, False):
            with self.running() as vendor:
                async with self.opened(vendor.url, gzip=packed) as (_, signal):
                    batch = self.batch(min(50, signal.limits.max_records))
                    assert await send(signal, batch) == SendResult()
                assert vendor.record_ids() == ids_of(batch)
                assert vendor.requests()[0]["headers"].get("content-encoding", "") == (
                    self.subject.packs if packed else ""
                )

    async def test_setting_up_can_be_repeated(self) -> None:
        """SINK-25: a dry run and a second run change nothing, nothing is deleted, and no step shows a secret."""
        with self.running() as vendor:
            async with self.opened(vendor.url, **self.subject.secret_settings) as (sink, _):
                if not isinstance(sink, SetsUp):
                    return
                would, did, again = [
                    [step async for step in sink.set_up(dry_run=dry_run)] for dry_run in (True, False, False)
                ]
                assert [(step.what, step.outcome) for step in would] == [(step.what, step.outcome) for step in did]
                assert {step.outcome for step in again} == {"unchanged"}
                assert "DELETE" not in {row["method"] for row in vendor.requests()}
                assert CANARY not in repr([would, did, again])

    def test_secret_settings_reach_a_secret(self) -> None:
        """SINK-24: `secret_settings` fill at least one secret, so that the canary tests mean something."""
        settings = {**self.subject.settings("http://127.0.0.1:1"), **self.subject.secret_settings}
        assert CANARY in "".join(_secrets(self.subject.plugin.config.model_validate(settings).model_dump()))


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
