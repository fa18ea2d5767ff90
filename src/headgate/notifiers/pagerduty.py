"""Notifier `pagerduty`: one event of PagerDuty's Events API v2 for each alert.

PagerDuty folds events by `dedup_key`, which is the alert's fingerprint: a repeat or a retry changes the incident that
is open, an acknowledgement is passed on, the end resolves it. Source: github.com/PagerDuty/developer-docs, "Events API
v2 Overview" (answers, 512 kB) and "Send an Alert Event" (fields, lengths, de-duplication), read 2026-11; the EU's
address is known, not looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from pydantic import Field

from headgate.core.messages import ACKNOWLEDGED, Message, Notification
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.times import format_ms
from headgate.core.verdicts import Verdict, classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HttpNotifierConfig, HttpUrl, without_secrets
from headgate.notifiers._threads import link_of, severity_of
from headgate.plugins.config import Secret, reveal

__all__ = ["PLUGINS", "PagerDutyConfig", "PagerDutyNotifier"]

_SUMMARY_LIMIT = 1024
_TEXT_LIMIT = 255
_LINK_LIMIT = 2000
# Of 512 kB; the rest of an event is below 10 kB.
_DETAILS_LIMIT_BYTES = 480_000
_SEVERITIES = {"critical": "critical", "page": "critical", "high": "error", "error": "error", "warning": "warning"}
_QUIET = ("info", "low", "none")


class PagerDutyConfig(HttpNotifierConfig):
    """Configuration of a PagerDuty notifier."""

    routing_key: Secret = Field(description="Integration key of an Events API v2 integration; 32 characters.")
    url: HttpUrl = Field(
        default="https://events.pagerduty.com",
        description="Base address; https://events.eu.pagerduty.com for accounts in the EU.",
    )


def _severity(notification: Notification) -> str:
    word = severity_of(notification).lower()
    return "info" if word in _QUIET else _SEVERITIES.get(word, "warning")


def _summary(notification: Notification) -> str:
    said = notification.annotations.get("summary", "")
    return (f"{notification.rule}: {said}" if said else notification.rule)[:_SUMMARY_LIMIT]


def _details(one: Notification, key: str) -> dict[str, Any]:
    """All that is known, as far as it fits; the key and the reason always do."""
    details: dict[str, Any] = {"key": key, "reason": one.reason, "numbers": dict(one.numbers)}
    parts = (("labels", one.labels), ("annotations", one.annotations))
    return details | {name: dict(part) for name, part in parts if len(msgspec.json.encode(part)) < _most(parts)}


def _most(parts: tuple[tuple[str, Mapping[str, str]], ...]) -> int:
    return _DETAILS_LIMIT_BYTES // len(parts)


def _action(one: Notification) -> str:
    """What the event does to the incident. An acknowledgement and good news never trigger, so neither can page."""
    if one.tone != "firing":
        return "resolve"
    return "acknowledge" if one.reason == ACKNOWLEDGED else "trigger"


def event(routing_key: str, message: Message) -> dict[str, Any]:
    """The event of a message's one alert."""
    (one,) = message.notifications
    link = link_of(one)
    found: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": _action(one),
        "dedup_key": one.fingerprint[:_TEXT_LIMIT],
        "client": "Headgate",
        "payload": {
            "summary": _summary(one),
            "source": (one.labels.get("project") or "headgate")[:_TEXT_LIMIT],
            "severity": _severity(one),
            "timestamp": format_ms(one.starts_ms),
            "class": one.rule[:_TEXT_LIMIT],
            "custom_details": _details(one, message.key),
        },
    }
    for field, label in (("component", "workflow"), ("group", "team")):
        if value := one.labels.get(label):
            found["payload"][field] = value[:_TEXT_LIMIT]
    if link and len(link) <= _LINK_LIMIT:
        found |= {"client_url": link, "links": [{"href": link, "text": "Details"}]}
    return found


class PagerDutyNotifier:
    """Sends one event an alert; a group is one incident each."""

    grouped = False
    digests = False
    acknowledges: Literal[True] = True

    def __init__(self, name: str, config: PagerDutyConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:  # noqa: ARG002  # nothing is signed
        """The request with the event."""
        headers = (("content-type", "application/json"), ("user-agent", self._user_agent))
        body = msgspec.json.encode(event(reveal(self._config.routing_key), message))
        url = f"{self._config.url.rstrip('/')}/v2/enqueue"
        return HttpRequest("POST", url, headers, body, timeout_seconds=self._config.timeout / 1000)

    def interpret(self, reply: HttpReply, message: Message) -> None:  # noqa: ARG002  # PagerDuty remembers
        """By the shared table; a 400 about the routing key is a question of rights."""
        verdict = classify(reply.status)
        words = reply.text()
        if reply.status == 400 and "routing_key" in words:
            verdict = Verdict.AUTH
        text = without_secrets(words, (reveal(self._config.routing_key),))
        wait = retry_after_seconds(reply.headers)
        raise_for(verdict, reply.status, text, retry_after=wait, fix=_FIX.get(verdict, ""))


_FIX = {Verdict.AUTH: "check the routing key: it is that of an Events API v2 integration"}

PLUGINS = (Plugin("notifier", "pagerduty", PagerDutyConfig, PagerDutyNotifier),)
