"""From a record to what the vendor's CircleCI orb sends: the two feeds that its app and extraction rules read. Pure.

The job feed has the keys of a v1.1 job without steps, with `job_name` and `custom_data`; the workflow feed those of a
v2 workflow with `custom_data`. Invariant: a key is there only when the record knows its value, so no made-up value is
charted. Beside them stand `timestamp`, first, for Sumo to take, and `headgate` with the id of the record. Source:
SumoLogic/sumologic-orb `src/scripts`, and the extraction rules of SumoLogic/sumologic-solution-templates, read November
2026.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.record import Attribute, Record
from headgate.sinks._sumologic_lines import TRUNCATED, Document, tags_of

__all__ = ["job_feed", "picked", "record_of", "workflow_feed"]

_VCS = {"gh": "github", "bb": "bitbucket", "circleci": "circleci"}
_JOB = (
    ("stop_time", "circleci.stopped_at"),
    ("start_time", "circleci.started_at"),
    ("queued_at", "circleci.queued_at"),
    ("build_num", "circleci.job.number"),
    ("build_url", "cicd.pipeline.task.run.url.full"),
    ("job_name", "cicd.pipeline.task.name"),
    ("status", "circleci.status"),
    ("outcome", "circleci.status"),
    ("build_time_millis", "circleci.duration_ms"),
    ("parallel", "circleci.parallelism"),
    ("retry_of", "circleci.job.rerun_of"),
    ("messages", "circleci.job.messages"),
    ("vcs_revision", "vcs.ref.head.revision"),
    ("vcs_url", "vcs.repository.url.full"),
    ("author_name", "circleci.author.name"),
    ("subject", "circleci.commit.subject"),
)
_JOB_WORKFLOWS = (
    ("job_name", "cicd.pipeline.task.name"),
    ("job_id", "cicd.pipeline.task.run.id"),
    ("workflow_name", "cicd.pipeline.name"),
    ("workflow_id", "cicd.pipeline.run.id"),
    ("upstream_job_ids", "circleci.job.requires"),
)
_WORKFLOW = (
    ("stopped_at", "circleci.stopped_at"),
    ("created_at", "circleci.created_at"),
    ("id", "cicd.pipeline.run.id"),
    ("name", "cicd.pipeline.name"),
    ("status", "circleci.status"),
    ("pipeline_id", "circleci.pipeline.id"),
    ("pipeline_number", "circleci.pipeline.number"),
    ("started_by", "circleci.started_by"),
    ("tag", "circleci.workflow.tag"),
)
# v1.1 says these in words and as yes or no.
_FLAGS = ("failed", "canceled", "timedout", "infrastructure_fail")
# The orb writes `environment`, the vendor's extraction rules read `env`.
_CUSTOM = (("environment", "environment"), ("env", "environment"), ("team", "team"), ("service", "service"))


def job_feed(record: Record) -> Document:
    """A job as v1.1 tells it; nothing of an approval, which v1.1 and the orb do not know."""
    attributes = record.attributes
    if "circleci.job.number" not in attributes:
        return {}
    document = {"timestamp": record.occurred_at} | picked(attributes, _JOB)
    document |= {"lifecycle": "finished", "platform": "2.0"}
    document["workflows"] = picked(attributes, _JOB_WORKFLOWS)
    status = attributes.get("circleci.status")
    document |= {flag: status == flag for flag in _FLAGS}
    vcs, _, path = (record.project or "").partition("/")
    owner, _, repository = path.partition("/")
    if repository:
        document |= {"vcs_type": _VCS.get(vcs, vcs), "username": owner, "reponame": repository}
    if "vcs.ref.head.name" in attributes:
        key = "vcs_tag" if attributes.get("vcs.ref.head.type") == "tag" else "branch"
        document[key] = attributes["vcs.ref.head.name"]
    if "circleci.author.login" in attributes:
        document["user"] = {"is_user": True, "login": attributes["circleci.author.login"]}
    machine = picked(attributes, (("executor", "circleci.executor"),))
    if "circleci.resource_class" in attributes:
        machine["resource_class"] = {"class": attributes["circleci.resource_class"]}
    if machine:
        document["picard"] = machine
    return document | _ours(record)


def workflow_feed(record: Record) -> Document:
    """A workflow as v2 tells it, without `items`: a workflow's record does not hold its jobs."""
    document = {"timestamp": record.occurred_at} | picked(record.attributes, _WORKFLOW)
    if record.project:
        document["project_slug"] = record.project
    return document | _ours(record)


def picked(attributes: Mapping[str, Attribute], keys: tuple[tuple[str, str], ...]) -> Document:
    """Those of the attributes that there are, each under its key."""
    return {key: attributes[name] for key, name in keys if name in attributes}


def record_of(record: Record) -> Document:
    """Which record a line is about, and what of it was cut."""
    own: Document = {"record_id": record.id}
    if TRUNCATED in record.attributes:
        own["truncated"] = record.attributes[TRUNCATED]
    return own


def _ours(record: Record) -> Document:
    """What the orb's user types into `custom_data`, from the tags, and which record this is."""
    tags = tags_of(record.attributes)
    if "service" not in tags and record.project:
        tags["service"] = record.project
    return {"custom_data": {key: tags[tag] for key, tag in _CUSTOM if tag in tags}, "headgate": record_of(record)}
