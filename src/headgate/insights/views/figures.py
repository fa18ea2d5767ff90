"""Metrics as pages show them: a value with its sample, beside the value of the window before, and lines over time.

Invariant: the mapping of a group has every metric that was asked for; one in which nothing qualified has no value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.slug import org_slug
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.insights.match import Matcher
from headgate.insights.metric import Labels, Measured, MetricDef
from headgate.insights.reader import Reader, step_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.window import StepName, Window, slots

__all__ = [
    "JOB_FIGURES",
    "QUEUE_FIGURES",
    "RUN_FIGURES",
    "Figure",
    "Line",
    "Plot",
    "Trend",
    "Trends",
    "figure",
    "measured",
    "plot",
    "trend",
    "trends",
]

RUN_FIGURES = ("success_rate", "runs", "failed_runs", "throughput", "duration_p50", "duration_p95", "credits")
QUEUE_FIGURES = ("queue_p50", "queue_p95")
JOB_FIGURES = (
    "success_rate_of_jobs",
    "runs_of_jobs",
    "failed_runs_of_jobs",
    "throughput_of_jobs",
    "duration_p50_of_jobs",
    "duration_p95_of_jobs",
    "credits_of_jobs",
    *QUEUE_FIGURES,
)
Direction = Literal["better", "worse", "same", "neutral", "unknown"]
# A change of less than this share of the value before is none.
_SAME = 0.01
# More of these is neither good nor bad.
_NEUTRAL = frozenset({"runs", "throughput"})
_NONE = Measured(None, 0)


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric over one window. `value`: in its unit, None where nothing qualified; `n`: what did.

    `hits`: of a proportion, those in the share. `estimated`: some of its credits are no bill.
    """

    value: float | None
    n: int
    hits: int | None
    estimated: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure beside that of the window before. `change`: value - previous; `direction`: whether that is good.

    `same`: less than 1 % of the value before; `neutral`: more of the metric is neither good nor bad.
    `known_until`: of credits, up to when they are known where that is before the window's end: a part beside a whole
    has no `change`, and its direction is `unknown`.
    """

    value: float | None
    n: int
    hits: int | None
    estimated: bool
    previous: float | None
    previous_n: int
    change: float | None
    direction: Direction
    known_until: str | None = None


Trends = Mapping[str, Trend]


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one group over time. `values`, `n`: one for each time of the plot."""

    metric: str
    labels: Mapping[str, str]
    values: tuple[float | None, ...]
    n: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over the same times. `at`: begin of each step; a step ends where the next begins, the last at `until`."""

    step: StepName
    until: str
    at: tuple[str, ...]
    lines: tuple[Line, ...]


def figure(one: Measured | None) -> Figure:
    """A measurement as it is shown."""
    one = one or _NONE
    return Figure(one.value, one.n, one.hits, one.estimated)


def trend(metric: MetricDef, now: Measured | None, before: Measured | None, known_until: str | None = None) -> Trend:
    """A measurement beside the one before. `known_until`: of one that is known of a part of its window alone."""
    now, before = now or _NONE, before or _NONE
    if known_until and (now.value is not None or before.value is not None):
        return Trend(
            now.value, now.n, now.hits, now.estimated, before.value, before.n, None, "unknown", known_until=known_until
        )
    known = now.value is not None and before.value is not None
    change = now.value - before.value if now.value is not None and before.value is not None else None
    direction: Direction = "unknown"
    if known and change is not None and before.value is not None:
        flat = abs(change) <= _SAME * abs(before.value)
        direction = "same" if flat else "worse" if (change > 0) is metric.higher_is_worse else "better"
        direction = "neutral" if metric.id in _NEUTRAL and not flat else direction
    return Trend(now.value, now.n, now.hits, now.estimated, before.value, before.n, change, direction)


async def measured(
    reader: Reader,
    metrics: Mapping[str, MetricDef],
    *,
    by: Sequence[str],
    where: Sequence[Matcher],
    bounds: Bounds,
) -> Mapping[Labels, Mapping[str, Measured]]:
    """Every group in which any of the metrics has a value, with those that have one."""
    await reader.expect(metrics.values(), by=by, where=where, bounds=bounds)
    found: dict[Labels, dict[str, Measured]] = {}
    for name, metric in metrics.items():
        for labels, one in (await reader.measure(metric, by=by, where=where, bounds=bounds)).items():
            found.setdefault(labels, {})[name] = one
    return found


async def trends(
    lens: Lens,
    reader: Reader,
    names: Iterable[str],
    *,
    projects: Iterable[str],
    window: Window,
    by: Sequence[str] = (),
    where: Sequence[Matcher] = (),
) -> Mapping[Labels, Trends]:
    """Metrics of each group beside the window before; a group that was there in either of them is here."""
    metrics, projects = lens.metrics(names), tuple(projects)
    await asyncio.gather(
        *(
            reader.expect(metrics.values(), by=by, where=where, bounds=one.bounds(projects))
            for one in (window, window.previous)
        )
    )
    now = await measured(reader, metrics, by=by, where=where, bounds=window.bounds(projects))
    before = await measured(reader, metrics, by=by, where=where, bounds=window.previous.bounds(projects))
    late = await _late(lens, reader, projects, window) if any(map(_is_credits, metrics.values())) else {}
    groups = now.keys() | before.keys() | (set() if by else {()})
    return {
        labels: {
            name: trend(
                metric,
                now.get(labels, {}).get(name),
                before.get(labels, {}).get(name),
                _known_until(late, labels) if _is_credits(metric) else None,
            )
            for name, metric in metrics.items()
        }
        for labels in sorted(groups)
    }


def _is_credits(metric: MetricDef) -> bool:
    return metric.format == "credits"


async def _late(lens: Lens, reader: Reader, projects: Iterable[str], window: Window) -> Mapping[str, int]:
    """Organisations of projects whose credits are not known up to the end of the window, with up to when they are.

    Of all of their projects, since what tells of credits tells of a whole organisation.
    """
    orgs = {org_slug(one) for one in projects}
    slugs = [row.project for row in await lens.projects() if org_slug(row.project) in orgs]
    reach = (window.previous.since_ms // DAY_MS * DAY_MS, (lens.now_ms // HOUR_MS + 1) * HOUR_MS)
    told = await reader.credits_told(dict.fromkeys(slugs, reach)) if slugs else {}
    end_ms = min(window.until_ms, lens.now_ms)
    return {org: one.until_ms for org, one in told.items() if one.awaited and one.until_ms < end_ms}


def _known_until(late: Mapping[str, int], labels: Labels) -> str | None:
    """Of one group: of its organisation where it has one, else of the latest."""
    project = dict(labels).get("project")
    found = late.get(org_slug(project)) if project else min(late.values(), default=None)
    return None if found is None else format_ms(found)


async def plot(
    lens: Lens,
    reader: Reader,
    names: Iterable[str],
    *,
    projects: Iterable[str],
    window: Window,
    step: StepName,
    by: Sequence[str] = (),
    where: Sequence[Matcher] = (),
) -> Plot:
    """Lines of metrics over a window; those of a group that has no value at any time are left out."""
    projects, times = tuple(projects), slots(window, step)
    bounds, metrics = [one.bounds(projects) for one in times], lens.metrics(names)
    steps = step_of([one.since_ms for one in times])
    await reader.expect(metrics.values(), by=by, where=where, bounds=window.bounds(projects), step=steps)
    lines = []
    for name, metric in metrics.items():
        parts = await reader.timeline(metric, by=by, where=where, bounds=bounds)
        groups = sorted({labels for part in parts for labels in part} | (set() if by else {()}))
        for labels in groups:
            found = [part.get(labels, _NONE) for part in parts]
            values, sizes = tuple(one.value for one in found), tuple(one.n for one in found)
            lines.append(Line(name, dict(labels), values, sizes))
    return Plot(step, window.until, tuple(format_ms(one.since_ms) for one in times), tuple(lines))
