"""One run with its jobs and steps, and what projects there are, to the store in memory."""

from __future__ import annotations

from headgate.core.runrows import ProjectRow, RunDetail, RunJob, RunStep
from headgate.core.status import map_status
from headgate.core.tally import Bounds
from headgate.store.memory_facts import MemoryFact, MemoryFacts
from headgate.store.memory_runs import number, runs, shared_of, text, url_of

__all__ = ["branch_counts", "projects", "run_detail"]


def projects(facts: MemoryFacts) -> list[ProjectRow]:
    """By slug."""
    found: dict[str, ProjectRow] = {}
    for one in sorted(facts.projects.by_id.values(), key=lambda project: (project.slug, project.id)):
        found.setdefault(one.slug, ProjectRow(one.slug, one.org, one.default_branch or ""))
    return list(found.values())


def branch_counts(facts: MemoryFacts, bounds: Bounds) -> dict[str, int]:
    """By project."""
    seen: dict[str, set[str]] = {}
    for run in runs(facts):
        since_ms, until_ms = bounds.get(run.project, (0, 0))
        if run.ref and run.status != "skipped" and since_ms <= run.stopped_ms < until_ms:
            seen.setdefault(run.project, set()).add(run.ref)
    return {project: len(names) for project, names in seen.items()}


def run_detail(facts: MemoryFacts, workflow_id: str) -> RunDetail | None:
    """A workflow by its key."""
    fact = next((one for one in facts.all() if one.kind == "workflow" and one.key == workflow_id), None)
    if fact is None:
        return None
    own, shared = fact.known.values, shared_of(facts, fact)
    members = [
        one
        for one in facts.all()
        if (one.kind, one.host, one.known.values.get("workflow_id")) == ("job", fact.host, fact.key) and not one.gone
    ]
    members.sort(key=lambda one: (_began(one), one.key))
    keys = {one.key for one in members}
    leaves = [one for one in facts.all() if one.kind == "step" and one.known.values.get("job_id") in keys]
    steps = [step for one in leaves if (step := _step(one)) is not None]
    return RunDetail(
        workflow_id=workflow_id,
        project=facts.projects.by_id[fact.project].slug,
        workflow=text(own, "name"),
        ref=text(shared, "ref_name"),
        branch_class=facts.branch_class(fact),
        status=map_status(text(own, "status")),
        created_ms=number(own, "created_at"),
        stopped_ms=number(own, "stopped_at"),
        revision=text(shared, "revision"),
        pipeline_number=number(shared, "pipeline_number"),
        url=url_of(facts, fact, fact.key),
        credits=number(own, "credits"),
        credits_estimated=bool(own.get("credits_estimated", False)),
        attempt=number(own, "attempt") or 1,
        rerun_of=text(own, "rerun_of"),
        trigger=text(shared, "trigger_type"),
        author=text(shared, "author_login"),
        subject=text(shared, "commit_subject"),
        jobs=tuple(_job(one) for one in members),
        steps=tuple(sorted(steps, key=_place)),
    )


def _began(job: MemoryFact) -> int:
    times = [number(job.known.values, name) for name in ("queued_at", "started_at", "created_at")]
    return next((at for at in times if at is not None), job.seen_ms)


def _job(fact: MemoryFact) -> RunJob:
    own = fact.known.values
    requires = own.get("requires")
    return RunJob(
        job_id=fact.key,
        job=text(own, "name"),
        type=text(own, "type"),
        status=map_status(text(own, "status")),
        created_ms=number(own, "created_at"),
        queued_ms=number(own, "queued_at"),
        started_ms=number(own, "started_at"),
        stopped_ms=number(own, "stopped_at"),
        requires=tuple(map(str, requires)) if isinstance(requires, list) else (),
        resource_class=text(own, "resource_class"),
        executor=text(own, "executor"),
        parallelism=number(own, "parallelism"),
        credits=number(own, "credits"),
        number=number(own, "number"),
    )


def _step(fact: MemoryFact) -> RunStep | None:
    own = fact.known.values
    stopped = number(own, "stopped_at")
    if stopped is None:
        return None
    return RunStep(
        job_id=text(own, "job_id"),
        index=number(own, "index"),
        node=number(own, "node") or 0,
        step=text(own, "name"),
        status=map_status(text(own, "status")),
        started_ms=number(own, "started_at"),
        stopped_ms=stopped,
        exit_code=number(own, "exit_code"),
    )


def _place(step: RunStep) -> tuple[int, int, int]:
    began = step.stopped_ms if step.started_ms is None else step.started_ms
    return began, step.node, -1 if step.index is None else step.index
