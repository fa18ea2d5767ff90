"""A strict New Relic: the four ingest APIs on one address, `/v1/accounts/<id>/events` and `/{log,metric,trace}/v1`.

Invariant: nothing is kept that New Relic would not show. It answers 2xx before it looks at the contents and drops what
is wrong; this fake refuses such a request with 400 and the reason, so that the mistake is seen where it was made, and
does as New Relic does with `--no-reject`. Nothing is folded: what is sent twice is kept twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from headgate.testing.sinks.bodies import (
    BodyRefusedError,
    OversizedBodyError,
    UnreadableBodyError,
    media_type,
    same,
    unpack,
)
from headgate.testing.sinks.vendor import Fake, Vendor, json_reply
from headgate.testing.sinks.vendors import _newrelic_rules as rules
from headgate.testing.sinks.vendors._newrelic_bad import BAD_BODIES

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Reply, Request

EVENTS = re.compile(r"/v1/accounts/(\d+)/events")
PATHS = {"/log/v1": "logs", "/metric/v1": "metrics", "/trace/v1": "spans"}
ENCODINGS = {"": "", "gzip": "gzip"}
EVENT_ENCODINGS = {**ENCODINGS, "deflate": "zlib"}


@dataclass(frozen=True, slots=True)
class NewRelicOptions:
    """Options of the fake."""

    key: str | None = field(default=None, metadata={"help": "the licence key; without it any is taken"})
    account: int = field(default=0, metadata={"help": "the account that the key belongs to; 0: any"})
    reject: bool = field(default=True, metadata={"help": "refuse what New Relic takes and drops later"})
    span_age_seconds: int = field(default=1_200, metadata={"help": "oldest start of a span of a new trace; 0: any"})
    max_packed_bytes: int = field(default=1_000_000, metadata={"help": "request as sent"})
    max_unpacked_bytes: int = field(default=10_000_000, metadata={"help": "request after unpacking"})


class NewRelic(Vendor):
    """Judges POST requests; state is when each trace was last seen, and what was dropped."""

    def __init__(self, options: NewRelicOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._traces: dict[str, int] = {}

    def clear(self) -> None:
        """Forget all traces."""
        self._traces.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        try:
            api = self._api(request)
            items = self._items(request, api)
            faults = [self._fault(api, item) for item in items]
            self._refuse(faults)
        except BodyRefusedError as refused:
            return refused.reply
        number = self._ledger.stats.requests
        for index, (item, fault) in enumerate(zip(items, faults, strict=True)):
            if fault is None:
                self._keep(api, item, (number, index))
        receipt = str(UUID(int=number))
        if api == "events":
            return json_reply(200, {"success": True, "uuid": receipt})
        return json_reply(202, {"requestId": receipt})

    def _api(self, request: Request) -> str:
        """Which API is meant; the method, the key and the account are right."""
        options = self._options
        events = EVENTS.fullmatch(request.path)
        api = "events" if events else PATHS.get(request.path)
        if api is None:
            raise BodyRefusedError(json_reply(404, {"error": f"no API at {request.path}"}))
        if request.method != "POST":
            raise BodyRefusedError(json_reply(405, {"error": f"method {request.method} is not supported"}))
        key = request.headers.get("api-key", "")
        if not key or (options.key is not None and not same(key, options.key)):
            raise BodyRefusedError(json_reply(403, {}))
        if events and options.account and int(events[1]) != options.account:
            raise BodyRefusedError(json_reply(403, {}))
        if api == "spans" and request.headers.get("data-format", "newrelic") != "newrelic":
            raise _refused(400, "only the newrelic data format is read")
        return api

    def _items(self, request: Request, api: str) -> list[dict[str, Any]]:
        value = self._json(request, api)
        if not isinstance(value, list):
            raise _refused(400, "the body is not an array")
        if api == "events":
            return _objects(value, "event")
        items: list[dict[str, Any]] = []
        for group in _objects(value, "group"):
            common = group.get("common", {})
            if not isinstance(common, dict) or not isinstance(common.get("attributes", {}), dict):
                raise _refused(400, "common is not an object with attributes")
            if not isinstance(group.get(api), list):
                raise _refused(400, f"a group has no list of {api}")
            items += [_with_common(item, common) for item in _objects(group[api], api[:-1])]
        return items

    def _json(self, request: Request, api: str) -> Any:
        if media_type(request) != "application/json":
            raise _refused(415, f"content type {media_type(request) or 'missing'} is not application/json")
        encodings = EVENT_ENCODINGS if api == "events" else ENCODINGS
        encoding = encodings.get(request.headers.get("content-encoding", ""))
        if encoding is None:
            raise _refused(415, f"content encoding {request.headers['content-encoding']} is not taken")
        if len(request.body) > self._options.max_packed_bytes:
            raise _refused(413, f"{len(request.body)} bytes, limit {self._options.max_packed_bytes}")
        try:
            return orjson.loads(unpack(request.body, encoding, self._options.max_unpacked_bytes))
        except UnreadableBodyError as error:
            raise _refused(400, f"not {encoding}: {error}") from error
        except OversizedBodyError as error:
            raise _refused(413, str(error)) from error
        except orjson.JSONDecodeError as error:
            raise _refused(400, f"not JSON: {error}") from error

    def _fault(self, api: str, item: dict[str, Any]) -> str | None:
        now_ms = self._ledger.clock_ms()
        if api == "spans":
            return rules.span(item) or self._span_age(item, now_ms)
        return {"events": rules.event, "logs": rules.log, "metrics": rules.metric}[api](item, now_ms)

    def _span_age(self, item: dict[str, Any], now_ms: int) -> str | None:
        """Judge a span's start by the clock, or by when its trace was last seen."""
        oldest_ms = self._options.span_age_seconds * 1000
        seen_ms = self._traces.get(item["trace.id"])
        if not oldest_ms or (seen_ms is not None and now_ms - seen_ms <= oldest_ms):
            oldest_ms = now_ms
        return rules.Window(oldest_ms, rules.MINUTE_MS).refuses(item.get("timestamp", now_ms), now_ms)

    def _refuse(self, faults: list[str | None]) -> None:
        """Refuse the request for its first bad item, unless New Relic's own way is wanted."""
        if self._options.reject:
            for index, fault in enumerate(faults):
                if fault is not None:
                    raise _refused(400, f"item {index}: {fault}")

    def _keep(self, api: str, item: dict[str, Any], key: tuple[int, int]) -> None:
        if api == "spans":
            self._traces[item["trace.id"]] = self._ledger.clock_ms()
        self._ledger.add(key, _record_id(api, item), {"api": api, **item})


def _record_id(api: str, item: dict[str, Any]) -> str | None:
    found = item if api == "events" else item.get("attributes", {})
    record_id = found.get("record.id" if api == "spans" else "id")
    return record_id if isinstance(record_id, str) else None


def _with_common(item: dict[str, Any], common: dict[str, Any]) -> dict[str, Any]:
    """Add what holds for the whole group; the item's own words win."""
    own = item.get("attributes", {})
    if not isinstance(own, dict):
        return item
    return {**common, **item, "attributes": {**common.get("attributes", {}), **own}}


def _objects(values: list[Any], what: str) -> list[dict[str, Any]]:
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise _refused(400, f"{what} {index} is not an object")
    return values


def _refused(status: int, text: str) -> BodyRefusedError:
    return BodyRefusedError(json_reply(status, {"error": text}))


FAKE = Fake(name="newrelic", options=NewRelicOptions, build=NewRelic, bad_bodies=BAD_BODIES)
