"""Questions about runs to the store in memory: every answer is worked out anew from all facts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from headgate.core.deployed import Deployed, placed
from headgate.core.render import APP_URL, approval_wait_ms, duration_ms, queue_ms, run_url
from headgate.core.rollup import RollupKind, contribution
from headgate.core.runrows import DeploymentRow, JobRow, RunChoice, RunRow
from headgate.core.slug import org_slug
from headgate.core.status import map_status
from headgate.core.tally import STEPS, Dimension, Tally, TallyQuery, class_name
from headgate.core.times import format_ms
from headgate.store.memory_facts import MemoryFact, MemoryFacts
from headgate.store.releases import end_ms
from headgate.store.schema import encode_key

__all__ = [
    "between",
    "deployment_ends",
    "deployments",
    "jobs",
    "newest_runs",
    "runs",
    "series",
    "shared_of",
    "tallies",
    "url_of",
]

R = TypeVar("R", RunRow, JobRow, DeploymentRow)
_IDS = {RunRow: "workflow_id", JobRow: "job_id", DeploymentRow: "deployment_id"}


def text(values: Mapping[str, Any], name: str) -> str:
    """A field as text, empty where unknown."""
    return str(values.get(name, ""))


def number(values: Mapping[str, Any], name: str) -> int | None:
    """A field as a number, None where unknown."""
    value = values.get(name)
    return value if isinstance(value, int) else None


def shared_of(facts: MemoryFacts, fact: MemoryFact) -> dict[str, Any]:
    """What a run or job takes from those it belongs to, its own winning where it is a workflow."""
    view = facts.view(fact)
    above: dict[str, Any] = dict(view.pipeline.values) if view.pipeline else {}
    if "number" in above:
        above["pipeline_number"] = above["number"]
    run = fact.known if fact.kind == "workflow" else view.workflow
    return {**above, **(run.values if run else {})}


def run_name(facts: MemoryFacts, fact: MemoryFact) -> str:
    """The name of the workflow that a fact is or belongs to."""
    run = fact.known if fact.kind == "workflow" else facts.view(fact).workflow
    return text(run.values, "name") if run else ""


def url_of(facts: MemoryFacts, fact: MemoryFact, workflow_id: str | None) -> str:
    """The page of a workflow, empty where it cannot be told."""
    base = facts.app_urls.get(fact.source, APP_URL)
    pipeline = shared_of(facts, fact).get("pipeline_number")
    return run_url(facts.projects.by_id[fact.project].slug, base, pipeline, workflow_id) or ""


def _ended(facts: MemoryFacts, kind: str) -> Iterator[tuple[MemoryFact, int]]:
    for fact in facts.all():
        stopped = end_ms(fact.known)
        if fact.kind == kind and fact.known.terminal and stopped is not None:
            yield fact, stopped


def runs(facts: MemoryFacts) -> list[RunRow]:
    """Ended workflows, oldest first."""
    found = [_run(facts, fact, stopped) for fact, stopped in _ended(facts, "workflow")]
    return sorted(found, key=lambda run: run.stopped_ms)


def _run(facts: MemoryFacts, fact: MemoryFact, stopped: int) -> RunRow:
    values, own = shared_of(facts, fact), fact.known.values
    return RunRow(
        workflow_id=fact.key,
        project=facts.projects.by_id[fact.project].slug,
        workflow=text(own, "name"),
        ref=text(values, "ref_name"),
        branch_class=facts.branch_class(fact),
        status=map_status(text(own, "status")),
        stopped_ms=stopped,
        duration_ms=duration_ms("workflow", own),
        revision=text(values, "revision"),
        pipeline_number=number(values, "pipeline_number"),
        url=url_of(facts, fact, fact.key),
        created_ms=number(own, "created_at"),
        hold_ms=_hold_ms(facts, fact),
        credits=number(own, "credits"),
        attempt=number(own, "attempt") or 1,
        rerun_of=text(own, "rerun_of"),
        trigger=text(values, "trigger_type"),
        credits_estimated=bool(own.get("credits_estimated", False)),
        source=fact.source,
    )


def _hold_ms(facts: MemoryFacts, run: MemoryFact) -> int | None:
    found = [
        job.known.values
        for job in facts.all()
        if job.kind == "job" and job.host == run.host and job.known.values.get("workflow_id") == run.key
    ]
    held = [own for own in found if own.get("type") == "approval"]
    if not any("type" in own for own in found) or any("started_at" in own and "stopped_at" not in own for own in held):
        return None
    return sum(approval_wait_ms(own) or 0 for own in held)


def jobs(facts: MemoryFacts) -> list[JobRow]:
    """Ended jobs, in order of arrival."""
    return [_job(facts, fact, stopped) for fact, stopped in _ended(facts, "job")]


def _job(facts: MemoryFacts, fact: MemoryFact, stopped: int) -> JobRow:
    values, own = shared_of(facts, fact), fact.known.values
    of_run = url_of(facts, fact, text(own, "workflow_id") or None)
    return JobRow(
        job_id=fact.key,
        workflow_id=text(own, "workflow_id"),
        project=facts.projects.by_id[fact.project].slug,
        workflow=run_name(facts, fact),
        job=text(own, "name"),
        ref=text(values, "ref_name"),
        branch_class=facts.branch_class(fact),
        status=map_status(text(own, "status")),
        type=text(own, "type"),
        resource_class=text(own, "resource_class"),
        executor=text(own, "executor"),
        parallelism=number(own, "parallelism"),
        started_ms=number(own, "started_at"),
        stopped_ms=stopped,
        duration_ms=duration_ms("job", own),
        queue_ms=queue_ms(own),
        credits=number(own, "credits"),
        revision=text(values, "revision"),
        number=number(own, "number"),
        url=f"{of_run}/jobs/{own['number']}" if of_run and "number" in own else of_run,
        trigger=text(values, "trigger_type"),
    )


def deployments(facts: MemoryFacts) -> list[DeploymentRow]:
    """Ended deployments, in order of arrival."""
    found = []
    for fact in facts.all():
        stopped, own = end_ms(fact.known), fact.known.values
        if fact.kind == "deployment" and stopped is not None:
            words = ("name", "environment", "status", "revision", "version", "workflow_id", "job_id", "origin", "url")
            found.append(
                DeploymentRow(
                    deployment_id=fact.key,
                    project=facts.projects.by_id[fact.project].slug,
                    started_ms=number(own, "started_at"),
                    stopped_ms=stopped,
                    **{name: text(own, name) for name in words},
                )
            )
    return found


def deployment_ends(
    facts: MemoryFacts, since_ms: int, until_ms: int, project: str | None, *, begun: bool
) -> list[Deployed]:
    """Those that ended then, oldest first, of one project or all."""
    found = []
    for fact in facts.all():
        stopped, own, slug = end_ms(fact.known), fact.known.values, facts.projects.by_id[fact.project].slug
        if fact.kind != "deployment" or stopped is None or project not in (None, slug):
            continue
        if since_ms <= stopped < until_ms:
            to, name, status, revision = (text(own, one) for one in ("environment", "name", "status", "revision"))
            if status not in ("succeeded", "failed"):
                continue
            at = _begun(facts, fact) if begun and status == "succeeded" else None
            lead_ms = None if at is None else max(0, stopped - at)
            row = (stopped, slug, to, name, status == "succeeded", revision, lead_ms)
            found.append((_place(stopped, fact.key), row))
    return placed([row for _, row in sorted(found, key=lambda one: one[0])], lambda names: names)


def _begun(facts: MemoryFacts, deployment: MemoryFact) -> int | None:
    """Creation of the first ended workflow of its commit, or of its workflow where no commit is known."""
    own = deployment.known.values
    commit, of_run = text(own, "revision"), text(own, "workflow_id")
    times = [
        number(fact.known.values, "created_at")
        for fact, _ in _ended(facts, "workflow")
        if fact.project == deployment.project
        and (text(shared_of(facts, fact), "revision") == commit if commit else fact.key == of_run)
    ]
    return min((at for at in times if at is not None), default=None)


def between(rows: Sequence[R], since_ms: int, until_ms: int, after: tuple[int, str] | None, limit: int) -> list[R]:
    """A page of rows by end time and id, oldest first."""
    behind = (since_ms - 1, False, "") if after is None else _place(*after)
    found = {_place_of(row): row for row in rows if since_ms <= row.stopped_ms < until_ms}
    return [found[place] for place in sorted(found) if place > behind][:limit]


def _place_of(row: RunRow | JobRow | DeploymentRow) -> tuple[int, bool, str]:
    return _place(row.stopped_ms, getattr(row, _IDS[type(row)]))


def _place(stopped_ms: int, key: str) -> tuple[int, bool, str]:
    """As the database orders them: ids that are UUIDs behind all others."""
    return stopped_ms, isinstance(encode_key(key), bytes), key


def series(
    rows: Sequence[RunRow] | Sequence[JobRow],
    *,
    project: str,
    workflow: str,
    job: str | None,
    chosen: RunChoice,
    statuses: Collection[str],
    span: tuple[int, int],
    limit: int,
) -> list[RunRow | JobRow]:
    """The newest of the rows that qualify, oldest first."""
    found = [
        (_place_of(row), row)
        for row in rows
        if (row.project, row.workflow, getattr(row, "job", None)) == (project, workflow, job)
        and chosen.takes(row)
        and row.status in statuses
        and span[0] <= row.stopped_ms < span[1]
    ]
    found.sort(key=lambda one: one[0])
    return [row for _, row in found[max(0, len(found) - limit) :]]


def newest_runs(
    facts: MemoryFacts,
    names: Mapping[str, Collection[str] | None],
    chosen: RunChoice,
    span: tuple[int, tuple[int, str]],
    limit: int,
) -> list[RunRow]:
    """The newest of each project, newest first."""
    left = dict.fromkeys(names, limit)
    since_ms, before = span[0], _place(*span[1])
    found = []
    for run in sorted(runs(facts), key=_place_of, reverse=True):
        of = names.get(run.project, ())
        wanted = (of is None or run.workflow in of) and chosen.takes(run)
        if wanted and since_ms <= run.stopped_ms and _place_of(run) < before and left[run.project]:
            left[run.project] -= 1
            found.append(run)
    return found


def tallies(facts: MemoryFacts, query: TallyQuery) -> dict[tuple[str, ...], Tally]:
    """Sums over the contributions of all facts."""
    found: dict[tuple[str, ...], Tally] = {}
    for fact in facts.all():
        part = contribution(query.kind, fact.known.values, terminal=fact.known.terminal)
        slug = facts.projects.by_id[fact.project].slug
        if fact.kind != query.kind or part is None or slug not in query.bounds:
            continue
        since_ms, until_ms = query.bounds[slug]
        if since_ms <= part.at_ms < until_ms:
            key = tuple(_value(facts, fact, query.kind, name) for name in query.by)
            found.setdefault(key, Tally()).count(part, query.bins)
    return found


def _value(facts: MemoryFacts, fact: MemoryFact, kind: RollupKind, name: Dimension) -> str:
    slug, own = facts.projects.by_id[fact.project].slug, fact.known.values
    if name in ("branch", "trigger"):
        return text(shared_of(facts, fact), "ref_name" if name == "branch" else "trigger_type")
    if name in STEPS:
        return format_ms((end_ms(fact.known) or 0) // STEPS[name] * STEPS[name])
    if kind == "workflow" and name in ("job", "resource_class"):
        return ""
    values = {
        "org": org_slug(slug),
        "project": slug,
        "workflow": run_name(facts, fact),
        "job": text(own, "name"),
        "branch_class": class_name(facts.branch_class(fact)),
        "resource_class": text(own, "resource_class"),
    }
    return values[name]
