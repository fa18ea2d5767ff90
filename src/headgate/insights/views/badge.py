"""One figure as a badge: what it is called, what it says, and whether that is good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headgate.core.times import DAY_MS
from headgate.insights.metric import FromTally, MetricDef
from headgate.insights.views.figures import measured
from headgate.insights.views.known import workflow_must_be_known
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.overview import BAD_RATE, GOOD_RATE
from headgate.insights.views.refusal import unknown
from headgate.insights.views.runs import runs_page
from headgate.insights.views.window import Window

__all__ = ["LAST_RUN", "Badge", "Tone", "badge", "badge_names"]

Tone = Literal["good", "warning", "bad", "plain", "grey"]
LAST_RUN = "last-run"
# The last run is looked for so far back, however short the window is.
_LAST_MS = 90 * DAY_MS
_TONES: dict[str, Tone] = {
    "success": "good",
    "failure": "bad",
    "error": "bad",
    "timeout": "bad",
    "canceled": "warning",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """`value`: of a metric, in its unit, None where nothing qualified; `status`: of the last run, else empty."""

    name: str
    metric: MetricDef | None
    value: float | None
    status: str
    tone: Tone


def badge_names(lens: Lens) -> tuple[str, ...]:
    """Every badge there is: the last run, and metrics that are read from sums, which is fast over any window."""
    fast = (name for name, one in lens.catalogue.names.items() if isinstance(one.compute, FromTally))
    return (LAST_RUN, *(name.replace("_", "-") for name in fast))


async def badge(lens: Lens, *, name: str, project: str, workflow: str, window: Window, filters: Filters) -> Badge:
    """A badge of a project, or of one of its workflows. Raises Refused."""
    names = badge_names(lens)
    if name not in names:
        raise unknown("unknown-metric", "name", name, names)
    if name == LAST_RUN:
        return await _last_run(lens, project, workflow, window, filters)
    row = await lens.project(project)
    if workflow:
        await workflow_must_be_known(lens, row.project, workflow, window)
    metric = lens.catalogue.names[name.replace("-", "_")]
    found = await measured(
        lens.reader(),
        {name: metric},
        by=(),
        where=filters.matchers(workflow=workflow),
        bounds=window.bounds([row.project]),
    )
    value = found[()][name].value if found else None
    return Badge(name, metric, value, "", _tone(metric, value))


async def _last_run(lens: Lens, project: str, workflow: str, window: Window, filters: Filters) -> Badge:
    back = Window(max(0, min(window.since_ms, window.until_ms - _LAST_MS)), window.until_ms)
    page = await runs_page(lens, project=project, workflow=workflow or None, window=back, filters=filters, limit=1)
    status = page.runs[0].status if page.runs else ""
    return Badge(LAST_RUN, None, None, status, _TONES.get(status, "grey"))


def _tone(metric: MetricDef, value: float | None) -> Tone:
    if value is None:
        return "grey"
    if metric.id != "success_rate":
        return "plain"
    return "good" if value >= GOOD_RATE else "warning" if value >= BAD_RATE else "bad"
