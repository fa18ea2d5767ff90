"""Indices, data streams and templates of the fake Elasticsearch.

Source: elastic.co, "Data streams", "Index templates", "Bulk API" (general knowledge,
not re-read). Invariant: an `_id` is
unique per backing index only, so that a document sent again after a rollover is stored again, as in reality.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.vendors._elastic_mapping import DocumentError, FieldTypes, is_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.testing.sinks.ledger import Ledger

BAD_NAME = re.compile(r'[\\/*?"<>| ,#:]|[A-Z]')
MAX_NAME_BYTES = 255
MAX_ID_BYTES = 512
DATA_STREAM_FIELDS = ("data_stream.type", "data_stream.dataset", "data_stream.namespace")
BUILT_IN: Mapping[str, dict[str, Any]] = {
    kind: {"index_patterns": [f"{kind}-*-*"], "priority": 100, "data_stream": {}, "built_in": True}
    for kind in ("logs", "metrics", "traces")
}


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a bulk request; `source` is the raw document, None for a deletion."""

    op: str
    index: str
    doc_id: str | None
    source: bytes | None


@dataclass(slots=True)
class Index:
    """One index, or one data stream with the number of its write index."""

    name: str
    data_stream: bool
    types: FieldTypes
    built_in: bool = False
    generation: int = 1
    created: str = "2026.01.01"

    @property
    def backing(self) -> str:
        """The index that is written to."""
        if not self.data_stream:
            return self.name
        return f".ds-{self.name}-{self.created}-{self.generation:06d}"


@dataclass(slots=True)
class Indices:
    """All indices of one fake; creates them as the templates say and indexes documents."""

    ledger: Ledger
    opensearch: bool = False
    auto_create: bool = True
    failure_store: bool = False
    fields_limit: int = 1_000
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: dict[str, Index] = field(default_factory=dict)
    _serial: int = 0

    def clear(self) -> None:
        """Forget the indices; templates stay."""
        self.found.clear()

    def run(self, action: Action) -> dict[str, Any]:
        """Carry out one action and return its item of the answer, without the op around it."""
        try:
            index = self._index(action)
            return self._delete(index, action) if action.source is None else self._write(index, action)
        except ItemError as error:
            reason = {"type": error.kind, "reason": str(error), "index": action.index}
            return {"_index": action.index, "_id": action.doc_id, "status": error.status, "error": reason}

    def create(self, name: str, properties: Mapping[str, Any] | None = None) -> Index:
        """Create an index or data stream as the matching template says; raises ItemError for a bad name."""
        if BAD_NAME.search(name) or name[:1] in ("-", "_", "+", "") or len(name.encode()) > MAX_NAME_BYTES:
            reason = f"Invalid index name [{name}], must be lowercase and without special characters"
            raise ItemError(400, "invalid_index_name_exception", reason)
        template = self.template_for(name)
        built_in = bool(template.get("built_in"))
        logs = built_in and name.startswith("logs-")
        types = FieldTypes(
            ignore_malformed=logs,
            date_detection=not logs,
            fields_limit=self.fields_limit if not logs else 1 << 31,
        )
        for mappings in self._mappings(template):
            types.declare(mappings.get("properties", {}))
            types.dynamic += mappings.get("dynamic_templates", [])
            types.strict |= mappings.get("dynamic") == "strict"
            types.date_detection &= mappings.get("date_detection", True)
        types.declare(properties or {})
        stream = "data_stream" in template
        if stream:
            types.declare({"@timestamp": {"type": "date"}})
        if built_in:
            types.declare({path: {"type": "constant_keyword"} for path in DATA_STREAM_FIELDS})
            types.constants.update(zip(DATA_STREAM_FIELDS, name.split("-", 2), strict=True))
        day = datetime.fromtimestamp(self.ledger.clock_ms() / 1000, UTC).strftime("%Y.%m.%d")
        self.found[name] = Index(name, stream, types, built_in, created=day)
        return self.found[name]

    def template_for(self, name: str) -> dict[str, Any]:
        """Return the matching template of highest priority, empty when none matches."""
        built_in = {} if self.opensearch else BUILT_IN
        matching = [
            template
            for template in [*built_in.values(), *self.templates.values()]
            if any(fnmatchcase(name, pattern) for pattern in template["index_patterns"])
        ]
        return max(matching, key=lambda template: int(template.get("priority", 0)), default={})

    def _mappings(self, template: Mapping[str, Any]) -> list[dict[str, Any]]:
        parts = [self.components.get(name, {}) for name in template.get("composed_of", [])]
        return [part.get("template", {}).get("mappings", {}) for part in [*parts, template]]

    def _index(self, action: Action) -> Index:
        index = self.found.get(action.index)
        if index is None:
            if not self.auto_create:
                reason = f"no such index [{action.index}]"
                raise ItemError(404, "index_not_found_exception", reason)
            index = self.create(action.index)
        if index.data_stream and action.op != "create":
            reason = "only write ops with an op_type of create are allowed in data streams"
            raise ItemError(400, "illegal_argument_exception", reason)
        return index

    def _write(self, index: Index, action: Action) -> dict[str, Any]:
        self._serial += 1
        doc_id = action.doc_id or f"auto{self._serial:016d}"
        key = (index.backing, doc_id)
        if action.op == "create" and self.ledger.get(key) is not None:
            self.ledger.stats.duplicates += 1
            reason = f"[{doc_id}]: version conflict, document already exists (current version [1])"
            raise ItemError(409, "version_conflict_engine_exception", reason)
        try:
            source = self._checked(index, action.source or b"")
        except DocumentError as error:
            return self._malformed(index, action, doc_id, str(error))
        native = {
            "_index": index.name,
            "backing": index.backing,
            "_id": doc_id,
            "op": action.op,
            "source": source,
        }
        record_id = action.doc_id or source.get("id")
        if action.op == "create":
            self.ledger.add(key, record_id, native)
            fresh = True
        else:
            fresh = self.ledger.replace(key, record_id, native)
        return self._done(index, doc_id, "created" if fresh else "updated", 201 if fresh else 200)

    def _checked(self, index: Index, raw: bytes) -> dict[str, Any]:
        try:
            source = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise DocumentError(f"failed to parse: {error}") from error
        if not isinstance(source, dict):
            raise DocumentError("failed to parse: Malformed content, must start with an object")
        if index.data_stream:
            if source.get("@timestamp") is None:
                raise DocumentError("data stream timestamp field [@timestamp] is missing")
            if not is_date(source["@timestamp"]):
                value = source["@timestamp"]
                raise DocumentError(f"failed to parse field [@timestamp] of type [date]; value: '{value}'")
        index.types.check(source)
        return source

    def _malformed(self, index: Index, action: Action, doc_id: str, reason: str) -> dict[str, Any]:
        if not (self.failure_store and index.built_in and index.name.startswith("logs-")):
            kind = "mapper_parsing_exception" if self.opensearch else "document_parsing_exception"
            if "mapping set to strict" in reason:
                kind = "strict_dynamic_mapping_exception"
            raise ItemError(400, kind, f"[1:1] {reason} in document with id '{doc_id}'")
        self._serial += 1
        backing = index.backing.replace(".ds-", ".fs-", 1)
        native = {"_index": index.name, "backing": backing, "_id": doc_id, "op": action.op, "reason": reason}
        self.ledger.add((backing, f"failure{self._serial}"), action.doc_id, native)
        done = self._done(index, doc_id, "created", 201)
        return {**done, "_index": backing, "failure_store": "used"}

    def _delete(self, index: Index, action: Action) -> dict[str, Any]:
        there = self.ledger.remove((index.backing, action.doc_id))
        return self._done(index, action.doc_id, "deleted" if there else "not_found", 200 if there else 404)

    def _done(self, index: Index, doc_id: str | None, result: str, status: int) -> dict[str, Any]:
        return {
            "_index": index.backing,
            "_id": doc_id,
            "_version": 1,
            "result": result,
            "_shards": {"total": 2, "successful": 1, "failed": 0},
            "_seq_no": self._serial,
            "_primary_term": 1,
            "status": status,
        }


class ItemError(Exception):
    """One action fails with a status, a type and a reason."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
