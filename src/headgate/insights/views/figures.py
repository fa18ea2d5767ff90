"""Metrics as pages show them: a value with its sample, beside the value of the window before, and lines over time.

Invariant: the mapping of a group has every metric that was asked for; one in which nothing qualified has no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from headgate.core.slug import org_slug
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.match import Matcher
from headgate.insights.metric import FromTally, Labels, Measured, MetricDef
from headgate.insights.reader import Reader, step_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.usagerows import free
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
    "Unknown",
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


# Not frozen, though nobody changes one: that takes five times as long to make, and a page makes thousands.
@dataclass(slots=True)
class Trend:
    """A figure beside that of the window before. `change`: value - previous; `direction`: whether that is good.

    `same`: less than 1 % of the value before; `neutral`: more of the metric is neither good nor bad.
    `known_until`: of credits, up to when they are known where that is before the window's end. Then `known` is the
    value up to there, `known_previous` that of as long a first part of the window before, and `change` and `direction`
    are those of the two; without one of them `change` is null and `direction` `unknown`.
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
    known: float | None = None
    known_previous: float | None = None

    @property
    def base(self) -> float | None:
        """What `change` starts from."""
        return self.known_previous if self.known_until else self.previous

    @property
    def compared(self) -> tuple[float | None, float | None]:
        """The two values that `change` is of, the one of this window first."""
        return (self.known, self.known_previous) if self.known_until else (self.value, self.previous)


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


@dataclass(frozen=True, slots=True)
class Unknown:
    """Of a figure of credits: since when it is not known, and what of it lies after that.

    `now`: of the window; `before`: of the last part, as long, of the window before.
    """

    since: str
    now: Measured | None
    before: Measured | None


def trend(metric: MetricDef, now: Measured | None, before: Measured | None, unknown: Unknown | None = None) -> Trend:
    """A measurement beside the one before. `unknown`: of one that is known of a part of its window alone."""
    now, before = now or _NONE, before or _NONE
    if unknown is None or (now.value is None and before.value is None):
        change, direction = _change(metric, now.value, before.value)
        return Trend(now.value, now.n, now.hits, now.estimated, before.value, before.n, change, direction)
    known, previous = _less(now, unknown.now), _less(before, unknown.before)
    change, direction = _change(metric, known, previous)
    sizes = (now.value, now.n, now.hits, now.estimated, before.value, before.n)
    return Trend(*sizes, change, direction, unknown.since, known, previous)


def _less(whole: Measured, part: Measured | None) -> float | None:
    """What is left of a sum of credits; nothing is not known, unless the whole is known to be that."""
    left = (whole.value or 0.0) - (part.value if part and part.value else 0.0)
    return left if left or whole.value == 0 else None


def _change(metric: MetricDef, value: float | None, previous: float | None) -> tuple[float | None, Direction]:
    if value is None or previous is None:
        return None, "unknown"
    change = value - previous
    if abs(change) <= _SAME * abs(previous):
        return change, "same"
    if metric.id in _NEUTRAL:
        return change, "neutral"
    return change, "worse" if (change > 0) is metric.higher_is_worse else "better"


async def measured(
    reader: Reader,
    metrics: Mapping[str, MetricDef],
    *,
    by: Sequence[str],
    where: Sequence[Matcher],
    bounds: Bounds,
) -> dict[Labels, dict[str, Measured]]:
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
    now = await measured(reader, metrics, by=by, where=where, bounds=window.bounds(projects))
    before = await measured(reader, metrics, by=by, where=where, bounds=window.previous.bounds(projects))
    bills = {name: metric for name, metric in metrics.items() if metric.format == "credits"}
    for name, metric in bills.items():
        if isinstance(metric.compute, FromTally):
            await _zeros(lens, name, now, by=by, where=where, bounds=window.bounds(projects))
            await _zeros(lens, name, before, by=by, where=where, bounds=window.previous.bounds(projects))
    late = await _late(lens, reader, projects, window) if bills else {}
    # Of jobs nothing is told after what is known whole, of runs Insights may tell of some.
    of_runs = {name: metric for name, metric in bills.items() if metric.over != "jobs"}
    tails = [
        await measured(reader, some, by=by, where=where, bounds=bounds)
        for some, bounds in zip((of_runs, bills), _tails(late, projects, window), strict=False)
    ]

    def unknown(labels: Labels, name: str) -> Unknown | None:
        since, parts = _known_until(late, labels), [tail.get(labels, {}).get(name) for tail in tails]
        return Unknown(since, *parts) if since else None

    unsure = bills if late else {}
    found: dict[Labels, Trends] = {}
    for labels in sorted(now.keys() | before.keys() | (set() if by else {()})):
        one, other = now.get(labels, {}), before.get(labels, {})
        found[labels] = {
            name: trend(metric, one.get(name), other.get(name), unknown(labels, name) if name in unsure else None)
            for name, metric in metrics.items()
        }
    return found


async def _zeros(
    lens: Lens,
    name: str,
    groups: Mapping[Labels, dict[str, Measured]],
    *,
    by: Sequence[str],
    where: Sequence[Matcher],
    bounds: Bounds,
) -> None:
    """Sums of credits of what cost nothing become 0; what nobody told of stays without a value."""
    untold = [labels for labels, found in groups.items() if name in found and found[name].value is None]
    for labels in await free(lens, untold, by=by, where=where, bounds=bounds):
        groups[labels][name] = msgspec.structs.replace(groups[labels][name], value=0.0)


def _tails(late: Mapping[str, int], projects: Sequence[str], window: Window) -> Sequence[Bounds]:
    """What is not known of the window, and as long a part of the one before; nothing where all is."""
    begins = {one: max(late[org_slug(one)], window.since_ms) for one in projects if org_slug(one) in late}
    if not begins:
        return ()
    back = window.since_ms - window.previous.since_ms
    return (
        {one: (begin, window.until_ms) for one, begin in begins.items()},
        {one: (begin - back, window.since_ms) for one, begin in begins.items()},
    )


async def _late(lens: Lens, reader: Reader, projects: Iterable[str], window: Window) -> Mapping[str, int]:
    """Organisations of projects whose credits are not known up to the end of the window, with up to when they are.

    Of all of their projects, since what tells of credits tells of a whole organisation.
    """
    orgs = {org_slug(one) for one in projects}
    slugs = [row.project for row in await lens.projects() if org_slug(row.project) in orgs]
    reach = (window.previous.since_ms // DAY_MS * DAY_MS, (lens.now_ms // DAY_MS + 1) * DAY_MS)
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
