"""How views are drawn: tiles from trends, charts from plots, bars of a waterfall. Pure; owns no number.

Invariant: every value that is drawn is one of the view's, and bars lie within their run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.times import parse_ms
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.metric import Format
from headgate.insights.views.figures import Plot, Trend, Trends
from headgate.insights.views.run import JobBar, RunPage
from headgate.web.site.words import shown

__all__ = ["Bar", "Chart", "Piece", "Row", "Tile", "Waterfall", "charts", "figure_tiles", "tiles", "waterfall"]

# `stacked`: bars of parts that add up, the last one at the bottom.
Kind = Literal["line", "bars", "stacked"]
_LABELS: Mapping[str, str] = {
    "runs": "Runs",
    "success_rate": "Success rate",
    "duration_p50": "Duration p50",
    "duration_p95": "Duration p95",
    "queue_p95": "Queue p95",
    "credits": "Credits",
}
_OF_JOBS = "_of_jobs"
_TICKS = 5
# Charts in their order: title, kind, and the metrics that each draws, where the plot has them.
_CHARTS: Sequence[tuple[str, Kind, Mapping[str, str]]] = (
    ("Runs", "bars", {"runs": "All", "failed_runs": "Failed"}),
    ("Success rate", "line", {"success_rate": "Success rate"}),
    ("Duration", "line", {"duration_p95": "p95", "duration_p50": "p50"}),
    ("Wait for a machine", "line", {"queue_p50": "p50"}),
    ("Credits", "bars", {"credits": "Credits"}),
    ("Deployments", "stacked", {"deployments": "Succeeded", "failed_deployments": "Failed"}),
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure. `change`: against the window before, in words; `hint`: what it is."""

    metric: str
    label: str
    form: Format
    trend: Trend
    change: str
    hint: str


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a chart. `at_ms`: its begin; `values`: one for each line, None where nothing qualified."""

    at_ms: int
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and the table that says the same. `names`: of its lines."""

    id: str
    title: str
    form: Format
    kind: Kind
    names: tuple[str, ...]
    rows: tuple[Row, ...]

    def drawn(self, row: Row) -> tuple[float | None, ...]:
        """How high each line of a row is drawn: its value, and of parts that add up that of all below it too."""
        if self.kind != "stacked":
            return row.values
        return tuple(sum(one or 0.0 for one in row.values[line:]) for line in range(len(row.values)))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw: no value at all, or counts of nothing alone."""
        known = [value for row in self.rows for value in row.values if value is not None]
        return not known if self.kind == "line" else not any(known)


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar: queue, hold or work. `left`, `width`: percent of the run's time."""

    kind: str
    left: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One job. `depth`: how many jobs one after the other it waited for; `after`: names of those it required.

    `earlier`: it had ended before the run began, which took it over from the run that it repeats.
    """

    job: JobBar
    depth: int
    after: tuple[str, ...]
    pieces: tuple[Piece, ...]
    earlier: bool


@dataclass(frozen=True, slots=True)
class Waterfall:
    """A run's jobs. `ticks`: (percent, seconds).

    `queue`, `hold`, `work`: seconds of the critical path's jobs, as far as they are known; None where they are of none.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, float], ...]
    path: tuple[str, ...]
    queue: float | None
    hold: float | None
    work: float | None


def tiles(trends: Trends) -> list[Tile]:
    """The figures that head a page, of runs or of jobs."""
    found = []
    for name, label in _LABELS.items():
        metric = f"{name}{_OF_JOBS}" if f"{name}{_OF_JOBS}" in trends else name
        if metric in trends:
            known = CATALOGUE.names[metric]
            trend, hint = trends[metric], f"{known.doc} {known.counts}"
            found.append(Tile(metric, label, known.format, trend, _change(trend, known.format), hint))
    return found


def figure_tiles(trends: Trends, names: Sequence[str]) -> list[Tile]:
    """These figures, whatever they are called."""
    known = [(name, CATALOGUE.names[name]) for name in names]
    return [
        Tile(name, name, one.format, trends[name], _change(trends[name], one.format), f"{one.doc} {one.counts}")
        for name, one in known
    ]


def _change(trend: Trend, form: Format) -> str:
    """`+12 %`, of a percentage in points; empty where it is steady or not known."""
    if trend.change is None or trend.base is None or trend.direction in ("same", "unknown"):
        return ""
    if form == "percentage":
        return f"{trend.change * 100:+.1f} pt"
    if not trend.base:
        return f"+{shown(trend.change, form)}"
    ratio = trend.change / trend.base
    return f"{ratio + 1:,.0f}x" if ratio >= 9 else f"{ratio * 100:+.0f} %"


def charts(plot: Plot) -> list[Chart]:
    """A chart for each kind of figure that a plot has, all groups but the first left out."""
    lines = {line.metric.removesuffix(_OF_JOBS): line for line in reversed(plot.lines)}
    times = [parse_ms(at) or 0 for at in plot.at]
    found = []
    for title, kind, names in _CHARTS:
        here = [name for name in names if name in lines]
        if here:
            values = zip(*(lines[name].values for name in here), strict=True)
            # Of a count, a step in which nothing ran is 0; of everything else it has no value.
            form = CATALOGUE.names[here[0]].format
            counted = form == "number" and kind != "line"
            filled = [tuple(0.0 if one is None and counted else one for one in step) for step in values]
            rows = tuple(Row(at, step) for at, step in zip(times, filled, strict=True))
            found.append(Chart(here[0], title, form, kind, tuple(names[name] for name in here), rows))
    return found


def waterfall(run: RunPage) -> Waterfall:
    """The bars of a run."""
    ends = [end for job in run.jobs if (end := _end(job)) is not None]
    whole = max([run.duration or 0.0, *ends, 0.001])
    depths, names = _depths(run.jobs), {job.id: job.job for job in run.jobs}
    bars = [
        Bar(
            job,
            depths[job.id],
            tuple(names[name] for name in job.requires if name in names),
            () if _earlier(job) else _pieces(job, whole),
            _earlier(job),
        )
        for job in run.jobs
    ]
    bars.sort(key=lambda bar: (bar.earlier, not bar.pieces, bar.job.begin or 0.0, bar.depth, bar.job.job))
    on_path = [job for job in run.jobs if job.critical]
    held, built = ([job for job in on_path if (job.type == "approval") is kind] for kind in (True, False))
    return Waterfall(
        tuple(bars),
        tuple((100 * part / _TICKS, whole * part / _TICKS) for part in range(_TICKS + 1)),
        tuple(names[name] for name in run.critical_path),
        queue=_known_sum(job.queue for job in built),
        hold=_known_sum(job.approval_wait for job in held) if run.approvals_known else None,
        work=_known_sum(job.duration for job in built),
    )


def _known_sum(spans: Iterable[float | None]) -> float | None:
    given = list(spans)
    known = [span for span in given if span is not None]
    return sum(known) if known or not given else None


def _end(job: JobBar) -> float | None:
    if job.ended is not None or job.begin is None:
        return job.ended
    return job.begin + (job.queue or 0.0) + (job.approval_wait or 0.0) + (job.duration or 0.0)


def _earlier(job: JobBar) -> bool:
    return job.ended is not None and job.ended < 0


def _pieces(job: JobBar, whole: float) -> tuple[Piece, ...]:
    """Wait and work, cut to the run."""
    end, begin = _end(job), job.begin
    if begin is None or end is None or job.status in ("skipped", "blocked"):
        return ()
    if job.type == "approval":
        parts = [("hold", end - (job.approval_wait or 0.0), end)]
    else:
        start = job.started if job.started is not None else end
        parts = [("queue", begin, start), ("work", start, end)]
    found = []
    for kind, since, until in parts:
        left, right = (min(max(at, 0.0), whole) for at in (since, until))
        if right > left:
            width = max(100 * (right - left) / whole, 0.2)
            found.append(Piece(kind, round(100 * left / whole, 3), round(width, 3), until - since))
    return tuple(found)


def _depths(jobs: Sequence[JobBar]) -> Mapping[str, int]:
    """Job -> the longest chain of jobs that it waited for; cycles end after as many rounds as there are jobs."""
    depths = {job.id: 0 for job in jobs}
    for _ in range(min(len(jobs), 100)):
        deeper = {
            job.id: max((depths[one] + 1 for one in job.requires if one in depths and one != job.id), default=0)
            for job in jobs
        }
        if deeper == depths:
            break
        depths = deeper
    return depths
