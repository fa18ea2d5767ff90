"""Names of things: refused where nothing of that name is known, with what is.

Invariant: what is refused could have had no run in the window or the one before; a workflow or job is known whenever it
ran, as long as its runs are kept. A branch is never refused, because branches come and go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from headgate.core.rollup import RollupKind
from headgate.core.status import OUR_STATUSES
from headgate.core.tally import TallyQuery
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import RefusalKind, Refused, unknown
from headgate.insights.views.window import Window, read_window

__all__ = ["job_must_be_known", "must_be_known", "names_of", "workflow_must_be_known"]

# CircleCI's own words for what starts a pipeline, whether anything was started so or not.
# Source: CircleCI API v2, schema of a pipeline's `trigger.type`, and its webhooks, read November 2026.
_TRIGGERS = ("api", "explicit", "schedule", "scheduled_pipeline", "webhook")
_RECENT = 500


async def must_be_known(lens: Lens, words: Mapping[str, str], *, parameter: str = "") -> None:
    """Hold `org`, `team` and `trigger` of a query against what there is. Raises Refused.

    `parameter`: where they are written, unless as words of their own.
    """
    org, team, trigger = (words.get(name, "") for name in ("org", "team", "trigger"))
    if org:
        _one_of("unknown-org", parameter or "org", org, {row.org for row in await lens.projects()})
    if team:
        if not lens.owners.teams:
            detail = f"team {team!r} is not known: nobody owns anything yet; `owners` of the configuration says who"
            raise Refused("unknown-team", detail, parameter=parameter or "team")
        _one_of("unknown-team", parameter or "team", team, lens.owners.teams)
    if trigger and trigger not in _TRIGGERS:
        window = read_window(*(words.get(name) or None for name in ("since", "until", "window")), now_ms=lens.now_ms)
        await _trigger(lens, trigger, window, parameter or "trigger")


async def names_of(lens: Lens, project: str, window: Window) -> tuple[str, ...]:
    """Workflows of a project that had runs in a window or the one before, skipped ones too, sorted."""
    found = await lens.store.tallies(TallyQuery("workflow", _with_previous(window).bounds([project]), ("workflow",)))
    return tuple(sorted(name for (name,) in found))


async def workflow_must_be_known(lens: Lens, project: str, workflow: str, window: Window) -> None:
    """Hold the name of a workflow against what ever ended. Raises Refused that names those of two windows."""
    if await _ever_ended(lens, "workflow", project, workflow, None):
        return
    names = await names_of(lens, project, window)
    if workflow not in names:
        raise unknown("unknown-workflow", "workflow", workflow, names)


async def job_must_be_known(lens: Lens, project: str, workflow: str, job: str, window: Window) -> None:
    """The same of a job and its workflow."""
    if await _ever_ended(lens, "job", project, workflow, job):
        return
    bounds = _with_previous(window).bounds([project])
    there = set(await lens.store.tallies(TallyQuery("job", bounds, ("workflow", "job"))))
    if (workflow, job) not in there:
        await workflow_must_be_known(lens, project, workflow, window)
        raise unknown("unknown-job", "job", job, {name for flow, name in there if flow == workflow})


async def _ever_ended(lens: Lens, kind: RollupKind, project: str, workflow: str, job: str | None) -> bool:
    """Whether a run of that name is kept, whenever it ended; costs a look into an index."""
    rows = await lens.store.series(
        kind,
        project=project,
        workflow=workflow,
        job=job,
        statuses=frozenset(OUR_STATUSES),
        before_ms=lens.now_ms + 1,
        limit=1,
    )
    return bool(rows)


def _with_previous(window: Window) -> Window:
    return Window(window.previous.since_ms, window.until_ms)


def _one_of(kind: RefusalKind, parameter: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, parameter, name, known)


async def _trigger(lens: Lens, trigger: str, window: Window, parameter: str) -> None:
    """Looked for among the last runs first, which costs less than sums of both windows."""
    if trigger in {run.trigger for run in await lens.store.recent_runs(_RECENT)}:
        return
    bounds = _with_previous(window).bounds(row.project for row in await lens.projects())
    there = {key[0] for key in await lens.store.tallies(TallyQuery("workflow", bounds, ("trigger",)))}
    _one_of("unknown-trigger", parameter, trigger, {*there, *_TRIGGERS} - {""})
