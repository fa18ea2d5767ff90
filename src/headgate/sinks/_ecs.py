"""From a record to an Elasticsearch document: ECS fields where ECS has one, everything else under its own name. Pure.

ECS has no field set for CI, so runs keep their `cicd.*`, `vcs.*`, `test.*` and `circleci.*` names. Names stay flat and
dotted; the server expands them. Source: Elastic Common Schema 9, field reference, read November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.core.record import Attribute, Record

__all__ = ["DataStream", "Document", "data_stream", "ecs_document"]

Document = dict[str, object]
_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class DataStream:
    """Where documents of one kind go: `<type>-<dataset>-<namespace>`."""

    type: str
    dataset: str
    namespace: str

    @property
    def name(self) -> str:
        """The stream's name, `logs-circleci.job-default`."""
        return f"{self.type}-{self.dataset}-{self.namespace}"


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a kind of record is in ECS; category and type are empty where ECS has no fitting pair."""

    kind: str
    action: str
    category: str = ""
    type: str = ""


_SHAPES: dict[str, _Shape] = {
    "pipeline": _Shape("event", "pipeline-seen", "process", "info"),
    "workflow": _Shape("event", "workflow-completed", "process", "end"),
    "job": _Shape("event", "job-completed", "process", "end"),
    "step": _Shape("event", "step-completed", "process", "end"),
    "test_result": _Shape("event", "test-reported", "process", "info"),
    "flaky_test": _Shape("state", "flaky-test-listed"),
    "usage": _Shape("metric", "usage-exported"),
    "insight": _Shape("metric", "insight-collected"),
    "deployment": _Shape("event", "deployment-reported", "configuration", "change"),
    "platform_event": _Shape("event", "platform-event", "web", "info"),
    "custom_metric": _Shape("metric", "metric-reported"),
    "amendment": _Shape("event", "record-amended", "process", "change"),
    "alert": _Shape("alert", "alert-changed"),
    "audit": _Shape("event", "audit-finished", "configuration", "info"),
}
_OTHER = _Shape("event", "record-received")
# The dataset of a kind where it is not the kind itself; insights are metrics, all else are logs.
_DATASETS = {"test_result": "test", "insight": "insights"}
_TYPES = {"insight": "metrics"}
_OUTCOMES = {
    "success": "success",
    "failure": "failure",
    "error": "failure",
    "timeout": "failure",
    "pass": "success",
    "fail": "failure",
    "succeeded": "success",
    "failed": "failure",
}
# A field cannot be a number and hold `circleci.credits.compute` too, which usage records have.
_RENAMED = {"circleci.credits": "circleci.credits.used"}
# ECS field <- the first of these attributes that the record has.
_COPIED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("event.start", ("circleci.started_at", "circleci.created_at")),
    ("event.end", ("circleci.stopped_at",)),
    ("event.reason", ("circleci.status",)),
    ("url.full", ("cicd.pipeline.task.run.url.full", "cicd.pipeline.run.url.full")),
    ("event.url", ("cicd.pipeline.task.run.url.full", "cicd.pipeline.run.url.full")),
    ("user.name", ("circleci.author.login", "platform.user")),
    ("error.message", ("circleci.test.message",)),
)
_STATUS = ("headgate.status", "test.case.result.status", "deployment.status")


def data_stream(kind: str, namespace: str) -> DataStream:
    """The data stream of a kind of record."""
    return DataStream(_TYPES.get(kind, "logs"), f"circleci.{_DATASETS.get(kind, kind)}", namespace)


def ecs_document(
    record: Record,
    *,
    stream: DataStream | None = None,
    tags: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> Document:
    """The document of a record. `stream`: set when it goes to a data stream; `tags`, `labels`: of the operator."""
    shape = _SHAPES.get(record.kind, _OTHER)
    attributes = record.attributes
    document: Document = {
        "@timestamp": record.occurred_at,
        "event.id": record.id,
        "event.kind": shape.kind,
        "event.action": shape.action,
        "event.module": "circleci",
        "event.dataset": data_stream(record.kind, "").dataset,
        "event.provider": record.tenant,
        "event.created": record.observed_at,
        "headgate.schema": record.schema,
        "headgate.kind": record.kind,
        "headgate.sources": record.sources,
    }
    if stream is not None:
        document["data_stream.type"] = stream.type
        document["data_stream.dataset"] = stream.dataset
        document["data_stream.namespace"] = stream.namespace
    if shape.category:
        document["event.category"] = [shape.category]
        document["event.type"] = [shape.type]
    if record.org:
        document["organization.name"] = record.org
    if record.project:
        document["service.name"] = record.project
    if tags:
        document["tags"] = list(tags)
    if labels:
        document["labels"] = dict(labels)
    document |= _from_attributes(record.kind, attributes)
    document |= attributes
    for name, other in _RENAMED.items():
        if name in attributes:
            document[other] = document.pop(name)
    return document


def _from_attributes(kind: str, attributes: Mapping[str, Attribute]) -> Document:
    """ECS fields that repeat an attribute in ECS's own words."""
    found: Document = {}
    for field, names in _COPIED:
        for name in names:
            if name in attributes:
                found[field] = attributes[name]
                break
    if kind == "workflow" and "circleci.created_at" in attributes:
        found["event.start"] = attributes["circleci.created_at"]
    duration = attributes.get("circleci.duration_ms")
    if isinstance(duration, int):
        found["event.duration"] = duration * _NS_PER_MS
    status = next((attributes[name] for name in _STATUS if name in attributes), None)
    if isinstance(status, str):
        found["event.outcome"] = _OUTCOMES.get(status, "unknown")
        if found["event.outcome"] == "failure":
            found["error.type"] = status
    return found
