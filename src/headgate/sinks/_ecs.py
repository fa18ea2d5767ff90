"""From a record to an Elasticsearch document: ECS fields where ECS has one, everything else under its own name. Pure.

ECS has no field set for CI, so runs keep their `cicd.*`, `vcs.*`, `test.*` and `circleci.*` names. Names stay flat and
dotted; the server expands them. Source: Elastic Common Schema 9, field reference, read November 2026.
Invariant: every field that is not an attribute of the record is in `ECS_TYPES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import orjson

from headgate.core.record import Attribute
from headgate.sinks._sentences import NAMES, level, sentence

__all__ = ["ECS_TYPES", "DataStream", "Document", "EcsMapper", "data_stream"]

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
# A field cannot be a number and hold `circleci.credits.compute` too, which usage records have. These are keys of JSON:
# inside a text the quotes would be escaped.
_CREDITS_KEY, _CREDITS_USED_KEY = b'"circleci.credits":', b'"circleci.credits.used":'
_TAG, _TAG_KEY = "tag.", b'"tag.'
# Kinds whose attributes are those of `core.fieldlist`, none of which is a field of ECS; others may have any name.
_CLOSED_KINDS = _SHAPES.keys() - {"custom_metric"}
_KNOWN = {
    "created": "circleci.created_at",
    "started": "circleci.started_at",
    "stopped": "circleci.stopped_at",
    "status": "circleci.status",
    "job_url": "cicd.pipeline.task.run.url.full",
    "run_url": "cicd.pipeline.run.url.full",
    "login": "circleci.author.login",
    "platform_user": "platform.user",
    "test_message": "circleci.test.message",
    "duration_ms": "circleci.duration_ms",
    "our_status": "headgate.status",
    "test_status": "test.case.result.status",
    "deployment_status": "deployment.status",
    "alert_state": "headgate.alert.state",
    "pipeline_state": "circleci.pipeline.state",
    "branch": "vcs.ref.head.name",
    "pipeline_number": "circleci.pipeline.number",
    "workflow": "cicd.pipeline.name",
    "job": "cicd.pipeline.task.name",
    "step": "circleci.step.name",
    "test": "test.case.name",
    "subject": "circleci.insight.subject",
    "deployment": "deployment.name",
    "action": "platform.action",
    "amends": "headgate.amends",
    "rule": "headgate.alert.rule",
}
_OWN_WORDS = {attribute: word for word, attribute in _KNOWN.items()}
_NAMED = {kind: tuple(_OWN_WORDS[name] for name in names) for kind, names in NAMES.items()}
# Every field that a document can have beside the record's attributes, with its type in a mapping.
ECS_TYPES: dict[str, str] = {
    "@timestamp": "date",
    "message": "text",
    "log.level": "keyword",
    "event.id": "keyword",
    "event.kind": "keyword",
    "event.action": "keyword",
    "event.module": "keyword",
    "event.dataset": "keyword",
    "event.provider": "keyword",
    "event.created": "date",
    "event.category": "keyword",
    "event.type": "keyword",
    "event.start": "date",
    "event.end": "date",
    "event.duration": "long",
    "event.reason": "keyword",
    "event.outcome": "keyword",
    "event.url": "keyword",
    "headgate.schema": "long",
    "headgate.kind": "keyword",
    "headgate.sources": "keyword",
    "data_stream.type": "constant_keyword",
    "data_stream.dataset": "constant_keyword",
    "data_stream.namespace": "constant_keyword",
    "organization.name": "keyword",
    "service.name": "keyword",
    "url.full": "keyword",
    "user.name": "keyword",
    "error.message": "text",
    "error.type": "keyword",
    "tags": "keyword",
    "labels": "object",
}


def data_stream(kind: str, namespace: str) -> DataStream:
    """The data stream of a kind of record."""
    return DataStream(_TYPES.get(kind, "logs"), f"circleci.{_DATASETS.get(kind, kind)}", namespace)


class _Envelope(msgspec.Struct, gc=False):
    """A record whose attributes stay as they are."""

    id: str
    schema: int
    kind: str
    occurred_at: str
    observed_at: str
    sources: list[str]
    tenant: str
    attributes: msgspec.Raw
    org: str | None = None
    project: str | None = None


class _Known(msgspec.Struct, gc=False, rename=_KNOWN):
    """The attributes that ECS has a word for."""

    created: Attribute | None = None
    started: Attribute | None = None
    stopped: Attribute | None = None
    status: Attribute | None = None
    job_url: Attribute | None = None
    run_url: Attribute | None = None
    login: Attribute | None = None
    platform_user: Attribute | None = None
    test_message: Attribute | None = None
    duration_ms: Attribute | None = None
    our_status: Attribute | None = None
    test_status: Attribute | None = None
    deployment_status: Attribute | None = None
    alert_state: Attribute | None = None
    pipeline_state: Attribute | None = None
    branch: Attribute | None = None
    pipeline_number: Attribute | None = None
    workflow: Attribute | None = None
    job: Attribute | None = None
    step: Attribute | None = None
    test: Attribute | None = None
    subject: Attribute | None = None
    deployment: Attribute | None = None
    action: Attribute | None = None
    amends: Attribute | None = None
    rule: Attribute | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_known = msgspec.json.Decoder(_Known).decode


class EcsMapper:
    """Makes documents of records, in any thread. What all documents of a kind share is prepared once."""

    def __init__(
        self, *, namespace: str | None = None, tags: Sequence[str] = (), labels: Mapping[str, str] | None = None
    ) -> None:
        """`namespace`: set when documents go to data streams; `tags`, `labels`: of the operator, on each document."""
        self._namespace = namespace
        self._tags = list(tags)
        self._labels = dict(labels or {})
        self._shared: dict[str, tuple[Document, bytes]] = {}

    def document(self, body: bytes) -> bytes:
        """The JSON document of a record's stored bytes, whose attributes are copied as they stand. Pure."""
        record = _decode_envelope(body)
        kind, attributes = record.kind, bytes(record.attributes)
        shared = self._shared.get(kind)
        if shared is None:  # one assignment, because batches are encoded in several threads
            same = self._share(kind)
            shared = self._shared[kind] = (same, orjson.dumps(same)[1:-1])
        document: Document = {
            "@timestamp": record.occurred_at,
            "event.id": record.id,
            "event.created": record.observed_at,
            "event.provider": record.tenant,
            "headgate.schema": record.schema,
            "headgate.sources": record.sources,
        }
        if record.org:
            document["organization.name"] = record.org
        if record.project:
            document["service.name"] = record.project
        known = _decode_known(attributes)
        _derive(document, kind, known)
        _tell(document, kind, known, record.project or record.org or record.tenant)
        if kind not in _CLOSED_KINDS or _TAG_KEY in attributes:
            return self._settled(document | shared[0], attributes)
        if _CREDITS_KEY in attributes:
            attributes = attributes.replace(_CREDITS_KEY, _CREDITS_USED_KEY)
        own = b"," + attributes[1:] if attributes != b"{}" else b"}"
        return b"".join((orjson.dumps(document)[:-1], b",", shared[1], own))

    def _share(self, kind: str) -> Document:
        shape = _SHAPES.get(kind, _OTHER)
        stream = data_stream(kind, self._namespace or "")
        shared: Document = {
            "event.kind": shape.kind,
            "event.action": shape.action,
            "event.module": "circleci",
            "event.dataset": stream.dataset,
            "headgate.kind": kind,
        }
        if self._namespace is not None:
            shared["data_stream.type"] = stream.type
            shared["data_stream.dataset"] = stream.dataset
            shared["data_stream.namespace"] = stream.namespace
        if shape.category:
            shared["event.category"] = [shape.category]
            shared["event.type"] = [shape.type]
        if self._tags:
            shared["tags"] = self._tags
        if self._labels:
            shared["labels"] = self._labels
        return shared

    def _settled(self, document: Document, raw: bytes) -> bytes:
        """The document where attributes cannot be copied as they stand: tags become labels, a name may stand twice.

        The tag `service` is the service's name instead of the project; an attribute wins over a field of its name.
        """
        attributes: dict[str, Attribute] = orjson.loads(raw)
        tags = {name.removeprefix(_TAG): attributes.pop(name) for name in list(attributes) if name.startswith(_TAG)}
        if tags:
            document["labels"] = self._labels | tags
        if "service" in tags:
            document["service.name"] = tags["service"]
        if "circleci.credits" in attributes:
            attributes["circleci.credits.used"] = attributes.pop("circleci.credits")
        return orjson.dumps(document | attributes)


def _derive(document: Document, kind: str, known: _Known) -> None:
    """Add the ECS fields that repeat an attribute in ECS's own words."""
    created, started = known.created, known.started
    start = created or started if kind == "workflow" else started or created
    if start is not None:
        document["event.start"] = start
    if known.stopped is not None:
        document["event.end"] = known.stopped
    if known.status is not None:
        document["event.reason"] = known.status
    if url := known.job_url or known.run_url:
        document["url.full"] = document["event.url"] = url
    if user := known.login or known.platform_user:
        document["user.name"] = user
    if known.test_message is not None:
        document["error.message"] = known.test_message
    if type(known.duration_ms) is int:
        document["event.duration"] = known.duration_ms * _NS_PER_MS
    status = known.our_status or known.test_status or known.deployment_status
    if isinstance(status, str):
        outcome = document["event.outcome"] = _OUTCOMES.get(status, "unknown")
        if outcome == "failure":
            document["error.type"] = status


def _tell(document: Document, kind: str, known: _Known, place: str) -> None:
    """Add the line that people read, and how grave it is."""
    ours = known.our_status or known.test_status or known.deployment_status or known.alert_state or ""
    status = known.status or ours or known.pipeline_state or ""
    name: Attribute = ""
    for word in _NAMED.get(kind, ()):
        found = getattr(known, word)
        if found is not None:
            name = found
            break
    document["message"] = sentence(kind, str(name), str(status), place, str(known.branch or ""))
    document["log.level"] = level(str(ours))
