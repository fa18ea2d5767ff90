"""Points of a request: deltas that are functions of the batch, totals that outlive it."""

from __future__ import annotations

import pytest
from tests.unit.sinks.test_otlp_records import SEMCONV, without

from headgate.core.clock import ManualClock
from headgate.core.record import Attribute, Kind, Record, decode_record
from headgate.sinks._measures import MEASURES
from headgate.sinks._otlp_model import NS_PER_MS, Metric, Resource, SeriesPoint
from headgate.sinks._otlp_series import Cumulative, delta
from headgate.testing.sink_harness import NOW_MS, make_entry

DURATION = "cicd.pipeline.task.run.duration"
Found = dict[Resource, list[Metric]]


def of(seq: int, kind: Kind = "job", at_ms: int = NOW_MS, **attributes: Attribute) -> Record:
    """A record; attribute names have `__` for each dot."""
    return decode_record(make_entry(seq, kind=kind, occurred_ms=at_ms, **attributes).body)


def jobs(count: int, first: int = 1) -> list[Record]:
    """Jobs of 130 s each, a second apart, the first of them now."""
    return [of(n, at_ms=NOW_MS + 1000 * (n - first)) for n in range(first, first + count)]


def only(found: Found, name: str = DURATION) -> SeriesPoint:
    """The one point of a metric."""
    (point,) = [point for metrics in found.values() for metric in metrics if metric.name == name for point in metric[6]]
    return point


class TestDelta:
    """What one request added."""

    def test_a_histogram_holds_every_record_of_the_batch(self) -> None:
        """Count, sum, extremes and buckets of equal labels in one point, each record as an exemplar."""
        records = [*jobs(3), of(9, circleci__duration_ms=5_000)]
        point = only(delta(records))
        assert (point.count, point.value, point.low, point.high) == (4, 395.0, 5.0, 130.0)
        bounds = next(measure.bounds for measure in MEASURES if measure.name == DURATION)
        filled = {bounds[n]: count for n, count in enumerate(point.buckets) if count}
        assert filled == {5.0: 1, 300.0: 3}
        assert [exemplar.record_id for exemplar in point.exemplars] == [record.id for record in records]

    def test_a_point_reaches_from_its_first_record_to_its_last(self) -> None:
        """The interval is open at its start, so it begins just before the first."""
        point = only(delta(jobs(3)))
        assert (point.start_ns, point.time_ns) == ((NOW_MS - 1) * NS_PER_MS, (NOW_MS + 2000) * NS_PER_MS)

    def test_labels_and_resources_make_series(self) -> None:
        """Another result or project is another point."""
        good = of(2, headgate__status="success", circleci__status="success")
        other = decode_record(make_entry(3, project="gh/acme/api").body)
        found = delta([of(1), good, other])
        assert [len(metric.points) for metrics in found.values() for metric in metrics] == [2, 1]
        assert len(found) == 2

    def test_gauges_are_told_apart_by_their_time(self) -> None:
        """A gauge has no beginning; the last of one moment counts."""
        figures = [
            without(
                of(n, "insight", at, circleci__insight__window="last-7-days", circleci__insight__success_rate=rate),
                "vcs.ref.head.name",
            )
            for n, (at, rate) in enumerate([(NOW_MS, 0.5), (NOW_MS, 0.7), (NOW_MS + 1000, 0.9)])
        ]
        (metric,) = [metric for metrics in delta(figures).values() for metric in metrics]
        assert (metric.instrument, metric.temporality) == ("gauge", 0)
        assert [(point.value, point.start_ns) for point in metric.points] == [(0.7, 0), (0.9, 0)]

    @pytest.mark.parametrize("name", ["cicd.pipeline.run.duration", "cicd.pipeline.run.errors"])
    def test_required_labels_of_the_conventions_are_there(self, name: str) -> None:
        """Name, unit, instrument and the attributes that the conventions require."""
        wanted = SEMCONV["metrics"][name]
        (metric,) = [one for metrics in delta([of(1, "workflow")]).values() for one in metrics if one.name == name]
        labels = dict(metric.points[0].labels)
        assert {key for key, level in wanted["attributes"].items() if level == "required"} <= labels.keys()
        assert (metric.unit, metric.instrument) == (wanted["unit"], wanted["instrument"])
        states = SEMCONV["attributes"]["cicd.pipeline.run.state"]["values"]
        assert labels.get("cicd.pipeline.run.state", states[0]) in states


class TestCumulative:
    """Totals since the start."""

    def test_totals_grow_and_keep_their_start(self) -> None:
        """The second request tells of both batches."""
        clock = ManualClock(NOW_MS)
        totals = Cumulative(clock)
        first = only(totals.metrics(jobs(2)))
        clock.advance(60)
        second = only(totals.metrics(jobs(3, first=11)))
        assert (first.count, second.count, second.value) == (2, 5, 650.0)
        assert first.start_ns == second.start_ns == NOW_MS * NS_PER_MS
        assert second.time_ns == (NOW_MS + 60_000) * NS_PER_MS

    def test_what_is_sent_again_is_counted_once(self) -> None:
        """A resend, the halves of a batch and a dead letter that comes back add nothing."""
        totals = Cumulative(ManualClock(NOW_MS))
        records = jobs(4)
        assert totals.metrics(records) == totals.metrics(records)
        assert only(totals.metrics(records[:2])).count == 4
        assert only(totals.metrics(jobs(1, first=9))).count == 5

    def test_time_never_stands_still_between_two_totals(self) -> None:
        """Two values of one series never have one time, even when the clock goes back."""
        clock = ManualClock(NOW_MS)
        totals = Cumulative(clock)
        times = []
        for n in range(3):
            times.append(only(totals.metrics(jobs(1, first=n + 1))).time_ns)
            clock.jump(-10)
        assert times == sorted(set(times))

    def test_points_given_out_are_not_changed_later(self) -> None:
        """A body that waits to be sent holds what it was made of."""
        totals = Cumulative(ManualClock(NOW_MS))
        first = only(totals.metrics(jobs(1)))
        totals.metrics(jobs(1, first=2))
        assert (first.count, sum(first.buckets)) == (1, 1)

    def test_a_restart_is_a_new_start(self) -> None:
        """The state goes with the process, and the new start time says so."""
        clock = ManualClock(NOW_MS)
        Cumulative(clock).metrics(jobs(5))
        clock.advance(5)
        point = only(Cumulative(clock).metrics(jobs(1, first=9)))
        assert (point.count, point.start_ns) == (1, (NOW_MS + 5000) * NS_PER_MS)
