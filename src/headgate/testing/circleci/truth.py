"""What really happened, and which source can tell which part of it.

One line per workflow and job that has finished, in the order project, workflow, job. `final` has the
attributes of the record with the most precise value any source gives: times with milliseconds. v2 lists give
times floored to whole seconds (and a duration that follows from those), so a comparison with what came from
v2 alone floors first; they are listed under `v2` all the same, and so are those of the export. `credits` is what
it cost, which is the total of the row in the export.

`knowable` has, besides `webhook`, `v2` (lists), `v1.1` (lists) and `export`, the names that only a call per
job brings: `v2.detail` and `v1.1.detail`, and for workflows `insights` (the list of runs), which is empty for
what Insights does not list now. A webhook can tell nothing of what finished before the twin started, of
approvals, and of jobs that never ran; the export tells of the latter two as little, and of a run once the UTC day it
started on is over. What is past retention is listed as before. Invariant: every name in `knowable` is in `final`.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from headgate.testing.circleci import insight_runs, origin
from headgate.testing.circleci.cast import Family
from headgate.testing.circleci.history import History
from headgate.testing.circleci.model import Job, Pipeline, Workflow
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.webhooks import job_word, workflow_url
from headgate.testing.circleci.world import World

STATUS_WORDS = {
    "success": "success",
    "failed": "failure",
    "error": "error",
    "infrastructure_fail": "error",
    "unauthorized": "error",
    "timedout": "timeout",
    "canceled": "canceled",
    "not_run": "skipped",
}

_RUN = ("cicd.pipeline.name", "cicd.pipeline.run.id")
_RUN_URL = "cicd.pipeline.run.url.full"
_STATUS = ("circleci.status", "headgate.status")
_PIPELINE = ("circleci.pipeline.id", "circleci.pipeline.number", "circleci.trigger.type")
_REF = ("vcs.ref.head.name", "vcs.ref.head.type")
_REPOSITORY = "vcs.repository.url.full"
_VCS = (*_REF, "vcs.ref.head.revision", _REPOSITORY)
_TASK = ("cicd.pipeline.task.name", "cicd.pipeline.task.run.id")
_TASK_URL = "cicd.pipeline.task.run.url.full"
_SPAN = ("circleci.started_at", "circleci.stopped_at", "circleci.duration_ms")
_STOPPED = ("circleci.stopped_at", "circleci.duration_ms")
_QUEUE = ("circleci.queued_at", "circleci.queue_ms")
_MACHINE = ("circleci.resource_class", "circleci.executor", "circleci.parallelism")
_APPROVAL = "circleci.approval_wait_ms"

_WEBHOOK_RUN = {*_RUN, _RUN_URL, *_STATUS, *_PIPELINE, *_VCS, "circleci.created_at", "circleci.stopped_at",
                "circleci.duration_ms"}  # fmt: skip
_WEBHOOK_JOB = {
    *_RUN,
    _RUN_URL,
    *_TASK,
    _TASK_URL,
    *_STATUS,
    *_PIPELINE,
    *_VCS,
    *_SPAN,
    "circleci.job.number",
}
_V2_JOB = {*_WEBHOOK_JOB, "circleci.job.type", _APPROVAL}
_V11_JOB = {*_RUN, *_TASK, *_STATUS, *_VCS, *_SPAN, *_QUEUE, "circleci.job.number", "circleci.parallelism"}
_INSIGHTS_RUN = {
    *_RUN,
    *_STATUS,
    *_REF,
    "circleci.created_at",
    "circleci.stopped_at",
    "circleci.duration_ms",
    "circleci.credits",
}
_EXPORT_RUN = {*_RUN, *_PIPELINE, *_REF, _REPOSITORY, "circleci.stopped_at"}
_EXPORT_JOB = {*_RUN, *_TASK, *_STATUS, *_PIPELINE, *_REF, _REPOSITORY, *_SPAN, *_QUEUE, *_MACHINE,
               "circleci.job.number", "circleci.credits"}  # fmt: skip


def lines(world: World, since: int = 0) -> Iterator[bytes]:
    """Give the lines, each ending in a newline, of what finished from `since` to now."""
    now, listed = world.now(), insight_runs.span(world)
    for history in world.histories:
        for run in history.workflows:
            if run.created > now:
                continue
            for job in run.jobs:
                if job.workflow is run and job.finished_ms(now) >= max(since, 1):
                    yield orjson.dumps(_job(world, history, job), option=orjson.OPT_APPEND_NEWLINE)
            if run.done_at(now) and run.stopped >= since:
                yield orjson.dumps(_workflow(world, run, listed), option=orjson.OPT_APPEND_NEWLINE)


def _workflow(world: World, run: Workflow, listed: insight_runs.Span) -> dict[str, Any]:
    final = {
        **_common(world, run),
        "circleci.status": run.status,
        "headgate.status": STATUS_WORDS[run.status],
        "circleci.created_at": rfc3339_ms(run.created),
        "circleci.stopped_at": rfc3339_ms(run.stopped),
        "circleci.duration_ms": run.stopped - run.created,
        "circleci.credits": run.credits,
    }
    told = run.stopped > world.options.now_ms
    knowable = {
        "webhook": (_WEBHOOK_RUN - _hidden_ref(run.pipeline)) if told else set(),
        "v2": _WEBHOOK_RUN,
        "v1.1": set(),
        "export": _EXPORT_RUN - _not_exported(run.pipeline) if _exported(run) else set(),
        "insights": _INSIGHTS_RUN if listed.lists(run) else set(),
    }
    return _line(world, run, final, knowable)


def _job(world: World, history: History, job: Job) -> dict[str, Any]:
    run = job.workflow
    own_id = world.id_of(job)
    final: dict[str, Any] = {
        **_common(world, run),
        "cicd.pipeline.task.name": job.spec.name,
        "cicd.pipeline.task.run.id": own_id,
        "circleci.status": job.status,
        "headgate.status": STATUS_WORDS[job.status],
        "circleci.job.type": job.spec.type,
        **_times(job),
    }
    if job.number:
        final["circleci.job.number"] = job.number
        final[_TASK_URL] = f"{final[_RUN_URL]}/jobs/{job.number}"
    if job.ran:
        final["circleci.resource_class"] = job.spec.resource_class
        final["circleci.executor"] = job.spec.executor
        final["circleci.credits"] = job.credits
    if job.number:
        final["circleci.parallelism"] = job.spec.parallelism
    return _line(world, job, final, _knowable_job(world, history, job))


def _times(job: Job) -> dict[str, Any]:
    """Give the times of a job; queue, approval wait and execution are three different numbers."""
    given: dict[str, Any] = {}
    if job.number:
        given["circleci.queued_at"] = rfc3339_ms(job.queued)
    if job.started:
        given["circleci.started_at"] = rfc3339_ms(job.started)
    if job.stopped:
        given["circleci.stopped_at"] = rfc3339_ms(job.stopped)
    if job.ran:
        given["circleci.duration_ms"] = job.stopped - job.started
        given["circleci.queue_ms"] = job.started - job.queued
    elif job.approval and job.started and job.stopped:
        given[_APPROVAL] = job.stopped - job.started
    return given


def _knowable_job(world: World, history: History, job: Job) -> dict[str, set[str]]:
    run, project = job.workflow, job.workflow.pipeline.project
    told = job.ran and job.stopped > world.options.now_ms
    webhook = _WEBHOOK_JOB - _hidden_ref(run.pipeline)
    if job_word(job.status) != job.status:
        webhook -= set(_STATUS)
    shared = any(job in other.jobs for other in run.pipeline.workflows if other is not run)
    v11 = _V11_JOB - {"circleci.status"} if history.fixed(job) else _V11_JOB
    if project.family in {Family.APP, Family.GITLAB}:
        v11 = v11 - {_REPOSITORY}
    export = _EXPORT_JOB - _not_exported(run.pipeline)
    if job.status not in {"success", "failed"}:
        export -= set(_STOPPED)
    return {
        "webhook": webhook if told else set(),
        "v2": _V2_JOB - {_RUN[1], _RUN_URL, _TASK_URL} if shared else _V2_JOB,
        "v1.1": v11 if job.number else set(),
        "export": export if job.ran else set(),
        "v2.detail": {*_QUEUE, *_MACHINE} if job.ran else set(),
        "v1.1.detail": set(_MACHINE) if job.ran else set(),
    }


def _hidden_ref(pipeline: Pipeline) -> set[str]:
    """Give what the webhooks of some tag pushes leave out."""
    return set(_REF) if pipeline.bare_tag else set()


def _exported(run: Workflow) -> bool:
    """Say whether the export has a row of a workflow: for each job that ran in it."""
    return any(job.ran and job.workflow is run for job in run.jobs)


def _not_exported(pipeline: Pipeline) -> set[str]:
    """Give what the export leaves out: tags, and addresses of repositories outside OAuth and Bitbucket."""
    tag = set() if pipeline.branch else set(_REF)
    return tag if pipeline.project.has_vcs else tag | {_REPOSITORY}


def _rerun_of(world: World, done: Job | Workflow) -> str | None:
    """Give the id of what this is another attempt of."""
    if isinstance(done, Workflow):
        return world.id_of(done.rerun_of) if done.rerun_of else None
    old = done.workflow.rerun_of
    return world.id_of(old.jobs[done.position]) if old and old.jobs else None


def _common(world: World, run: Workflow) -> dict[str, Any]:
    pipeline = run.pipeline
    return {
        "cicd.pipeline.name": run.spec.name,
        "cicd.pipeline.run.id": world.id_of(run),
        _RUN_URL: workflow_url(world, run),
        "circleci.pipeline.id": world.id_of(pipeline),
        "circleci.pipeline.number": pipeline.number,
        "circleci.trigger.type": origin.trigger_type(pipeline),
        "vcs.ref.head.name": pipeline.branch or pipeline.tag,
        "vcs.ref.head.type": "branch" if pipeline.branch else "tag",
        "vcs.ref.head.revision": origin.revision(world, pipeline),
        "vcs.repository.url.full": pipeline.project.repository_url,
    }


def _line(world: World, done: Job | Workflow, final: dict[str, Any], knowable: dict[str, set[str]]) -> dict[str, Any]:
    run = done.workflow if isinstance(done, Job) else done
    return {
        "kind": "job" if isinstance(done, Job) else "workflow",
        "provider_id": world.id_of(done),
        "project": run.pipeline.project.slug,
        "final": final,
        "knowable": {source: sorted(names & final.keys()) for source, names in knowable.items()},
        "rerun_of": _rerun_of(world, done),
        "partial_rerun": isinstance(done, Workflow) and any(job.workflow is not done for job in done.jobs),
        "credits": done.credits,
    }
