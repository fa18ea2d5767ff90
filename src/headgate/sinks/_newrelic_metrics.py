"""From records to New Relic's metrics: what they measure, summed up by minute. Pure.

Histograms are summaries (count, sum, min, max), counters are counts, and both cover the minute in which their records
happened; gauges are single values. Invariant: a batch gives the same metrics in the same order whenever it is encoded,
and their attributes are the bounded labels of `_measures`, an id only when asked for. Source: docs.newrelic.com "Report
metrics via the Metric API" and "Metric API limits", read November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable

from headgate.core.record import Record
from headgate.core.times import MINUTE_MS
from headgate.sinks._measures import MEASURES, TAG_PREFIX, Labels, Measure, points
from headgate.sinks._newrelic_records import METRICS, RESERVED, Flat, bounded, cut

__all__ = ["METRIC_KINDS", "metrics"]

METRIC_KINDS = frozenset({*(measure.kind for measure in MEASURES), "insight"})


class _Sum:
    """What the records of one minute, metric and label set come to."""

    __slots__ = ("count", "highest", "labels", "lowest", "measure", "record_id", "start_ms", "total")

    def __init__(self, measure: Measure, labels: Labels, start_ms: int, record_id: str, value: float) -> None:
        self.measure = measure
        self.labels = labels
        self.start_ms = start_ms
        self.record_id = record_id
        self.count = 1
        self.total = self.lowest = self.highest = value

    def add(self, value: float) -> None:
        """Take in one more value; of a gauge the last one stands."""
        if self.measure.instrument == "gauge":
            self.total = value
            return
        self.count += 1
        self.total += value
        self.lowest = min(self.lowest, value)
        self.highest = max(self.highest, value)

    def metric(self) -> dict[str, object]:
        """The data point. `timestamp` is the start of its interval."""
        out: dict[str, object] = {"name": self.measure.name, "timestamp": self.start_ms}
        match self.measure.instrument:
            case "histogram":
                value = {"count": self.count, "sum": self.total, "min": self.lowest, "max": self.highest}
                out |= {"type": "summary", "interval.ms": MINUTE_MS, "value": value}
            case "counter":
                out |= {"type": "count", "interval.ms": MINUTE_MS, "value": self.total}
            case "gauge":
                out |= {"type": "gauge", "value": self.total}
        out["attributes"] = self._attributes()
        return out

    def _attributes(self) -> Flat:
        out: Flat = {}
        for name, value in self.labels:
            taken = name in RESERVED or name in (self.measure.name, "unit")
            out[TAG_PREFIX + name if taken else name] = cut(value, METRICS.value_bytes)
        out = bounded(out, METRICS)
        out["unit"] = self.measure.unit
        if self.record_id:
            out["id"] = self.record_id
        return out


def metrics(records: Iterable[Record], *, ids: bool) -> list[dict[str, object]]:
    """The data points of some records, in the order in which each came first. `ids`: keep records apart by their id."""
    sums: dict[tuple[str, int, str, Labels], _Sum] = {}
    for record in records:
        record_id = record.id if ids else ""
        for measure, value, labels, at_ms in points(record):
            start_ms = at_ms if measure.instrument == "gauge" else at_ms - at_ms % MINUTE_MS
            key = (measure.name, start_ms, record_id, labels)
            if key in sums:
                sums[key].add(value)
            else:
                sums[key] = _Sum(measure, labels, start_ms, record_id, value)
    return [found.metric() for found in sums.values()]
