"""Tables of ended runs, newest first, page by page, with filters.

Invariant: pages that follow one another give each run once, however many ended in one millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.core.runrows import RunRow
from headgate.core.tally import class_name
from headgate.core.times import format_ms
from headgate.insights.views.cursors import Cursors
from headgate.insights.views.known import names_of, workflow_must_be_known
from headgate.insights.views.lens import Filters, Lens
from headgate.insights.views.window import Window

__all__ = ["RunView", "RunsPage", "run_view", "runs_page"]


@dataclass(frozen=True, slots=True)
class RunView:
    """One ended run. `duration`: creation to end, seconds.

    `approval_wait`: seconds of it spent on hold, None while the list of its jobs was not read, which alone tells.
    """

    id: str
    project: str
    workflow: str
    branch: str
    branch_class: str
    trigger: str
    status: str
    created_at: str | None
    stopped_at: str
    duration: float | None
    approval_wait: float | None
    credits: int | None
    credits_estimated: bool
    revision: str
    pipeline_number: int | None
    attempt: int
    rerun_of: str
    url: str


@dataclass(frozen=True, slots=True)
class RunsPage:
    """Runs of a window, newest first. `next`: cursor of the following page, None at the end."""

    since: str
    until: str
    runs: tuple[RunView, ...]
    next: str | None


def run_view(run: RunRow) -> RunView:
    """A row as it is shown."""
    return RunView(
        id=run.workflow_id,
        project=run.project,
        workflow=run.workflow,
        branch=run.ref,
        branch_class=class_name(run.branch_class),
        trigger=run.trigger,
        status=run.status,
        created_at=None if run.created_ms is None else format_ms(run.created_ms),
        stopped_at=format_ms(run.stopped_ms),
        duration=None if run.duration_ms is None else run.duration_ms / 1000,
        approval_wait=None if run.hold_ms is None else run.hold_ms / 1000,
        credits=run.credits,
        credits_estimated=run.credits_estimated,
        revision=run.revision,
        pipeline_number=run.pipeline_number,
        attempt=run.attempt,
        rerun_of=run.rerun_of,
        url=run.url,
    )


async def runs_page(
    lens: Lens,
    *,
    project: str,
    window: Window,
    workflow: str | None = None,
    status: str = "",
    filters: Filters = Filters(),  # noqa: B008  # frozen, takes everything
    cursor: str | None = None,
    limit: int = 50,
) -> RunsPage:
    """Runs of a project, or of one of its workflows. Raises Refused."""
    row = await lens.project(project)
    filters.matchers()
    if workflow is None:
        names = await names_of(lens, row.project, window)
    else:
        await workflow_must_be_known(lens, row.project, workflow, window)
        names = (workflow,)
    wanted = [name for name in names if lens.takes(filters, row.project, name)]
    cursors = Cursors.of("runs", window.asked, row.project, workflow, status, filters)
    place = cursors.read(cursor, tuple[int, str]) if cursor else (window.until_ms, "")
    found = await lens.store.newest_runs(
        {row.project: wanted},
        chosen=filters.choice(status),
        since_ms=window.since_ms,
        before=min(place, (window.until_ms, "")),
        limit=limit + 1,
    )
    runs = found[:limit]
    following = cursors.write((runs[-1].stopped_ms, runs[-1].workflow_id)) if len(found) > limit else None
    return RunsPage(window.since, window.until, tuple(run_view(run) for run in runs), following)
