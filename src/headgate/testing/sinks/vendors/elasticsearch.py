"""A strict Elasticsearch (generation 8 or 9) or OpenSearch: bulk writes, templates, policies, health.

Invariant: a document that a real cluster would refuse is refused item by item with the real type of error;
a request that a real cluster would refuse stores nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

from headgate.testing.sinks.bodies import (
    OversizedBodyError,
    UnreadableBodyError,
    authorized,
    unpack,
)
from headgate.testing.sinks.ledger import Keep, Ledger
from headgate.testing.sinks.vendor import Fake, Vendor, case_reply, json_reply
from headgate.testing.sinks.vendors._elastic_bad import BAD_BODIES
from headgate.testing.sinks.vendors._elastic_bulk import (
    GENERATIONS,
    RequestError,
    actions,
    answer_type,
    check_media,
    filtered,
)
from headgate.testing.sinks.vendors._elastic_index import Action, Indices, ItemError
from headgate.testing.sinks.vendors._elastic_kept import check_parts, check_turn, kept_thing, read_object, shown_thing
from headgate.testing.sinks.wire import Reply, Request

if TYPE_CHECKING:
    from headgate.testing.sinks.cases import Case

PRODUCT = {"x-elastic-product": "Elasticsearch"}
NUMBERS = {"8": "8.19.0", "9": "9.2.0", "opensearch": "3.2.0"}  # one release of each line
BULK = re.compile(r"/(?:(?P<target>[^_/][^/]*)/)?_bulk\Z")
KEPT_THINGS = re.compile(
    r"/(?P<family>_index_template|_component_template|_ilm/policy|_plugins/_ism/policies)/(?P<name>[^/]+)\Z"
)
INDEX = re.compile(r"/(?P<name>[^_/][^/]*)(?:/(?P<verb>_count|_refresh|_rollover))?\Z")
STORED_CLAIMS = frozenset({200, 201, 409})  # item statuses by which the server says: I have it


@dataclass(frozen=True, slots=True)
class ElasticsearchOptions:
    """Options of the fake."""

    generation: str = field(default="9", metadata={"help": "8, 9 or opensearch"})
    product: bool = field(default=True, metadata={"help": "send X-Elastic-Product"})
    api_key: str | None = field(default=None, metadata={"help": "required ApiKey value, base64 of id:key"})
    basic: str | None = field(default=None, metadata={"help": "required user:password"})
    bearer: str | None = field(default=None, metadata={"help": "required bearer token"})
    max_body_bytes: int = field(default=100 << 20, metadata={"help": "http.max_content_length"})
    max_fields: int = field(default=1_000, metadata={"help": "index.mapping.total_fields.limit"})
    auto_create: bool = field(default=True, metadata={"help": "action.auto_create_index"})
    failure_store: bool = field(default=False, metadata={"help": "of the built-in logs template, as in 9.x"})


class Elasticsearch(Vendor):
    """Judges requests; keeps indices, templates and policies."""

    def __init__(self, options: ElasticsearchOptions, ledger: Ledger) -> None:
        if options.generation not in GENERATIONS:
            raise ValueError(f"generation is one of {', '.join(GENERATIONS)}, not {options.generation}")
        self._options = options
        self._ledger = ledger
        opensearch = options.generation == "opensearch"
        self._product = PRODUCT if options.product and not opensearch else {}
        self._indices = Indices(ledger, opensearch, options.auto_create, options.failure_store, options.max_fields)
        self._policies: dict[str, dict[str, Any]] = {}

    def clear(self) -> None:
        """Forget the indices; templates and policies stay."""
        self._indices.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            body = self._admitted(request)
            if BULK.match(request.path):
                return self._bulk(request, self._actions(request, body), None)
            return self._route(request, body)
        except (RequestError, ItemError) as error:
            return self._error(request, error.status, error.kind, str(error))

    def answer_case(self, request: Request, case: Case) -> Reply | None:
        """Carry out a row with `items`: sample items are repeated to the request's number of actions.

        An action whose sample says 200, 201 or 409 is carried out, so that the claim is true; the others
        are not. A document that the strict rules refuse gets its true item instead of the sample.
        """
        if not (isinstance(case.body, dict) and "items" in case.body and BULK.match(request.path)):
            return None
        try:
            wanted = self._actions(request, self._admitted(request))
        except RequestError as error:
            return self._error(request, error.status, error.kind, str(error))
        samples = [next(iter(item.values())) for item in case.body["items"]]
        judged = self._bulk(request, wanted, samples)
        told = case_reply(case, self._ledger.clock_ms())
        return Reply(case.status, judged.body, told.headers)

    def _admitted(self, request: Request) -> bytes:
        self._authorize(request)
        limit = self._options.max_body_bytes
        if len(request.body) > limit:
            raise RequestError(413, "", "Request Entity Too Large")
        encoding = request.headers.get("content-encoding", "").lower()
        if encoding not in ("", "identity", "gzip", "deflate"):
            raise RequestError(400, "parse_exception", f"content encoding [{encoding}] cannot be read")
        name = {"deflate": "zlib", "identity": ""}.get(encoding, encoding)
        check_media(request, self._options.generation)
        try:
            return unpack(request.body, name, limit)
        except UnreadableBodyError as error:
            raise RequestError(400, "parse_exception", f"body is not {encoding}: {error}") from error
        except OversizedBodyError as error:
            raise RequestError(413, "", "Request Entity Too Large") from error

    def _authorize(self, request: Request) -> None:
        options, given = self._options, request.headers.get("authorization", "")
        if not authorized(given, api_key=options.api_key, basic=options.basic, bearer=options.bearer):
            text = "unable to authenticate" if given else "missing authentication credentials for REST request"
            raise RequestError(401, "security_exception", f"{text} [{request.path}]")

    def _actions(self, request: Request, body: bytes) -> list[Action]:
        if request.method not in ("POST", "PUT"):
            text = f"Incorrect HTTP method for uri [{request.path}] and method [{request.method}]"
            raise RequestError(405, "", text)
        match = BULK.match(request.path)
        return actions(body, (match and match["target"]) or "")

    def _bulk(self, request: Request, wanted: list[Action], samples: list[dict[str, Any]] | None) -> Reply:
        items = []
        for action, sample in zip(wanted, cycle(samples or [{"status": 201}]), strict=False):
            if sample["status"] not in STORED_CLAIMS:
                item = {**sample, "_index": action.index, "_id": action.doc_id}
            else:
                item = self._indices.run(action)
                if samples is not None and item["status"] in STORED_CLAIMS:
                    item = {**sample, "_index": item["_index"], "_id": item["_id"]}
            items.append({action.op: item})
        errors = any("error" in item for one in items for item in one.values())
        return self._reply(request, 200, {"took": 1, "errors": errors, "items": items})

    def _route(self, request: Request, body: bytes) -> Reply:
        read = request.method in ("GET", "HEAD")
        if request.path == "/" and read:
            return self._reply(request, 200, self._info())
        if request.path == "/_cluster/health" and read:
            health = {"cluster_name": "fake", "status": "green", "timed_out": False, "number_of_nodes": 1}
            return self._reply(request, 200, health)
        kept = KEPT_THINGS.match(request.path)
        if kept:
            return self._kept_thing(request, kept["family"], kept["name"], body)
        index = INDEX.match(request.path)
        if index:
            return self._index(request, index["name"], index["verb"] or "", body)
        text = f"no handler found for uri [{request.path}] and method [{request.method}]"
        raise RequestError(400, "", text)

    def _info(self) -> dict[str, Any]:
        version: dict[str, Any] = {"number": NUMBERS[self._options.generation]}
        tagline = "You Know, for Search"
        if self._options.generation == "opensearch":
            version["distribution"] = "opensearch"
            tagline = "The OpenSearch Project: https://opensearch.org/"
        else:
            version["build_flavor"] = "default"
        return {
            "name": "fake",
            "cluster_name": "fake",
            "cluster_uuid": "fake",
            "version": version,
            "tagline": tagline,
        }

    def _kept_thing(self, request: Request, family: str, name: str, body: bytes) -> Reply:
        other = "_ilm/policy" if self._options.generation == "opensearch" else "_plugins/_ism/policies"
        if family == other:
            raise RequestError(400, "", f"no handler found for uri [{request.path}]")
        shelf = {"_index_template": self._indices.templates, "_component_template": self._indices.components}
        things = shelf.get(family, self._policies)
        if request.method in ("PUT", "POST"):
            thing = kept_thing(family, body)
            if family == "_index_template":
                check_parts(name, thing, self._indices.components, opensearch=other == "_ilm/policy")
            if family == "_plugins/_ism/policies":
                check_turn(request, things.get(name))
            things[name] = thing | {"seq_no": things.get(name, {}).get("seq_no", -1) + 1}
            return self._reply(request, 200, {"acknowledged": True})
        if name not in things:
            raise RequestError(404, "resource_not_found_exception", f"{family} matching [{name}] not found")
        if request.method == "DELETE":
            del things[name]
            return self._reply(request, 200, {"acknowledged": True})
        return self._reply(request, 200, shown_thing(family, name, things[name]))

    def _index(self, request: Request, name: str, verb: str, body: bytes) -> Reply:
        found = self._indices.found
        if request.method == "PUT" and not verb:
            if name in found:
                raise RequestError(400, "resource_already_exists_exception", f"index [{name}] already exists")
            properties = read_object(body or b"{}").get("mappings", {}).get("properties", {})
            self._indices.create(name, properties)
            return self._reply(request, 200, {"acknowledged": True, "index": name})
        if name not in found:
            raise RequestError(404, "index_not_found_exception", f"no such index [{name}]")
        if verb == "_rollover" and request.method == "POST":
            if not found[name].data_stream:
                raise RequestError(400, "illegal_argument_exception", f"[{name}] is not a data stream")
            old = found[name].backing
            found[name].generation += 1
            answer = {
                "acknowledged": True,
                "rolled_over": True,
                "old_index": old,
                "new_index": found[name].backing,
            }
            return self._reply(request, 200, answer)
        if verb == "_count" and self._ledger.keep is Keep.ALL:
            count = sum(row.native["_index"] == name for row in self._ledger.rows())
            return self._reply(request, 200, {"count": count})
        return self._reply(request, 200, {name: {}} if not verb else {"_shards": {"failed": 0}})

    def _reply(self, request: Request, status: int, value: Any) -> Reply:
        filter_path = request.query.get("filter_path", "")
        shown = filtered(value, filter_path) if filter_path else value
        return json_reply(status, shown, {"content-type": answer_type(request), **self._product})

    def _error(self, request: Request, status: int, kind: str, reason: str) -> Reply:
        error: Any = reason
        if kind:
            cause = {"type": kind, "reason": reason}
            error = {"root_cause": [cause], **cause}
        headers = {"content-type": answer_type(request), **self._product}
        if status == 401:
            headers["www-authenticate"] = 'Basic realm="security", charset="UTF-8"'
        return json_reply(status, {"error": error, "status": status}, headers)


FAKE = Fake(name="elasticsearch", options=ElasticsearchOptions, build=Elasticsearch, bad_bodies=BAD_BODIES)
