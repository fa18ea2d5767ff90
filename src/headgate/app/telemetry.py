"""Keeps Headgate's own figures for `/metrics`: the one adapter of `core.metrics.Metrics`.

Invariant: a metric or a label that core.metrics does not declare is an error at once, never a new series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from headgate.core.metrics import HISTOGRAM_BOUNDS, METRICS

__all__ = ["Telemetry"]


class Telemetry:
    """Metrics on a registry of its own. Thread-safe. `before_reading` hooks run before each page is made."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._hooks: list[Callable[[], None]] = []
        for name, definition in METRICS.items():
            if definition.kind == "counter":
                self._counters[name] = Counter(name, definition.doc, definition.labels, registry=self._registry)
            elif definition.kind == "gauge":
                self._gauges[name] = Gauge(name, definition.doc, definition.labels, registry=self._registry)
            else:
                self._histograms[name] = Histogram(
                    name, definition.doc, definition.labels, registry=self._registry, buckets=HISTOGRAM_BOUNDS
                )

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        counter = self._counters[name]
        (counter.labels(**labels) if METRICS[name].labels else counter).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(**labels) if METRICS[name].labels else gauge).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one value to a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(**labels) if METRICS[name].labels else histogram).observe(value)

    def observe_many(self, name: str, counts: Sequence[int], total: float) -> None:
        """Add values that are sorted into the bounds already."""
        histogram = self._histograms[name]
        # The client has no way to add more than one value; a test holds what comes out.
        for bucket, amount in zip(histogram._buckets, counts, strict=True):  # noqa: SLF001  # see above
            bucket.inc(amount)
        histogram._sum.inc(total)  # noqa: SLF001  # see above

    def clear(self, name: str) -> None:
        """Forget all series of a gauge, before those that still exist are set again."""
        if METRICS[name].labels:
            self._gauges[name].clear()

    def value(self, name: str, **labels: str) -> float:
        """Present value of one counter or gauge; 0 where it was never touched."""
        return self._registry.get_sample_value(name, labels) or 0.0

    def before_reading(self, hook: Callable[[], None]) -> None:
        """Call `hook` before each page, so that figures kept elsewhere are fresh."""
        self._hooks.append(hook)

    def page(self) -> bytes:
        """The Prometheus text page."""
        for hook in self._hooks:
            hook()
        return generate_latest(self._registry)
