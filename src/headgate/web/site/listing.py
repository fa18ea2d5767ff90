"""Lists of runs and jobs of one name, newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.readport import ReadStore
from headgate.core.runrows import JobRow, RunRow
from headgate.core.status import OUR_STATUSES
from headgate.core.tally import class_name
from headgate.insights.match import matches
from headgate.web.site.asked import Asked

__all__ = ["PAGE", "Listed", "newest"]

PAGE = 50
# Filters that no index knows are applied to what was read; after so many rows a page ends, however few it has.
_READ_AT_MOST = 2000


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list. `older`: what to ask for as `before` to go on, None at the end.

    `branches`, `triggers`: those of what was read, for filters to offer. `read`: rows that were looked at.
    """

    rows: Sequence[RunRow | JobRow]
    older: int | None
    branches: Sequence[str]
    triggers: Sequence[str]


async def newest(
    store: ReadStore, asked: Asked, *, project: str, workflow: str, job: str | None = None, before_ms: int | None = None
) -> Listed:
    """The newest runs, or jobs named `job`, of the window that the filters take, which ended before a time."""
    until = asked.window.until_ms if before_ms is None else min(before_ms, asked.window.until_ms)
    where = asked.where
    classes = [one.value for one in where if one.label == "branch_class"]
    wanted = PAGE + 1 if len(where) == len(classes) else _READ_AT_MOST
    rows = await store.series(
        "workflow" if job is None else "job",
        project=project,
        workflow=workflow,
        job=job,
        branch_class=None if not classes else next(one for one in (0, 1) if class_name(one) == classes[0]),
        statuses=OUR_STATUSES,
        before_ms=until,
        limit=wanted,
    )
    inside = [row for row in reversed(rows) if row.stopped_ms >= asked.window.since_ms]
    taken = [row for row in inside if matches(where, _labels(row))]
    offered = await _offered(store, asked, project, workflow, job)
    if len(taken) > PAGE:
        return Listed(taken[:PAGE], taken[PAGE].stopped_ms + 1, *offered)
    older = inside[-1].stopped_ms if len(inside) == wanted else None
    return Listed(taken, older, *offered)


def _labels(row: RunRow | JobRow) -> Mapping[str, str]:
    return {"branch": row.ref, "branch_class": class_name(row.branch_class), "trigger": row.trigger}


async def _offered(
    store: ReadStore, asked: Asked, project: str, workflow: str, job: str | None
) -> tuple[Sequence[str], Sequence[str]]:
    """Branches and triggers of the newest rows, whatever is filtered."""
    rows = await store.series(
        "workflow" if job is None else "job",
        project=project,
        workflow=workflow,
        job=job,
        statuses=OUR_STATUSES,
        before_ms=asked.window.until_ms,
        limit=_OFFERED,
    )
    return sorted({row.ref for row in rows if row.ref}), sorted({row.trigger for row in rows if row.trigger})


_OFFERED = 200
