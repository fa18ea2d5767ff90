"""The deliveries CircleCI sends: their bodies, headers and signature.

Shapes: captured deliveries of each kind of project (the test data). Invariant: pure; the same thing gives
the same bytes, and a second delivery of it has the same id.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from headgate.testing.circleci import origin
from headgate.testing.circleci.model import Job, Pipeline, Workflow
from headgate.testing.circleci.times import rfc3339_micros, rfc3339_ms
from headgate.testing.circleci.world import World

APP_URL = "https://app.circleci.com"

_JOB_WORDS = {"infrastructure_fail": "failed", "timedout": "failed"}  # webhooks know four words only


def signature(secret: str, body: bytes) -> str:
    """Give the `circleci-signature` header: v1, lower-case hex HMAC-SHA256 of the raw body."""
    return f"v1={hmac.new(secret.encode(), body, sha256).hexdigest()}"


def headers(kind: str, body: bytes, secret: str | None) -> dict[str, str]:
    """Give the headers of a delivery; signed only if there is a secret."""
    plain = {
        "content-type": "application/json",
        "user-agent": "CircleCI-Webhook/1.0",
        "circleci-event-type": kind,
    }
    return plain | ({"circleci-signature": signature(secret, body)} if secret else {})


def workflow_url(world: World, run: Workflow) -> str:
    """Give the address of a workflow in CircleCI's web application."""
    pipeline = run.pipeline
    return f"{APP_URL}/pipelines/{pipeline.project.long_slug}/{pipeline.number}/workflows/{world.id_of(run)}"


def kind_of(done: Job | Workflow) -> str:
    """Give the event type for something that finished."""
    return "job-completed" if isinstance(done, Job) else "workflow-completed"


def delivery_id(world: World, provider_id: str, webhook: Mapping[str, str] | None) -> str:
    """Give the id of the delivery about a job or workflow to a webhook."""
    return world.ids.event(provider_id, webhook["id"]) if webhook else world.ids.event(provider_id)


def job_word(status: str) -> str:
    """Give the word a job's webhook uses for a status of v2."""
    return _JOB_WORDS.get(status, status)


def body(world: World, done: Job | Workflow, webhook: Mapping[str, str] | None = None) -> bytes:
    """Give the JSON of the delivery for a job or workflow that finished.

    `webhook`: id and name of a managed one, whose deliveries have ids of their own; None: the one of `webhook_url`.
    """
    kind = kind_of(done)
    run = done.workflow if isinstance(done, Job) else done
    project = run.pipeline.project
    own_id = world.id_of(done)
    payload: dict[str, Any] = {
        "type": kind,
        "id": delivery_id(world, own_id, webhook),
        "happened_at": rfc3339_micros(world.happened_ms(done), done.stopped * 7919 % 1000),
        "webhook": webhook or {"id": world.ids.named("webhook", project.id), "name": "headgate"},
    }
    if isinstance(done, Job):
        payload["job"] = {
            "id": own_id,
            "name": done.spec.name,
            "number": done.number,
            "status": job_word(done.status),
            "started_at": rfc3339_ms(done.started),
            "stopped_at": rfc3339_ms(done.stopped),
        }
    payload["workflow"] = _workflow(world, run, done)
    payload["pipeline"] = _pipeline(world, run.pipeline)
    payload["project"] = {"id": project.id, "name": project.name, "slug": project.long_slug}
    payload["organization"] = {"id": project.org.id, "name": project.org.name}
    return orjson.dumps(payload)


def _workflow(world: World, run: Workflow, done: Job | Workflow) -> dict[str, Any]:
    """Give `workflow`: a job's delivery has no status, and an end only when the job was the last."""
    said: dict[str, Any] = {
        "id": world.id_of(run),
        "name": run.spec.name,
        "created_at": rfc3339_ms(run.created),
    }
    if done.stopped == run.stopped:
        said["stopped_at"] = rfc3339_ms(run.stopped)
    said["url"] = workflow_url(world, run)
    if done is run:
        said["status"] = run.status
    return said


def _pipeline(world: World, pipeline: Pipeline) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": world.id_of(pipeline),
        "number": pipeline.number,
        "created_at": rfc3339_ms(pipeline.created),
        "trigger": {"type": origin.trigger_type(pipeline)},
    }
    if pipeline.project.has_vcs:
        return said | {"vcs": origin.vcs_of_webhook(world, pipeline)}
    return said | {"trigger_parameters": origin.trigger_parameters(world, pipeline)}
