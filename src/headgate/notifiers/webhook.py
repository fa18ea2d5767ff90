"""Notifier `webhook`: the body that Alertmanager's webhooks have (version 4), and ours beside it under `headgate`.

Signed on request: `X-Headgate-Signature: v1=<hex HMAC-SHA256 of "<timestamp>.<body>">` with the Unix seconds in
`X-Headgate-Timestamp`. `Idempotency-Key` is the same on every retry of one transition. Source of the shape:
prometheus.io, "Alerting configuration", `<webhook_config>`, read 2026-11.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
from pydantic import Field, field_validator

from headgate.core.messages import Digest, Message, Notification
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.times import format_ms
from headgate.core.verdicts import classify, raise_for, retry_after_seconds
from headgate.notifiers._config import (
    HeaderSecret,
    HttpNotifierConfig,
    SecretUrl,
    header_key,
    header_problem,
    without_secrets,
)
from headgate.plugins.config import Secret, address_secrets, reveal

__all__ = ["PLUGINS", "WebhookConfig", "WebhookNotifier", "payload"]

# What Alertmanager sends while an alert has no end: Go's zero time.
_NO_END = "0001-01-01T00:00:00Z"
_OWN_HEADERS = frozenset(
    {"content-type", "content-length", "host", "idempotency-key", "x-headgate-signature", "x-headgate-timestamp"}
)


class WebhookConfig(HttpNotifierConfig):
    """Configuration of a webhook notifier."""

    url: SecretUrl = Field(description="Where notifications are posted to; path and query are treated as secret.")
    secret: Secret | None = Field(default=None, description="Key of the HMAC signature; without it nothing is signed.")
    bearer_token: HeaderSecret | None = Field(default=None, description="Sent as Authorization: Bearer.")
    headers: dict[str, Secret] = Field(default={}, description="More headers; values are treated as secrets.")

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            problem = header_problem(name, reveal(value))
            if problem is None and name.lower() in _OWN_HEADERS:
                problem = f"{name} is set by Headgate"
            if problem:
                raise ValueError(problem)
        return headers


def payload(receiver: str, message: Message) -> dict[str, Any]:
    """The body of a message about alerts as plain data."""
    alerts = [_alert(one) for one in message.notifications]
    group = dict(message.group) or {"alertname": message.notifications[0].rule}
    name = ",".join(f"{label}={msgspec.json.encode(value).decode()}" for label, value in sorted(group.items()))
    alone = "" if message.group else f"/{message.notifications[0].fingerprint}"
    annotations = _common([alert["annotations"] for alert in alerts])
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{name}}}{alone}",
        "truncatedAlerts": 0,
        "status": message.state,
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": annotations,
        "externalURL": annotations.get("link", ""),
        "alerts": alerts,
        "headgate": {"schema": 2, "key": message.key, "alerts": [_ours(one) for one in message.notifications]},
    }


def _common(given: list[dict[str, str]]) -> dict[str, str]:
    """What all of them say alike."""
    return {name: value for name, value in given[0].items() if all(one.get(name) == value for one in given)}


def _alert(one: Notification) -> dict[str, Any]:
    return {
        "status": one.state,
        "labels": {"alertname": one.rule, **one.labels},
        "annotations": dict(one.annotations),
        "startsAt": format_ms(one.starts_ms),
        "endsAt": format_ms(one.ends_ms) if one.ends_ms is not None else _NO_END,
        "generatorURL": one.annotations.get("link", ""),
        "fingerprint": one.fingerprint,
    }


def _ours(one: Notification) -> dict[str, Any]:
    return {
        "key": one.key,
        "fingerprint": one.fingerprint,
        "rule": one.rule,
        "reason": one.reason,
        "at": format_ms(one.at_ms),
        "numbers": dict(one.numbers),
        "good_news": one.good,
    }


def _digest(receiver: str, digest: Digest) -> dict[str, Any]:
    """A report, in a body of its own: receivers of alerts would not know what to do with one that has none."""
    return {
        "receiver": receiver,
        "headgate": {
            "schema": 2,
            "key": digest.key,
            "digest": {
                "title": digest.title,
                "since": format_ms(digest.since_ms),
                "until": format_ms(digest.until_ms),
                "markdown": digest.markdown,
                "html": digest.html,
                "data": dict(digest.data),
            },
        },
    }


class WebhookNotifier:
    """Posts one message a request."""

    grouped = True
    digests = True

    def __init__(self, name: str, config: WebhookConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:
        """The signed request; the body is the same on every attempt, the timestamp is that of the attempt."""
        digest = message.digest
        shape = payload(self.name, message) if digest is None else _digest(self.name, digest)
        body = msgspec.json.encode(shape)
        headers = {
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "idempotency-key": header_key(message.key),
            **{name: reveal(value) for name, value in self._config.headers.items()},
        }
        if self._config.bearer_token is not None:
            headers["authorization"] = f"Bearer {reveal(self._config.bearer_token)}"
        if self._config.secret is not None:
            headers |= _signature(reveal(self._config.secret), body, now_ms)
        return HttpRequest(
            "POST", reveal(self._config.url), tuple(headers.items()), body, timeout_seconds=self._config.timeout / 1000
        )

    def interpret(self, reply: HttpReply, message: Message) -> None:  # noqa: ARG002  # nothing is remembered
        """By the shared table; every 2xx of it is accepted."""
        given = (self._config.secret, self._config.bearer_token, *self._config.headers.values())
        secrets = (*address_secrets(reveal(self._config.url)), *map(reveal, given))
        text = without_secrets(reply.text(), secrets)
        raise_for(classify(reply.status), reply.status, text, retry_after=retry_after_seconds(reply.headers))


def _signature(secret: str, body: bytes, now_ms: int) -> dict[str, str]:
    timestamp = str(now_ms // 1000)
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"x-headgate-timestamp": timestamp, "x-headgate-signature": f"v1={digest}"}


PLUGINS = (Plugin("notifier", "webhook", WebhookConfig, WebhookNotifier),)
