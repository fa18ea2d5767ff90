"""Notifier `teams`: Adaptive Cards to Microsoft Teams, through the webhook of a Power Automate workflow.

The workflow's address holds its signature and is a secret. The card's texts are runs without Markdown, so no label can
become a link; a digest alone is Markdown. The body is ASCII: what Teams counts of a card is more than its bytes.
Source: learn.microsoft.com, "Microsoft Teams" connector (messages of about 28 kB); github.com, issue 11274 of
MicrosoftDocs/msteams-docs (24,453 bytes sent were counted as 28,897 of 28,672) and issue 3920 of
prometheus/alertmanager (card version 1.4), read 2026-11; the answers of workflows and `x-ms-client-tracking-id` are
known, not looked up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from headgate.core.messages import Digest, Message, Notification
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.times import format_ms
from headgate.core.verdicts import Verdict, classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HttpNotifierConfig, SecretUrl, header_key, without_secrets
from headgate.notifiers._threads import WORDS, broken_text, entries_of, in_words, link_of, severity_of
from headgate.plugins.config import address_secrets, reveal

__all__ = ["PLUGINS", "TeamsConfig", "TeamsNotifier"]

# Of 28,672 that Teams counts; it counts up to a fifth more than the bytes that were sent.
_MOST_BYTES = 20_000
_TITLE_LIMIT = 300
_SUMMARY_LIMIT = 2_000
_LINE_LIMIT = 500
_LINK_LIMIT = 2_000
_LABELS = 20
_LABEL_LIMIT = 150
_COLORS = {"firing": "attention", "good": "good", "resolved": "good"}
# Connectors of Office 365, which workflows replace: they answer 200 whatever becomes of the message.
_RETIRED = ".webhook.office.com"
# Words of Power Automate for a workflow that somebody must switch on, whatever the status.
_SWITCHED_OFF = ("WorkflowTriggerIsNotEnabled", "WorkflowDisabled", "FlowSuspended")


class TeamsConfig(HttpNotifierConfig):
    """Configuration of a Teams notifier."""

    url: SecretUrl = Field(
        description="Address of the workflow's webhook trigger; it holds a signature and is a secret."
    )

    @field_validator("url")
    @classmethod
    def _a_workflow(cls, url: SecretUrl) -> SecretUrl:
        if f".{urlsplit(reveal(url)).hostname}".endswith(_RETIRED):
            raise ValueError("is a retired Office 365 connector; make a workflow with a webhook trigger instead")
        return url


Block = dict[str, Any]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _line(*runs: Block) -> Block:
    """Runs of text as they are: no Markdown is read in them."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _title(text: str, state: str) -> Block:
    run = {"text": _cut(text, _TITLE_LIMIT), "weight": "bolder", "size": "medium", "color": _COLORS[state]}
    return _line(run)


def _one(one: Notification) -> Iterator[Block]:
    """A title, the summary, labels, times."""
    severity = severity_of(one)
    yield _title(f"{WORDS[one.tone]}: {one.rule}" + (f" ({severity})" if severity else ""), one.tone)
    if summary := one.annotations.get("summary", ""):
        yield _line({"text": _cut(summary, _SUMMARY_LIMIT)})
    if broken := broken_text(one):
        yield _line({"text": _cut(broken, _SUMMARY_LIMIT), "isSubtle": True})
    labels = [item for item in one.labels.items() if item[0] != "severity"]
    for name, value in labels[:_LABELS]:
        yield _line({"text": f"{_cut(name, _LABEL_LIMIT)}: ", "weight": "bolder"}, {"text": _cut(value, _LABEL_LIMIT)})
    until = f", until {format_ms(one.ends_ms)}" if one.ends_ms is not None else ""
    foot = f"since {format_ms(one.starts_ms)}{until} · {_cut(one.reason, _LABEL_LIMIT)}"
    yield _line({"text": foot, "isSubtle": True, "size": "small"})


def _several(message: Message) -> Iterator[Block]:
    """A title that counts, and a line for each alert, those that fire first."""
    entries = entries_of(message)
    rules = sorted({one.rule for one in entries.values()})
    yield _title(f"{in_words(entries)}: {', '.join(rules)}", message.tone)
    for one in sorted(message.notifications, key=lambda one: one.tone):
        word = {"text": f"{WORDS[one.tone]} ", "weight": "bolder", "color": _COLORS[one.tone]}
        said = {"text": _cut(entries[one.fingerprint].text, _LINE_LIMIT)}
        link = link_of(one)
        action = {"selectAction": {"type": "Action.OpenUrl", "url": link}} if 0 < len(link) <= _LINK_LIMIT else {}
        yield _line(word, said | action)


def _report(digest: Digest) -> Iterator[Block]:
    yield _line({"text": _cut(digest.title or "Digest", _TITLE_LIMIT), "weight": "bolder", "size": "medium"})
    for part in digest.markdown.split("\n\n"):
        if part.strip():
            yield {"type": "TextBlock", "text": _cut(part, _SUMMARY_LIMIT), "wrap": True}


def _blocks(message: Message) -> Iterator[Block]:
    if message.digest is not None:
        return _report(message.digest)
    return _one(message.notifications[0]) if len(message.notifications) == 1 else _several(message)


def _card(message: Message) -> Block:
    """The card; blocks that do not fit are counted."""
    card: Block = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
    }
    links = {link for one in message.notifications if 0 < len(link := link_of(one)) <= _LINK_LIMIT}
    if len(links) == 1:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Details", "url": links.pop()}]
    blocks, left = list(_blocks(message)), _MOST_BYTES - len(json.dumps(card))
    body: list[Block] = []
    for index, block in enumerate(blocks):
        left -= len(json.dumps(block)) + 2
        if left < 0:
            body.append(_line({"text": f"and {len(blocks) - index} more", "isSubtle": True}))
            break
        body.append(block)
    return card | {"body": body}


class TeamsNotifier:
    """Posts one card a message."""

    grouped = True
    digests = True

    def __init__(self, name: str, config: TeamsConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:  # noqa: ARG002  # nothing is signed
        """The request with the card. The key names the workflow's run, so that a run can be found by it."""
        attachment = {
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": None,
            "content": _card(message),
        }
        body = json.dumps({"type": "message", "attachments": [attachment]}, separators=(",", ":")).encode()
        headers = (
            ("content-type", "application/json"),
            ("user-agent", self._user_agent),
            ("x-ms-client-tracking-id", header_key(message.key)),
        )
        return HttpRequest("POST", reveal(self._config.url), headers, body, timeout_seconds=self._config.timeout / 1000)

    def interpret(self, reply: HttpReply, message: Message) -> None:  # noqa: ARG002  # nothing can be edited
        """By the shared table; a workflow that is switched off waits for somebody, whatever its status."""
        words = reply.text()
        verdict = classify(reply.status)
        if verdict is not Verdict.OK and any(word in words for word in _SWITCHED_OFF):
            verdict = Verdict.CONFIG
        text = without_secrets(words, address_secrets(reveal(self._config.url)))
        wait = retry_after_seconds(reply.headers)
        raise_for(verdict, reply.status, text, retry_after=wait, fix=_FIX.get(verdict, ""))


_FIX = {
    Verdict.AUTH: "copy the workflow's address anew, and let anyone trigger it",
    Verdict.CONFIG: "check that the workflow is there and switched on, and copy its address anew",
}

PLUGINS = (Plugin("notifier", "teams", TeamsConfig, TeamsNotifier),)
