"""What credits were charged for, as the usage export says: compute, Docker layer caching, storage, network, seats ...

Invariant: the kinds of a line, with what no kind accounts for, add up to its total, and lines add up to the export's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from headgate.core.detailrows import CREDIT_KINDS, UsageSum
from headgate.insights.match import matches
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.lens import OF_RUNS, Filters, Lens
from headgate.insights.views.usagerows import labels_of, names_of
from headgate.insights.views.window import Window

__all__ = ["CHARGES_BY", "ChargeLine", "ChargesBy", "ChargesPage", "charges_page"]

ChargesBy = Literal["project", "workflow", "job", "team", "resource_class"]
CHARGES_BY: tuple[ChargesBy, ...] = get_args(ChargesBy)
# What a job's run time causes; the other kinds are billed for what many jobs share, or for people.
_OF_JOBS = ("compute", "dlc")
_BY: Mapping[ChargesBy, tuple[str, ...]] = {
    "project": ("project",),
    "workflow": ("project", "workflow"),
    "job": ("project", "workflow", "job"),
    "team": ("team",),
    "resource_class": ("resource_class",),
}


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One group. `kinds`: credits by kind, those that are not 0; `other`: of the total what no kind accounts for.

    `runs`: rows of the export.
    """

    labels: Mapping[str, str]
    total: int
    kinds: Mapping[str, int]
    other: int
    runs: int


@dataclass(frozen=True, slots=True)
class ChargesPage:
    """`whole`: of all groups. `of_jobs`: credits for run time; `shared`: all others, which no job alone causes."""

    since: str
    until: str
    by: ChargesBy
    whole: ChargeLine
    of_jobs: int
    shared: int
    groups: int
    lines: tuple[ChargeLine, ...]
    next: str | None


async def charges_page(
    lens: Lens,
    *,
    by: ChargesBy,
    window: Window,
    project: str | None = None,
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 50,
) -> ChargesPage:
    """Rows of the usage export of a project, or of all. Raises Refused."""
    filters.refuse(OF_RUNS, "charges are summed over all runs", ("team", "org"))
    slugs = [(await lens.project(project)).project] if project else [row.project for row in await lens.projects()]
    cursors = Cursors.of("charges", by, window.asked, slugs[0] if project else "", filters)
    start, window = cursors.read_rank(cursor, window)
    where = filters.matchers()
    groups: dict[tuple[str, ...], list[UsageSum]] = {}
    asked = (*_BY[by], "team") if filters.team else _BY[by]
    for row in await lens.store.usage_sums(window.bounds(slugs), names_of(lens, asked)):
        labels = labels_of(lens, row)
        if matches(where, labels):
            groups.setdefault(tuple(labels[name] for name in _BY[by]), []).append(row)
    lines = [_line(dict(zip(_BY[by], key, strict=True)), rows) for key, rows in groups.items()]
    lines.sort(key=lambda line: (-line.total, sorted(line.labels.items())))
    whole = _line({}, [row for rows in groups.values() for row in rows])
    of_jobs = sum(whole.kinds.get(kind, 0) for kind in _OF_JOBS)
    end = start + limit
    return ChargesPage(
        since=window.since,
        until=window.until,
        by=by,
        whole=whole,
        of_jobs=of_jobs,
        shared=whole.total - of_jobs,
        groups=len(lines),
        lines=tuple(lines[start:end]),
        next=cursors.write_rank(end, window) if len(lines) > end else None,
    )


def _line(labels: Mapping[str, str], rows: Sequence[UsageSum]) -> ChargeLine:
    kinds = {kind: n for kind in CREDIT_KINDS if (n := sum(row.credits.get(kind, 0) for row in rows))}
    total = sum(row.total for row in rows)
    return ChargeLine(labels, total, kinds, total - sum(kinds.values()), sum(row.runs for row in rows))
