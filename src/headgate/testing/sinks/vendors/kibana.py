"""A strict Kibana or OpenSearch Dashboards: saved objects, imported and exported, and Kibana's rules of alerting.

Source: elastic.co "Saved objects: import, export", opensearch.org "Saved objects API" (general knowledge, not re-read).
Invariant: an object that is refused leaves what was there, and the others of its file are still taken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.bodies import authorized
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply
from headgate.testing.sinks.vendors import _kibana_rules
from headgate.testing.sinks.vendors._kibana_rules import RefusedError
from headgate.testing.sinks.wire import Reply, Request

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger

ROUTE = re.compile(r"(?:/s/(?P<space>[^/]+))?/api/saved_objects/_(?P<verb>import|export)\Z")
TYPES = frozenset({"index-pattern", "dashboard", "lens", "search", "visualization", "map", "tag", "query"})
XSRF = {"kibana": "kbn-xsrf", "opensearch": "osd-xsrf"}


@dataclass(frozen=True, slots=True)
class KibanaOptions:
    """Options of the fake."""

    product: str = field(default="kibana", metadata={"help": "kibana or opensearch (Dashboards)"})
    api_key: str | None = field(default=None, metadata={"help": "required ApiKey value, base64 of id:key"})
    basic: str | None = field(default=None, metadata={"help": "required user:password"})
    bearer: str | None = field(default=None, metadata={"help": "required bearer token"})
    max_body_bytes: int = field(default=25 << 20, metadata={"help": "savedObjects.maxImportPayloadBytes"})


class Kibana(Vendor):
    """Judges requests; keeps saved objects by space, type and id."""

    def __init__(self, options: KibanaOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._header = XSRF[options.product]
        self._rules = _kibana_rules.Rules(ledger)

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            self._admit(request)
            return self._route(request)
        except RefusedError as error:
            words = {"statusCode": error.status, "error": "Refused", "message": str(error), **error.more}
            return json_reply(error.status, words)

    def _route(self, request: Request) -> Reply:
        rule = _kibana_rules.ROUTE.match(request.path)
        if rule and self._options.product == "kibana":
            return self._rules.handle(rule["space"] or "default", rule["id"], request)
        match = ROUTE.match(request.path)
        if match is None or request.method != "POST":
            raise RefusedError(404, "Not Found")
        answer = self._import if match["verb"] == "import" else self._export
        return answer(match["space"] or "default", request)

    def _admit(self, request: Request) -> None:
        options, given = self._options, request.headers.get("authorization", "")
        if not authorized(given, api_key=options.api_key, basic=options.basic, bearer=options.bearer):
            raise RefusedError(401, "Unauthorized")
        if request.method != "GET" and not request.headers.get(self._header):
            raise RefusedError(400, f"Request must contain a {self._header} header.")
        if len(request.body) > options.max_body_bytes:
            raise RefusedError(413, "Payload content length greater than maximum allowed")

    def _import(self, space: str, request: Request) -> Reply:
        overwrite = request.query.get("overwrite") == "true"
        if overwrite and request.query.get("createNewCopies") == "true":
            raise RefusedError(400, "cannot use [overwrite] with [createNewCopies]")
        objects = _read(_file(request))
        there = {(one["type"], one["id"]) for one in objects}
        errors = []
        for one in objects:
            error = self._problem(space, one, there, overwrite=overwrite)
            if error:
                errors.append({"type": one["type"], "id": one["id"], "error": error})
                continue
            self._ledger.replace((space, one["type"], one["id"]), one["id"], {"space": space, **one})
        answer: dict[str, Any] = {"success": not errors, "successCount": len(objects) - len(errors)}
        return json_reply(200, answer | ({"errors": errors} if errors else {}))

    def _problem(
        self, space: str, one: dict[str, Any], there: set[tuple[str, str]], *, overwrite: bool
    ) -> dict[str, Any] | None:
        if one["type"] not in TYPES:
            return {"type": "unsupported_type"}
        if not overwrite and self._ledger.get((space, one["type"], one["id"])) is not None:
            return {"type": "conflict"}
        missing = [
            {"type": ref["type"], "id": ref["id"]}
            for ref in one.get("references", [])
            if (ref["type"], ref["id"]) not in there and self._ledger.get((space, ref["type"], ref["id"])) is None
        ]
        return {"type": "missing_references", "references": missing} if missing else None

    def _export(self, space: str, request: Request) -> Reply:
        try:
            asked = orjson.loads(request.body)["objects"]
            keys = [(space, one["type"], one["id"]) for one in asked]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise RefusedError(400, "Either `type` or `objects` are required.") from error
        rows = [self._ledger.get(key) for key in keys]
        missing = [
            {"id": key[2], "type": key[1], "error": {"statusCode": 404, "error": "Not Found", "message": "not found"}}
            for key, row in zip(keys, rows, strict=True)
            if row is None
        ]
        if missing:
            raise RefusedError(400, "Error fetching objects to export", {"attributes": {"objects": missing}})
        shown = [
            {**row.native, "version": "WzEsMV0=", "coreMigrationVersion": "8.8.0", "managed": False}
            for row in rows
            if row is not None
        ]
        body = b"\n".join(orjson.dumps({key: one[key] for key in one if key != "space"}) for one in shown)
        return Reply(200, body, {"content-type": "application/ndjson"})


def _file(request: Request) -> bytes:
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise RefusedError(415, "Unsupported Media Type")
    form = message_from_bytes(f"content-type: {kind}\r\n\r\n".encode() + request.body)
    for part in list(form.walk())[1:]:
        if part.get_param("name", header="content-disposition") == "file":
            if not str(part.get_filename()).endswith(".ndjson"):
                raise RefusedError(400, f"Invalid file extension {part.get_filename()}")
            data = part.get_payload(decode=True)
            return data if isinstance(data, bytes) else b""
    raise RefusedError(400, "[request body.file]: expected value of type [Stream] but got [undefined]")


def _read(data: bytes) -> list[dict[str, Any]]:
    try:
        objects = [orjson.loads(line) for line in data.splitlines() if line.strip()]
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"Unexpected token in JSON: {error}") from error
    if not objects:
        raise RefusedError(400, "Imported file has no objects")
    for one in objects:
        if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("type", "id")):
            raise RefusedError(400, "Object without type and id")
        if not isinstance(one.get("attributes"), dict):
            raise RefusedError(400, "Object without attributes")
    return objects


IMPORT = "/api/saved_objects/_import"
FORM = {"kbn-xsrf": "true", "content-type": "multipart/form-data; boundary=b"}
VIEW = b'{"type":"index-pattern","id":"v","attributes":{"title":"logs-*"},"references":[]}'
LOST = VIEW.replace(b'"references":[]', b'"references":[{"type":"index-pattern","id":"gone","name":"n"}]')


def _form(data: bytes, name: str = "file", file: str = "a.ndjson") -> bytes:
    head = f'--b\r\ncontent-disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'
    return head.encode() + data + b"\r\n--b--\r\n"


def _bad(name: str, status: int, body: bytes, reason: str, **more: Any) -> BadBody:
    return BadBody(name, status, body, reason, **{"path": IMPORT, "headers": FORM, **more})


RULE_PATH = "/api/alerting/rule/4fe0ab39-7f3c-4c1e-9d2f-0a1b2c3d4e5f"
PARAMS = {
    "searchType": "esqlQuery",
    "esqlQuery": {"esql": "FROM logs-* | LIMIT 1"},
    "timeField": "@timestamp",
    "timeWindowSize": 5,
    "timeWindowUnit": "m",
    "size": 1,
    "threshold": [0],
    "thresholdComparator": ">",
}
RULE = {"name": "r", "rule_type_id": ".es-query", "consumer": "stackAlerts", "schedule": {"interval": "1m"}}


def _bad_rule(
    name: str, reason: str, *, path: str = RULE_PATH, params: dict[str, Any] | None = None, **more: Any
) -> BadBody:
    body = orjson.dumps({**RULE, "params": {**PARAMS, **(params or {})}, **more})
    return _bad(name, 400, body, reason, path=path, headers={"kbn-xsrf": "true", "content-type": "application/json"})


BAD_BODIES = (
    _bad("no-xsrf", 400, _form(VIEW), "kbn-xsrf", headers={"content-type": FORM["content-type"]}),
    _bad("xsrf-of-kibana", 400, _form(VIEW), "osd-xsrf", options={"product": "opensearch"}),
    _bad("no-credentials", 401, _form(VIEW), "Unauthorized", options={"api_key": "aWQ6a2V5"}),
    _bad("too-large", 413, _form(VIEW), "maximum allowed", options={"max_body_bytes": 64}),
    _bad("not-a-form", 415, VIEW, "Media Type", headers={"kbn-xsrf": "true", "content-type": "application/ndjson"}),
    _bad("no-file", 400, _form(VIEW, name="objects"), "[request body.file]"),
    _bad("other-extension", 400, _form(VIEW, file="a.json"), "Invalid file extension"),
    _bad("broken-line", 400, _form(VIEW[:-1]), "Unexpected token"),
    _bad("empty-file", 400, _form(b""), "no objects"),
    _bad("no-id", 400, _form(VIEW.replace(b'"id"', b'"name"')), "without type and id"),
    _bad("no-attributes", 400, _form(VIEW.replace(b"attributes", b"content")), "without attributes"),
    _bad("unknown-type", 200, _form(VIEW.replace(b"index-pattern", b"panel")), "unsupported_type"),
    _bad("missing-reference", 200, _form(LOST), "missing_references"),
    _bad("two-wishes", 400, _form(VIEW), "createNewCopies", path=f"{IMPORT}?overwrite=true&createNewCopies=true"),
    _bad_rule("rule-without-uuid", "UUID", path="/api/alerting/rule/mine"),
    _bad_rule("rule-with-another-name", "definition for this key", revision=1),
    _bad_rule("rule-of-unknown-type", "not registered", rule_type_id=".none"),
    _bad_rule("rule-with-a-threshold", "required to be 0", params={"threshold": [5]}),
    _bad_rule("rule-with-two-queries", "expected to be present", params={"esQuery": "{}"}),
    _bad_rule("rule-without-interval", "duration", schedule={"interval": "often"}),
    _bad_rule("rule-with-a-shown-action", "definition for this key", actions=[{"connector_type_id": ".slack"}]),
    _bad(
        "rule-at-opensearch",
        404,
        b"{}",
        "Not Found",
        path=RULE_PATH,
        headers={"osd-xsrf": "1"},
        options={"product": "opensearch"},
    ),
    _bad("other-path", 404, _form(VIEW), "Not Found", path="/api/saved_objects/_delete"),
)

FAKE = Fake(name="kibana", options=KibanaOptions, build=Kibana, bad_bodies=BAD_BODIES)
