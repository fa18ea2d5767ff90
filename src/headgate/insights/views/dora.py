"""How often, how fast and how safely is deployed: the four DORA metrics, each with its definition beside it.

All four are proxies: they follow from deployments that CircleCI's jobs or somebody's calls told of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from headgate.core.runrows import DeploymentRow
from headgate.core.times import DAY_MS, format_ms
from headgate.insights.benchmarks import BENCHMARKS, SOURCE, YEAR, Benchmark
from headgate.insights.metric import Format, Labels
from headgate.insights.reader import Reader
from headgate.insights.rows import deployment_pages as read_pages
from headgate.insights.views.figures import Plot, Trends, plot, trends
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import StepName, Window

__all__ = [
    "DORA_FIGURES",
    "DORA_PLOTTED",
    "Definition",
    "DeploymentView",
    "DoraLine",
    "DoraPage",
    "deployment_pages",
    "dora_page",
    "dora_plot",
]

DORA_FIGURES = (
    "dora_deployment_frequency",
    "dora_lead_time",
    "dora_change_failure_rate",
    "dora_recovery_time",
    "deployments",
)
DORA_PLOTTED = ("deployments", "failed_deployments")
_NEWEST = 25
# A metric that is read row by row is read again for each step.
_MOST_STEPS_MS = 31 * DAY_MS


@dataclass(frozen=True, slots=True)
class Definition:
    """What one of the numbers is. `doc`, `formula`, `counts`: of the catalogue; `proxy`: it stands for something else.

    `benchmarks`: what the published report says, best first; empty where it says nothing.
    """

    metric: str
    unit: str
    format: Format
    doc: str
    formula: str
    counts: str
    proxy: bool
    higher_is_worse: bool
    benchmarks: tuple[Benchmark, ...]


@dataclass(frozen=True, slots=True)
class DoraLine:
    """One project or team; `name` is empty for projects that nobody owns."""

    name: str
    figures: Trends


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """One ended deployment. `origin`: rule, marker or call."""

    id: str
    project: str
    name: str
    environment: str
    status: str
    revision: str
    version: str
    stopped_at: str
    origin: str
    workflow_id: str
    url: str


@dataclass(frozen=True, slots=True)
class DoraPage:
    """`projects`, `teams`: most deployments first. `newest`: the last deployments of the window, newest first.

    `plot`: succeeded and failed deployments by day, or by week where the window is longer than a month.
    `source`, `year`: of benchmarks.
    """

    since: str
    until: str
    previous_since: str
    figures: Trends
    definitions: tuple[Definition, ...]
    source: str
    year: int
    projects: tuple[DoraLine, ...]
    teams: tuple[DoraLine, ...]
    newest: tuple[DeploymentView, ...]
    plot: Plot


async def dora_page(
    lens: Lens,
    *,
    window: Window,
    project: str = "",
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
) -> DoraPage:
    """Of all projects, or of one, or those of an organisation or team. Raises Refused."""
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    where, reader = Filters(org=filters.org, team=filters.team).matchers(), lens.reader()
    both = [(one.since_ms, one.until_ms) for one in (window.previous, window)]
    await reader.deployments.read_around(both, slugs[0] if project else None)
    whole = await trends(lens, reader, DORA_FIGURES, projects=slugs, window=window, where=where)
    by_project = await trends(lens, reader, DORA_FIGURES, projects=slugs, window=window, by=("project",), where=where)
    by_team = await trends(lens, reader, DORA_FIGURES, projects=slugs, window=window, by=("team",), where=where)
    return DoraPage(
        since=window.since,
        until=window.until,
        previous_since=window.previous.since,
        figures=whole[()],
        definitions=tuple(_definition(lens, name) for name in DORA_FIGURES),
        source=SOURCE,
        year=YEAR,
        projects=_lines(by_project, "project"),
        teams=_lines(by_team, "team"),
        newest=await _newest(lens, reader, slugs, window, filters),
        plot=await _plot(lens, reader, slugs, window, filters),
    )


async def dora_plot(
    lens: Lens,
    *,
    window: Window,
    project: str = "",
    filters: Filters = Filters(),  # noqa: B008  # as above
) -> Plot:
    """The plot of that page alone. Raises Refused."""
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    return await _plot(lens, lens.reader(), slugs, window, filters)


async def _plot(lens: Lens, reader: Reader, slugs: Sequence[str], window: Window, filters: Filters) -> Plot:
    step: StepName = "1d" if window.span_ms <= _MOST_STEPS_MS else "7d"
    where = Filters(org=filters.org, team=filters.team).matchers()
    return await plot(lens, reader, DORA_PLOTTED, projects=slugs, window=window, step=step, where=where)


def _definition(lens: Lens, name: str) -> Definition:
    one = lens.catalogue.names[name]
    return Definition(
        metric=name,
        unit=one.unit,
        format=one.format,
        doc=one.doc,
        formula=one.formula,
        counts=one.counts,
        proxy=one.proxy,
        higher_is_worse=one.higher_is_worse,
        benchmarks=BENCHMARKS.get(name, ()),
    )


def _lines(groups: Mapping[Labels, Trends], label: str) -> tuple[DoraLine, ...]:
    found = [DoraLine(dict(labels)[label], figures) for labels, figures in groups.items()]
    return tuple(sorted(found, key=lambda one: (-(one.figures["deployments"].value or 0.0), one.name)))


async def deployment_pages(
    lens: Lens,
    *,
    window: Window,
    project: str = "",
    filters: Filters = Filters(),  # noqa: B008  # as above
) -> AsyncIterator[Sequence[DeploymentView]]:
    """Every ended deployment of the window, oldest first. Raises Refused."""
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    wanted = _taken(lens, slugs, filters)
    async for page in read_pages(lens.store, window.since_ms, window.until_ms, _only(wanted)):
        yield [_view(row) for row in page if row.project in wanted]


def _taken(lens: Lens, slugs: Iterable[str], filters: Filters) -> frozenset[str]:
    """The projects that filters take."""
    of_org = (slug for slug in slugs if filters.org in ("", slug.rpartition("/")[0]))
    return frozenset(slug for slug in of_org if filters.team in ("", lens.owners.team(slug, "", "")))


def _only(slugs: frozenset[str]) -> str | None:
    return next(iter(slugs)) if len(slugs) == 1 else None


async def _newest(
    lens: Lens, reader: Reader, slugs: Sequence[str], window: Window, filters: Filters
) -> tuple[DeploymentView, ...]:
    """What was read for the figures says from when on rows are needed."""
    wanted, times = _taken(lens, slugs, filters), (window.since_ms, window.until_ms)
    ended = await reader.deployments.read(*times, slugs[0] if len(slugs) == 1 else None, begun=True)
    last = list(islice((one.stopped_ms for one in reversed(ended) if one.place[0] in wanted), _NEWEST))
    since_ms = last[-1] if len(last) == _NEWEST else window.since_ms
    found: deque[DeploymentView] = deque(maxlen=_NEWEST)
    async for page in read_pages(lens.store, since_ms, window.until_ms, _only(wanted)):
        found.extend(_view(row) for row in page if row.project in wanted)
    return tuple(reversed(found))


def _view(row: DeploymentRow) -> DeploymentView:
    return DeploymentView(
        id=row.deployment_id,
        project=row.project,
        name=row.name,
        environment=row.environment,
        status=row.status,
        revision=row.revision,
        version=row.version,
        stopped_at=format_ms(row.stopped_ms),
        origin=row.origin,
        workflow_id=row.workflow_id,
        url=row.url,
    )
