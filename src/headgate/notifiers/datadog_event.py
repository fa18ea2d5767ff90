"""Notifier `datadog_event`: an event in Datadog's event stream for each message.

Events go to v1, which asks for the API key alone; Datadog folds those of one alert or group by `aggregation_key`. The
sink `datadog` sends alerts too, as the records that they are; this is for an organisation that gets nothing else.
Limits: docs.datadoghq.com "Events" API, read November 2026 (as in the sink).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import Field, field_validator

from headgate.core.messages import Digest, Message, Notification
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.verdicts import classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HeaderSecret, HttpNotifierConfig, HttpUrl, without_secrets
from headgate.notifiers._threads import WORDS, broken_text, entries_of, in_words, link_of, severity_of
from headgate.plugins.config import reveal
from headgate.plugins.datadog import Site, cut, tag, tags_of

__all__ = ["PLUGINS", "DatadogEventConfig", "DatadogEventNotifier"]

_MOST_TITLE, _MOST_TEXT, _MOST_KEY, _MOST_TAGS = 500, 4_000, 100, 100
_LINE_LIMIT = 400
_ALERT_TYPES = {"critical": "error", "error": "error", "high": "error", "info": "info"}


class DatadogEventConfig(HttpNotifierConfig):
    """Configuration of a Datadog event notifier."""

    api_key: HeaderSecret = Field(description="API key; an application key is not needed.")
    site: Site = Field(default="datadoghq.com", description="Datadog site, as in the address of your Datadog.")
    url: HttpUrl | None = Field(default=None, description="Base address of the API instead of the site's own.")
    tags: tuple[str, ...] = Field(default=(), description="Tags of every event, `key:value`.")

    @field_validator("tags")
    @classmethod
    def _pairs(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for one in tags:
            name, colon, value = one.partition(":")
            if not (colon and value and tag(name, value)):
                raise ValueError(f"tag {one!r} is not of the form key:value")
        return tags


def _alert_type(message: Message) -> str:
    """The gravest of what fires; success when all of it is over, or good news."""
    found = {
        _ALERT_TYPES.get(severity_of(one).lower(), "warning") for one in message.notifications if one.tone == "firing"
    }
    return next((kind for kind in ("error", "warning", "info") if kind in found), "success")


def _title(message: Message) -> str:
    if len(message.notifications) == 1:
        (one,) = message.notifications
        return f"{one.rule} is {WORDS[one.tone].lower()}"
    entries = entries_of(message)
    return f"{in_words(entries)}: {', '.join(sorted({one.rule for one in entries.values()}))}"


def _line(one: Notification) -> str:
    said = one.annotations.get("summary", "") or one.rule
    numbers = [f"{name}: {value:g}" for name, value in one.numbers.items()]
    parts = (
        WORDS[one.tone].lower(),
        cut(said, _LINE_LIMIT),
        broken_text(one),
        ", ".join(numbers),
        f"reason: {one.reason}",
        link_of(one),
    )
    return " · ".join(part for part in parts if part)


def _tags(message: Message) -> list[str]:
    """Labels that all alerts of the message share, and what the message is."""
    first = message.notifications[0]
    shared = [
        item
        for item in first.labels.items()
        if all(one.labels.get(item[0]) == item[1] for one in message.notifications)
    ]
    rule = [("rule", first.rule)] if all(one.rule == first.rule for one in message.notifications) else []
    return tags_of([("kind", "alert"), *rule, ("state", message.state), *shared])


def _digest(digest: Digest) -> dict[str, Any]:
    room = _MOST_TEXT - len("%%% \n\n %%%")
    return {
        "title": cut(digest.title or "Digest", _MOST_TITLE),
        "text": f"%%% \n{cut(digest.markdown or digest.title, room)}\n %%%",
        "date_happened": digest.until_ms // 1000,
        "alert_type": "info",
        "aggregation_key": cut(digest.key, _MOST_KEY),
        "tags": tags_of([("kind", "digest")]),
    }


def _alerts(message: Message) -> dict[str, Any]:
    about: Mapping[str, str] | str = dict(sorted(message.group.items())) or message.notifications[0].fingerprint
    key = about if isinstance(about, str) else hashlib.sha256(msgspec.json.encode(about)).hexdigest()
    ordered = sorted(message.notifications, key=lambda one: one.tone)
    return {
        "title": cut(_title(message), _MOST_TITLE),
        "text": cut("\n".join(map(_line, ordered)), _MOST_TEXT),
        "date_happened": max(one.at_ms for one in message.notifications) // 1000,
        "alert_type": _alert_type(message),
        "aggregation_key": cut(key, _MOST_KEY),
        "tags": _tags(message),
    }


class DatadogEventNotifier:
    """Posts one event a message."""

    grouped = True
    digests = True

    def __init__(self, name: str, config: DatadogEventConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._base = (config.url or f"https://api.{config.site}").rstrip("/")
        self._user_agent = context.user_agent

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:  # noqa: ARG002  # nothing is signed
        """The request with the event."""
        event = _alerts(message) if message.digest is None else _digest(message.digest)
        more = [tag(*one.split(":", 1)) for one in self._config.tags]
        tags = [f"message_key:{message.key}", *more, *event["tags"]]
        event |= {
            "priority": "normal",
            "source_type_name": "circleci",
            "tags": list(dict.fromkeys(tags))[:_MOST_TAGS],
        }
        return self._request("POST", "/api/v1/events", msgspec.json.encode(event))

    def probe(self) -> HttpRequest:
        """`validate` says whether the key is good."""
        return self._request("GET", "/api/v1/validate", b"")

    def interpret(self, reply: HttpReply, message: Message) -> None:  # noqa: ARG002  # Datadog folds by key
        """By the shared table."""
        self.read_probe(reply)

    def read_probe(self, reply: HttpReply) -> None:
        """The same statuses for both."""
        text = without_secrets(reply.text(), (reveal(self._config.api_key),))
        wait = retry_after_seconds(reply.headers)
        raise_for(classify(reply.status), reply.status, text, retry_after=wait, fix="check api_key and site")

    def _request(self, method: str, path: str, body: bytes) -> HttpRequest:
        headers = (
            ("content-type", "application/json"),
            ("dd-api-key", reveal(self._config.api_key)),
            ("user-agent", self._user_agent),
        )
        return HttpRequest(method, f"{self._base}{path}", headers, body, timeout_seconds=self._config.timeout / 1000)


PLUGINS = (Plugin("notifier", "datadog_event", DatadogEventConfig, DatadogEventNotifier),)
