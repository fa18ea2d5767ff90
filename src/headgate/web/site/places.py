"""View models of projects, a project, a workflow and a job. What is not known raises `Unusable`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.core.readport import ReadStore
from headgate.core.runrows import JobRow, RunRow
from headgate.core.status import OUR_STATUSES
from headgate.insights.match import Matcher
from headgate.web.site.asked import Asked, Unusable
from headgate.web.site.groups import groups
from headgate.web.site.listing import newest
from headgate.web.site.measures import Looks, Place, charts, tiles
from headgate.web.site.overview import now_view

__all__ = ["job_view", "project_view", "projects_view", "workflow_view"]

_TILES = ("runs", "success_rate", "duration_p50", "duration_p95", "credits")
_CHARTS = ("runs", "success", "duration", "credits")
_STEPS_SHOWN = 10


async def projects_view(looks: Looks, asked: Asked) -> Mapping[str, Any]:
    """Every project, those with most runs first, then those in which nothing ran."""
    known = [one.project for one in await looks.store.projects()]
    rows = await groups(looks.reader(), Place(tuple(known)), ("project",), asked.window) if known else []
    seen = {row.labels["project"] for row in rows}
    return {"rows": rows, "quiet": [name for name in known if name not in seen]}


async def _known(store: ReadStore, project: str) -> None:
    if project not in {one.project for one in await store.projects()}:
        title = f"No project is called {project}" if project else "Which project?"
        raise Unusable(404, title, "Projects that Headgate knows of are on the page Projects.")


async def project_view(looks: Looks, asked: Asked, project: str) -> Mapping[str, Any]:
    """A project with its workflows."""
    await _known(looks.store, project)
    reader, place = looks.reader(), Place((project,), asked.where)
    recent = await looks.store.recent_runs(20, project=project)
    return {
        "project": project,
        "tiles": await tiles(reader, place, asked.window, _TILES),
        "charts": await charts(reader, place, asked.window, _CHARTS),
        "rows": await groups(reader, place, ("workflow",), asked.window),
        "now": await now_view(looks, project),
        "runs": recent,
        "last": recent[0] if recent else None,
    }


async def _last(looks: Looks, project: str, workflow: str, job: str | None = None) -> RunRow | JobRow | None:
    """The newest that ended, however long ago."""
    rows = await looks.store.series(
        "workflow" if job is None else "job",
        project=project,
        workflow=workflow,
        job=job,
        statuses=OUR_STATUSES,
        before_ms=looks.clock.now_ms() + 1,
        limit=1,
    )
    return rows[-1] if rows else None


async def workflow_view(
    looks: Looks, asked: Asked, project: str, workflow: str, before_ms: int | None
) -> Mapping[str, Any]:
    """A workflow: figures, the four charts, its jobs, its runs."""
    await _known(looks.store, project)
    last, now = await _last(looks, project, workflow), await now_view(looks, project, workflow)
    if last is None and not now.rows:
        hint = "Its workflows are on the page of the project; a new one appears with its first run."
        raise Unusable(404, f"No workflow of {project} is called {workflow}", hint)
    reader = looks.reader()
    here = (Matcher("workflow", "=", workflow), *asked.where)
    place, jobs = Place((project,), here), Place((project,), here, over="jobs")
    return {
        "project": project,
        "workflow": workflow,
        "tiles": await tiles(reader, place, asked.window, _TILES),
        "charts": await charts(reader, place, asked.window, _CHARTS),
        "jobs": await groups(reader, jobs, ("job",), asked.window),
        "listed": await newest(looks.store, asked, project=project, workflow=workflow, before_ms=before_ms),
        "now": now,
        "last": last,
    }


async def job_view(
    looks: Looks, asked: Asked, project: str, workflow: str, job: str, before_ms: int | None
) -> Mapping[str, Any]:
    """A job of a workflow: figures, charts, the steps that fail, its latest."""
    await _known(looks.store, project)
    last = await _last(looks, project, workflow, job)
    if last is None:
        hint = "Its jobs are on the page of the workflow; a new one appears when it first ends."
        raise Unusable(404, f"No job of {workflow} is called {job}", hint)
    here = (Matcher("workflow", "=", workflow), Matcher("job", "=", job), *asked.where)
    reader, place = looks.reader(), Place((project,), here, over="jobs")
    steps = await looks.store.steps_failed(place.bounds(asked.window.since_ms, asked.window.until_ms))
    mine = sorted((one for one in steps if (one.workflow, one.job) == (workflow, job)), key=lambda one: -one.n)
    return {
        "project": project,
        "workflow": workflow,
        "job": job,
        "tiles": await tiles(reader, place, asked.window, (*_TILES, "queue_p95")),
        "charts": await charts(reader, place, asked.window, ("runs", "success", "duration", "queue", "credits")),
        "steps": mine[:_STEPS_SHOWN],
        "listed": await newest(looks.store, asked, project=project, workflow=workflow, job=job, before_ms=before_ms),
        "last": last,
    }
