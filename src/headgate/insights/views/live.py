"""What runs, waits for a machine, is on hold or stuck at this moment. Pure, over rows that were read elsewhere.

Stuck is what goes on for longer than `STUCK_TIMES` times the usual p95 of its workflow, or of waiting in its project,
and at least `STUCK_SECONDS`. What waits for a person is never stuck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.runrows import LiveRow
from headgate.core.tally import class_name
from headgate.core.times import format_ms

__all__ = ["LIVE_READ", "LIVE_SHOWN", "STUCK_SECONDS", "LiveView", "Now", "now_view"]

STUCK_TIMES = 3
STUCK_SECONDS = 1800
# Rows that are read, and rows that an answer has at most.
LIVE_READ = 5_000
LIVE_SHOWN = 200
Usual = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class LiveView:
    """A run that goes on, or a job that waits for a machine. `seconds`: how long in this state; `stuck`: too long."""

    kind: Literal["workflow", "job"]
    id: str
    project: str
    workflow: str
    job: str
    branch: str
    branch_class: str
    status: str
    since: str
    seconds: float
    stuck: bool
    url: str


@dataclass(frozen=True, slots=True)
class Now:
    """`running`, `on_hold`: runs; `queued`: jobs that wait for a machine; `stuck`: of all of them.

    `rows`: stuck ones first, then those that have been in their state longest; `more`: how many are left out.
    """

    running: int
    queued: int
    on_hold: int
    stuck: int
    rows: tuple[LiveView, ...]
    more: int


def now_view(
    rows: Sequence[LiveRow],
    *,
    now_ms: int,
    usual_run: Usual,
    usual_wait: Mapping[str, float],
    most: int = LIVE_SHOWN,
) -> Now:
    """`usual_run`: (project, workflow) -> p95 of a run, seconds; `usual_wait`: project -> p95 of the queue."""
    shown = [
        _view(row, now_ms, usual_run, usual_wait)
        for row in rows
        if (row.kind == "workflow") is (row.status != "queued") and row.status in ("running", "queued", "on_hold")
    ]
    shown.sort(key=lambda one: (not one.stuck, -one.seconds, one.id))
    return Now(
        running=sum(one.status == "running" for one in shown),
        queued=sum(one.status == "queued" for one in shown),
        on_hold=sum(one.status == "on_hold" for one in shown),
        stuck=sum(one.stuck for one in shown),
        rows=tuple(shown[:most]),
        more=max(0, len(shown) - most),
    )


def _view(row: LiveRow, now_ms: int, usual_run: Usual, usual_wait: Mapping[str, float]) -> LiveView:
    seconds = max(0, now_ms - row.since_ms) / 1000
    usual = usual_run.get((row.project, row.workflow)) if row.kind == "workflow" else usual_wait.get(row.project)
    limit = max(STUCK_SECONDS, STUCK_TIMES * (usual or 0))
    return LiveView(
        kind=row.kind,
        id=row.id,
        project=row.project,
        workflow=row.workflow,
        job=row.job,
        branch=row.ref,
        branch_class=class_name(row.branch_class),
        status=row.status,
        since=format_ms(row.since_ms),
        seconds=seconds,
        stuck=row.status != "on_hold" and seconds > limit,
        url=row.url,
    )
