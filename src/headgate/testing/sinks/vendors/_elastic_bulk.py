"""Reading bulk requests and media types as Elasticsearch 8 and 9 and OpenSearch do.

Source: elastic.co, "Bulk API", "REST API compatibility", "Response filtering" (from general knowledge, not re-read).
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.vendors._elastic_index import MAX_ID_BYTES, Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headgate.testing.sinks.wire import Request

COMPATIBLE = re.compile(r"application/vnd\.elasticsearch\+(json|x-ndjson)\s*;\s*compatible-with=(\d+)\Z")
PLAIN = frozenset({"application/json", "application/x-ndjson"})
GENERATIONS: Mapping[str, frozenset[str]] = {
    "8": frozenset({"7", "8"}),
    "9": frozenset({"8", "9"}),
    "opensearch": frozenset(),
}
"""The `compatible-with` numbers that each generation of servers takes."""
META_KEYS = frozenset(
    {
        "_index",
        "_id",
        "routing",
        "version",
        "version_type",
        "pipeline",
        "require_alias",
        "require_data_stream",
        "dynamic_templates",
        "list_executed_pipelines",
        "if_seq_no",
        "if_primary_term",
    }
)


class RequestError(Exception):
    """The whole request fails with a status, a type and a reason; an empty type gives the short form."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind


def check_media(request: Request, generation: str) -> None:
    """Check Content-Type and Accept; raises RequestError with 400 or 406."""
    sent = request.headers.get("content-type", "").lower()
    accept = request.headers.get("accept", "").lower()
    if request.body and not sent:
        raise RequestError(406, "", "Content-Type header is missing")
    versions = {name: COMPATIBLE.match(value) for name, value in (("Content-Type", sent), ("Accept", accept))}
    known = GENERATIONS[generation]
    for name, value in (("Content-Type", sent if request.body else ""), ("Accept", accept)):
        match = versions[name]
        if match is None:
            if name == "Content-Type" and value and value.partition(";")[0].strip() not in PLAIN:
                raise RequestError(406, "", f"Content-Type header [{value}] is not supported")
        elif not known:
            raise RequestError(406, "", f"{name} header [{value}] is not supported")
        elif match[2] not in known:
            reason = f"Invalid media-type value on headers [{name}]"
            raise RequestError(400, "media_type_header_exception", reason)
    one_sided = accept not in ("", "*/*") and (versions["Accept"] is None) != (versions["Content-Type"] is None)
    if request.body and one_sided:
        reason = (
            "A compatible version is required on both Content-Type and Accept headers if either one has "
            f"requested a compatible version. Accept={accept}, Content-Type={sent}"
        )
        raise RequestError(400, "media_type_header_exception", reason)


def answer_type(request: Request) -> str:
    """Return the content type of the answer, which follows Accept."""
    match = COMPATIBLE.match(request.headers.get("accept", "").lower())
    return f"application/vnd.elasticsearch+json;compatible-with={match[2]}" if match else "application/json"


def actions(body: bytes, target: str) -> list[Action]:
    """Return the actions of a bulk body; raises RequestError, then nothing may be stored."""
    if not body:
        raise RequestError(400, "parse_exception", "request body is required")
    if not body.endswith(b"\n"):
        text = "The bulk request must be terminated by a newline [\\n]"
        raise RequestError(400, "illegal_argument_exception", text)
    lines = body[:-1].split(b"\n")
    found: list[Action] = []
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if not line.strip():
            continue
        op, meta = _action(line, number)
        source = None
        if op != "delete":
            if at >= len(lines):
                text = f"Malformed action/metadata line [{number}], no source follows"
                raise RequestError(400, "illegal_argument_exception", text)
            source = lines[at]
            at += 1
        found.append(_checked(op, meta, source, target))
    if not found:
        text = "Validation Failed: 1: no requests added;"
        raise RequestError(400, "action_request_validation_exception", text)
    return found


def _action(line: bytes, number: int) -> tuple[str, dict[str, Any]]:
    start = f"Malformed action/metadata line [{number}]"
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "x_content_parse_exception", f"{start}: {error}") from error
    if not isinstance(value, dict) or len(value) != 1:
        raise RequestError(400, "illegal_argument_exception", f"{start}, expected one action")
    op, meta = next(iter(value.items()))
    if op not in ("create", "index", "delete"):
        text = f"{start}, expected field [create], [delete], [index] or [update] but found [{op}]"
        if op == "update":
            text = f"{start}: this fake takes create, index and delete, not update"
        raise RequestError(400, "illegal_argument_exception", text)
    if not isinstance(meta, dict):
        raise RequestError(400, "illegal_argument_exception", f"{start}, expected START_OBJECT")
    for key in meta:
        if key not in META_KEYS:
            text = f"Action/metadata line [{number}] contains an unknown parameter [{key}]"
            raise RequestError(400, "illegal_argument_exception", text)
    return op, meta


def _checked(op: str, meta: Mapping[str, Any], source: bytes | None, target: str) -> Action:
    index, doc_id = meta.get("_index", target), meta.get("_id")
    problem = ""
    if not isinstance(index, str) or not index:
        problem = "index is missing"
    elif doc_id is not None and not isinstance(doc_id, str):
        problem = "id must be a string"
    elif doc_id == "" or (doc_id is None and op == "delete"):
        problem = "if _id is specified it must not be empty"
    elif doc_id and len(doc_id.encode()) > MAX_ID_BYTES:
        size = len(doc_id.encode())
        problem = f"id [{doc_id}] is too long, must be no longer than {MAX_ID_BYTES} bytes but was: {size}"
    if problem:
        raise RequestError(400, "action_request_validation_exception", f"Validation Failed: 1: {problem};")
    return Action(op, str(index), doc_id, source)


def filtered(value: Any, filter_path: str) -> Any:
    """Return the parts of an answer that `filter_path` names: comma-separated, `*` and `**` as wildcards.

    Elements of lists keep their places; those that hold nothing named become empty objects.
    """
    patterns = [pattern.split(".") for pattern in filter_path.split(",") if pattern]
    if not patterns:
        return value
    kept = _keep(value, patterns)
    return {} if kept is None else kept


def _keep(value: Any, patterns: list[list[str]]) -> Any:
    if any(not pattern or pattern == ["**"] for pattern in patterns):
        return value
    if isinstance(value, list):
        kept = [_keep(element, patterns) for element in value]
        return None if all(element is None for element in kept) else [e or {} for e in kept]
    if not isinstance(value, dict):
        return None
    found: dict[str, Any] = {}
    for name, inner in value.items():
        rest = list(_rests(name, patterns))
        part = _keep(inner, rest) if rest else None
        if part is not None:
            found[name] = part
    return found or None


def _rests(name: str, patterns: list[list[str]]) -> Iterator[list[str]]:
    for pattern in patterns:
        if pattern[0] == "**":
            yield pattern
            if fnmatchcase(name, pattern[1]):
                yield pattern[2:]
        elif fnmatchcase(name, pattern[0]):
            yield pattern[1:]
