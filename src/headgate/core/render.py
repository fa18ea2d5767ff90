"""From what is known about a workflow or job to the attributes of its record. Pure.

A job's record also tells of its workflow and pipeline, because that is what people group jobs by. Durations are never
negative; queue, approval wait and execution are three different numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.facts import FIELDS, FactKind, Value
from headgate.core.ids import amendment_id, record_id
from headgate.core.merge import Known, ProjectRef
from headgate.core.record import SCHEMA_VERSION, Attribute, Record
from headgate.core.slug import long_slug
from headgate.core.status import Status, map_status
from headgate.core.times import format_ms

__all__ = [
    "APP_URL",
    "FROM_JOB",
    "FROM_WORKFLOW",
    "SHARED_FIELDS",
    "LeafParents",
    "approval_wait_ms",
    "changed_attributes",
    "duration_ms",
    "ended_ms",
    "job_attributes",
    "job_spans",
    "leaf_attributes",
    "make_amendment",
    "make_record",
    "queue_ms",
    "run_url",
    "workflow_attributes",
]

# CircleCI's web application; a Server installation has its own (source setting `app_url`).
APP_URL = "https://app.circleci.com"

# What a job's record takes from its workflow, else from its pipeline.
SHARED_FIELDS = (
    "pipeline_number",
    "trigger_type",
    "ref_name",
    "ref_type",
    "revision",
    "repository_url",
    "author_login",
    "author_name",
    "author_email",
    "commit_subject",
)
# And what it takes from its workflow alone.
FROM_WORKFLOW = ("name", "pipeline_id", "attempt", "rerun_of")
_OF_WORKFLOW = (*SHARED_FIELDS, *FROM_WORKFLOW)
# What is different each time that somebody asks, and so is no news by itself.
_OF_ASKING = frozenset({"circleci.insight.delay_ms"})
_ATTRIBUTE: dict[FactKind, dict[str, tuple[str, str]]] = {
    kind: {field.name: (field.attribute, field.type) for field in fields if field.attribute}
    for kind, fields in FIELDS.items()
}


def _plain(
    kind: FactKind, values: Mapping[str, Value], names: Mapping[str, tuple[str, str]] | None = None
) -> dict[str, Attribute]:
    """The attributes that are a field as it is. `names`: those that are wanted, all unless given."""
    out: dict[str, Attribute] = {}
    if names is None:
        names = _ATTRIBUTE[kind]
    for name, value in values.items():
        known = names.get(name)
        if known is None:
            continue
        attribute, field_type = known
        if field_type == "ms":
            out[attribute] = format_ms(value)  # type: ignore[arg-type]  # declared ms: an int by contract
        elif field_type == "json":
            if isinstance(value, list) and value:
                out[attribute] = [item if isinstance(item, str) else str(item) for item in value]
        elif value != "" and not isinstance(value, list | dict):
            out[attribute] = value
    return out


def _span(start: Value | None, end: Value | None) -> int | None:
    """Milliseconds from one point in time to another; None if either is unknown, never negative."""
    if isinstance(start, int) and isinstance(end, int):
        return max(0, end - start)
    return None


def _never_ran(values: Mapping[str, Value]) -> bool:
    """A thing that was skipped or canceled before it began: its duration is 0 and no percentile counts it."""
    return (
        map_status(str(values.get("status", ""))) in ("skipped", "canceled")
        and "started_at" not in values
        and "stopped_at" in values
    )


def duration_ms(kind: FactKind, values: Mapping[str, Value]) -> int | None:
    """Execution of a job, or creation to end of a workflow; None while it is not known."""
    if kind == "workflow":
        return _span(values.get("created_at"), values.get("stopped_at"))
    if values.get("type") == "approval":
        return None
    if _never_ran(values):
        return 0
    return _span(values.get("started_at"), values.get("stopped_at"))


def queue_ms(values: Mapping[str, Value]) -> int | None:
    """How long a job waited for a machine: started minus queued."""
    if values.get("type") == "approval":
        return None
    return _span(values.get("queued_at"), values.get("started_at"))


def job_spans(
    status: Status, kind: str, queued_ms: int | None, started_ms: int | None, stopped_ms: int
) -> tuple[int | None, int | None]:
    """`duration_ms` and `queue_ms` of a job that has ended, told from columns. `kind`: its `type`."""
    if kind == "approval":
        return None, None
    if started_ms is None:
        return 0 if status in ("skipped", "canceled") else None, None
    return max(0, stopped_ms - started_ms), None if queued_ms is None else max(0, started_ms - queued_ms)


def run_url(slug: str, app_url: str, number: Value | None, workflow: Value | None) -> str | None:
    """The page of a workflow; `number` is that of its pipeline. None where either is unknown."""
    if number is None or workflow is None:
        return None
    return f"{app_url}/pipelines/{long_slug(slug)}/{number}/workflows/{workflow}"


def workflow_attributes(
    key: str, known: Known, project: ProjectRef, pipeline: Known | None = None, *, app_url: str = APP_URL
) -> dict[str, Attribute]:
    """Attributes of a workflow's record, sorted by name. `pipeline` fills what the workflow's own inputs lacked."""
    values = known.values
    if pipeline is not None:
        values = {**_shared(pipeline.values), **values}
    out = _plain("workflow", values)
    out["cicd.pipeline.run.id"] = key
    if "status" in values:
        out["headgate.status"] = map_status(str(values["status"]))
    duration = duration_ms("workflow", values)
    if duration is not None:
        out["circleci.duration_ms"] = duration
    url = run_url(project.slug, app_url, values.get("pipeline_number"), key)
    if url:
        out["cicd.pipeline.run.url.full"] = url
    return dict(sorted(out.items()))


def _shared(values: Mapping[str, Value]) -> dict[str, Value]:
    """What a pipeline, workflow knows that its jobs' records carry too."""
    shared = {name: values[name] for name in SHARED_FIELDS if name in values}
    if "number" in values:  # a pipeline calls its own number so
        shared["pipeline_number"] = values["number"]
    return shared


def job_attributes(
    key: str,
    known: Known,
    project: ProjectRef,
    workflow: Known | None,
    pipeline: Known | None,
    *,
    app_url: str = APP_URL,
) -> dict[str, Attribute]:
    """Attributes of a job's record, sorted by name; `workflow` and `pipeline` are what is known of its parents."""
    values, parents = known.values, _of_parents(workflow, pipeline)
    out = _plain("workflow", parents) | _plain("job", values)
    out["cicd.pipeline.task.run.id"] = key
    if "status" in values:
        out["headgate.status"] = map_status(str(values["status"]))
    for attribute, span in (
        ("circleci.duration_ms", duration_ms("job", values)),
        ("circleci.queue_ms", queue_ms(values)),
        ("circleci.approval_wait_ms", approval_wait_ms(values)),
    ):
        if span is not None:
            out[attribute] = span
    return dict(sorted((out | _urls(values, parents, project, app_url)).items()))


def _of_parents(workflow: Known | None, pipeline: Known | None) -> dict[str, Value]:
    """What a job's record takes from its workflow, else from its pipeline."""
    parents: dict[str, Value] = {}
    if pipeline is not None:
        parents |= _shared(pipeline.values)
    if workflow is not None:
        above = workflow.values
        parents |= {name: above[name] for name in _OF_WORKFLOW if name in above}
    return parents


def _urls(
    values: Mapping[str, Value], parents: Mapping[str, Value], project: ProjectRef, app_url: str
) -> dict[str, Attribute]:
    """The pages of a job and of its workflow, where they are known."""
    of_run = run_url(project.slug, app_url, parents.get("pipeline_number"), values.get("workflow_id"))
    if not of_run:
        return {}
    urls: dict[str, Attribute] = {"cicd.pipeline.run.url.full": of_run}
    if "number" in values:
        urls["cicd.pipeline.task.run.url.full"] = f"{of_run}/jobs/{values['number']}"
    return urls


@dataclass(frozen=True, slots=True)
class LeafParents:
    """What is known of the things that a leaf belongs to."""

    job: Known | None = None
    workflow: Known | None = None
    pipeline: Known | None = None


# What a leaf's record takes over from its job's record, so that people can group by it.
FROM_JOB = (
    "cicd.pipeline.name",
    "cicd.pipeline.run.id",
    "cicd.pipeline.run.url.full",
    "cicd.pipeline.task.name",
    "cicd.pipeline.task.run.url.full",
    "circleci.job.number",
    "circleci.pipeline.id",
    "circleci.pipeline.number",
    "circleci.trigger.type",
    "vcs.ref.head.name",
    "vcs.ref.head.type",
    "vcs.ref.head.revision",
    "vcs.repository.url.full",
)
_FROM_JOB: dict[FactKind, dict[str, tuple[str, str]]] = {
    kind: {name: given for name, given in names.items() if given[0] in FROM_JOB}
    for kind, names in _ATTRIBUTE.items()
    if kind in ("workflow", "job")
}


def leaf_attributes(
    kind: FactKind, known: Known, project: ProjectRef, above: LeafParents, *, app_url: str = APP_URL
) -> dict[str, Attribute]:
    """Attributes of a record of one of `LEAF_KINDS`, sorted by name; its own fields win over those of its parents."""
    values = known.values
    out: dict[str, Attribute] = {}
    if above.job is not None:
        # As `job_attributes` writes them, without the many that are not handed down: this is most of a backfill.
        parents = _of_parents(above.workflow, above.pipeline)
        out |= _plain("workflow", parents, _FROM_JOB["workflow"]) | _plain("job", above.job.values, _FROM_JOB["job"])
        out |= _urls(above.job.values, parents, project, app_url)
    elif above.workflow is not None:
        key = str(values.get("workflow_id", ""))
        of_run = workflow_attributes(key, above.workflow, project, above.pipeline, app_url=app_url)
        out |= {name: of_run[name] for name in FROM_JOB if name in of_run}
    out |= _plain(kind, values)
    if kind in ("step", "usage") and "status" in values:
        out["headgate.status"] = map_status(str(values["status"]))
    span = _span(values.get("started_at"), values.get("stopped_at")) if kind in ("step", "deployment") else None
    if span is not None:
        out["circleci.duration_ms"] = span
    numbers = values.get("numbers")
    if isinstance(numbers, dict):
        out |= {f"circleci.insight.{name}": n for name, n in numbers.items() if isinstance(n, int | float)}
    return dict(sorted(out.items()))


def approval_wait_ms(values: Mapping[str, Value]) -> int | None:
    """How long an approval waited for somebody; None for anything else and while it is not known."""
    if values.get("type") != "approval":
        return None
    return _span(values.get("started_at"), values.get("stopped_at"))


def ended_ms(known: Known, workflow: Known | None = None) -> int | None:
    """When a thing ended; for one without an end of its own, such as a job that never ran, when its `workflow` did."""
    for one in (known, workflow):
        if one is not None:
            stopped = one.values.get("stopped_at", one.values.get("occurred_at"))
            if isinstance(stopped, int):
                return stopped
    return None


def _project(project: ProjectRef) -> str | None:
    """The project of a record; None for what belongs to an organisation alone."""
    return project.slug if project.slug != project.org else None


def make_record(
    kind: FactKind,
    key: str,
    known: Known,
    project: ProjectRef,
    attributes: dict[str, Attribute],
    *,
    observed_ms: int,
    workflow: Known | None = None,
) -> Record:
    """The record of one fact. `occurred_at` is its end (`ended_ms`), else when it was observed."""
    ended = ended_ms(known, workflow)
    return Record(
        id=record_id(kind, project.host, key),
        schema=SCHEMA_VERSION,
        kind=kind,
        occurred_at=format_ms(observed_ms if ended is None else ended),
        observed_at=format_ms(observed_ms),
        sources=sorted({stamp.source for stamp in known.stamps.values()}),
        tenant=project.host,
        org=project.org,
        project=_project(project),
        attributes=attributes,
    )


def changed_attributes(old: Mapping[str, Attribute], new: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """The attributes of `new` that `old` lacks or holds with another value. Merging never takes one away.

    Nothing changed where only the moment of asking did.
    """
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    return changed if changed.keys() - _OF_ASKING else {}


def make_amendment(
    amended: str,
    revision: int,
    changed: dict[str, Attribute],
    project: ProjectRef,
    *,
    sources: list[str],
    observed_ms: int,
) -> Record:
    """Tells sinks what became known after a record was released. `revision` counts from 1."""
    at = format_ms(observed_ms)
    attributes: dict[str, Attribute] = {**changed, "headgate.amends": amended, "headgate.revision": revision}
    return Record(
        id=amendment_id(amended, revision),
        schema=SCHEMA_VERSION,
        kind="amendment",
        occurred_at=at,
        observed_at=at,
        sources=sources,
        tenant=project.host,
        org=project.org,
        project=_project(project),
        attributes=dict(sorted(attributes.items())),
    )
