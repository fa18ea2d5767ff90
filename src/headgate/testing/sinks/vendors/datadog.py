"""A strict Datadog: the intakes of metrics, distributions, logs, events, CI pipelines and DORA, and `validate`.

All families stand on one port under their real paths. Invariant: a request is taken whole or not at all; points outside
of their hour are answered with 202 and lost, as the real intake does. The last value of a name, its tags and a second
wins; values of a distribution add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from headgate.testing.sinks.bodies import OversizedBodyError, UnreadableBodyError, media_type, same, unpack
from headgate.testing.sinks.vendor import Fake, Vendor, json_reply
from headgate.testing.sinks.vendors import _datadog_checks as checks
from headgate.testing.sinks.vendors._datadog_bad import BAD_BODIES
from headgate.testing.sinks.vendors._datadog_checks import Wrong
from headgate.testing.sinks.wire import Reply, Request

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger

RECORD_TAG = "record_id:"
CUT_LOG_BYTES = 1_000_000
# A minute stands for the clocks' difference that every server bears.
_CLOCKS_MS = 60_000


@dataclass(frozen=True, slots=True)
class DatadogOptions:
    """Options of the fake; defaults are Datadog's own."""

    api_key: str | None = field(default=None, metadata={"help": "the one key that is right; else any"})
    metric_age_seconds: int = field(default=3_600, metadata={"help": "older points are lost; 0 takes any (historical)"})
    metric_ahead_seconds: int = field(default=600, metadata={"help": "later points are lost; 0 takes any"})
    max_age_seconds: int = field(default=64_800, metadata={"help": "older logs, events and CI are refused; 0: none"})
    max_records: int = field(default=1_000, metadata={"help": "logs or CI events of a request"})


@dataclass(frozen=True, slots=True)
class Intake:
    """How one path is fed. `encodings`: content codings. `packed`, `unpacked`: most bytes on the wire and after it."""

    judge: Callable[[Datadog, Any, int], dict[str, Any]]
    encodings: tuple[str, ...]
    packed: int
    unpacked: int
    media: tuple[str, ...] = ("application/json",)


class Datadog(Vendor):
    """Judges requests; the ledger has one row for each log, event, deployment and point."""

    def __init__(self, options: DatadogOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._turn = count()

    def clear(self) -> None:
        """Nothing is remembered beside the rows."""

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        refused = self._unauthorized(request)
        if refused:
            return refused
        if (request.method, request.path) == ("GET", "/api/v1/validate"):
            return json_reply(200, {"valid": True})
        intake = INTAKES.get(request.path)
        if intake is None:
            return _errors(404, "Not found")
        return self._take(request, intake)

    def _take(self, request: Request, intake: Intake) -> Reply:
        if request.method != "POST":
            return _errors(405, "Method not allowed")
        if media_type(request) not in intake.media:
            return _errors(415, f"Content-Type {media_type(request) or 'missing'} is not taken")
        try:
            return json_reply(202, intake.judge(self, self._body(request, intake), self._ledger.clock_ms()))
        except OversizedBodyError as error:
            return _errors(413, f"Payload too big: {error}")
        except (UnreadableBodyError, orjson.JSONDecodeError, Wrong) as error:
            return self._bad(request.path, str(error))

    def _unauthorized(self, request: Request) -> Reply | None:
        given = request.headers.get("dd-api-key", "")
        if not given:
            return _errors(401, "Unauthorized")
        wanted = self._options.api_key
        return _errors(403, "Forbidden") if wanted and not same(given, wanted) else None

    @staticmethod
    def _bad(path: str, words: str) -> Reply:
        if path.startswith("/api/v1") or path == "/api/v2/series":
            return _errors(400, words)
        return json_reply(400, {"errors": [{"status": "400", "title": "Bad Request", "detail": words}]})

    @staticmethod
    def _body(request: Request, intake: Intake) -> Any:
        coding = request.headers.get("content-encoding", "").lower()
        if coding not in ("", *intake.encodings):
            raise Wrong(f"Content-Encoding {coding} is not taken")
        if len(request.body) > intake.packed:
            raise OversizedBodyError(f"{len(request.body)} bytes on the wire, at most {intake.packed}")
        name = {"deflate": "zlib", "identity": ""}.get(coding, coding)
        return orjson.loads(unpack(request.body, name, intake.unpacked))

    def _fresh(self, seconds: int, now_ms: int) -> bool:
        options = self._options
        age = now_ms / 1000 - seconds
        too_old = bool(options.metric_age_seconds) and age > options.metric_age_seconds
        return not too_old and not (options.metric_ahead_seconds and -age > options.metric_ahead_seconds)

    def _check_age(self, at_ms: int, now_ms: int, ahead_ms: int, name: str) -> None:
        oldest = self._options.max_age_seconds * 1000
        if oldest and now_ms - at_ms > oldest:
            raise Wrong(f"{name} is more than {oldest // 3_600_000} hours old")
        if at_ms - now_ms > ahead_ms:
            raise Wrong(f"{name} is in the future")

    def series(self, body: Any, now_ms: int) -> dict[str, Any]:
        """Metrics v2."""
        found = [checks.series(one) for one in checks.listed(checks.mapping(body, "body").get("series"), "series")]
        for name, tags, kind, points in found:
            for at, value in points:
                if not self._fresh(at, now_ms):
                    continue
                key, native = (name, tags, at), {"metric": name, "tags": list(tags), "type": kind, "at": at}
                row = self._ledger.get(key)
                if row is not None and row.native.get("value") == value:
                    self._ledger.add(key, None, native)  # counted as a repeat
                else:
                    self._ledger.replace(key, None, {**native, "value": value})
        return {"errors": []}

    def distributions(self, body: Any, now_ms: int) -> dict[str, Any]:
        """Distribution points: every value counts, a resend counts again."""
        wanted = checks.listed(checks.mapping(body, "body").get("series"), "series")
        for name, tags, points in [checks.distribution(one) for one in wanted]:
            for at, values in points:
                for value in values if self._fresh(at, now_ms) else ():
                    native = {"metric": name, "tags": list(tags), "at": at, "value": value}
                    self._ledger.add(("distribution", next(self._turn)), None, native)
        return {"status": "ok"}

    def logs(self, body: Any, now_ms: int) -> dict[str, Any]:
        """Logs v2: an array or one object."""
        items = checks.listed(body if isinstance(body, list) else [body], "body")
        self._few(items, "logs")
        for item in items:
            checks.text(checks.mapping(item, "log").get("message"), "message")
            for name in ("ddsource", "ddtags", "hostname", "service"):
                if name in item:
                    checks.text(item[name], name)
            if "timestamp" in item:
                at_ms = checks.log_time(item["timestamp"])
                self._check_age(at_ms, now_ms, 12 * 3_600_000, "timestamp")
        for item in items:
            long = len(orjson.dumps(item)) > CUT_LOG_BYTES
            self._ledger.add(("log", next(self._turn)), item.get("record_id"), {**item, "cut": True} if long else item)
        return {}

    def ci(self, body: Any, now_ms: int) -> dict[str, Any]:
        """CI pipelines: the same id and times is one event, other times a second one, which makes the page wrong."""
        data = checks.mapping(body, "body").get("data")
        items = data if isinstance(data, list) else [data]
        self._few(checks.listed(items, "data"), "events")
        found = [checks.ci_resource(one) for one in items]
        for _, _, end_ms, _ in found:
            if end_ms is not None:
                self._check_age(end_ms, now_ms, _CLOCKS_MS, "end")
        for (level, key, _, resource), item in zip(found, items, strict=True):
            span = (level, key, resource["start"], resource.get("end"))
            self._ledger.add(span, _record_id(resource.get("tags", [])), item["attributes"])
        return {}

    def event(self, body: Any, now_ms: int) -> dict[str, Any]:
        """Events v1, one a request."""
        at, event = checks.v1_event(body)
        self._check_age(at * 1000, now_ms, 2 * 3_600_000, "date_happened")
        self._ledger.add(("event", next(self._turn)), _record_id(event.get("tags", [])), event)
        return {"status": "ok", "event": {"title": event["title"]}}

    def dora(self, body: Any, now_ms: int) -> dict[str, Any]:
        """DORA deployments: an id that is known is the deployment that is there."""
        del now_ms
        attributes = checks.dora(body)
        identity = attributes.get("id")
        self._ledger.add(("dora", identity or next(self._turn)), identity, attributes)
        return {"data": {"id": identity or "made", "type": "dora_deployment"}}

    def _few(self, items: list[Any], what: str) -> None:
        if len(items) > self._options.max_records:
            raise OversizedBodyError(f"{len(items)} {what}, at most {self._options.max_records}")


def _record_id(tags: list[str]) -> str | None:
    return next((one.removeprefix(RECORD_TAG) for one in tags if one.startswith(RECORD_TAG)), None)


def _errors(status: int, words: str) -> Reply:
    return json_reply(status, {"errors": [words]})


PACKED = ("gzip", "deflate")
INTAKES = {
    "/api/v2/series": Intake(Datadog.series, (*PACKED, "identity"), 512_000, 5_242_880),
    "/api/v1/distribution_points": Intake(
        Datadog.distributions, ("deflate",), 3_200_000, 62_914_560, ("application/json", "text/json")
    ),
    "/api/v2/logs": Intake(Datadog.logs, (*PACKED, "identity"), 5_000_000, 5_000_000),
    "/api/v2/ci/pipeline": Intake(Datadog.ci, (), 5_000_000, 5_000_000),
    "/api/v1/events": Intake(Datadog.event, (), 1_000_000, 1_000_000),
    "/api/v2/dora/deployment": Intake(Datadog.dora, (), 1_000_000, 1_000_000),
}
FAKE = Fake(name="datadog", options=DatadogOptions, build=Datadog, bad_bodies=BAD_BODIES)
