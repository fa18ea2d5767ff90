"""What API v2 says about things, as of a moment.

Shapes: the corrected OpenAPI document and captured answers. Invariant: pure; times of workflows and jobs in
lists are floored to whole seconds, those of pipelines and job details have milliseconds.
"""

from typing import Any

from headgate.testing.circleci import origin
from headgate.testing.circleci.cast import Org, Person, Project
from headgate.testing.circleci.model import Job, Pipeline, Workflow
from headgate.testing.circleci.times import rfc3339_ms, rfc3339_seconds
from headgate.testing.circleci.webhooks import workflow_url
from headgate.testing.circleci.world import World


def me(person: Person) -> dict[str, Any]:
    """Describe the user a token belongs to."""
    return {"name": person.name, "login": person.login, "id": person.id}


def collaboration(org: Org) -> dict[str, Any]:
    """Describe an organization the user belongs to; the key is `vcs_type`, whatever the document says."""
    return {
        "vcs_type": org.vcs_type,
        "slug": org.slug,
        "name": org.name,
        "id": org.id,
        "avatar_url": "https://avatars.githubusercontent.com/u/900?v=4",
    }


def project(found: Project) -> dict[str, Any]:
    """Describe a project."""
    provider = {"github": "GitHub", "bitbucket": "Bitbucket"}.get(found.family, "CircleCI")
    return {
        "slug": found.slug,
        "organization_name": found.org.name,
        "organization_id": found.org.id,
        "name": found.name,
        "id": found.id,
        "organization_slug": found.org.slug,
        "vcs_info": {
            "vcs_url": found.vcs_url,
            "default_branch": found.default_branch,
            "provider": provider,
        },
    }


def pipeline(world: World, found: Pipeline) -> dict[str, Any]:
    """Describe a pipeline; `updated_at` does not move when something of it is rerun."""
    created = rfc3339_ms(found.created)
    said: dict[str, Any] = {
        "id": world.id_of(found),
        "errors": [],
        "project_slug": found.project.slug,
        "updated_at": created,
        "number": found.number,
        "state": "errored" if found.errored else "created",
        "created_at": created,
        "trigger": _trigger(world, found),
    }
    if found.errored:
        said["errors"] = [{"type": "config-fetch", "message": "Failed to fetch config.yml file."}]
        said["trigger_parameters"] = origin.errored_parameters(world, found)
    elif found.project.has_vcs:
        said["vcs"] = origin.vcs_of_v2(world, found)
    else:
        said["trigger_parameters"] = origin.trigger_parameters(world, found)
    return said


def _trigger(world: World, found: Pipeline) -> dict[str, Any]:
    person = origin.author(world, found)
    actor: dict[str, Any] = {"login": person.login, "avatar_url": person.avatar_url}
    received = found.created - 53
    if found.errored:
        received, actor = 0, {"login": "", "avatar_url": None}
    elif found.trigger == "schedule":
        actor = {"login": "Scheduled", "avatar_url": None}
    return {"received_at": rfc3339_ms(received), "type": origin.trigger_type(found), "actor": actor}


def workflow(world: World, run: Workflow, now: int) -> dict[str, Any]:
    """Describe a workflow."""
    done = run.done_at(now)
    said: dict[str, Any] = {
        "pipeline_id": world.id_of(run.pipeline),
        "id": world.id_of(run),
        "name": run.spec.name,
        "project_slug": run.pipeline.project.slug,
        "status": run.status_at(now),
        "started_by": world.people[run.actor].id,
        "pipeline_number": run.pipeline.number,
        "created_at": rfc3339_seconds(run.created),
        "stopped_at": rfc3339_seconds(run.stopped) if done else None,
    }
    if done and run.status in {"canceled", "error"}:
        said["canceled_by" if run.status == "canceled" else "errored_by"] = world.people[run.actor].id
    return said


def job(world: World, run: Workflow, found: Job, now: int) -> dict[str, Any]:
    """Describe a job in the list of a workflow; approvals and what was never queued have no number."""
    needs = [world.id_of(run.jobs[at]) for at in found.spec.requires]
    stopped = 0 < found.stopped <= now
    said: dict[str, Any] = {
        "dependencies": needs,
        "id": world.id_of(found),
        "started_at": rfc3339_seconds(found.started) if 0 < found.started <= now else None,
        "name": found.spec.name,
        "project_slug": run.pipeline.project.slug,
        "status": found.status_at(now),
        "type": found.spec.type,
        "requires": {need: ["success"] for need in needs},
        "stopped_at": rfc3339_seconds(found.stopped) if stopped else None,
    }
    if found.number and found.queued <= now:
        said["job_number"] = found.number
    person = world.people[found.workflow.actor].id
    if found.approval:
        said["approval_request_id"] = said["id"]
        if stopped and found.status == "success":
            said["approved_by"] = person
    if stopped and found.status == "canceled":
        said["canceled_by"] = person
    return said


def job_detail(world: World, found: Job, now: int) -> dict[str, Any]:
    """Describe one build; before it is dispatched most fields are missing."""
    run, owner = found.workflow, found.workflow.pipeline.project
    status = found.status_at(now)
    latest = next(other for other in reversed(run.pipeline.workflows) if found in other.jobs and other.created <= now)
    said: dict[str, Any] = {
        "web_url": f"{workflow_url(world, run)}/jobs/{found.number}",
        "project": {
            "id": owner.id,
            "slug": owner.slug,
            "name": owner.name,
            "external_url": owner.vcs_url,
        },
        "latest_workflow": {"id": world.id_of(latest), "name": latest.spec.name},
        "name": found.spec.name,
        "status": status,
        "number": found.number,
        "pipeline": {"id": world.id_of(run.pipeline)},
        "created_at": rfc3339_ms(found.queued - found.queued % 60),
        "messages": [],
        "contexts": [{"name": found.spec.context}] if found.spec.context else [],
        "organization": {"name": owner.org.name},
        "queued_at": rfc3339_ms(found.queued),
    }
    if 0 < found.started <= now:
        said |= _dispatched(found, status)
    if 0 < found.stopped <= now:
        said["stopped_at"] = rfc3339_ms(found.stopped)
        said["duration"] = found.stopped - found.started if found.started else None
    return said


def _dispatched(found: Job, status: str) -> dict[str, Any]:
    spec = found.spec
    return {
        "parallel_runs": [{"index": index, "status": status} for index in range(spec.parallelism)],
        "started_at": rfc3339_ms(found.started),
        "executor": {"type": spec.executor, "resource_class": spec.resource_class},
        "parallelism": spec.parallelism,
        "stopped_at": None,
        "duration": None,
    }
