"""From API v1.1 build rows to observations. Pure.

A row knows what no list of v2 knows: when a job began to wait, with milliseconds, and who wrote the commit. It does
not know pipelines and approvals.
"""

from __future__ import annotations

from headgate.core.facts import Value
from headgate.core.ids import number_key
from headgate.core.merge import Observation, ProjectRef
from headgate.core.status import is_terminal
from headgate.core.times import parse_ms
from headgate.sources.circleci.normalize import Context, observe
from headgate.sources.circleci.reading import Json, integer, known, objects, repository, sub, text, texts, uuid_text
from headgate.sources.circleci.vcs import author_fields, ref_fields

__all__ = ["build", "build_job", "build_workflow"]


def build(given: Json, owner: ProjectRef, ctx: Context) -> list[Observation]:
    """One row of a builds list or a single build: the workflow it mentions, then its job.

    Empty for a row that names neither a job nor a number in a known project.
    """
    found = (build_workflow(given, owner, ctx), build_job(given, owner, ctx))
    return [observation for observation in found if observation is not None]


def build_workflow(given: Json, owner: ProjectRef, ctx: Context) -> Observation | None:
    """The workflow that a row mentions: its name, branch, commit and author; never its status or times."""
    link = sub(given, "workflows")
    key = uuid_text(link.get("workflow_id"))
    if key is None:
        return None
    fields: dict[str, Value] = known(
        name=text(link.get("workflow_name")),
        revision=text(given.get("vcs_revision")),
        repository_url=repository(text(given.get("vcs_url"))),
    )
    fields |= ref_fields(text(given.get("branch")), text(given.get("vcs_tag")))
    fields |= author_fields(
        ctx.privacy,
        login=text(sub(given, "user").get("login")),
        name=text(given.get("author_name")),
        email=text(given.get("author_email")),
        subject=text(given.get("subject")),
    )
    return observe(ctx, "workflow", key, owner, fields, source="v1.1", enriches=ctx.profile == "batch")


def build_job(given: Json, owner: ProjectRef, ctx: Context) -> Observation | None:
    """The job of a row. A build of the time before workflows has no UUID and is keyed by project and number."""
    link, number = sub(given, "workflows"), integer(given.get("build_num"))
    key = uuid_text(link.get("job_id"))
    if key is None:
        if number is None or owner.project_id is None:
            return None
        key = number_key(owner.project_id, number)
    status = text(given.get("status")) or text(given.get("outcome"))
    stopped_at = parse_ms(given.get("stop_time"))
    terminal = is_terminal(status, stopped=stopped_at is not None)
    picard = sub(given, "picard")
    fields = known(
        number=number,
        name=text(link.get("job_name")) or text(given.get("job_name")),
        status=status,
        queued_at=parse_ms(given.get("usage_queued_at")) or parse_ms(given.get("queued_at")),
        started_at=parse_ms(given.get("start_time")),
        stopped_at=stopped_at if terminal else None,
        workflow_id=uuid_text(link.get("workflow_id")),
        resource_class=text(sub(picard, "resource_class").get("class")),
        executor=text(picard.get("executor")),
        parallelism=integer(given.get("parallel")) or None,
        messages=list(texts([message.get("message") for message in objects(given.get("messages"))])),
        rerun_of=integer(given.get("retry_of")),
    )
    return observe(ctx, "job", key, owner, fields, source="v1.1", terminal=terminal, enriches=ctx.profile == "batch")
