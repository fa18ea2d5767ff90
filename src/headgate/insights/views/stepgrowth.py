"""Which steps of a job take longer since a change: a few runs before it held against a few after it.

Invariant: at most ten runs are read; a job without steps that are kept has none that grew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from headgate.core.evidence import Evidence
from headgate.core.runrows import JobRow, RunStep
from headgate.insights.culprit import Growth, growth
from headgate.insights.views.lens import Lens

__all__ = ["steps_that_grew"]

_RUNS = 5
_READ = 200
Took = Mapping[str, float]


async def steps_that_grew(lens: Lens, seen: Evidence, job: str, end_ms: int) -> Sequence[Growth]:
    """The steps of `job` by how much they grew, seconds, most first; empty where that is not known."""
    since_ms = seen.first_bad_ms or seen.change_ms
    project, workflow = seen.group.get("project", ""), seen.group.get("workflow", "")
    if not (since_ms and project and workflow):
        return ()
    rows = await lens.store.series(
        "job",
        project=project,
        workflow=workflow,
        job=job,
        statuses=frozenset({"success"}),
        before_ms=end_ms + 1,
        limit=_READ,
    )
    runs = [row for row in rows if isinstance(row, JobRow)]
    before = await _took(lens, [row for row in runs if row.stopped_ms < since_ms][-_RUNS:])
    after = await _took(lens, [row for row in runs if row.stopped_ms >= since_ms][-_RUNS:])
    if not before or not after:
        return ()
    names = dict.fromkeys(name for run in (*before, *after) for name in run)
    parts = {
        name: ([run[name] for run in before if name in run], [run[name] for run in after if name in run])
        for name in names
    }
    whole = median(sum(run.values()) for run in after) - median(sum(run.values()) for run in before)
    return growth(parts, whole) if whole > 0 else ()


async def _took(lens: Lens, rows: Sequence[JobRow]) -> list[Took]:
    """What each step of each run took; runs of which no step is kept are left out."""
    found: list[Took] = []
    for row in rows:
        detail = await lens.store.run_detail(row.workflow_id)
        took: dict[str, float] = {}
        for step in detail.steps if detail else ():
            if step.job_id == row.job_id:
                took[step.step] = max(took.get(step.step, 0.0), _seconds(step))
        if took:
            found.append(took)
    return found


def _seconds(step: RunStep) -> float:
    return 0.0 if step.started_ms is None else max(0, step.stopped_ms - step.started_ms) / 1000
