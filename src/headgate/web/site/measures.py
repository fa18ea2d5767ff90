"""Figures of a page: tiles that are held against the window before, and charts with a value for each step.

Owns no number: every value is a metric of the catalogue, measured by `insights.reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.clock import Clock
from headgate.core.readport import ReadStore
from headgate.core.tally import Bounds
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.match import Matcher
from headgate.insights.metric import Format, FromTally, Labels, Measured, MetricDef
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader
from headgate.web.site.asked import Window

__all__ = ["Chart", "Looks", "Place", "Step", "Tile", "charts", "measured", "tiles"]

# A change smaller than this share of what was before is no news.
_STEADY = 0.05


@dataclass(frozen=True, slots=True)
class Looks:
    """What pages look at. `owners`: as they are configured now."""

    store: ReadStore
    clock: Clock
    owners: Callable[[], Owners]

    def reader(self) -> Reader:
        """A reader for one page."""
        return Reader(self.store, owners=self.owners())


@dataclass(frozen=True, slots=True)
class Place:
    """What figures are about: some projects, and what of them. `over`: jobs takes the metrics of jobs."""

    projects: tuple[str, ...]
    where: tuple[Matcher, ...] = ()
    over: Literal["workflow", "jobs"] = "workflow"

    def bounds(self, since_ms: int, until_ms: int) -> Bounds:
        """The same window for each project."""
        return dict.fromkeys(self.projects, (since_ms, until_ms))

    def metric(self, name: str) -> MetricDef:
        """The metric over what the place is about; of those with one variant that one."""
        known = CATALOGUE.names
        return known.get(f"{name}_of_jobs", known[name]) if self.over == "jobs" else known[name]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure. `before`: of the window before; `change`: in words, empty where it is steady or not known.

    `mood`: whether that change is good or bad news.
    """

    id: str
    label: str
    form: Format
    value: float | None
    n: int
    before: float | None
    change: str
    mood: Literal["better", "worse", "same"]
    hint: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chart. `values`: one for each name of the chart, None where nothing qualifies; `n`: runs in it."""

    since_ms: int
    until_ms: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and the table that says the same. `names`: of its lines."""

    id: str
    title: str
    form: Format
    kind: Literal["line", "bars"]
    names: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for step in self.steps for value in step.values if value is not None)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a chart draws: its metrics and how each line is called."""

    title: str
    form: Format
    kind: Literal["line", "bars"]
    lines: tuple[tuple[str, str], ...]


_DRAWN: Mapping[str, _Drawn] = {
    "runs": _Drawn("Runs", "number", "bars", (("runs", "All"), ("failed_runs", "Failed"))),
    "success": _Drawn("Success rate", "percentage", "line", (("success_rate", "Success rate"),)),
    "duration": _Drawn("Duration", "duration", "line", (("duration_p95", "p95"), ("duration_p50", "p50"))),
    "queue": _Drawn("Wait for a machine", "duration", "line", (("queue_p95", "p95"), ("queue_p50", "p50"))),
    "credits": _Drawn("Credits", "credits", "bars", (("credits", "Credits"),)),
}
_LABELS: Mapping[str, str] = {
    "runs": "Runs",
    "success_rate": "Success rate",
    "duration_p50": "Duration p50",
    "duration_p95": "Duration p95",
    "queue_p95": "Queue p95",
    "credits": "Credits",
}


async def measured(
    reader: Reader, place: Place, metrics: Sequence[str], by: Sequence[str], bounds: Bounds
) -> Mapping[Labels, dict[str, Measured]]:
    """Group -> metric -> its value over one window; without groups and metrics that have none."""
    known = {name: place.metric(name) for name in metrics}
    await reader.expect(known.values(), by=by, where=place.where, bounds=bounds)
    found: dict[Labels, dict[str, Measured]] = {}
    for name, metric in known.items():
        for labels, value in (await reader.measure(metric, by=by, where=place.where, bounds=bounds)).items():
            found.setdefault(labels, {})[name] = value
    return found


async def tiles(reader: Reader, place: Place, window: Window, metrics: Sequence[str]) -> list[Tile]:
    """Figures of a window beside those of the window before."""
    spans = (window, window.previous)
    found = [await measured(reader, place, metrics, (), place.bounds(one.since_ms, one.until_ms)) for one in spans]
    now, before = (one.get((), {}) for one in found)
    return [_tile(place.metric(name), name, now.get(name), before.get(name)) for name in metrics]


def _tile(metric: MetricDef, name: str, now: Measured | None, before: Measured | None) -> Tile:
    value, old = now.value if now else None, before.value if before else None
    change = _change(value, old, metric.format)
    mood: Literal["better", "worse", "same"] = "same"
    if change and value is not None and old is not None and name not in ("runs", "credits"):
        mood = "worse" if (value > old) == metric.higher_is_worse else "better"
    return Tile(
        name,
        _LABELS[name],
        metric.format,
        value,
        now.n if now else 0,
        old,
        change,
        mood,
        f"{metric.doc} {metric.counts}",
    )


def _change(value: float | None, before: float | None, form: Format) -> str:
    """`+12 %`, of a percentage in points; empty where it is steady or not known."""
    if value is None or before is None:
        return ""
    if form == "percentage":
        points = (value - before) * 100
        return f"{points:+.1f} pt" if abs(points) >= 1 else ""
    if not before or abs(value - before) < _STEADY * before:
        return ""
    ratio = value / before
    return f"{ratio:.1f}x" if ratio >= 10 else f"{(ratio - 1) * 100:+.0f} %"


async def charts(reader: Reader, place: Place, window: Window, ids: Sequence[str]) -> list[Chart]:
    """Charts over a window, each value measured over its step alone."""
    wanted = list(dict.fromkeys(name for chart in ids for name, _ in _DRAWN[chart].lines))
    spans = window.steps()
    bounds = [place.bounds(*span) for span in spans]
    found: dict[str, Sequence[Mapping[Labels, Measured]]] = {}
    # Those that need sketches first: the sums that are read for them answer the others too.
    for metric in sorted(map(place.metric, wanted), key=_bins, reverse=True):
        found[metric.id] = await reader.timeline(metric, by=(), where=place.where, bounds=bounds)
    return [_chart(one, spans, found) for one in ids]


def _bins(metric: MetricDef) -> int:
    return len(metric.compute.bins) if isinstance(metric.compute, FromTally) else 0


def _chart(
    name: str, spans: Sequence[tuple[int, int]], found: Mapping[str, Sequence[Mapping[Labels, Measured]]]
) -> Chart:
    drawn = _DRAWN[name]
    # Of a count, a step in which nothing ran is 0; of everything else it has no value.
    nothing = Measured(0.0 if drawn.kind == "bars" else None, 0)
    steps = tuple(
        Step(*span, tuple(found[metric][at].get((), nothing).value for metric, _ in drawn.lines))
        for at, span in enumerate(spans)
    )
    return Chart(name, drawn.title, drawn.form, drawn.kind, tuple(title for _, title in drawn.lines), steps)
