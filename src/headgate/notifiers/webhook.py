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

from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Notification, Plugin, TransportOptions
from headgate.core.times import format_ms
from headgate.core.verdicts import classify, raise_for, retry_after_seconds
from headgate.notifiers._config import (
    HttpNotifierConfig,
    SecretUrl,
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
    bearer_token: Secret | None = Field(default=None, description="Sent as Authorization: Bearer.")
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


def payload(receiver: str, notification: Notification) -> dict[str, Any]:
    """The body as plain data."""
    labels = {"alertname": notification.rule, **notification.labels}
    annotations = dict(notification.annotations)
    ends = format_ms(notification.ends_ms) if notification.ends_ms is not None else _NO_END
    return {
        "version": "4",
        "groupKey": f"{{}}:{{alertname={msgspec.json.encode(notification.rule).decode()}}}/{notification.fingerprint}",
        "truncatedAlerts": 0,
        "status": notification.state,
        "receiver": receiver,
        "groupLabels": {"alertname": notification.rule},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": annotations.get("link", ""),
        "alerts": [
            {
                "status": notification.state,
                "labels": labels,
                "annotations": annotations,
                "startsAt": format_ms(notification.starts_ms),
                "endsAt": ends,
                "generatorURL": annotations.get("link", ""),
                "fingerprint": notification.fingerprint,
            }
        ],
        "headgate": {
            "schema": 1,
            "key": notification.key,
            "rule": notification.rule,
            "reason": notification.reason,
            "at": format_ms(notification.at_ms),
            "numbers": dict(notification.numbers),
        },
    }


class WebhookNotifier:
    """Posts one notification a request."""

    def __init__(self, name: str, config: WebhookConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    def encode(self, notification: Notification, *, now_ms: int) -> HttpRequest:
        """The signed request; the body is the same on every attempt, the timestamp is that of the attempt."""
        body = msgspec.json.encode(payload(self.name, notification))
        headers = {
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "idempotency-key": notification.key,
            **{name: reveal(value) for name, value in self._config.headers.items()},
        }
        if self._config.bearer_token is not None:
            headers["authorization"] = f"Bearer {reveal(self._config.bearer_token)}"
        if self._config.secret is not None:
            headers |= _signature(reveal(self._config.secret), body, now_ms)
        return HttpRequest(
            "POST", reveal(self._config.url), tuple(headers.items()), body, timeout_seconds=self._config.timeout / 1000
        )

    def interpret(self, reply: HttpReply) -> None:
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
