"""From a record to New Relic's custom event, log and span. Pure.

Invariant: one record is one event, one log or one span, always of the same content, and nothing in it is what New Relic
would refuse or drop for its form: no boolean, list or object, no value, name or number of attributes over the limits,
no reserved name. What was cut ends in `…`; attributes left out are counted in `headgate.dropped_attributes`.
Source: docs.newrelic.com "Data requirements and limits for custom event data", "Log API", "Trace API general
requirements and limits", read November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.record import Attribute, Record
from headgate.core.times import parse_ms
from headgate.sinks._measures import TAG_PREFIX
from headgate.sinks._sentences import FAILED, NAMES, OUR_STATUS, THEIR_STATUS, level, sentence
from headgate.sinks._trace_ids import span_id, trace_id

__all__ = [
    "EVENTS",
    "EVENT_TYPES",
    "LOGS",
    "METRICS",
    "RESERVED",
    "SPANS",
    "SPAN_KINDS",
    "Bounds",
    "Flat",
    "bounded",
    "cut",
    "event",
    "log",
    "span",
    "span_place",
]

Flat = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one object may hold of a record: attributes, and UTF-8 bytes of a value."""

    attributes: int
    value_bytes: int


# The limits are 254, 255, 200 and 100 attributes; a few places are left for what is added to each object.
EVENTS = Bounds(attributes=246, value_bytes=4_096)
# A longer value of a log is kept as a blob, up to 128 kB.
LOGS = Bounds(attributes=246, value_bytes=128_000)
SPANS = Bounds(attributes=190, value_bytes=4_000)
METRICS = Bounds(attributes=98, value_bytes=4_096)
_NAME_BYTES = 255
# A character has at most four bytes in UTF-8, so shorter text fits without being counted.
_SHORT = 1_000

EVENT_TYPES: Mapping[str, str] = {
    "pipeline": "CircleCIPipeline",
    "workflow": "CircleCIWorkflow",
    "job": "CircleCIJob",
    "step": "CircleCIStep",
    "test_result": "CircleCITest",
    "flaky_test": "CircleCIFlakyTest",
    "usage": "CircleCIUsage",
    "insight": "CircleCIInsight",
    "deployment": "CircleCIDeployment",
    "platform_event": "CircleCIPlatformEvent",
    "custom_metric": "CircleCICustomMetric",
    "amendment": "CircleCIAmendment",
    "alert": "CircleCIAlert",
    "audit": "CircleCIAudit",
}
_OTHER_TYPE = "CircleCIRecord"
SPAN_KINDS = frozenset({"workflow", "job", "step"})

# Names with a meaning of New Relic's own, and those that this module gives.
RESERVED = frozenset(
    {
        *("accountId", "appId", "eventType", "timestamp", "interval.ms", "value", "common", "min", "max", "count"),
        *("sum", "metrics", "metricName", "endTimestamp", "newrelic.source", "guid", "entityGuid"),
        *("entity.guid", "entity.name", "entity.type", "message", "level", "name", "type"),
        *("id", "trace.id", "parent.id", "duration.ms", "span.kind", "error.message", "record.id"),
        *("kind", "tenant", "org", "project", "observed_at", "sources", "service.name"),
    }
)
_RENAMED_PREFIX = "circleci."
_DROPPED = "headgate.dropped_attributes"


def event(record: Record, occurred_ms: int) -> Flat:
    """The custom event of a record."""
    out = _flat(record, EVENTS)
    out["eventType"] = EVENT_TYPES.get(record.kind, _OTHER_TYPE)
    out["timestamp"] = occurred_ms
    out["id"] = record.id
    return out


def log(record: Record, occurred_ms: int) -> dict[str, object]:
    """The log line of a record: a sentence, and attributes under our names and under those of the raw webhook."""
    attributes = _flat(record, LOGS, more=_webhook_names(record))
    attributes["id"] = record.id
    attributes["level"] = level(_word(record, OUR_STATUS))
    return {"timestamp": occurred_ms, "message": _sentence(record), "attributes": attributes}


def span(record: Record, occurred_ms: int) -> dict[str, object]:
    """The span of a workflow, job or step; the workflow's is the root of its trace.

    It begins when the thing began, as told or by its duration; without either it has no length.
    """
    start = _start_ms(record, occurred_ms)
    own, parent, trace = _identity(record)
    attributes = _flat(record, SPANS)
    attributes["record.id"] = record.id
    attributes["name"] = cut(_word(record, NAMES.get(record.kind, ())) or record.kind, SPANS.value_bytes)
    attributes["duration.ms"] = max(0, occurred_ms - start)
    attributes["span.kind"] = "server" if record.kind == "workflow" else "internal"
    if parent:
        attributes["parent.id"] = parent.hex()
    if _word(record, ("headgate.status",)) in FAILED:
        attributes["error.message"] = cut(_word(record, THEIR_STATUS), SPANS.value_bytes)
    return {"id": own.hex(), "trace.id": trace.hex(), "timestamp": start, "attributes": attributes}


def span_place(record: Record, occurred_ms: int) -> tuple[int, bytes]:
    """When a record's span begins, and the id of its trace."""
    return _start_ms(record, occurred_ms), _trace(record)


def cut(text: str, limit: int) -> str:
    """The text in at most `limit` bytes of UTF-8; what was cut ends in `…`."""
    if len(text) <= limit // 4 or len(raw := text.encode()) <= limit:
        return text
    return raw[: limit - len("…".encode())].decode(errors="ignore") + "…"


def bounded(out: Flat, bounds: Bounds) -> Flat:
    """The object itself, or the first of its attributes and the number of those left out."""
    if len(out) <= bounds.attributes:
        return out
    kept = dict(list(out.items())[: bounds.attributes - 1])
    kept[_DROPPED] = len(out) - len(kept)
    return kept


def _flat(record: Record, bounds: Bounds, more: Flat | None = None) -> Flat:
    """Envelope and attributes of a record as text and numbers. `more`: further attributes, ready."""
    found = record.attributes
    project = record.project or record.org or record.tenant
    out: Flat = {
        "kind": record.kind,
        "tenant": record.tenant,
        "observed_at": record.observed_at,
        "sources": ",".join(record.sources),
        "service.name": cut(str(found.get("tag.service", project)), bounds.value_bytes),
    }
    if record.org:
        out["org"] = record.org
    if record.project:
        out["project"] = record.project
    if more:
        out |= more
    for name, value in found.items():
        if name in RESERVED or len(name) > _NAME_BYTES or name[:4] == TAG_PREFIX:
            name = _own_name(name, found)
        if type(value) is str:
            out[name] = value if len(value) < _SHORT else cut(value, bounds.value_bytes)
        else:
            out[name] = _scalar(value, bounds.value_bytes)
    return bounded(out, bounds)


def _own_name(name: str, found: Mapping[str, Attribute]) -> str:
    """A name that is free: a tag without its prefix, unless that is taken; a reserved name under `circleci.`."""
    if name.startswith(TAG_PREFIX):
        bare = name[len(TAG_PREFIX) :]
        own = name if bare in RESERVED or bare in found else bare
    else:
        own = _RENAMED_PREFIX + name
    return own.encode()[:_NAME_BYTES].decode(errors="ignore")


def _scalar(value: Attribute, limit: int) -> str | int | float:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return cut(",".join(value), limit)
    return cut(value, limit) if isinstance(value, str) else value


# --- Logs -----------------------------------------------------------------------------------------------------------

# The raw webhook's name <- ours, as the public CircleCI quickstart reads them. Only a job has `job.id`: the quickstart
# counts jobs by counting lines that have one.
_OF_RUN = {
    "workflow.id": "cicd.pipeline.run.id",
    "workflow.name": "cicd.pipeline.name",
    "workflow.url": "cicd.pipeline.run.url.full",
    "pipeline.id": "circleci.pipeline.id",
    "pipeline.number": "circleci.pipeline.number",
}
_WEBHOOK: Mapping[str, Mapping[str, str]] = {
    "workflow": {
        **_OF_RUN,
        "workflow.status": "circleci.status",
        "workflow.created_at": "circleci.created_at",
        "workflow.stopped_at": "circleci.stopped_at",
    },
    "job": {
        **_OF_RUN,
        "job.id": "cicd.pipeline.task.run.id",
        "job.name": "cicd.pipeline.task.name",
        "job.number": "circleci.job.number",
        "job.status": "circleci.status",
        "job.started_at": "circleci.started_at",
        "job.stopped_at": "circleci.stopped_at",
    },
}
_MESSAGE_BYTES = 2_000


def _webhook_names(record: Record) -> Flat:
    """Attributes under the names of CircleCI's webhook, flattened with dots."""
    out: Flat = {}
    organization, project = _plain_names(record)
    if record.project:
        out["project.name"] = project
        out["project.slug"] = record.project
    if record.org:
        out["organization.name"] = organization
    names = _WEBHOOK.get(record.kind)
    if names is not None:
        out["type"] = f"{record.kind}-completed"
        found = record.attributes
        for theirs, ours in names.items():
            value = found.get(ours)
            if value is not None:
                out[theirs] = _scalar(value, LOGS.value_bytes)
    return out


def _plain_names(record: Record) -> tuple[str, str]:
    """What people call organisation and project: parts of the slug, or of the repository where the slug has ids."""
    slug = record.project or record.org or ""
    url = record.attributes.get("vcs.repository.url.full")
    if slug.startswith("circleci/") and isinstance(url, str):
        slug = url
    parts = slug.split("/")
    if record.project is None:
        return parts[-1], ""
    return parts[-2] if len(parts) > 1 else "", parts[-1]


def _word(record: Record, names: tuple[str, ...]) -> str:
    """The first of these attributes that the record has, as text; empty without any."""
    found = record.attributes
    return next((str(found[name]) for name in names if name in found), "")


def _sentence(record: Record) -> str:
    name, status = _word(record, NAMES.get(record.kind, ())), _word(record, THEIR_STATUS)
    place, branch = record.project or record.org or record.tenant, _word(record, ("vcs.ref.head.name",))
    return cut(sentence(record.kind, name, status, place, branch), _MESSAGE_BYTES)


# --- Spans ----------------------------------------------------------------------------------------------------------


def _start_ms(record: Record, occurred_ms: int) -> int:
    found = record.attributes
    start = parse_ms(found.get("circleci.created_at" if record.kind == "workflow" else "circleci.started_at"))
    if start is None:
        duration = found.get("circleci.duration_ms")
        start = occurred_ms - duration if isinstance(duration, int) else occurred_ms
    return min(start, occurred_ms)


def _trace(record: Record) -> bytes:
    found = record.attributes
    return trace_id(str(found.get("cicd.pipeline.run.id") or found.get("cicd.pipeline.task.run.id") or record.id))


def _identity(record: Record) -> tuple[bytes, bytes, bytes]:
    """Ids of the span, of its parent (empty: none) and of the trace. What belongs to no workflow is a trace alone."""
    found = record.attributes
    run = str(found.get("cicd.pipeline.run.id", ""))
    job = str(found.get("cicd.pipeline.task.run.id", ""))
    trace = _trace(record)
    if record.kind == "workflow":
        return span_id("workflow", run or record.id), b"", trace
    if record.kind == "job":
        return span_id("job", job or record.id), span_id("workflow", run) if run else b"", trace
    place = (str(found.get("circleci.step.node", "")), str(found.get("circleci.step.index", "")))
    own = span_id("step", job, *place) if job and all(place) else span_id("record", record.id)
    return own, span_id("job", job) if job else b"", trace
