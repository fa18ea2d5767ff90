"""Cumulative series, the page that is scraped, and remote write against a strict receiver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkError, SinkRefused, SinkUnavailable
from headgate.sinks._measures import MEASURES, Point
from headgate.sinks._tally import Tally
from headgate.sinks.prometheus import PLUGINS, PrometheusConfig, PrometheusSink, RemoteWriteSignal, ScrapeSignal
from headgate.testing.sink_harness import CONTEXT, NOW_MS, make_batch, make_entry
from headgate.testing.sinks import FakeVendor

MINUTE_MS = 60_000
COUNT = "cicd_pipeline_task_run_duration_seconds_count"
COUNTER = next(measure for measure in MEASURES if measure.instrument == "counter")


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the sink and the far side share."""
    return ManualClock(NOW_MS)


@pytest.fixture
def receiver(clock: ManualClock) -> Iterator[FakeVendor]:
    """A strict receiver."""
    with FakeVendor("prometheus", clock_ms=clock.now_ms) as fake:
        yield fake


def sink_of(clock: ManualClock, **settings: object) -> PrometheusSink:
    """A sink from plain settings."""
    sink: PrometheusSink = PLUGINS[0].build(
        "prom", PrometheusConfig.model_validate(settings), replace(CONTEXT, clock=clock)
    )
    return sink


def remote(clock: ManualClock, receiver: FakeVendor) -> RemoteWriteSignal:
    """The remote write of a sink that sends to the receiver."""
    (signal,) = sink_of(clock, url=f"{receiver.url}/api/v1/write").signals()
    assert isinstance(signal, RemoteWriteSignal)
    return signal


def written(receiver: FakeVendor, name: str) -> list[tuple[int, float]]:
    """Time and value of each sample of a name, in order of arrival."""
    found = [row["native"] for row in receiver.stored()]
    return [(row["at_ms"], row["value"]) for row in found if row["name"] == name]


class TestTally:
    """What points add up to."""

    def test_cells_are_kept_only_when_taken(self) -> None:
        """Adding up changes nothing until it is taken."""
        tally = Tally(most=10, stale_ms=1000)
        point = Point(COUNTER, 2.0, (("a", "b"),), NOW_MS)
        changed = tally.after([point, point], NOW_MS)
        assert tally.items() == []
        tally.take(changed)
        assert [cell.total for _, cell in tally.items()] == [4.0]

    def test_further_label_sets_are_counted_together(self) -> None:
        """Beyond the bound nothing is lost but the labels."""
        tally = Tally(most=2, stale_ms=1000)
        for name in "abcd":
            tally.take(tally.after([Point(COUNTER, 1.0, (("name", name),), NOW_MS)], NOW_MS))
        assert {key[1][0]: cell.total for key, cell in tally.items()} == {
            ("name", "a"): 1.0,
            ("name", "b"): 1.0,
            ("overflow", "true"): 2.0,
        }

    def test_what_nothing_touches_goes(self) -> None:
        """A stale label set is forgotten, a fresh one stays."""
        tally = Tally(most=9, stale_ms=1000)
        tally.take(tally.after([Point(COUNTER, 1.0, (("name", "old"),), NOW_MS)], NOW_MS))
        tally.take(tally.after([Point(COUNTER, 1.0, (("name", "new"),), NOW_MS)], NOW_MS + 1500))
        tally.drop_stale(NOW_MS + 1600)
        assert [key[1] for key, _ in tally.items()] == [(("name", "new"),)]


class TestScrape:
    """The page at /metrics/ci."""

    async def test_the_page_has_true_histograms(self, clock: ManualClock) -> None:
        """Buckets are cumulative and end at the count; the sum is that of the durations; a client library reads it."""
        sink = sink_of(clock, tags={"cluster": "eu"}, zero_first="0s")
        (signal,) = sink.signals()
        await signal.send(make_batch(3))
        await signal.send([make_entry(9, circleci__duration_ms=7_000)])
        page = sink.exposition()
        assert page is not None
        families = {one.name: one for one in text_string_to_metric_families(page.decode())}
        found = families["cicd_pipeline_task_run_duration_seconds"]
        assert found.type == "histogram"
        buckets = [s.value for s in found.samples if s.name.endswith("_bucket")]
        assert buckets == sorted(buckets)
        assert {s.labels["le"]: s.value for s in found.samples if s.name.endswith("_bucket")}["10.0"] == 1
        assert {s.name[-5:]: s.value for s in found.samples if "le" not in s.labels} == {"s_sum": 397.0, "count": 4.0}
        assert all(s.labels["cluster"] == "eu" for s in found.samples)

    async def test_a_new_series_is_nothing_at_first(self, clock: ManualClock) -> None:
        """Whoever scrapes once a minute sees 0 before the first value, so that no increase is lost."""
        sink = sink_of(clock)
        (signal,) = sink.signals()
        await signal.send(make_batch(3))

        def count() -> str:
            page = sink.exposition()
            assert page is not None
            return next(line for line in page.decode().splitlines() if line.startswith(COUNT)).rpartition(" ")[2]

        clock.advance(600)  # nobody looked until now
        assert count() == "0.0"
        clock.advance(59)
        assert count() == "0.0"
        clock.advance(2)
        assert count() == "3.0"

    async def test_a_sink_that_only_pushes_shows_no_page(self, clock: ManualClock) -> None:
        """With a url, scraping is off unless it is asked for."""
        assert sink_of(clock, url="http://127.0.0.1:1/w").exposition() is None
        both = sink_of(clock, url="http://127.0.0.1:1/w", scrape=True)
        assert [type(one) for one in both.signals()] == [ScrapeSignal, RemoteWriteSignal]
        assert both.exposition() == b""


class TestRemoteWrite:
    """Totals that are pushed."""

    async def test_each_increase_stands_beside_the_total_before(self, clock: ManualClock, receiver: FakeVendor) -> None:
        """From nothing to three, later from three to five: a window that sees only one write sees its increase."""
        signal = remote(clock, receiver)
        await signal.send(make_batch(3))
        clock.advance(3600)
        await signal.send(make_batch(2, first=4))
        later = NOW_MS + 60 * MINUTE_MS
        assert written(receiver, COUNT) == [(NOW_MS - 1, 0), (NOW_MS, 3), (later - 1, 3), (later, 5)]
        await signal.aclose()

    @pytest.mark.parametrize("cut", ["after_store", "before_store"])
    async def test_a_write_whose_answer_was_lost_counts_once(
        self, clock: ManualClock, receiver: FakeVendor, cut: str
    ) -> None:
        """Whether it was stored or not, the repeat is the same bytes and leads to the same samples."""
        signal, batch = remote(clock, receiver), make_batch(3)
        receiver.answer(cut=cut, count=1)
        with pytest.raises(SinkUnavailable):
            await signal.send(batch)
        clock.advance(20)
        await signal.send(batch)
        assert written(receiver, COUNT) == [(NOW_MS - 1, 0), (NOW_MS, 3)]
        await signal.aclose()

    async def test_a_repeat_after_a_long_outage_never_looks_like_a_reset(
        self, clock: ManualClock, receiver: FakeVendor
    ) -> None:
        """Too late for its old time, a doubtful write tells its totals alone, which the far side may hold already."""
        signal, batch = remote(clock, receiver), make_batch(3)
        await signal.send(make_batch(1, first=50))
        receiver.answer(cut="after_store", count=1)
        clock.advance(60)
        with pytest.raises(SinkUnavailable):
            await signal.send(batch)
        clock.advance(7200)
        await signal.send(batch)
        values = [value for _, value in written(receiver, COUNT)]
        assert values == [0, 1, 1, 4, 4]
        await signal.aclose()

    async def test_a_refused_batch_leaves_no_trace_in_the_totals(
        self, clock: ManualClock, receiver: FakeVendor
    ) -> None:
        """What the receiver refused for good is not counted by the next write."""
        signal = remote(clock, receiver)
        receiver.answer(case="out-of-bounds", count=1)
        with pytest.raises(BatchRejected):
            await signal.send(make_batch(5))
        clock.advance(1)
        await signal.send(make_batch(2, first=9))
        assert written(receiver, COUNT)[-1][1] == 2
        await signal.aclose()

    async def test_times_go_forward_whatever_the_clock_does(self, clock: ManualClock, receiver: FakeVendor) -> None:
        """Two writes within one millisecond have times of their own."""
        signal = remote(clock, receiver)
        for first in (1, 10, 20):
            await signal.send(make_batch(1, first=first))
        assert [value for _, value in written(receiver, COUNT)] == [0, 1, 1, 2, 2, 3]
        await signal.aclose()

    async def test_records_that_measure_nothing_are_not_sent(self, clock: ManualClock, receiver: FakeVendor) -> None:
        """A flaky-test listing without figures of any series makes no request; others do."""
        signal = remote(clock, receiver)
        await signal.send([make_entry(1, kind="insight")])
        assert receiver.requests() == []
        await signal.aclose()

    async def test_an_authority_that_is_gone_is_for_a_person_to_mend(self, clock: ManualClock, tmp_path: Path) -> None:
        """One that vanished after the start is told as a mistake of the configuration, not raised as it comes."""
        authority = tmp_path / "ca.pem"
        authority.write_bytes((Path(__file__).parents[1] / "deliver" / "data" / "ca.pem").read_bytes())
        sink = sink_of(clock, url="https://127.0.0.1:1/api/v1/write", ca_file=str(authority))
        authority.unlink()
        (signal,) = sink.signals()
        with pytest.raises(SinkRefused, match="check ca_file"):
            await signal.send(make_batch(1))

    async def test_check_writes_nothing(self, clock: ManualClock, receiver: FakeVendor) -> None:
        """Address and product are tried without making a series; another path is another product."""
        good = sink_of(clock, url=f"{receiver.url}/api/v1/write")
        bad = sink_of(clock, url=f"{receiver.url}/write")
        assert [result.reason for sink in (good, bad) for result in await sink.check()] == ["ok", "wrong_product"]
        assert receiver.stored() == []
        await good.aclose()
        await bad.aclose()

    @pytest.mark.parametrize(
        ("case", "error"), [("throttled", "SinkUnavailable"), ("down", "SinkUnavailable"), ("needs-v1", "SinkRefused")]
    )
    async def test_answers_are_classed(self, clock: ManualClock, receiver: FakeVendor, case: str, error: str) -> None:
        """The rows of sink-cases that are about the whole request."""
        signal = remote(clock, receiver)
        receiver.answer(case=case, count=1)
        with pytest.raises(SinkError) as raised:
            await signal.send(make_batch(1))
        assert type(raised.value).__name__ == error
        await signal.aclose()


class TestConfiguration:
    """What is refused."""

    @pytest.mark.parametrize("wrong", [{"scrape": False}, {"tags": {"le": "1"}}, {"tags": {"a-b": "1"}}])
    def test_what_could_not_work_is_refused(self, wrong: dict[str, object]) -> None:
        """Nothing to do, or a label that would break the series."""
        with pytest.raises(ValueError, match=r"url|label"):
            PrometheusConfig.model_validate(wrong)
