"""The New Relic sink: addresses, limits, sizes, answers, check."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from newrelic_telemetry_sdk import EventClient, LogClient, MetricClient, SpanClient
from pydantic import ValidationError

from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.judging import Judging
from headgate.core.ports import HttpReply, HttpSignal
from headgate.core.times import HOUR_MS, MINUTE_MS
from headgate.core.verdicts import SendResult
from headgate.sinks.newrelic import PLUGINS, NewRelicConfig, NewRelicSignal
from headgate.testing.sink_harness import (
    NOW_MS,
    build_sink,
    deliver,
    ids_of,
    make_batch,
    make_entry,
    send,
    try_send,
)
from headgate.testing.sinks import FakeVendor

KEY = {"license_key": "secret-key", "account_id": 42}
SIGNALS = ("events", "logs", "metrics", "spans")


def signals(**settings: Any) -> dict[str, NewRelicSignal]:
    """The signals of a sink by name."""
    found = build_sink(PLUGINS[0], {**KEY, **settings}).signals()
    return {signal.name: signal for signal in found if isinstance(signal, NewRelicSignal)}


def only(name: str, **settings: Any) -> NewRelicSignal:
    """The one signal that is switched on."""
    (found,) = signals(signals=[name], **settings).values()
    return found


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    """A strict New Relic whose clock stands."""
    with FakeVendor("newrelic", clock_ms=lambda: NOW_MS) as running:
        yield running


def everywhere(url: str) -> dict[str, Any]:
    """Settings that send all four signals to one address."""
    return {"endpoints": dict.fromkeys(("events", "logs", "metrics", "traces"), url)}


class TestAddresses:
    """Where each signal goes."""

    def test_the_clients_own_addresses_are_used(self) -> None:
        """In the US host and path are the official client's; events have the account in the path."""
        found = {name: signal.destination for name, signal in signals().items()}
        for name, client in (("logs", LogClient), ("metrics", MetricClient), ("spans", SpanClient)):
            assert found[name] == f"https://{client.HOST}{client.PATH}"
        assert found["events"] == f"https://{EventClient.HOST}/v1/accounts/42/events"

    def test_regions(self) -> None:
        """Other data centres have other hosts and the same paths."""
        eu = [signal.destination for signal in signals(region="eu").values()]
        assert eu == [
            "https://insights-collector.eu01.nr-data.net/v1/accounts/42/events",
            "https://log-api.eu.newrelic.com/log/v1",
            "https://metric-api.eu.newrelic.com/metric/v1",
            "https://trace-api.eu.newrelic.com/trace/v1",
        ]
        gov = [
            signal.destination for signal in signals(region="fedramp", signals=["events", "logs", "metrics"]).values()
        ]
        assert gov == [
            "https://gov-insights-collector.newrelic.com/v1/accounts/42/events",
            "https://gov-log-api.newrelic.com/log/v1",
            "https://gov-metric-api.newrelic.com/metric/v1",
        ]

    def test_the_key_is_a_header_of_the_clients(self) -> None:
        """Key and content type are those that the official client would send; spans name their format."""
        for name, signal in signals().items():
            request = signal.encode(make_batch(1))
            assert request is not None
            headers = dict(request.headers)
            assert (headers["api-key"], headers["content-type"]) == ("secret-key", "application/json")
            assert headers.get("data-format") == ("newrelic" if name == "spans" else None)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"account_id": None}, "account_id"),
            ({"signals": []}, "at least 1"),
            ({"region": "fedramp"}, "endpoints.traces"),
            ({"license_key": "käse"}, "printable ASCII"),
            ({"endpoints": {"logs": "http://logs.example.com"}}, "write https"),
            ({"endpoints": {"logs": "http://8.8.8.8:80"}}, "write https"),
        ],
        ids=["account", "nothing", "fedramp-traces", "key", "http", "http-address"],
    )
    def test_what_cannot_work_is_refused_at_the_start(self, settings: dict[str, Any], words: str) -> None:
        """The error says what to write."""
        with pytest.raises(ValidationError, match=words):
            NewRelicConfig.model_validate({**KEY, **settings})

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:1", "http://[::1]:1", "http://fake:80", "http://10.0.0.7", "http://gate.internal/nr"]
    )
    def test_near_by_servers_may_be_plain(self, url: str) -> None:
        """Loopback, private addresses and local names need no TLS; a path before the API's is kept."""
        assert only("logs", endpoints={"logs": url}).destination == f"{url}/log/v1"


def test_the_client_is_imported_when_the_sink_is_built() -> None:
    """Who has no New Relic sink does not pay for its client."""
    code = "import sys, headgate.sinks.newrelic; sys.exit('newrelic_telemetry_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestLimits:
    """What a request may hold."""

    def test_ages(self) -> None:
        """Each window ends a little before New Relic's."""
        ages = {name: signal.limits.max_age_ms for name, signal in signals().items()}
        hours = {name: HOUR_MS * n for name, n in (("events", 24), ("logs", 48), ("metrics", 48))}
        assert all(ages[name] is not None and hour - 10 * MINUTE_MS < ages[name] < hour for name, hour in hours.items())
        assert ages["spans"] == 19 * MINUTE_MS

    @pytest.mark.parametrize("name", SIGNALS)
    async def test_the_edges_of_the_window_are_taken(self, vendor: FakeVendor, name: str) -> None:
        """A record as old as the limit allows, and one as new, are kept by the strict server."""
        signal = only(name, **everywhere(vendor.url))
        assert signal.limits.max_age_ms is not None
        assert signal.limits.max_ahead_ms is not None
        assert signal.limits.max_ahead_ms >= MINUTE_MS
        edges = (NOW_MS - signal.limits.max_age_ms, NOW_MS + signal.limits.max_ahead_ms)
        batch = [
            make_entry(n, occurred_ms=at, circleci__duration_ms=1_000, cicd__pipeline__run__id=f"run-{n}")
            for n, at in enumerate(edges)
        ]
        assert await send(signal, batch) == SendResult()
        assert vendor.stats()["records"] == 2

    async def test_a_long_run_is_sent_only_beside_a_fresh_neighbour(self, vendor: FakeVendor) -> None:
        """What New Relic would take and drop is too old here; once its trace was seen it goes."""
        signal = only("spans", **everywhere(vendor.url))
        assert isinstance(signal, Judging)
        long, short, alone = (
            make_entry(1, circleci__duration_ms=30 * MINUTE_MS),
            make_entry(2),
            make_entry(9, circleci__duration_ms=30 * MINUTE_MS),
        )
        assert signal.judge([long, short, alone], NOW_MS) == {0: "later", 2: "too_old"}
        vendor.answer(status=503, store=False, count=1)
        assert isinstance(await try_send(signal, [short]), SinkUnavailable)
        assert signal.judge([long], NOW_MS) == {0: "too_old"}
        assert await send(signal, [short]) == SendResult()
        assert signal.judge([long, alone], NOW_MS) == {1: "too_old"}
        assert signal.judge([long], NOW_MS + 20 * MINUTE_MS) == {0: "too_old"}
        assert await send(signal, [long]) == SendResult()
        assert isinstance(await try_send(signal, [alone]), BatchRejected)
        assert vendor.record_ids() == ids_of([short, long])

    def test_what_does_not_pack_into_a_megabyte_is_halved(self) -> None:
        """The limit after compression is judged before sending; each half is tried by itself."""
        chance = random.Random(1)
        noise = [make_entry(n, circleci__commit__subject=chance.randbytes(2_000).hex()) for n in range(600)]
        signal = only("logs")
        with pytest.raises(BatchRejected, match="do not pack") as caught:
            signal.encode(noise)
        assert caught.value.reason == "too_large"
        assert signal.encode(noise[:300]) is not None

    def test_without_compression_the_limit_is_the_bodys(self) -> None:
        """Nothing over a megabyte is sent plain."""
        assert only("logs", gzip=False).limits.max_bytes == 1_000_000
        assert only("logs").limits.max_bytes == 4_000_000
        assert only("logs", gzip=False, batch_bytes=5_000).limits.max_bytes == 5_000

    def test_kinds(self) -> None:
        """Events and logs take every kind, spans what ran, metrics what measures."""
        kinds = {name: signal.kinds for name, signal in signals().items()}
        assert kinds["events"] is None
        assert kinds["logs"] is None
        assert kinds["spans"] == {"workflow", "job", "step"}
        assert kinds["metrics"] is not None
        assert {"workflow", "job", "usage", "insight"} <= kinds["metrics"]

    def test_a_batch_that_measures_nothing_is_not_sent(self) -> None:
        """An insight of a past day is no metric, so there is nothing to ask New Relic for."""
        assert only("metrics").encode([make_entry(1, kind="insight", circleci__insight__window="day")]) is None


class TestAnswers:
    """What New Relic's answers mean."""

    @pytest.mark.parametrize(
        ("headers", "wait"), [({"retry-after": "12"}, 12.0), ({}, 60.0)], ids=["as-told", "rest-of-the-minute"]
    )
    async def test_a_rate_limit_is_waited_out(self, vendor: FakeVendor, headers: dict[str, str], wait: float) -> None:
        """The Event API names no time; its limit is per minute."""
        vendor.answer(status=429, headers=headers)
        outcome = await try_send(only("events", **everywhere(vendor.url)), make_batch(1))
        assert isinstance(outcome, SinkUnavailable)
        assert outcome.retry_after == wait

    def test_a_wrong_key_may_be_a_wrong_region(self) -> None:
        """Each data centre knows its own keys alone, so the error names all that can be wrong."""
        with pytest.raises(SinkRefused) as caught:
            only("logs").interpret(HttpReply(403, {}, b"{}"), make_batch(1))
        assert (caught.value.reason, caught.value.fix) == ("auth", "check license_key, account_id and region")

    def test_a_web_page_is_no_success(self) -> None:
        """A proxy's page with status 200 holds the signal and loses nothing."""
        with pytest.raises(SinkRefused, match="web page"):
            only("logs").interpret(HttpReply(200, {"content-type": "text/html"}, b"<html>"), make_batch(1))

    async def test_a_bad_record_is_found_and_the_others_are_kept(self, vendor: FakeVendor) -> None:
        """A 400 names nothing, so halving finds the one that is too old; its words are kept."""
        batch = [*make_batch(4), make_entry(50, occurred_ms=NOW_MS - 72 * HOUR_MS), *make_batch(3, first=60)]
        done = await deliver(only("logs", **everywhere(vendor.url)), batch)
        assert sorted(done.accepted) == sorted(ids_of(batch[:4] + batch[5:]))
        (reject,) = done.rejected.values()
        assert (reject.status, "too old" in reject.answer) == (400, True)

    async def test_the_fake_can_drop_in_silence_as_new_relic_does(self) -> None:
        """With its own way on, the same batch is accepted whole, and the bad record is not there."""
        batch = [*make_batch(2), make_entry(50, occurred_ms=NOW_MS - 72 * HOUR_MS)]
        with FakeVendor("newrelic", clock_ms=lambda: NOW_MS, reject=False) as vendor:
            assert await send(only("logs", **everywhere(vendor.url)), batch) == SendResult()
            assert vendor.record_ids() == ids_of(batch[:2])


class TestCheck:
    """`headgate check`."""

    async def test_each_signal_is_asked(self, vendor: FakeVendor) -> None:
        """Four hosts, four lines, and nothing is stored."""
        found = await build_sink(PLUGINS[0], {**KEY, **everywhere(vendor.url)}, name="nr").check()
        assert [(result.name, result.reason) for result in found] == [(f"sinks.nr.{name}", "ok") for name in SIGNALS]
        assert vendor.record_ids() == []

    async def test_another_product_is_named(self, vendor: FakeVendor) -> None:
        """A 2xx without New Relic's receipt is not New Relic."""
        vendor.answer(status=200, body={"status": "green"}, store=False)
        (result,) = await build_sink(PLUGINS[0], {**KEY, **everywhere(vendor.url), "signals": ["logs"]}).check()
        assert (result.reason, "green" in result.fix) == ("wrong_product", True)


async def test_all_four_at_once(vendor: FakeVendor) -> None:
    """One workflow with its jobs and a step: every signal's items are taken by the strict server."""
    run = "fda08377-fe7e-46b1-8992-3a7aaecac9c3"
    batch = [
        make_entry(1, kind="workflow", cicd__pipeline__run__id=run),
        make_entry(2, cicd__pipeline__run__id=run),
        make_entry(3, kind="step", cicd__pipeline__run__id=run, circleci__step__node=0, circleci__step__index=1),
    ]
    for signal in signals(**everywhere(vendor.url)).values():
        assert isinstance(signal, HttpSignal)
        some = [entry for entry in batch if signal.kinds is None or entry.kind in signal.kinds]
        assert await send(signal, some) == SendResult()
    stored = [row["native"] for row in vendor.stored()]
    assert [row["api"] for row in stored] == ["events"] * 3 + ["logs"] * 3 + ["metrics"] * 3 + ["spans"] * 3
    assert stored[0]["eventType"] == "CircleCIWorkflow"
