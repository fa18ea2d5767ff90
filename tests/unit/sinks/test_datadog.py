"""The Datadog sink: its configuration, its addresses, its answers, and counts that survive resends and batches."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.sinks.test_datadog_forms import figure

from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.ports import HttpReply, LogEntry
from headgate.core.times import HOUR_MS, format_ms
from headgate.core.verdicts import SendResult
from headgate.sinks._datadog_client import routes
from headgate.sinks._datadog_metrics import SECONDS, SeriesForm
from headgate.sinks.datadog import PLUGINS, DatadogConfig, Site
from headgate.testing.sink_harness import NOW_MS, build_sink, deliver, make_batch, make_entry, send
from headgate.testing.sinks import FakeVendor


def signal(name: str, url: str = "http://127.0.0.1:1", **settings: Any) -> Any:
    """The signal of a sink that has no other."""
    endpoints = dict.fromkeys(("api", "logs", "events"), url)
    made = {"api_key": "k" * 32, "endpoints": endpoints, "signals": [name], **settings}
    return build_sink(PLUGINS[0], made).signals()[0]


def usage(seq: int, value: int = 1, *, occurred_ms: int = NOW_MS, **more: Any) -> LogEntry:
    """A record that counts `value` credits of one series."""
    return make_entry(seq, kind="usage", occurred_ms=occurred_ms, circleci__credits__compute=value, **more)


def total(vendor: FakeVendor) -> float:
    """What a sum over the metric shows."""
    return sum(row["native"]["value"] for row in vendor.stored())


# --- counts -----------------------------------------------------------------------------------------------------------


async def test_two_batches_of_one_second_do_not_overwrite_each_other() -> None:
    """Datadog keeps the last value of a name, its tags and a second; each record has a place of its own."""
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal("metrics", vendor.url)
        for first in (1, 101, 201):
            await send(sender, [usage(seq) for seq in range(first, first + 100)])
        assert total(vendor) == 300


async def test_counts_sent_again_in_other_batches_are_the_same_points() -> None:
    """A lost answer, a restart with other batches and a halved batch change nothing."""
    entries = [usage(seq, seq) for seq in range(1, 41)]
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal("metrics", vendor.url)
        for cuts in ((40,), (7, 33), (20, 20), (1, 39)):
            start = 0
            for size in cuts:
                await send(sender, entries[start : start + size])
                start += size
            assert total(vendor) == sum(range(1, 41))


@settings(max_examples=60, deadline=None)
@given(
    shards=st.integers(1, 12),
    start=st.integers(0, 10**9),
    data=st.data(),
)
def test_no_two_of_so_many_consecutive_records_share_a_place(shards: int, start: int, data: st.DataObject) -> None:
    """60 x shards consecutive records have as many places, in any batches (the claim of decision 18)."""
    form = SeriesForm("ci", (), compat=False, shards=shards)
    most = SECONDS * shards
    seqs = data.draw(st.lists(st.integers(start, start + most - 1), min_size=2, max_size=30, unique=True))
    places = {form._place(usage(seq)) for seq in seqs}
    assert len(places) == len(seqs)


def test_a_place_is_in_the_minute_of_its_record_and_in_its_lane() -> None:
    """Points never leave their minute; another lane, which numbers anew, has shards of its own."""
    form = SeriesForm("ci", (), compat=False, shards=10)
    for seq, back in itertools.product((0, 59, 60, 12345), (0, 59_999, 3_599_999)):
        second, _ = form._place(usage(seq, occurred_ms=NOW_MS - back))
        assert second // 60 == (NOW_MS - back) // 60_000
    assert form._place(usage(5))[1] == "0"
    assert form._place(usage(5, lane="backfill"))[1] == "backfill-0"


async def test_durations_of_one_second_add_up() -> None:
    """A distribution keeps every value, whichever batch it came in."""
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal("distributions", vendor.url)
        for first in (1, 51):
            await send(sender, make_batch(50, first=first))
        assert len(vendor.stored()) == 100


async def test_gauges_are_states_of_which_the_last_holds() -> None:
    """Two figures of one second are one point."""
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        await send(signal("metrics", vendor.url), [figure(1, 0.6), figure(2, 0.7)])
        assert [(row["native"]["type"], row["native"]["value"]) for row in vendor.stored()] == [(3, 0.7)]


# --- windows and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "age_ms", "records"),
    [
        ("logs", 18 * HOUR_MS, 1000),
        ("metrics", HOUR_MS - 60_000, 5000),
        ("distributions", HOUR_MS, 5000),
        ("events", 18 * HOUR_MS, 1),
        ("ci", 18 * HOUR_MS, 1000),
        ("dora", None, 1),
    ],
)
def test_each_signal_declares_its_window(name: str, age_ms: int | None, records: int) -> None:
    """The engine skips what is older than Datadog takes, and cuts batches to its number of records."""
    limits = signal(name).limits
    assert (limits.max_age_ms, limits.max_records) == (age_ms, records)


def test_historical_metrics_widen_the_window() -> None:
    """The usage export is a day old: with historical metrics on in Datadog it can be counted."""
    assert signal("metrics", max_age="3d").limits.max_age_ms == 3 * 24 * HOUR_MS - 60_000


@pytest.mark.parametrize(
    ("name", "wide_ms"), [("logs", 18 * HOUR_MS), ("distributions", HOUR_MS), ("dora", 72 * HOUR_MS)]
)
def test_an_age_counts_for_every_signal(name: str, wide_ms: int) -> None:
    """It narrows each, and widens none beyond what the intake takes."""
    assert signal(name, max_age="10m").limits.max_age_ms == HOUR_MS // 6
    assert signal(name, max_age="3d").limits.max_age_ms == wide_ms


async def test_the_oldest_count_that_is_sent_is_taken() -> None:
    """A count may be moved back to the start of its minute, which must not be too old."""
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal("metrics", vendor.url)
        await send(sender, [usage(60, occurred_ms=NOW_MS - sender.limits.max_age_ms)])
        await send(sender, [usage(59, occurred_ms=NOW_MS + sender.limits.max_ahead_ms)])
        assert total(vendor) == 2


async def test_a_run_that_ended_by_a_faster_clock_is_sent_and_taken() -> None:
    """A minute ahead is a difference of clocks, not the future."""
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        sender = signal("ci", vendor.url)
        assert sender.limits.max_ahead_ms == 60_000
        ahead = format_ms(NOW_MS + sender.limits.max_ahead_ms)
        done = await deliver(sender, [make_entry(1, circleci__stopped_at=ahead)])
        assert (len(done.accepted), done.rejected) == (1, {})


async def test_a_bad_record_is_found_and_the_others_are_delivered() -> None:
    """A job that is three days old by its own end is refused; halving leaves it alone."""
    bad = make_entry(9, circleci__stopped_at="2026-11-17T10:00:00.000Z")
    with FakeVendor("datadog", clock_ms=lambda: NOW_MS) as vendor:
        done = await deliver(signal("ci", vendor.url), [*make_batch(8), bad])
        assert (len(done.accepted), list(done.rejected)) == (8, [bad.record_id])
        assert "18 hours" in done.rejected[bad.record_id].answer


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_rate_limit_is_waited_out_by_its_own_header() -> None:
    """`X-RateLimit-Reset` comes before `Retry-After`; nonsense is no wait at all."""
    for headers, wanted in (
        ({"x-ratelimit-reset": "3", "retry-after": "9"}, 3.0),
        ({"x-ratelimit-reset": "0"}, 0.0),
        ({"x-ratelimit-reset": "99999"}, 3600.0),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"retry-after": "9"}, 9.0),
    ):
        with pytest.raises(SinkUnavailable) as caught:
            signal("logs").interpret(HttpReply(429, headers, b""), make_batch(1))
        assert caught.value.retry_after == wanted


def test_errors_in_a_success_are_counted() -> None:
    """Of several records nobody says which; of one it is that one."""
    reply = HttpReply(202, {}, b'{"errors":["Payload contained 2 invalid points", "and this"]}')
    sender = signal("metrics")
    assert sender.interpret(reply, make_batch(5)) == SendResult(unnamed=3, words=reply.text())
    assert sender.interpret(reply, make_batch(2)).unnamed == 2
    assert list(sender.interpret(reply, make_batch(1)).rejected) == [0]
    assert sender.interpret(HttpReply(202, {}, b'{"errors":[]}'), make_batch(5)) == SendResult()


def test_a_web_page_is_no_datadog() -> None:
    """A 200 of a gateway's login page is a wrong address."""
    with pytest.raises(SinkRefused) as caught:
        signal("logs").interpret(HttpReply(200, {"content-type": "text/html"}, b"<html>"), make_batch(1))
    assert caught.value.reason == "config"


async def test_check_finds_out_that_it_is_not_datadog() -> None:
    """Something that answers 200 and never says `valid` is told apart."""
    with FakeVendor("datadog") as vendor:
        endpoints = {"api": vendor.url, "logs": f"{vendor.url}/l", "events": f"{vendor.url}/e"}
        sink = build_sink(PLUGINS[0], {"api_key": "k" * 32, "endpoints": endpoints})
        vendor.answer(status=200, body={"status": "ok"})
        results = await sink.check()
        assert [(one.name, one.reason) for one in results] == [
            (f"sinks.{sink.name}.{family}", "wrong_product") for family in ("api", "logs", "events")
        ]
        assert [one.fix.split()[0] for one in results] == [
            f"{vendor.url}/api/v1/validate",
            f"{vendor.url}/l/api/v2/logs",
            f"{vendor.url}/e/api/v1/events",
        ]


async def test_check_asks_each_address_that_a_signal_goes_to() -> None:
    """A dead address of logs is found though the API is well; an address that nothing goes to is not asked."""
    dead = "http://127.0.0.1:1"
    with FakeVendor("datadog") as vendor, FakeVendor("datadog") as other:
        endpoints = {"api": vendor.url, "logs": other.url, "events": dead}
        made = {"api_key": "k" * 32, "endpoints": endpoints}
        sink = build_sink(PLUGINS[0], {**made, "signals": ["metrics", "logs"]})
        assert [(one.ok, one.fix) for one in await sink.check()] == [(True, ""), (True, "")]
        assert (vendor.stored(), other.stored()) == ([], [])
        results = await build_sink(PLUGINS[0], {**made, "signals": ["logs", "events"]}).check()
        assert [(one.name.rpartition(".")[2], one.reason) for one in results] == [
            ("logs", "ok"),
            ("events", "unreachable"),
        ]
        assert dead in results[1].fix
        sink = build_sink(PLUGINS[0], {**made, "endpoints": {**endpoints, "events": other.url}, "signals": ["events"]})
        assert [one.reason for one in await sink.check()] == ["ok"]


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", get_args(Site))
def test_every_site_has_its_addresses(site: str) -> None:
    """They are the client's own, family by family."""
    found = {name: route.url for name, route in routes(site, "k", {}, ()).items()}
    assert found == {
        "logs": f"https://http-intake.logs.{site}/api/v2/logs",
        "metrics": f"https://api.{site}/api/v2/series",
        "distributions": f"https://api.{site}/api/v1/distribution_points",
        "events": f"https://api.{site}/api/v1/events",
        "ci": f"https://api.{site}/api/v2/ci/pipeline",
        "dora": f"https://api.{site}/api/v2/dora/deployment",
        "validate": f"https://api.{site}/api/v1/validate",
    }


def test_a_site_that_the_client_does_not_know_is_refused() -> None:
    """The sink's list and the client's are the same."""
    with pytest.raises(ValueError, match="invalid value"):
        routes("datadoghq.example", "k", {}, ())


def test_each_family_can_be_pointed_elsewhere() -> None:
    """An address of a family replaces the site's; the others stay."""
    found = routes("datadoghq.eu", "k", {"logs": "http://127.0.0.1:9"}, ())
    assert found["logs"].url == "http://127.0.0.1:9/api/v2/logs"
    assert found["events"].url == "https://api.datadoghq.eu/api/v1/events"
    assert dict(found["logs"].headers)["dd-api-key"] == "k"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"signals": []}, "at least 1"),
        ({"site": "ddog-gov.com", "signals": ["ci"]}, "does not offer ci"),
        ({"site": "us2.ddog-gov.com", "signals": ["logs", "dora", "ci"]}, "does not offer ci and dora"),
        ({"site": "datadog.com"}, "Input should be"),
        ({"tags": {"team": ""}}, "or no value"),
        ({"tags": {"1": "2"}}, "begins with a letter"),
        ({"api_key": "schlüssel"}, "printable ASCII"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(settings: dict[str, Any], words: str) -> None:
    """The start fails with words, not the first request."""
    with pytest.raises(ValidationError, match=words):
        DatadogConfig.model_validate({"api_key": "k", **settings})


def test_double_counting_is_off_by_default_and_warned_about() -> None:
    """CI Visibility beside Datadog's own webhook counts twice."""
    names = [one.name for one in build_sink(PLUGINS[0], {"api_key": "k"}).signals()]
    assert names == ["logs", "metrics", "distributions", "events"]
    assert "twice" in str(DatadogConfig.model_fields["signals"].description)


def test_the_client_is_imported_when_the_sink_is_built() -> None:
    """Who sends nothing to Datadog does not pay for its client; its models are never imported."""
    code = (
        "import sys; from headgate.sinks import datadog as d; from headgate.testing.sink_harness import build_sink; "
        "a = 'datadog_api_client' in sys.modules; build_sink(d.PLUGINS[0], {'api_key': 'k'}); "
        "print(a, 'datadog_api_client' in sys.modules, 'datadog_api_client.v2.models' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "False"]


def test_an_address_that_nothing_goes_to_is_refused() -> None:
    """OTLP has a sink of its own; an address for it here would be a promise."""
    with pytest.raises(ValidationError, match=r"endpoints\.otlp"):
        DatadogConfig.model_validate({"api_key": "k" * 32, "endpoints": {"otlp": "http://127.0.0.1:1"}})
