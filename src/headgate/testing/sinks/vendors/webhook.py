"""A strict receiver of alert notifications in Alertmanager's webhook form, version 4.

Shape: prometheus.io, "Alerting configuration", `<webhook_config>` (general knowledge,
not re-read); keys beyond it are
allowed. Invariant: one row per notification; a repeated idempotency key is a counted duplicate, answered
200 like the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headgate.testing.sinks.bodies import BodyRefusedError, media_type, signature
from headgate.testing.sinks.vendor import BadBody, Fake, Vendor, json_reply
from headgate.testing.sinks.vendors._signed import (
    IDEMPOTENCY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    check_signature,
    check_timestamp,
    plain_body,
    refuse,
)

if TYPE_CHECKING:
    from headgate.testing.sinks.ledger import Ledger
    from headgate.testing.sinks.wire import Reply, Request


class Alert(msgspec.Struct, rename="camel"):
    """One alert of a notification."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    fingerprint: str
    generator_url: str = msgspec.field(name="generatorURL")


class Notification(msgspec.Struct, rename="camel"):
    """The body of a notification."""

    version: str
    group_key: str
    truncated_alerts: int
    status: str
    receiver: str
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    alerts: list[Alert]
    external_url: str = msgspec.field(name="externalURL")


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """Options of the fake."""

    hmac_secret: str | None = field(default=None, metadata={"help": "require signature and timestamp"})
    signature_header: str = field(default=SIGNATURE_HEADER, metadata={"help": "holds v1=<hex HMAC-SHA256>"})
    timestamp_header: str = field(default=TIMESTAMP_HEADER, metadata={"help": "holds Unix seconds"})
    idempotency_header: str = field(default=IDEMPOTENCY_HEADER, metadata={"help": "recorded, folds repeats"})
    tolerance_seconds: int = field(default=300, metadata={"help": "how far the timestamp may be from now"})
    max_body_bytes: int = field(default=4 << 20, metadata={"help": "after unpacking"})


class WebhookReceiver(Vendor):
    """Judges POST requests to any path."""

    def __init__(self, options: WebhookOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger

    def handle(self, request: Request) -> Reply:
        """Answer one request: 200 `{"status": "ok"}`, or `{"error": …}`."""
        options = self._options
        try:
            if request.method != "POST":
                raise refuse(405, f"method {request.method} is not supported")
            if options.hmac_secret:
                now_ms = self._ledger.clock_ms()
                check_timestamp(request, options.timestamp_header, now_ms, options.tolerance_seconds)
                check_signature(request, options.hmac_secret, options.signature_header, options.timestamp_header)
            if media_type(request) != "application/json":
                raise refuse(415, "content type must be application/json")
            data = plain_body(request, options.max_body_bytes)
            fingerprints = [] if _is_digest(data) else [alert.fingerprint for alert in _notification(data).alerts]
        except BodyRefusedError as refused:
            return refused.reply
        self._keep(request, fingerprints, data)
        return json_reply(200, {"status": "ok"})

    def _keep(self, request: Request, fingerprints: list[str], data: bytes) -> None:
        key = request.headers.get(self._options.idempotency_header.lower())
        identity = key or f"request-{self._ledger.stats.requests}"
        native: dict[str, Any] = {
            "path": request.path,
            "idempotency_key": key,
            "fingerprints": fingerprints,
            "body": msgspec.json.decode(data),
        }
        self._ledger.add(identity, identity, native)


class _Digest(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    since: str
    until: str
    markdown: str
    html: str
    data: dict[str, Any]


class _Own(msgspec.Struct, forbid_unknown_fields=True):
    schema: int
    key: str
    digest: _Digest


class _Report(msgspec.Struct, forbid_unknown_fields=True):
    receiver: str
    headgate: _Own


def _is_digest(data: bytes) -> bool:
    """Whether it is a report, which has a body of its own and no alerts."""
    try:
        msgspec.json.decode(data, type=_Report)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _notification(data: bytes) -> Notification:
    try:
        found = msgspec.json.decode(data, type=Notification)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse(400, f"not a notification: {error}") from error
    if found.version != "4":
        raise refuse(400, f"version must be 4, not {found.version}")
    if not found.group_key or not found.alerts:
        raise refuse(400, "a notification needs a groupKey and alerts")
    for alert in found.alerts:
        _check_alert(alert)
    wanted = "firing" if any(alert.status == "firing" for alert in found.alerts) else "resolved"
    if found.status != wanted:
        raise refuse(400, f"status must be {wanted}, as its alerts are")
    _check_common(found)
    return found


def _check_alert(alert: Alert) -> None:
    if alert.status not in ("firing", "resolved"):
        raise refuse(400, f"alert status {alert.status} is not known")
    if not alert.labels.get("alertname") or not alert.fingerprint:
        raise refuse(400, "an alert needs the label alertname and a fingerprint")
    start, end = _time(alert.starts_at), _time(alert.ends_at)
    if alert.status == "resolved" and end < start:
        raise refuse(400, "a resolved alert ends after its start")


def _check_common(found: Notification) -> None:
    for name, value in found.common_labels.items():
        if any(alert.labels.get(name) != value for alert in found.alerts):
            raise refuse(400, f"common label {name} is not on every alert")


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise refuse(400, f"{text!r} is not an RFC 3339 time") from error
    if time.tzinfo is None:
        raise refuse(400, f"{text!r} has no offset")
    return time


NOW_S = 1_795_168_800  # the clock of the signed bodies below


def sample(**changes: Any) -> bytes:
    """Return a good notification of one firing alert.

    Keywords replace its keys, None removes one; `alert` is merged into the alert.
    """
    alert = {
        "status": "firing",
        "labels": {"alertname": "success_rate", "project": "gh/acme/web"},
        "annotations": {"summary": "too many failures"},
        "startsAt": "2026-11-20T10:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://localhost/",
        "fingerprint": "c0ffee",
        **changes.pop("alert", {}),
    }
    body = {
        "version": "4",
        "groupKey": "{}:{alertname='success_rate'}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "ops",
        "groupLabels": {"alertname": "success_rate"},
        "commonLabels": {"alertname": "success_rate"},
        "commonAnnotations": {},
        "externalURL": "http://localhost/",
        "alerts": [alert],
        **changes,
    }
    return msgspec.json.encode({name: value for name, value in body.items() if value is not None})


JSON = {"content-type": "application/json"}
SIGNED = {"hmac_secret": "s3cret", "clock_ms": lambda: NOW_S * 1000}


def _bad(name: str, body: bytes, reason: str) -> BadBody:
    return BadBody(name, 400, body, reason, headers=JSON)


def _bad_signed(name: str, reason: str, timestamp: str, signed: str) -> BadBody:
    headers = {**JSON, TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: signed}
    return BadBody(name, 401, sample(), reason, headers=headers, options=SIGNED)


OLD = str(NOW_S - 301)
BAD_BODIES = (
    _bad("not-json", b"alert", "not a notification"),
    _bad("cut-json", sample()[:-1], "not a notification"),
    _bad("no-group-key", sample(groupKey=None), "groupKey"),
    _bad("version-3", sample(version="3"), "version must be 4"),
    _bad("no-alerts", sample(alerts=[]), "needs a groupKey and alerts"),
    _bad("status-of-no-alert", sample(status="resolved"), "status must be firing"),
    _bad("number-in-label", sample(alert={"labels": {"alertname": "x", "n": 1}}), "Expected `str`"),
    _bad("no-alertname", sample(alert={"labels": {"project": "x"}}), "alertname"),
    _bad("time-without-offset", sample(alert={"startsAt": "2026-11-20T10:00:00"}), "no offset"),
    _bad("unknown-alert-status", sample(alert={"status": "pending"}), "is not known"),
    _bad("false-common-label", sample(commonLabels={"project": "other"}), "common label"),
    BadBody("wrong-content-type", 415, sample(), "application/json", headers={"content-type": "text/json"}),
    _bad_signed("stale-timestamp", "s away", OLD, signature("s3cret", sample(), OLD)),
    _bad_signed("wrong-secret", "wrong signature", str(NOW_S), signature("other", sample(), str(NOW_S))),
    _bad_signed("unsigned-timestamp", "wrong signature", str(NOW_S), signature("s3cret", sample())),
)
FAKE = Fake(name="webhook", options=WebhookOptions, build=WebhookReceiver, bad_bodies=BAD_BODIES)
