"""What API v1.1 says about builds, as of a moment.

Shapes: captured answers of 2021 and 2026. Invariant: pure; a list row is the single build without `steps`,
`picard` and the few keys only the single build has. Credits, pipelines and approvals are unknown to v1.1.
"""

from typing import Any

from headgate.testing.circleci import artifacts, evidence, origin
from headgate.testing.circleci.cast import Family
from headgate.testing.circleci.history import History
from headgate.testing.circleci.model import FAILED, Job, Pipeline
from headgate.testing.circleci.times import rfc3339_ms
from headgate.testing.circleci.world import World

_CLASSES = {
    "small": (1.0, 2048),
    "medium": (2.0, 4096),
    "large": (4.0, 8192),
    "xlarge": (8.0, 16384),
    "linux-medium": (2.0, 7680),
    "macos-m1": (4.0, 6144),
}
_WHY = {"api": "api", "schedule": "scheduled_workflow"}


def status(history: History, build: Job, now: int) -> str:
    """Give the status in v1.1's words: a success after a failure is `fixed`."""
    word = build.status_at(now)
    return "fixed" if word == "success" and history.fixed(build) else word


def row(world: World, history: History, build: Job, now: int, *, shallow: bool = False) -> dict[str, Any]:
    """Describe a build in a list; `shallow` leaves out the commits."""
    said = _timing(history, build, now) | _about(world, history, build)
    said |= _source(world, build.workflow.pipeline, pushed=build.workflow.pipeline.trigger == "push")
    if shallow:
        del said["all_commit_details"], said["all_commit_details_truncated"], said["circle_yml"]
    return said


def single(world: World, history: History, build: Job, now: int) -> dict[str, Any]:
    """Describe one build, with steps and the machine it ran on."""
    spec = build.spec
    cpu, ram = _CLASSES[spec.resource_class]
    dispatched = 0 < build.started <= now
    picard = {
        "build_agent": {"image": "1.0.79020-7b308f28", "properties": {"executor": spec.executor}},
        "executor": spec.executor,
        "resource_class": {
            "cpu": cpu,
            "ram": ram,
            "class": spec.resource_class,
            "name": f"{spec.executor.title()} {spec.resource_class.title()}",
        },
    }
    return row(world, history, build, now) | {
        "steps": evidence.steps(world, build, now),
        "picard": picard if dispatched else None,
        "owners": [build.workflow.pipeline.project.org.name],
        "pull_requests": [],
        "has_artifacts": dispatched and artifacts.stored(world, build),
        "no_dependency_cache": False,
    }


def _timing(history: History, build: Job, now: int) -> dict[str, Any]:
    word = status(history, build, now)
    started, stopped = 0 < build.started <= now, 0 < build.stopped <= now
    ran = started and stopped
    return {
        "status": word,
        "outcome": (build.status if stopped else None),
        "lifecycle": "finished" if stopped else word,
        "usage_queued_at": rfc3339_ms(build.queued),
        "queued_at": rfc3339_ms(build.queued + 40 + build.queued % 60),
        "start_time": rfc3339_ms(build.started) if started else None,
        "stop_time": rfc3339_ms(build.stopped) if stopped else None,
        "build_time_millis": build.stopped - build.started if ran else None,
        "failed": build.status in FAILED if stopped else None,
        "canceled": stopped and build.status == "canceled",
        "infrastructure_fail": stopped and build.status == "infrastructure_fail",
        "timedout": stopped and build.status == "timedout",
        "previous": _previous(history, build),
        "previous_successful_build": None,
        "is_first_green_build": False,
        "fail_reason": None,
    }


def _previous(history: History, build: Job) -> dict[str, Any] | None:
    if not build.previous:
        return None
    before = history.builds[build.previous - 1]
    ended = 0 < before.stopped <= build.queued
    return {
        "build_num": before.number,
        "status": before.status if ended else "running",
        "build_time_millis": before.stopped - before.started if ended and before.started else None,
    }


def _about(world: World, history: History, build: Job) -> dict[str, Any]:
    run, project = build.workflow, history.project
    vcs, username, reponame = project.slug.split("/")
    run_id = world.id_of(run)
    return {
        "build_num": build.number,
        "build_url": f"https://circleci.com/{vcs}/{username}/{reponame}/{build.number}",
        "vcs_url": project.vcs_url,
        "vcs_type": project.org.vcs_type,
        "username": username,
        "reponame": reponame,
        "parallel": build.spec.parallelism,
        "workflows": {
            "workflow_id": run_id,
            "workflow_name": run.spec.name,
            "workspace_id": run_id,
            "job_name": build.spec.name,
            "job_id": world.id_of(build),
            "upstream_job_ids": [world.id_of(run.jobs[at]) for at in build.spec.requires],
            "upstream_concurrency_map": {},
        },
        "build_parameters": {"CIRCLE_JOB": build.spec.name},
        "platform": "2.0",
        "oss": False,
        "picard": None,
        "circle_yml": None,
        "job_name": None,
        "node": None,
        "compare": None,
        "canceler": None,
        "retry_of": None,
        "retries": None,
        "dont_build": None,
        "ssh_disabled": True,
        "ssh_users": [],
        "messages": [],
        "context_ids": [],
    }


def _source(world: World, pipeline: Pipeline, *, pushed: bool) -> dict[str, Any]:
    """Describe the commit; only a push has one with subject and author."""
    person = origin.author(world, pipeline)
    sha = origin.revision(world, pipeline)
    when = rfc3339_ms(origin.committed_ms(pipeline) // 1000 * 1000)
    commit: dict[str, Any] = {
        "committer_date": when,
        "body": "",
        "author_date": when,
        "committer_email": person.email,
        "committer_name": person.name,
        "subject": origin.subject(world, pipeline),
        "author_name": person.name,
        "author_email": person.email,
    }
    url = f"{pipeline.project.repository_url}/commit/{sha}"
    detail = commit | {
        "branch": pipeline.branch,
        "commit": sha,
        "commit_url": url,
        "author_login": person.login,
        "committer_login": person.login,
    }
    why = "github" if pipeline.project.family is Family.OAUTH else str(pipeline.project.family)
    return (commit if pushed else dict.fromkeys(commit)) | {
        "vcs_revision": sha,
        "branch": pipeline.branch,
        "vcs_tag": pipeline.tag,
        "why": _WHY.get(pipeline.trigger, why),
        "user": {
            "is_user": True,
            "login": person.login,
            "avatar_url": person.avatar_url,
            "name": person.name,
            "vcs_type": pipeline.project.org.vcs_type,
            "id": person.number,
        },
        "all_commit_details": [detail] if pushed else [],
        "all_commit_details_truncated": False,
    }
