"""Which jobs run on machines that are too large or too small, what another size would save, and at what risk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from headgate.core.detailrows import UsageLoad
from headgate.core.slug import org_slug
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.creditdays import credits_told
from headgate.insights.match import matches
from headgate.insights.resourceclasses import ResourceClass
from headgate.insights.rightsizing import FEWEST_RUNS, HEADROOM, Advice, Load, Verdict, advise
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.lens import OF_RUNS, Filters, Lens
from headgate.insights.views.window import Window

__all__ = ["SHOWN", "RightSizing", "RightSizingPage", "Shown", "right_sizes", "rightsizing_page"]

Shown = Literal["smaller", "larger", "fits", "unsure", "all"]
SHOWN: tuple[Shown, ...] = get_args(Shown)
_UNSURE: tuple[Verdict, ...] = ("too_few_runs", "unknown_class", "no_figures")
_MONTH_MS, _WEEK_MS = 30 * DAY_MS, 7 * DAY_MS
_FIRST: Mapping[Verdict, int] = {"smaller": 0, "larger": 1}


@dataclass(frozen=True, slots=True)
class RightSizing:
    """One job on one class. `runs`: that the export has; `measured`: with figures; percents are of that class.

    `cpus`, `ram_gb`: of the class, None where it is not known. `ram_max`: of all runs, `ram_p95`: of their highest;
    `cpu_p95`: of their medians, `cpu_max_p95`: of their highest. `credits`: for compute in the window. `to`: class that
    is advised, empty without; `saving`: credits in 30 days at the same run time, from those days of the
    window that the usage export tells of; negative where it costs more.
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
    filters.refuse(OF_RUNS, "machines are judged over all runs of a job", ("team",))
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    cursors = Cursors.of("rightsizing", show, window.asked, slugs[0] if project else "", filters)
    start, window = cursors.read_rank(cursor, window)
    where = filters.matchers()
    found = [one for one in await _judged(lens, slugs, window) if not where or matches(where, _labels(lens, one.row))]
    counts: dict[str, int] = {}
    for one in found:
        verdict = one.advice.verdict
        counts[verdict] = counts.get(verdict, 0) + 1
    listed = [one for one in found if show == "all" or one.advice.verdict in (_UNSURE if show == "unsure" else (show,))]
    end = start + limit
    return RightSizingPage(
        since=window.since,
        until=window.until,
        fewest_runs=FEWEST_RUNS,
        headroom=HEADROOM,
        saving=sum(one.saving or 0.0 for one in found if one.advice.verdict == "smaller"),
        counts=counts,
        jobs=tuple(_line(lens, one) for one in listed[start:end]),
        next=cursors.write_rank(end, window) if len(listed) > end else None,
    )


class _Judged(NamedTuple):
    """One job on one class, `has`, and what is advised."""

    row: UsageLoad
    has: ResourceClass | None
    advice: Advice
    saving: float | None


async def right_sizes(lens: Lens, slugs: Sequence[str], window: Window) -> Sequence[RightSizing]:
    """Every job of some projects on every class that it used, greatest saving first."""
    return [_line(lens, one) for one in await _judged(lens, slugs, window)]


async def _judged(lens: Lens, slugs: Sequence[str], window: Window) -> Sequence[_Judged]:
    found, told = [], await _told(lens, slugs, window)
    for row in await lens.store.usage_loads(window.bounds(slugs)):
        has = lens.classes.find(row.executor, row.resource_class)
        load = Load(row.ram_max, row.cpu_median, row.cpu_max)
        advice = advise(load, has, lens.classes.family(has) if has else ())
        found.append(_Judged(row, has, advice, _saving(advice, row.compute, told[org_slug(row.project)])))
    return sorted(found, key=_order)


def _order(one: _Judged) -> tuple[int, float, int, str, str, str]:
    first, row = _FIRST.get(one.advice.verdict, 2), one.row
    return first, -(one.saving or 0.0), -row.compute, row.project, row.workflow, row.job


def _labels(lens: Lens, row: UsageLoad) -> Mapping[str, str]:
    team = lens.owners.team(row.project, row.workflow, row.job)
    return {"org": row.project.rpartition("/")[0], "team": team}


def _line(lens: Lens, one: _Judged) -> RightSizing:
    row, has, advice, saving = one
    to = advice.to
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
        measured=row.ram_max.runs,
        ram_p95=row.ram_max.p95,
        ram_max=row.ram_max.highest,
        cpu_p95=row.cpu_median.p95,
        cpu_max_p95=row.cpu_max.p95,
        credits=row.compute,
        verdict=advice.verdict,
        reason=advice.reason,
        to=to.name if to else "",
        to_cpus=to.cpus if to else None,
        to_ram_gb=to.ram_gb if to else None,
        risk=advice.risk,
        saving=saving,
    )


async def _told(lens: Lens, slugs: Sequence[str], window: Window) -> Mapping[str, int]:
    """Organisation -> milliseconds of the window of which the usage export tells, an hour at least.

    From its begin, or from the first day with rows where the week before has none; up to where credits are told.
    """
    reach = (window.since_ms, max(window.until_ms, lens.now_ms))
    ends = await credits_told(lens.store, dict.fromkeys(slugs, reach)) if slugs else {}
    week = dict.fromkeys(slugs, (window.since_ms - _WEEK_MS, window.since_ms))
    known = {org_slug(slug) for slug in await lens.store.usage_days(week)}
    first: dict[str, int] = {}
    new = [slug for slug in slugs if org_slug(slug) not in known]
    for slug, days in (await lens.store.usage_days(window.bounds(new))).items():
        first[org_slug(slug)] = min(days[0], first.get(org_slug(slug), days[0]))
    found = {}
    for org in {org_slug(slug) for slug in slugs}:
        told = ends.get(org)
        until_ms = min(told.until_ms, window.until_ms) if told and told.awaited else window.until_ms
        found[org] = max(HOUR_MS, until_ms - max(first.get(org, 0), window.since_ms))
    return found


def _saving(advice: Advice, compute: int, told_ms: int) -> float | None:
    """In 30 days, from what was told of so long a time."""
    return None if advice.saving is None else compute * advice.saving * _MONTH_MS / told_ms
