"""A strict PagerDuty: `POST /v2/enqueue` of the Events API v2.

Source: github.com/PagerDuty/developer-docs, "Events API v2 Overview" and "Send an Alert Event", and the answers shown
on v2.developer.pagerduty.com, "Send an Event (Events API v2)", read 2026-11. Invariant: one row for each `dedup_key`
that was triggered, as it stands now, with how often it paged; what follows changes it, and nothing follows where none
is open. A trigger of an incident that is open pages nobody and does not undo an acknowledgement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from headgate.testing.sinks.bodies import media_type, same
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Reply, Request

KEY = "R0123456789ABCDEF0123456789ABCDE"
MAX_BYTES = 512 * 1024
MAX_SUMMARY = 1024
MAX_DEDUP_KEY = 255


class Payload(msgspec.Struct, forbid_unknown_fields=True):
    """What happened. `class_` is `class` on the wire."""

    summary: str
    source: str
    severity: Literal["critical", "error", "warning", "info"]
    timestamp: str | None = None
    component: str | None = None
    group: str | None = None
    class_: str | None = msgspec.field(name="class", default=None)
    custom_details: dict[str, Any] | str | None = None


class Link(msgspec.Struct, forbid_unknown_fields=True):
    """An address shown with the incident."""

    href: str
    text: str = ""


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """One event."""

    routing_key: str
    event_action: Literal["trigger", "acknowledge", "resolve"]
    dedup_key: str | None = None
    payload: Payload | None = None
    client: str | None = None
    client_url: str | None = None
    links: list[Link] = []
    images: list[dict[str, str]] = []


@dataclass(frozen=True, slots=True)
class PagerDutyOptions:
    """Options of the fake."""

    routing_key: str = field(default=KEY, metadata={"help": "the one good key"})


class PagerDuty(Vendor):
    """Judges events and folds them by `dedup_key`."""

    def __init__(self, options: PagerDutyOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        if (request.method, request.path) != ("POST", "/v2/enqueue"):
            return json_reply(404, {"status": "not found"})
        if len(request.body) > MAX_BYTES:
            return json_reply(413, {"status": "payload too large"})
        if media_type(request) != "application/json":
            return _invalid("Content-Type must be application/json")
        try:
            event = msgspec.json.decode(request.body, type=Event)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _invalid(str(error))
        wrong = self._wrong(event)
        if wrong:
            return _invalid(*wrong)
        return self._take(event)

    def _wrong(self, event: Event) -> list[str]:
        found = []
        if len(event.routing_key) != len(KEY):
            found.append("Length of 'routing_key' is incorrect (should be 32 characters)")
        elif not same(event.routing_key, self._options.routing_key):
            found.append("'routing_key' is invalid")
        if event.dedup_key is not None and not 1 <= len(event.dedup_key) <= MAX_DEDUP_KEY:
            found.append(f"'dedup_key' must be 1 to {MAX_DEDUP_KEY} characters")
        if event.event_action == "trigger":
            found += ["'payload' is missing or blank"] if event.payload is None else _wrong_payload(event.payload)
        elif event.dedup_key is None:
            found.append("'dedup_key' is missing or blank")
        if any(not link.href.startswith(("http://", "https://")) for link in event.links):
            found.append("'links' must have a valid href")
        return found

    def _take(self, event: Event) -> Reply:
        key = event.dedup_key or f"made-{self._ledger.stats.requests}"
        row = self._ledger.get(key)
        open_now = row is not None and row.native["status"] != "resolved"
        if event.event_action == "trigger":
            native = {
                "status": row.native["status"] if row and open_now else "triggered",
                "events": row.native["events"] + 1 if row and open_now else 1,
                "pages": (row.native["pages"] if row else 0) + (not open_now),
                **msgspec.to_builtins(event),
                "routing_key": "***",
            }
            self._ledger.replace(key, key, native)
        elif row and open_now:
            status = {"acknowledge": "acknowledged", "resolve": "resolved"}[event.event_action]
            self._ledger.replace(key, key, {**row.native, "status": status, "events": row.native["events"] + 1})
        return json_reply(202, {"status": "success", "message": "Event processed", "dedup_key": key})


def _wrong_payload(payload: Payload) -> list[str]:
    found = [f"'payload.{name}' is missing or blank" for name in ("summary", "source") if not getattr(payload, name)]
    if len(payload.summary) > MAX_SUMMARY:
        found.append(f"'payload.summary' is longer than {MAX_SUMMARY} characters")
    if payload.timestamp is not None:
        try:
            datetime.fromisoformat(payload.timestamp)
        except ValueError:
            found.append("'payload.timestamp' is not an ISO 8601 date")
    return found


def _invalid(*errors: str) -> Reply:
    return json_reply(400, {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)})


JSON = {"content-type": "application/json"}


def sample(**changes: Any) -> bytes:
    """A good event; keywords replace its keys, None removes one; `payload` is merged into the payload."""
    inner = {"summary": "slow", "source": "gh/acme/web", "severity": "warning", **changes.pop("payload", {})}
    payload = {name: value for name, value in inner.items() if value is not None}
    body = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "k", "payload": payload, **changes}
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})


def _bad(name: str, reason: str, body: bytes, status: int = 400) -> BadBody:
    return BadBody(name, status, body, reason, path="/v2/enqueue", headers=JSON)


BAD_BODIES = (
    _bad("not-json", "malformed", b"event"),
    _bad("short-key", "should be 32 characters", sample(routing_key="R0")),
    _bad("wrong-key", "'routing_key' is invalid", sample(routing_key="X" * 32)),
    _bad("no-key", "routing_key", sample(routing_key=None)),
    _bad("no-action", "event_action", sample(event_action=None)),
    _bad("unknown-action", "Invalid enum value", sample(event_action="close")),
    _bad("unknown-severity", "Invalid enum value", sample(payload={"severity": "high"})),
    _bad("no-summary", "summary", sample(payload={"summary": None})),
    _bad("blank-source", "'payload.source' is missing or blank", sample(payload={"source": ""})),
    _bad("summary-too-long", "longer than 1024", sample(payload={"summary": "x" * 1025})),
    _bad("dedup-key-too-long", "1 to 255", sample(dedup_key="x" * 256)),
    _bad("resolve-of-nothing", "'dedup_key' is missing", sample(event_action="resolve", dedup_key=None)),
    _bad("bad-time", "ISO 8601", sample(payload={"timestamp": "yesterday"})),
    _bad("script-link", "valid href", sample(links=[{"href": "javascript:alert(1)", "text": "x"}])),
    _bad("unknown-field", "unknown field", sample(labels={})),
    _bad("too-large", "too large", sample(payload={"custom_details": {"x": "x" * MAX_BYTES}}), 413),
)
FAKE = Fake(name="pagerduty", options=PagerDutyOptions, build=PagerDuty, bad_bodies=BAD_BODIES)
