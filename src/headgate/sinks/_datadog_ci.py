"""From a workflow or job to a CI Visibility event: pipeline level from workflows, job level from jobs. Pure.

A CircleCI workflow is Datadog's pipeline; stages do not exist and the vendor's own integration has no steps. Invariant:
times are those of the record, so that a resend is the event that is there already. A `git` block is whole or absent:
half a block is refused. Source: datadog-api-client 2.62 `CIAppPipelineEvent*`, and the notes on sinks, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from headgate.core.record import Attribute, Record
from headgate.core.times import format_ms, parse_ms
from headgate.plugins.datadog import cut, tags_of
from headgate.sinks._datadog_text import rule_tags, service_of

__all__ = ["EVENT_TYPE", "ci_event"]

EVENT_TYPE = "cipipeline_resource_request"
_STATUSES = {
    "success": "success",
    "failure": "error",
    "error": "error",
    "timeout": "error",
    "canceled": "canceled",
    "skipped": "skipped",
    "blocked": "blocked",
    "on_hold": "blocked",
}
# Who has to mend it, by CircleCI's own word for how it ended.
_DOMAINS = {
    "failed": "user",
    "unauthorized": "user",
    "error": "provider",
    "errored": "provider",
    "infrastructure_fail": "provider",
}
_BY_HAND = frozenset({"api", "explicit", "manual"})
_SHA = re.compile(r"[0-9a-f]{40}")
_MOST_TYPE, _MOST_MESSAGE = 100, 5_000
_PLAIN_TAGS = ("circleci.pipeline.id", "circleci.pipeline.number", "circleci.attempt", "circleci.job.number")
_TAGS = (
    "circleci.trigger.type",
    "circleci.status",
    "circleci.job.type",
    "circleci.resource_class",
    "circleci.executor",
)
# Where there is no whole git block, its facts are tags.
_GIT_TAGS = (
    ("git.commit.sha", "vcs.ref.head.revision"),
    ("git.repository_url", "vcs.repository.url.full"),
    ("git.commit.author.name", "circleci.author.name"),
)
_METRICS = ("circleci.credits", "circleci.parallelism", "circleci.job.tests", "circleci.job.tests_failed")


def ci_event(record: Record, env: str, tags: tuple[str, ...]) -> dict[str, object] | None:
    """The event of a record, None where CI Visibility has none: approvals, unfinished runs, runs without a name or id.

    `tags`: of the operator, normalized already.
    """
    attributes = record.attributes
    resource = _pipeline(record) if record.kind == "workflow" else _job(record)
    if resource is None:
        return None
    git = _git(attributes)
    if git:
        resource["git"] = git
    resource["tags"] = [*tags, *rule_tags(record), *_tags(record, whole=bool(git))]
    metrics = [f"{name}:{attributes[name]}" for name in _METRICS if _is_number(attributes.get(name))]
    if metrics:
        resource["metrics"] = metrics
    if resource["status"] == "error":
        resource["error"] = _error(record)
    return {
        "type": EVENT_TYPE,
        "attributes": {
            "provider_name": "circleci",
            "service": service_of(record),
            "env": env,
            "resource": resource,
        },
    }


def _is_number(value: Attribute | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(attributes: Mapping[str, Attribute], name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""


def _span(record: Record, begin: str) -> tuple[str, str]:
    """Start and end. What never began has no length; a start that is not known is the end less the duration."""
    attributes = record.attributes
    end = parse_ms(attributes.get("circleci.stopped_at")) or parse_ms(record.occurred_at) or 0
    duration = attributes.get("circleci.duration_ms")
    start = parse_ms(attributes.get(begin))
    if start is None:
        start = end - duration if isinstance(duration, int) else end
    return format_ms(min(start, end)), format_ms(end)


def _run_url(record: Record, run: str) -> str:
    """The workflow's page; where its pipeline's number is not known, the address that leads there."""
    return _text(record.attributes, "cicd.pipeline.run.url.full") or f"https://{record.tenant}/workflow-run/{run}"


def _pipeline(record: Record) -> dict[str, object] | None:
    attributes = record.attributes
    run, name = _text(attributes, "cicd.pipeline.run.id"), _text(attributes, "cicd.pipeline.name")
    status = _STATUSES.get(_text(attributes, "headgate.status"))
    if not (run and name and status):
        return None
    start, end = _span(record, "circleci.created_at")
    url = _run_url(record, run)
    resource: dict[str, object] = {
        "level": "pipeline",
        "unique_id": run,
        "pipeline_id": run,
        "name": name,
        "url": url,
        "start": start,
        "end": end,
        "status": status,
        "partial_retry": attributes.get("circleci.partial_rerun") is True,
        "is_manual": _text(attributes, "circleci.trigger.type") in _BY_HAND,
    }
    before = _text(attributes, "circleci.rerun_of")
    if before:
        resource["previous_attempt"] = {"id": before, "url": url.replace(run, before)}
    return resource


def _job(record: Record) -> dict[str, object] | None:
    attributes = record.attributes
    job, name = _text(attributes, "cicd.pipeline.task.run.id"), _text(attributes, "cicd.pipeline.task.name")
    run, pipeline = _text(attributes, "cicd.pipeline.run.id"), _text(attributes, "cicd.pipeline.name")
    status = _STATUSES.get(_text(attributes, "headgate.status"))
    if attributes.get("circleci.job.type") == "approval" or status == "blocked":
        return None
    if not (job and name and run and pipeline and status):
        return None
    start, end = _span(record, "circleci.started_at")
    resource: dict[str, object] = {
        "level": "job",
        "id": job,
        "name": name,
        "pipeline_unique_id": run,
        "pipeline_name": pipeline,
        "start": start,
        "end": end,
        "status": status,
        "url": _text(attributes, "cicd.pipeline.task.run.url.full") or _run_url(record, run),
    }
    queue, requires = attributes.get("circleci.queue_ms"), attributes.get("circleci.job.requires")
    if isinstance(queue, int):
        resource["queue_time"] = max(0, queue)
    if isinstance(requires, list):
        resource["dependencies"] = requires
    labels = tags_of((name, attributes.get(f"circleci.{name}")) for name in ("resource_class", "executor"))
    if labels:
        resource["node"] = {"labels": labels}
    return resource


def _git(attributes: Mapping[str, Attribute]) -> dict[str, str] | None:
    """The whole block, or None where repository, commit, e-mail or branch is not known or not of the form asked for."""
    kind = _text(attributes, "vcs.ref.head.type")
    sha = _text(attributes, "vcs.ref.head.revision").lower()
    block = {
        "repository_url": _text(attributes, "vcs.repository.url.full"),
        "sha": sha if _SHA.fullmatch(sha) else "",
        "author_email": _text(attributes, "circleci.author.email"),
        "tag" if kind == "tag" else "branch": _text(attributes, "vcs.ref.head.name"),
    }
    if not all(block.values()):
        return None
    for field, name in (("author_name", "circleci.author.name"), ("message", "circleci.commit.subject")):
        if value := _text(attributes, name):
            block[field] = value
    return block


def _tags(record: Record, *, whole: bool) -> list[str]:
    attributes = record.attributes
    pairs: list[tuple[str, object]] = [("project", record.project)]
    pairs += [(name, attributes.get(name)) for name in _TAGS]
    if not whole:
        ref = "git.tag" if attributes.get("vcs.ref.head.type") == "tag" else "git.branch"
        pairs.append((ref, attributes.get("vcs.ref.head.name")))
        pairs += [(name, attributes.get(attribute)) for name, attribute in _GIT_TAGS]
    # Ids and numbers are tags as they are.
    plain = [f"{name}:{attributes[name]}" for name in _PLAIN_TAGS if name in attributes]
    return [f"record_id:{record.id}", *plain, *tags_of(pairs)]


def _error(record: Record) -> dict[str, str]:
    attributes = record.attributes
    word = _text(attributes, "circleci.status") or _text(attributes, "headgate.status")
    notes = attributes.get("circleci.job.messages")
    said = "\n".join(notes) if isinstance(notes, list) else ""
    return {
        "type": cut(word, _MOST_TYPE),
        "message": cut(said or f"CircleCI says: {word}", _MOST_MESSAGE),
        "domain": _DOMAINS.get(word, "unknown"),
    }
