"""Which jobs run on machines that are too large or too small, what another size would save, and at what risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from headgate.core.detailrows import UsageLoad, UsageSum
from headgate.core.times import DAY_MS
from headgate.insights.match import matches
from headgate.insights.rightsizing import FEWEST_RUNS, HEADROOM, Advice, Load, Verdict, advise, percentile
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import Window

__all__ = ["SHOWN", "RightSizing", "RightSizingPage", "Shown", "right_sizes", "rightsizing_page"]

Shown = Literal["smaller", "larger", "fits", "unsure", "all"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
_UNSURE: tuple[Verdict, ...] = ("too_few_runs", "unknown_class", "no_figures")
_MONTH_MS = 30 * DAY_MS
_Place = tuple[str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class RightSizing:
    """One job on one class. `runs`: that the export has; `measured`: with figures; percents are of that class.

    `cpus`, `ram_gb`: of the class, None where it is not known. `ram_max`: of all runs, `ram_p95`: of their highest;
    `cpu_p95`: of their medians, `cpu_max_p95`: of their highest. `credits`: for compute in the window. `to`: class that
    is advised, empty without; `saving`: credits in 30 days at the same run time, negative where it costs more.
    """

    project: str
    workflow: str
    job: str
    team: str
    resource_class: str
    executor: str
    operating_system: str
    cpus: float | None
    ram_gb: float | None
    runs: int
    measured: int
    ram_p95: int | None
    ram_max: int | None
    cpu_p95: int | None
    cpu_max_p95: int | None
    credits: int
    verdict: Verdict
    reason: str
    to: str
    to_cpus: float | None
    to_ram_gb: float | None
    risk: Literal["low", "medium"] | None
    saving: float | None


@dataclass(frozen=True, slots=True)
class RightSizingPage:
    """`saving`: of all smaller classes that are advised, credits in 30 days. `counts`: how many jobs by verdict.

    `fewest_runs`, `headroom`: what advice keeps to. `jobs`: greatest saving first, then dearest.
    """

    since: str
    until: str
    fewest_runs: int
    headroom: float
    saving: float
    counts: Mapping[str, int]
    jobs: tuple[RightSizing, ...]
    next: str | None


async def rightsizing_page(
    lens: Lens,
    *,
    window: Window,
    project: str | None = None,
    show: Shown = "all",
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 50,
) -> RightSizingPage:
    """Jobs of a project, or of all. Raises Refused."""
    if filters.branch or filters.branch_class or filters.trigger:
        raise Refused("bad-filter", "machines are judged over all runs of a job", parameter="branch", valid=("team",))
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    cursors = Cursors.of("rightsizing", show, window.asked, slugs[0] if project else "", filters)
    start = cursors.offset(cursor)
    where = filters.matchers()
    found = [
        one
        for one in await right_sizes(lens, slugs, window)
        if matches(where, {"org": one.project.rpartition("/")[0], "team": one.team})
    ]
    counts: dict[str, int] = {}
    for one in found:
        counts[one.verdict] = counts.get(one.verdict, 0) + 1
    listed = [one for one in found if show in ("all", one.verdict) or (show == "unsure" and one.verdict in _UNSURE)]
    end = start + limit
    return RightSizingPage(
        since=window.since,
        until=window.until,
        fewest_runs=FEWEST_RUNS,
        headroom=HEADROOM,
        saving=sum(one.saving or 0.0 for one in found if one.verdict == "smaller"),
        counts=counts,
        jobs=tuple(listed[start:end]),
        next=cursors.write(end) if len(listed) > end else None,
    )


async def right_sizes(lens: Lens, slugs: Sequence[str], window: Window) -> Sequence[RightSizing]:
    """Every job of some projects on every class that it used, greatest saving first."""
    bounds = window.bounds(slugs)
    loads = {_place(row): row for row in await lens.store.usage_loads(bounds)}
    found = [_judged(lens, row, loads.get(_place(row)), window) for row in await lens.store.usage_sums(bounds)]
    order = {"smaller": 0, "larger": 1}
    return sorted(
        found,
        key=lambda one: (
            order.get(one.verdict, 2),
            -(one.saving or 0.0),
            -one.credits,
            one.project,
            one.workflow,
            one.job,
        ),
    )


def _place(row: UsageSum | UsageLoad) -> _Place:
    return row.project, row.workflow, row.job, row.resource_class, row.executor, row.operating_system


def _judged(lens: Lens, row: UsageSum, seen: UsageLoad | None, window: Window) -> RightSizing:
    load = Load(seen.ram_max, seen.cpu_median, seen.cpu_max) if seen else Load({}, {}, {})
    has = lens.classes.find(row.executor, row.resource_class)
    advice = advise(load, has, lens.classes.family(has) if has else ())
    compute, to = row.credits.get("compute", 0), advice.to
    return RightSizing(
        project=row.project,
        workflow=row.workflow,
        job=row.job,
        team=lens.owners.team(row.project, row.workflow, row.job),
        resource_class=row.resource_class,
        executor=row.executor,
        operating_system=row.operating_system,
        cpus=has.cpus if has else None,
        ram_gb=has.ram_gb if has else None,
        runs=row.runs,
        measured=load.runs,
        ram_p95=percentile(load.ram_max, 0.95),
        ram_max=max(load.ram_max, default=None),
        cpu_p95=percentile(load.cpu_median, 0.95),
        cpu_max_p95=percentile(load.cpu_max, 0.95),
        credits=compute,
        verdict=advice.verdict,
        reason=advice.reason,
        to=to.name if to else "",
        to_cpus=to.cpus if to else None,
        to_ram_gb=to.ram_gb if to else None,
        risk=advice.risk,
        saving=_saving(advice, compute, window),
    )


def _saving(advice: Advice, compute: int, window: Window) -> float | None:
    """In 30 days, from what the window cost."""
    if advice.saving is None:
        return None
    return compute * advice.saving * _MONTH_MS / (window.until_ms - window.since_ms)
