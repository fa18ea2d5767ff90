"""What a rule saw, drawn again: the values it judged, what they were held against, and what happened when.

Invariant: the newest value is measured over exactly the window that the rule judged last, by the definition of the
catalogue; single runs are those that the metric counts. A silence is measured from run to run, as its rule does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from headgate.core.evidence import Evidence
from headgate.core.runrows import RunRow
from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS, HOUR_MS, format_ms
from headgate.insights.match import Matcher
from headgate.insights.metric import (
    Format,
    FromDeployments,
    FromFormula,
    FromLags,
    FromOutages,
    FromRepeats,
    FromRows,
    FromTally,
    Labels,
    Measured,
    MetricDef,
    Over,
)
from headgate.insights.newest import newest_of
from headgate.insights.reader import Reader
from headgate.insights.views.lens import Lens

__all__ = ["ChartPoint", "EvidenceChart", "Level", "Mark", "chart_of"]

# Windows that are drawn. Those of metrics that are read row by row cost a reading each.
_WINDOWS = 40
_FEW_WINDOWS = 6
# Shorter windows overlap, so many to a length, for a value that falls within one is seen to fall.
_ROLLING_MS = 2 * DAY_MS
_STEPS_A_WINDOW = 6
_ROLLED = 60
_MOST_ROLLED = 240
# Runs between which silences are drawn, of so many that are read.
_GAPS = 200
_READ = 2000
_SILENCE = "Time from the end of one run to the end of the next."
_MarkName = Literal["change", "first bad", "last run", "fired", "ended"]
Shows = Literal["runs", "windows", "sum", "gaps"]


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """One value. `at`: end of the run or window; `n`: its sample; `run`, `revision`, `url`: of a single run."""

    at: str
    value: float | None
    n: int
    run: str
    revision: str
    url: str


@dataclass(frozen=True, slots=True)
class Level:
    """A line that values are held against, from `since` until `until` where those are said."""

    name: str
    value: float
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at a time."""

    name: _MarkName
    at: str


@dataclass(frozen=True, slots=True)
class EvidenceChart:
    """`shows`: single runs, windows of `window_seconds`, which may overlap, a sum since a period began, or gaps.

    Gaps are the time from each run to the next, the last one up to when it was judged; `metric` is then `silence`.
    `points`: oldest first; `seconds`: numbers of the alert itself are lengths of time, whatever the metric's unit.
    """

    metric: str
    doc: str
    unit: str
    format: Format
    shows: Shows
    window_seconds: float
    seconds: bool
    points: tuple[ChartPoint, ...]
    levels: tuple[Level, ...]
    marks: tuple[Mark, ...]


async def chart_of(
    lens: Lens, seen: Evidence, *, end_ms: int, baseline: float | None, fired_ms: int | None, ended_ms: int | None
) -> EvidenceChart | None:
    """The chart up to `end_ms`; None where the metric has no past that can be drawn, or is not known any more."""
    metric = _metric(lens, seen)
    if metric is None:
        return None
    if seen.kind == "absence":
        return await _silence(lens, seen, end_ms, _levels(seen, baseline), _marks(seen, fired_ms, ended_ms))
    reader = lens.reader()
    shows: Shows = "windows"
    if seen.runs and metric.series_needs and set(metric.series_needs) <= set(seen.group):
        shows, points = "runs", await _runs(reader, metric, seen, end_ms)
    elif seen.since_ms:
        shows, points = "sum", await _sums(lens, reader, metric, seen, end_ms)
    elif seen.window_ms and not seen.runs:
        points = await _windows(lens, reader, metric, seen, end_ms)
    else:
        return None
    return EvidenceChart(
        metric=metric.id,
        doc=metric.doc,
        unit=metric.unit,
        format=metric.format,
        shows=shows,
        window_seconds=seen.window_ms / 1000,
        seconds=seen.seconds,
        points=points,
        levels=_levels(seen, baseline),
        marks=_marks(seen, fired_ms, ended_ms),
    )


async def _silence(
    lens: Lens, seen: Evidence, end_ms: int, levels: tuple[Level, ...], marks: tuple[Mark, ...]
) -> EvidenceChart | None:
    """How long nothing ran, each time and now; None where no run before it is kept."""
    runs = await newest_of(lens.store, seen.group, _matchers(seen), owners=lens.owners, until_ms=end_ms, limit=_READ)
    # The judge's past, whose end is the last run here: a silence that goes on for weeks still has its rhythm in sight.
    runs = [run for run in runs[: _GAPS + 1] if run.stopped_ms >= runs[0].stopped_ms - seen.window_ms][::-1]
    if not runs:
        return None
    gaps = [
        ChartPoint(
            format_ms(run.stopped_ms), _seconds(before, run.stopped_ms), 1, run.workflow_id, run.revision, run.url
        )
        for before, run in pairwise(runs)
    ]
    now = _point(end_ms, Measured(_seconds(runs[-1], end_ms), 0))
    return EvidenceChart(
        metric="silence",
        doc=_SILENCE,
        unit="s",
        format="duration",
        shows="gaps",
        window_seconds=seen.window_ms / 1000,
        seconds=seen.seconds,
        points=(*gaps, now),
        levels=levels,
        marks=marks,
    )


def _seconds(run: RunRow, until_ms: int) -> float:
    return (until_ms - run.stopped_ms) / 1000


def _metric(lens: Lens, seen: Evidence) -> MetricDef | None:
    over: Over | None = next((one for one in get_args(Over) if one == seen.over), None)
    try:
        metric = lens.catalogue.resolve(seen.metric, over)
    except ValueError:
        return None
    return None if isinstance(metric.compute, FromLags) else metric


def _matchers(seen: Evidence) -> tuple[Matcher, ...]:
    return tuple(Matcher(*one) for one in seen.where)


def _of(seen: Evidence) -> Labels:
    return tuple(sorted(seen.group.items()))


async def _runs(reader: Reader, metric: MetricDef, seen: Evidence, end_ms: int) -> tuple[ChartPoint, ...]:
    points = await reader.series(
        metric, labels=seen.group, where=_matchers(seen), before_ms=end_ms + 1, limit=seen.runs
    )
    return tuple(ChartPoint(format_ms(one.at_ms), one.value, 1, one.id, one.revision, one.url) for one in points)


async def _windows(
    lens: Lens, reader: Reader, metric: MetricDef, seen: Evidence, end_ms: int
) -> tuple[ChartPoint, ...]:
    """The window that was judged, and earlier ones, which end at whole hours."""
    judged = (await _timeline(lens, reader, metric, seen, [(end_ms - seen.window_ms, end_ms)]))[0]
    if isinstance(metric.compute, FromTally) and seen.window_ms <= _ROLLING_MS:
        found = await _rolled(lens, reader, metric, seen, end_ms)
    else:
        found = await _adjacent(lens, reader, metric, seen, end_ms)
    found.append(_point(end_ms, judged))
    first = next((at for at, one in enumerate(found) if one.n), len(found) - 1)
    return tuple(found[first:])


async def _rolled(lens: Lens, reader: Reader, metric: MetricDef, seen: Evidence, end_ms: int) -> list[ChartPoint]:
    """Windows that overlap; those that have the change and the first bad run in sight, as far as that goes."""
    length_ms = _hours(seen.window_ms)
    step_ms = max(HOUR_MS, length_ms // _STEPS_A_WINDOW // HOUR_MS * HOUR_MS)
    newest_ms = (end_ms - 1) // HOUR_MS * HOUR_MS
    began_ms = min((at for at in (seen.first_bad_ms, seen.change_ms) if at), default=newest_ms)
    count = min(max(_ROLLED, (newest_ms - began_ms + 2 * length_ms) // step_ms), _MOST_ROLLED)
    ends = [newest_ms - back * step_ms for back in range(count - 1, -1, -1)]
    slugs = await _projects(lens, seen)
    bounds: list[Bounds] = [dict.fromkeys(slugs, (end - length_ms, end)) for end in ends if end > length_ms]
    values = await reader.rolling(metric, _of(seen), where=_matchers(seen), bounds=bounds)
    return [_point(end, one) for end, one in zip(ends[-len(values) :], values, strict=True)]


async def _adjacent(lens: Lens, reader: Reader, metric: MetricDef, seen: Evidence, end_ms: int) -> list[ChartPoint]:
    """Windows one behind the other, up to the one that was judged."""
    length_ms = _hours(seen.window_ms)
    newest_ms = (end_ms - seen.window_ms) // HOUR_MS * HOUR_MS
    ends = [newest_ms - back * length_ms for back in range(_most(metric) - 1, -1, -1)]
    spans = [(end - length_ms, end) for end in ends if end > length_ms]
    values = await _timeline(lens, reader, metric, seen, spans)
    return [_point(span[1], one) for span, one in zip(spans, values, strict=True)]


def _hours(window_ms: int) -> int:
    """The length in whole hours, at least as long."""
    return -(-window_ms // HOUR_MS) * HOUR_MS


async def _sums(lens: Lens, reader: Reader, metric: MetricDef, seen: Evidence, end_ms: int) -> tuple[ChartPoint, ...]:
    """What was used up to the end of each day of the period."""
    spans = [(at, min(at + DAY_MS, end_ms)) for at in range(seen.since_ms, end_ms, DAY_MS)]
    found: list[ChartPoint] = []
    used, n = 0.0, 0
    for (_, end), one in zip(spans, await _timeline(lens, reader, metric, seen, spans), strict=True):
        used, n = used + (one.value or 0.0), n + one.n
        found.append(_point(end, Measured(used, n)))
    return tuple(found)


async def _timeline(
    lens: Lens, reader: Reader, metric: MetricDef, seen: Evidence, spans: Sequence[tuple[int, int]]
) -> list[Measured]:
    """The group's value over each span, which may have none."""
    if not spans:
        return []
    slugs = await _projects(lens, seen)
    bounds: list[Bounds] = [dict.fromkeys(slugs, span) for span in spans]
    lines: Sequence[Mapping[Labels, Measured]] = await reader.timeline(
        metric, by=tuple(seen.group), where=_matchers(seen), bounds=bounds
    )
    return [line.get(_of(seen), Measured(None, 0)) for line in lines]


async def _projects(lens: Lens, seen: Evidence) -> list[str]:
    project = seen.group.get("project")
    return [project] if project is not None else [one.project for one in await lens.projects()]


def _most(metric: MetricDef) -> int:
    parts = metric.compute.inputs.values() if isinstance(metric.compute, FromFormula) else (metric,)
    return (
        _FEW_WINDOWS
        if any(isinstance(one.compute, FromRows | FromDeployments | FromRepeats | FromOutages) for one in parts)
        else _WINDOWS
    )


def _point(at_ms: int, one: Measured) -> ChartPoint:
    return ChartPoint(format_ms(at_ms), one.value, one.n, "", "", "")


def _levels(seen: Evidence, baseline: float | None) -> tuple[Level, ...]:
    changed = format_ms(seen.change_ms) if seen.change_ms else None
    levels = []
    if baseline is not None and baseline not in seen.limits.values():
        usual = "longest before" if seen.seconds else "before" if changed else "usual"
        levels.append(Level(usual, baseline, None, changed))
    if seen.after is not None and changed:
        levels.append(Level("since", seen.after, changed, None))
    return (*levels, *(Level(name, value, None, None) for name, value in seen.limits.items()))


def _marks(seen: Evidence, fired_ms: int | None, ended_ms: int | None) -> tuple[Mark, ...]:
    began: _MarkName = "last run" if seen.kind == "absence" else "first bad"
    at: Mapping[_MarkName, int | None] = {
        "change": seen.change_ms,
        began: seen.first_bad_ms,
        "fired": fired_ms,
        "ended": ended_ms,
    }
    return tuple(Mark(name, format_ms(found)) for name, found in at.items() if found)
