"""From records to series: the points of a request, aggregated by resource, metric and labels.

Delta: a point holds exactly what its records measured, and reaches from just before the first of them to the last; it
is a function of the batch. Cumulative: a point holds everything since this process began to send, so that a resend, or
a request that never arrived, changes no total; a record is counted once, however often it is encoded. The state is gone
with the process, which starts anew with a new start time, as OpenTelemetry's data model wants it ("Resets and gaps",
read November 2026).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from headgate.core.clock import Clock
from headgate.core.record import Record
from headgate.sinks._measures import Measure, Point, points
from headgate.sinks._otlp_model import DELTA_TEMPORALITY, NS_PER_MS, Exemplar, Metric, Resource, SeriesPoint
from headgate.sinks._otlp_records import series_resource, trace_context

__all__ = ["Cumulative", "delta"]

CUMULATIVE_TEMPORALITY = 2
# Records that are remembered as counted; a replay of older ones counts again.
_REMEMBERED = 200_000
# Required by the conventions; a workflow is under way from its creation to its end.
_ALWAYS = {"cicd.pipeline.run.duration": (("cicd.pipeline.run.state", "executing"),)}

_Labels = tuple[tuple[str, str], ...]
# What tells two series apart; a gauge's points are told apart by their time too.
_Key = tuple[Resource, Measure, _Labels, int]
_Measured = tuple[_Key, Point, Exemplar]


def _measured(record: Record) -> Iterator[_Measured]:
    """Each point of a record with the series that it belongs to."""
    resource = series_resource(record)
    trace, span = trace_context(record)
    for point in points(record):
        measure = point.measure
        labels = point.labels
        if measure.name in _ALWAYS:
            labels = tuple(sorted((*labels, *_ALWAYS[measure.name])))
        at = point.at_ms if measure.instrument == "gauge" else 0
        exemplar = Exemplar(point.at_ms * NS_PER_MS, point.value, trace, span, record.id)
        yield (resource, measure, labels, at), point, exemplar


def _empty(key: _Key, start_ns: int) -> SeriesPoint:
    _, measure, labels, _ = key
    buckets = [0] * (len(measure.bounds) + 1) if measure.bounds else []
    return SeriesPoint(labels, start_ns, 0, 0.0, 0, float("inf"), float("-inf"), buckets, [])


def _add(series: SeriesPoint, point: Point) -> None:
    """Count one value; a gauge takes it over."""
    value, measure = point.value, point.measure
    if measure.instrument == "gauge":
        series.value = value
        return
    series.value += value
    series.count += 1
    series.low, series.high = min(series.low, value), max(series.high, value)
    if measure.bounds:
        series.buckets[bisect_left(measure.bounds, value)] += 1


def _metrics(found: Iterable[tuple[_Key, SeriesPoint]], temporality: int) -> dict[Resource, list[Metric]]:
    """Series as metrics, in the order in which they were first measured."""
    grouped: dict[Resource, dict[str, tuple[Measure, list[SeriesPoint]]]] = {}
    for (resource, measure, _, _), series in found:
        grouped.setdefault(resource, {}).setdefault(measure.name, (measure, []))[1].append(series)
    return {
        resource: [_metric(measure, many, temporality) for measure, many in metrics.values()]
        for resource, metrics in grouped.items()
    }


def _metric(measure: Measure, series: Sequence[SeriesPoint], temporality: int) -> Metric:
    of = 0 if measure.instrument == "gauge" else temporality
    return Metric(measure.name, measure.unit, measure.meaning, measure.instrument, of, measure.bounds, series)


def delta(records: Iterable[Record]) -> dict[Resource, list[Metric]]:
    """What these records measured; a point begins a millisecond before its first record and ends with its last."""
    found: dict[_Key, SeriesPoint] = {}
    for record in records:
        for key, point, exemplar in _measured(record):
            series = found.get(key)
            if series is None:
                series = found[key] = _empty(key, 0)
            _add(series, point)
            series.exemplars.append(exemplar)
    for (_, measure, _, _), series in found.items():
        times = [exemplar.time_ns for exemplar in series.exemplars]
        series.time_ns = max(times)
        series.start_ns = 0 if measure.instrument == "gauge" else min(times) - NS_PER_MS
    return _metrics(found.items(), DELTA_TEMPORALITY)


class Cumulative:
    """Totals since the process began to send. One request at a time; memory is bounded by the number of series."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_ns = clock.now_ms() * NS_PER_MS
        self._last_ns = self._start_ns
        self._totals: dict[_Key, SeriesPoint] = {}
        self._counted: dict[str, None] = {}

    def metrics(self, records: Iterable[Record]) -> dict[Resource, list[Metric]]:
        """The totals, as of now, of every series that these records are in. What adds nothing new needs no new time."""
        touched: dict[_Key, SeriesPoint] = {}
        exemplars: dict[_Key, list[Exemplar]] = {}
        added = 0
        for record in records:
            new = self._count(record.id)
            added += new
            for key, point, exemplar in _measured(record):
                series = self._series(key, touched)
                if new or key[1].instrument == "gauge":
                    _add(series, point)
                touched[key] = series
                exemplars.setdefault(key, []).append(exemplar)
        self._last_ns = max(self._last_ns + bool(added), self._clock.now_ms() * NS_PER_MS)
        found = (
            (key, replace(series, time_ns=self._time(key), exemplars=exemplars[key], buckets=list(series.buckets)))
            for key, series in touched.items()
        )
        return _metrics(found, CUMULATIVE_TEMPORALITY)

    def _series(self, key: _Key, touched: dict[_Key, SeriesPoint]) -> SeriesPoint:
        if key[1].instrument == "gauge":  # has no total
            return touched.get(key) or _empty(key, 0)
        series = self._totals.get(key)
        if series is None:
            series = self._totals[key] = _empty(key, self._start_ns)
        return series

    def _time(self, key: _Key) -> int:
        return key[3] * NS_PER_MS if key[1].instrument == "gauge" else self._last_ns

    def _count(self, record_id: str) -> bool:
        """Whether this record is counted for the first time."""
        if record_id in self._counted:
            return False
        if len(self._counted) >= _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        self._counted[record_id] = None
        return True
