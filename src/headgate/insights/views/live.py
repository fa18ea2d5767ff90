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

__all__ = ["LIVE", "LIVE_READ", "LIVE_SHOWN", "STUCK_SECONDS", "LiveView", "Now", "now_view"]

STUCK_TIMES = 3
STUCK_SECONDS = 1800
# So many runs that run and jobs that are queued are looked at, the newest of each; and rows that an answer has at most.
LIVE_READ = 5_000
LIVE_SHOWN = 200
# What is shown: our status -> of what.
LIVE: Mapping[str, Literal["workflow", "job"]] = {"running": "workflow", "queued": "job", "on_hold": "workflow"}
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
    """`running`, `on_hold`: runs; `queued`: jobs that wait for a machine; `stuck`: of all of them but `unlooked`.

    `rows`: stuck ones first, those on hold last, of each those that have been in their state longest; `more`: how many
    are left out.
    `unlooked`: how many run or are queued beyond the newest 5,000 of each, of which it is not known whether they are
    stuck; 0 but for very many.
    """

    running: int
    queued: int
    on_hold: int
    stuck: int
    unlooked: int
    rows: tuple[LiveView, ...]
    more: int


def now_view(
    rows: Sequence[LiveRow],
    *,
    now_ms: int,
    usual_run: Usual,
    usual_wait: Mapping[str, float],
    counts: Mapping[str, int],
    most: int = LIVE_SHOWN,
) -> Now:
    """`usual_run`: (project, workflow) -> p95 of a run, seconds; `usual_wait`: project -> p95 of the queue.

    `rows`: of what is shown, as many as were read; `counts`: status -> how many there are.
    """
    shown = sorted(
        (_view(row, now_ms, usual_run, usual_wait) for row in rows),
        key=lambda one: (not one.stuck, one.status == "on_hold", -one.seconds, one.id),
    )
    looked = sum(one.status != "on_hold" for one in shown)
    running, queued, on_hold = (counts.get(status, 0) for status in LIVE)
    return Now(
        running=running,
        queued=queued,
        on_hold=on_hold,
        stuck=sum(one.stuck for one in shown),
        unlooked=max(0, running + queued - looked),
        rows=tuple(shown[:most]),
        more=max(0, running + queued + on_hold - most),
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
