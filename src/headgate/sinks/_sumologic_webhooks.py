"""From a record to the webhook that CircleCI sends about such a run, as far as the record knows it. Pure.

For searches, panels and extraction rules made for a CircleCI webhook that posts to a source itself. Sinks get records,
and the bytes of a delivery are in the inbox alone: merged from several inputs, a run may have had several deliveries or
none, and what they say of people is dropped or hashed before anything is stored. Invariant: a key is there only when
the record knows its value, and then says what the webhook says, in its words. Beside them stand `timestamp`, first, for
Sumo to take, and `headgate` with the id of the record. Source: circleci.com "Outbound webhooks", and the captured
samples in tests/data/circleci, read November 2026.
"""

from __future__ import annotations

from headgate.core.record import Record
from headgate.core.slug import long_slug
from headgate.sinks._sumologic_feeds import picked, record_of
from headgate.sinks._sumologic_lines import Document

__all__ = ["webhook_form"]

_RUN = (
    ("id", "cicd.pipeline.run.id"),
    ("name", "cicd.pipeline.name"),
    ("url", "cicd.pipeline.run.url.full"),
)
_WORKFLOW = (
    *_RUN,
    ("status", "circleci.status"),
    ("created_at", "circleci.created_at"),
    ("stopped_at", "circleci.stopped_at"),
)
_JOB = (
    ("id", "cicd.pipeline.task.run.id"),
    ("name", "cicd.pipeline.task.name"),
    ("number", "circleci.job.number"),
    ("status", "circleci.status"),
    ("started_at", "circleci.started_at"),
    ("stopped_at", "circleci.stopped_at"),
)
_PIPELINE = (("id", "circleci.pipeline.id"), ("number", "circleci.pipeline.number"))
_VCS = (
    ("target_repository_url", "vcs.repository.url.full"),
    ("revision", "vcs.ref.head.revision"),
)
_AUTHOR = (("name", "circleci.author.name"), ("email", "circleci.author.email"))
# Slugs of the other providers are made of ids, and their pipelines have `trigger_parameters` instead of `vcs`.
_WITH_NAMES = ("github", "bitbucket")


def webhook_form(record: Record) -> Document:
    """A workflow or job as `workflow-completed` or `job-completed`; nothing of an approval, which has no webhook."""
    attributes = record.attributes
    if attributes.get("circleci.job.type") == "approval":
        return {}
    document: Document = {"timestamp": record.occurred_at, "type": f"{record.kind}-completed"}
    provider, _, path = long_slug(record.project or "").partition("/")
    named = provider in _WITH_NAMES
    document["pipeline"] = _pipeline(record, provider, named=named)
    document["workflow"] = picked(attributes, _WORKFLOW if record.kind == "workflow" else _RUN)
    if record.kind == "job":
        document["job"] = picked(attributes, _JOB)
    project: Document = {"slug": f"{provider}/{path}"} if path else {}
    if named and path:
        owner, _, project["name"] = path.rpartition("/")
        document["organization"] = {"name": owner}
    document["project"] = project
    return {key: value for key, value in document.items() if value != {}} | {"headgate": record_of(record)}


def _pipeline(record: Record, provider: str, *, named: bool) -> Document:
    attributes = record.attributes
    pipeline = picked(attributes, _PIPELINE)
    if "circleci.trigger.type" in attributes:
        pipeline["trigger"] = {"type": attributes["circleci.trigger.type"]}
    kind = "tag" if attributes.get("vcs.ref.head.type") == "tag" else "branch"
    ref = picked(attributes, ((kind, "vcs.ref.head.name"),))
    if not named:
        git = ref | picked(attributes, (("checkout_sha", "vcs.ref.head.revision"),))
        return pipeline | ({"trigger_parameters": {"git": git}} if git else {})
    vcs = picked(attributes, _VCS) | ref
    commit = picked(attributes, (("subject", "circleci.commit.subject"),))
    if author := picked(attributes, _AUTHOR):
        commit["author"] = author
    if commit:
        vcs["commit"] = commit
    return pipeline | ({"vcs": {"provider_name": provider, **vcs}} if vcs else {})
