"""Any metric by any of its dimensions, over a window or in steps; and the list of all metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.slug import short_slug
from headgate.insights.dimensions import DIMENSIONS
from headgate.insights.match import Matcher, parse_matcher
from headgate.insights.metric import Format, FromTally, Measured, MetricDef
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.figures import Line, Plot, figure, plot
from headgate.insights.views.known import must_be_known
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import Refused, unknown
from headgate.insights.views.window import Window, read_step, slots

__all__ = [
    "Group",
    "MetricView",
    "MetricsPage",
    "QueryPage",
    "SeriesPage",
    "SeriesRow",
    "metrics_page",
    "query_page",
    "series_page",
]

# Steps of a metric that is read run by run: each is a reading of its own.
_MOST_READINGS = 31


@dataclass(frozen=True, slots=True)
class MetricView:
    """One metric of the catalogue. `name`: as questions and answers write it; `unit`: of its values.

    `sums`: read from sums, so that it is fast over any window; else from single facts.
    """

    name: str
    id: str
    over: str
    unit: str
    format: Format
    doc: str
    formula: str
    counts: str
    circleci: str
    dimensions: tuple[str, ...]
    higher_is_worse: bool
    proportion: bool
    proxy: bool
    sums: bool


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """All metrics, those of the configuration too. `dimensions`: name -> meaning."""

    metrics: tuple[MetricView, ...]
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an answer. `value`: in the unit of the metric; `n`: what qualified; `hits`: of a proportion."""

    labels: Mapping[str, str]
    value: float | None
    n: int
    hits: int | None
    estimated: bool


@dataclass(frozen=True, slots=True)
class QueryPage:
    """An answer. `groups`: those with a value, highest first; `total`: how many there are. `plot`: where asked for.

    `next`: cursor of the following page of groups, None at the end. A plot has the lines of this page's groups.
    """

    metric: MetricView
    since: str
    until: str
    by: tuple[str, ...]
    where: tuple[str, ...]
    total: int
    groups: tuple[Group, ...]
    plot: Plot | None
    next: str | None


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One point of one line. `at`: begin of the step."""

    at: str
    labels: Mapping[str, str]
    value: float | None
    n: int


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """A plot as rows, for programs that read tables: ordered by time, then as the groups of the plot.

    `total`: groups that there are, of which at most `limit` have rows; `next`: cursor of the following ones, None at
    the end.
    """

    metric: MetricView
    step: str
    since: str
    until: str
    total: int
    rows: tuple[SeriesRow, ...]
    next: str | None


def metrics_page(lens: Lens) -> MetricsPage:
    """The catalogue."""
    return MetricsPage(tuple(_view(name, one) for name, one in lens.catalogue.names.items()), dict(DIMENSIONS))


def _view(name: str, one: MetricDef) -> MetricView:
    return MetricView(
        name=name,
        id=one.id,
        over=one.over,
        unit=one.unit,
        format=one.format,
        doc=one.doc,
        formula=one.formula,
        counts=one.counts,
        circleci=one.circleci,
        dimensions=one.dimensions,
        higher_is_worse=one.higher_is_worse,
        proportion=one.proportion,
        proxy=one.proxy,
        sums=isinstance(one.compute, FromTally),
    )


async def query_page(
    lens: Lens,
    *,
    metric: str,
    by: Sequence[str],
    where: Sequence[str],
    window: Window,
    step: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> QueryPage:
    """`by`: dimensions; `where`: matchers, such as `project=gh/acme/web`; `step`: plot too. Raises Refused."""
    names = lens.catalogue.names
    if metric not in names:
        raise unknown("unknown-metric", "metric", metric, names)
    one, by = names[metric], tuple(dict.fromkeys(by))
    matchers = [_matcher(text) for text in where]
    _check(one, by, matchers)
    cursors = _cursors(metric, by, where, window)
    start, window = cursors.read_rank(cursor, window)
    slugs = await _projects(lens, matchers, window)
    chosen = read_step(step, window) if step is not None else None
    if chosen is not None and not _fast(one) and len(slots(window, chosen)) > _MOST_READINGS:
        detail = f"{metric} is read run by run: at most {_MOST_READINGS} points"
        raise Refused("bad-step", detail, parameter="step", valid=("a longer step", "a shorter window"))
    reader = lens.reader()
    found = await reader.measure(one, by=by, where=matchers, bounds=window.bounds(slugs))
    ordered = sorted(found.items(), key=lambda pair: (pair[1].value is None, -(pair[1].value or 0.0), pair[0]))
    end = start + limit
    groups = tuple(_group(dict(labels), each) for labels, each in ordered[start:end])
    lines = None
    if chosen is not None:
        lines = await plot(lens, reader, (metric,), projects=slugs, window=window, step=chosen, by=by, where=matchers)
        lines = _of_groups(lines, [group.labels for group in groups], by)
    following = cursors.write_rank(end, window) if len(ordered) > end else None
    return QueryPage(
        _view(metric, one), window.since, window.until, by, tuple(where), len(ordered), groups, lines, following
    )


def _cursors(metric: str, by: Sequence[str], where: Sequence[str], window: Window) -> Cursors:
    return Cursors.of("query", metric, by, sorted(where), window.asked)


async def series_page(
    lens: Lens,
    *,
    metric: str,
    by: Sequence[str],
    where: Sequence[str],
    window: Window,
    step: str | None = None,
    cursor: str | None = None,
    limit: int = 200,
) -> SeriesPage:
    """The plot of a question as rows; a step that fits the window where none is said. Raises Refused."""
    ranked = _cursors(metric, tuple(dict.fromkeys(by)), where, window).read_rank(cursor, window)[1]
    chosen = step or read_step(None, ranked)
    page = await query_page(
        lens, metric=metric, by=by, where=where, window=window, step=chosen, cursor=cursor, limit=limit
    )
    lines, times = (page.plot.lines, page.plot.at) if page.plot else ((), ())
    rows = [
        SeriesRow(at, line.labels, line.values[place], line.n[place])
        for place, at in enumerate(times)
        for line in lines
    ]
    return SeriesPage(page.metric, chosen, page.since, page.until, page.total, tuple(rows), page.next)


def _fast(metric: MetricDef) -> bool:
    inputs = getattr(metric.compute, "inputs", {"": metric})
    return all(isinstance(one.compute, FromTally) for one in inputs.values())


def _group(labels: Mapping[str, str], one: Measured) -> Group:
    shown = figure(one)
    return Group(labels, shown.value, shown.n, shown.hits, shown.estimated)


def _of_groups(lines: Plot, groups: Sequence[Mapping[str, str]], by: Sequence[str]) -> Plot:
    """The lines of some groups, in their order."""
    found: dict[tuple[str, ...], Line] = {tuple(line.labels[name] for name in by): line for line in lines.lines}
    keys = [tuple(group[name] for name in by) for group in groups]
    return Plot(lines.step, lines.until, lines.at, tuple(found[key] for key in keys if key in found))


def _matcher(text: str) -> Matcher:
    try:
        found = parse_matcher(text)
    except ValueError as error:
        valid = ("project=gh/acme/web", "branch!=main", "job=~test.*")
        raise Refused("bad-filter", str(error), parameter="where", valid=valid) from error
    if found.label == "project" and found.op in ("=", "!="):
        return Matcher("project", found.op, short_slug(found.value))
    return found


def _check(metric: MetricDef, by: Sequence[str], where: Sequence[Matcher]) -> None:
    for parameter, labels in (("by", by), ("where", [one.label for one in where])):
        for name in labels:
            if name not in metric.dimensions:
                detail = f"{metric.id} has no {name!r}"
                raise Refused("bad-dimension", detail, parameter=parameter, valid=metric.dimensions)


async def _projects(lens: Lens, where: Sequence[Matcher], window: Window) -> Sequence[str]:
    """Every project; what is asked for by name and not known is refused."""
    slugs = [row.project for row in await lens.projects()]
    for matcher in where:
        if matcher.label == "project" and matcher.op == "=" and matcher.value not in slugs:
            raise unknown("unknown-project", "where", matcher.value, slugs)
    named = {matcher.label: matcher.value for matcher in where if matcher.op == "="}
    await must_be_known(lens, {**named, "since": window.since, "until": window.until}, parameter="where")
    return slugs
