"""Bulk bodies that Elasticsearch refuses, whole or by item; `test_bad_bodies` sends each."""

from __future__ import annotations

from headgate.testing.sinks.vendor import BadBody

PATH = "/_bulk"
LINES = {"content-type": "application/x-ndjson"}
CREATE = b'{"create":{"_index":"logs-circleci.job-default","_id":"1"}}\n'
INDEX = b'{"index":{"_index":"circleci-job-2026.11","_id":"1"}}\n'
DOC = b'{"@timestamp":"2026-11-20T10:00:00.000Z","event":{"kind":"event"}}\n'
COMPATIBLE = "application/vnd.elasticsearch+x-ndjson; compatible-with="


def _bad(
    name: str, status: int, body: bytes, reason: str, headers: dict[str, str] | None = None, **options: object
) -> BadBody:
    return BadBody(name, status, body, reason, path=PATH, headers=headers or LINES, options=options)


BAD_BODIES = (
    _bad("no-last-newline", 400, CREATE + DOC[:-1], "terminated by a newline"),
    _bad("empty", 400, b"", "request body is required"),
    _bad("broken-action", 400, b'{"create":\n' + DOC, "Malformed action/metadata line [1]"),
    _bad("unknown-action", 400, b'{"insert":{"_index":"x"}}\n' + DOC, "found [insert]"),
    _bad(
        "unknown-parameter",
        400,
        b'{"create":{"_index":"x","_type":"t"}}\n' + DOC,
        "unknown parameter [_type]",
    ),
    _bad("no-source", 400, CREATE, "no source follows"),
    _bad("no-index", 400, b'{"create":{"_id":"1"}}\n' + DOC, "index is missing"),
    _bad("id-too-long", 400, b'{"create":{"_index":"x","_id":"%s"}}\n' % (b"1" * 513) + DOC, "is too long"),
    _bad("no-content-type", 406, CREATE + DOC, "is missing", {"accept": "*/*"}),
    _bad("wrong-content-type", 406, CREATE + DOC, "not supported", {"content-type": "text/plain"}),
    _bad(
        "client-of-9-on-8",
        400,
        CREATE + DOC,
        "media_type_header_exception",
        {"content-type": COMPATIBLE + "9"},
        generation="8",
    ),
    _bad(
        "client-on-opensearch",
        406,
        CREATE + DOC,
        "not supported",
        {"content-type": COMPATIBLE + "8"},
        generation="opensearch",
    ),
    _bad("no-credentials", 401, CREATE + DOC, "security_exception", api_key="aWQ6a2V5"),
    _bad("too-large", 413, CREATE + DOC, "Too Large", max_body_bytes=64),
    _bad("not-gzip", 400, CREATE + DOC, "not gzip", {**LINES, "content-encoding": "gzip"}),
    _bad("no-timestamp", 200, CREATE + b'{"event":{}}\n', "[@timestamp] is missing"),
    _bad("index-into-data-stream", 200, CREATE.replace(b"create", b"index") + DOC, "op_type of create"),
    _bad("source-not-json", 200, CREATE + b"{job\n", "document_parsing_exception"),
    _bad("field-both-scalar-and-object", 200, INDEX + b'{"a":1,"a.b":2}\n', "document_parsing_exception"),
    _bad("upper-case-index", 200, b'{"index":{"_index":"Jobs","_id":"1"}}\n' + DOC, "invalid_index_name"),
    _bad("other-dataset", 200, CREATE + b'{"@timestamp":1,"data_stream":{"dataset":"x"}}\n', "constant_keyword"),
    _bad("index-missing", 200, INDEX + DOC, "index_not_found_exception", auto_create=False),
)
