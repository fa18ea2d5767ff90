"""From CircleCI's payloads to observations: one pure function per kind of payload.

Invariant: nothing here asks, waits or remembers. What a payload does not say is absent from the observation; a word
nobody foresaw is kept as it is. Source of all shapes: docs/circleci.md and the samples under tests/data/circleci.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from headgate.core.errors import Unparsable
from headgate.core.facts import FactKind, Value
from headgate.core.merge import Observation, ProjectRef
from headgate.core.release import Profile
from headgate.core.slug import org_slug, short_slug
from headgate.core.status import is_terminal
from headgate.core.times import parse_ms
from headgate.sources.circleci.reading import Json, integer, known, objects, sub, text, texts, uuid_text
from headgate.sources.circleci.vcs import Privacy, default_branch, vcs_fields

__all__ = [
    "WEBHOOK_TYPES",
    "Context",
    "decode",
    "job",
    "job_detail",
    "observe",
    "pipeline",
    "pipeline_facts",
    "project",
    "webhook",
    "workflow",
]

WEBHOOK_TYPES = frozenset({"ping", "workflow-completed", "job-completed"})


@dataclass(frozen=True, slots=True)
class Context:
    """What goes into every observation beside the payload.

    `host`: name of the CircleCI. `observed_ms`: when the payload came, by our clock. `profile`: which inputs are the
    ones that release waits for.
    """

    host: str
    observed_ms: int
    privacy: Privacy = field(default_factory=Privacy)
    profile: Profile = "batch"


def decode(body: bytes) -> Json:
    """The object in a body. Raises Unparsable: not_json, not_an_object."""
    try:
        payload: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Unparsable("not_json", str(exc)) from exc
    if not isinstance(payload, dict):
        raise Unparsable("not_an_object", f"the body is a {type(payload).__name__}")
    return payload


def observe(
    ctx: Context,
    kind: FactKind,
    key: str,
    owner: ProjectRef,
    fields: Mapping[str, Value],
    *,
    source: str,
    terminal: bool = False,
    enriches: bool = False,
) -> Observation:
    """An observation of one thing under this context."""
    return Observation(kind, key, owner, source, ctx.observed_ms, terminal, fields, enriches)


# --- Webhooks -----------------------------------------------------------------------------------------------------


def webhook(payload: Json, ctx: Context) -> list[Observation]:
    """What a webhook says: empty for pings and for types nobody knows. Raises Unparsable naming what is missing."""
    kind = text(payload.get("type"))
    if kind is None:
        raise Unparsable("no_type", "the payload has no type")
    if kind not in WEBHOOK_TYPES or kind == "ping":
        return []
    owner = _webhook_project(payload, ctx)
    pipeline_id, facts, parents = _repeated_pipeline(msgspec.json.encode(sub(payload, "pipeline")), ctx.privacy)
    found = [] if pipeline_id is None else [observe(ctx, "pipeline", pipeline_id, owner, facts, source="webhook")]
    run = sub(payload, "workflow")
    if kind == "workflow-completed":
        return [*found, _webhook_workflow(run, parents, owner, ctx)]
    workflow_id = uuid_text(run.get("id"))
    if workflow_id is not None:
        # The workflow inside a job's webhook goes on after the job: neither its end nor its status is known yet.
        fields = known(name=text(run.get("name")), created_at=parse_ms(run.get("created_at"))) | parents
        found.append(observe(ctx, "workflow", workflow_id, owner, fields, source="webhook"))
    return [*found, _webhook_job(sub(payload, "job"), workflow_id, pipeline_id, owner, ctx)]


@lru_cache(maxsize=512)
def _repeated_pipeline(given: bytes, privacy: Privacy) -> tuple[str | None, dict[str, Value], dict[str, Value]]:
    """Id and facts of a webhook's pipeline, and what its workflow inherits; nobody may change what is returned.

    Each job of a workflow repeats its pipeline to the letter, and reading it is half of the work of a webhook.
    """
    pipeline = decode(given)
    pipeline_id = uuid_text(pipeline.get("id"))
    facts = pipeline_facts(pipeline, privacy)
    return pipeline_id, facts, _inherited(facts, pipeline_id)


def _webhook_project(payload: Json, ctx: Context) -> ProjectRef:
    given = sub(payload, "project")
    slug = text(given.get("slug"))
    if slug is None:
        raise Unparsable("no_project", "the payload has no project.slug")
    return ProjectRef(
        host=ctx.host,
        slug=short_slug(slug),
        org=org_slug(slug),
        project_id=uuid_text(given.get("id")),
        org_id=uuid_text(sub(payload, "organization").get("id")),
        default_branch=default_branch(sub(payload, "pipeline")),
    )


def _webhook_workflow(run: Json, parents: dict[str, Value], owner: ProjectRef, ctx: Context) -> Observation:
    key = uuid_text(run.get("id"))
    if key is None:
        raise Unparsable("no_workflow", "workflow-completed without workflow.id")
    status = text(run.get("status"))
    fields = known(
        name=text(run.get("name")),
        status=status,
        created_at=parse_ms(run.get("created_at")),
        stopped_at=parse_ms(run.get("stopped_at")),
    )
    terminal = status is None or is_terminal(status, stopped=True)
    return observe(ctx, "workflow", key, owner, fields | parents, source="webhook", terminal=terminal)


def _webhook_job(
    given: Json, workflow_id: str | None, pipeline_id: str | None, owner: ProjectRef, ctx: Context
) -> Observation:
    key = uuid_text(given.get("id"))
    if key is None:
        raise Unparsable("no_job", "job-completed without job.id")
    status = text(given.get("status"))
    fields = known(
        number=integer(given.get("number")),
        name=text(given.get("name")),
        status=status,
        started_at=parse_ms(given.get("started_at")),
        stopped_at=parse_ms(given.get("stopped_at")),
        workflow_id=workflow_id,
        pipeline_id=pipeline_id,
    )
    terminal = status is None or is_terminal(status, stopped=True)
    return observe(ctx, "job", key, owner, fields, source="webhook", terminal=terminal)


# --- API v2 -------------------------------------------------------------------------------------------------------


def project(given: Json, host: str) -> ProjectRef:
    """GET /project/{slug}. Raises Unparsable(no_project) without slug."""
    slug = text(given.get("slug"))
    if slug is None:
        raise Unparsable("no_project", "the project has no slug")
    return ProjectRef(
        host=host,
        slug=short_slug(slug),
        org=short_slug(text(given.get("organization_slug")) or org_slug(slug)),
        project_id=uuid_text(given.get("id")),
        org_id=uuid_text(given.get("organization_id")),
        default_branch=text(sub(given, "vcs_info").get("default_branch")),
    )


def pipeline_facts(given: Json, privacy: Privacy) -> dict[str, Value]:
    """Fields of a pipeline, as webhooks and API v2 write it."""
    errors = [
        known(type=text(error.get("type")), message=text(error.get("message")))
        for error in objects(given.get("errors"))
    ]
    return known(
        number=integer(given.get("number")),
        state=text(given.get("state")),
        created_at=parse_ms(given.get("created_at")),
        trigger_type=text(sub(given, "trigger").get("type")),
        errors=[error for error in errors if error],
    ) | vcs_fields(given, privacy)


def pipeline(given: Json, owner: ProjectRef, ctx: Context) -> Observation | None:
    """One item of a pipelines list, or GET /pipeline/{id}; None without an id."""
    key = uuid_text(given.get("id"))
    return (
        None if key is None else observe(ctx, "pipeline", key, owner, pipeline_facts(given, ctx.privacy), source="v2")
    )


def workflow(
    given: Json, owner: ProjectRef, ctx: Context, parent: Mapping[str, Value] | None = None
) -> Observation | None:
    """One item of a workflows list, or GET /workflow/{id}; None without an id.

    `parent`: fields of its pipeline where they are known; jobs inherit branch, commit and author from the workflow.
    """
    key = uuid_text(given.get("id"))
    if key is None:
        return None
    status, stopped_at = text(given.get("status")), parse_ms(given.get("stopped_at"))
    terminal = is_terminal(status, stopped=stopped_at is not None)
    fields = known(
        name=text(given.get("name")),
        status=status,
        created_at=parse_ms(given.get("created_at")),
        stopped_at=stopped_at if terminal else None,
        pipeline_number=integer(given.get("pipeline_number")),
        started_by=uuid_text(given.get("started_by")),
        tag=text(given.get("tag")),
    )
    inherited = _inherited(parent or {}, uuid_text(given.get("pipeline_id")))
    return observe(ctx, "workflow", key, owner, inherited | fields, source="v2", terminal=terminal)


def job(given: Json, run: Observation, owner: ProjectRef, ctx: Context) -> Observation | None:
    """One item of a workflow's jobs list; None without an id. `run`: the workflow's own observation.

    A rerun from failed lists the jobs it took over under their old ids. Such a job began before the workflow was
    created, and belongs to the workflow that ran it: `workflow_id` is left for that one to say.
    """
    key = uuid_text(given.get("id"))
    if key is None:
        return None
    status, started_at = text(given.get("status")), parse_ms(given.get("started_at"))
    stopped_at = parse_ms(given.get("stopped_at"))
    terminal = is_terminal(status, stopped=stopped_at is not None)
    created = run.fields.get("created_at")
    taken_over = started_at is not None and isinstance(created, int) and started_at < created // 1000 * 1000
    fields = known(
        number=integer(given.get("job_number")),
        name=text(given.get("name")),
        type=text(given.get("type")),
        status=status,
        created_at=parse_ms(given.get("created_at")),
        started_at=started_at,
        stopped_at=stopped_at if terminal else None,
        workflow_id=None if taken_over else run.key,
        pipeline_id=_text_of(run.fields.get("pipeline_id")),
        requires=_sorted(texts(given.get("requires")) or texts(given.get("dependencies"))),
    )
    return observe(ctx, "job", key, owner, fields, source="v2", terminal=terminal)


def job_detail(given: Json, key: str, owner: ProjectRef, ctx: Context) -> Observation:
    """GET /project/{slug}/job/{number}: queue time, machine, contexts. `key`: the job's id, which it does not tell."""
    status, stopped_at = text(given.get("status")), parse_ms(given.get("stopped_at"))
    terminal = is_terminal(status, stopped=stopped_at is not None)
    executor = sub(given, "executor")
    fields = known(
        number=integer(given.get("number")),
        name=text(given.get("name")),
        status=status,
        created_at=parse_ms(given.get("created_at")),
        queued_at=parse_ms(given.get("queued_at")),
        started_at=parse_ms(given.get("started_at")),
        stopped_at=stopped_at if terminal else None,
        pipeline_id=uuid_text(sub(given, "pipeline").get("id")),
        resource_class=text(executor.get("resource_class")),
        executor=text(executor.get("type")),
        parallelism=integer(given.get("parallelism")) or None,
        contexts=_sorted(texts([context.get("name") for context in objects(given.get("contexts"))])),
        messages=list(texts([message.get("message") for message in objects(given.get("messages"))])),
    )
    return observe(ctx, "job", key, owner, fields, source="detail", terminal=terminal, enriches=ctx.profile == "each")


def _sorted(words: Sequence[str]) -> list[object]:
    return [*sorted(set(words))]


def _text_of(value: Value | None) -> str | None:
    return value if isinstance(value, str) else None


_OWN = frozenset({"number", "state", "created_at", "errors"})


def _inherited(facts: Mapping[str, Value], pipeline_id: str | None) -> dict[str, Value]:
    """What a workflow takes from its pipeline: its number, trigger, branch, commit and author, never its times."""
    fields = {name: value for name, value in facts.items() if name not in _OWN}
    number = facts.get("number")
    if isinstance(number, int):
        fields["pipeline_number"] = number
    if pipeline_id is not None:
        fields["pipeline_id"] = pipeline_id
    return fields
