"""Notifier `slack`: chat.postMessage with a bot token, or an incoming webhook.

Slack answers API errors with status 200 and `{"ok": false, "error": "..."}`; the tables below say what each means.
Source: docs.slack.dev, "chat.postMessage", "Sending messages using incoming webhooks", "Rate limits", "Formatting
message text", read 2026-11. `shown` builds what is shown, `_request` says where it goes: an edit of an earlier
message differs in the second alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec
from pydantic import Field, model_validator

from headgate.core.messages import Message, Notification
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.times import format_ms
from headgate.core.verdicts import Verdict, classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HttpNotifierConfig, HttpUrl, without_secrets
from headgate.plugins.config import Secret, address_secrets, reveal

__all__ = ["PLUGINS", "SlackConfig", "SlackNotifier", "shown"]

_AUTH = """
access_denied account_inactive ekm_access_denied invalid_auth missing_scope no_permission not_allowed_token_type
not_authed org_login_required team_access_not_granted token_expired token_revoked two_factor_setup_required
enterprise_is_restricted action_prohibited invalid_token
"""
_CONFIG = """
channel_not_found channel_is_archived channel_type_not_supported is_archived is_inactive messages_tab_disabled
missing_post_type invalid_post_type method_deprecated deprecated_endpoint no_active_hooks no_service no_service_id
no_team not_in_channel posting_to_general_channel_denied restricted_action restricted_action_non_threadable_channel
restricted_action_read_only_channel restricted_action_thread_locked restricted_action_thread_only_channel team_disabled
unknown_method user_not_found
"""
_DROP = """
attachment_payload_limit_exceeded invalid_arg_name invalid_arguments invalid_array_arg invalid_attachments
invalid_blocks invalid_blocks_format invalid_charset invalid_form_data invalid_json invalid_metadata_format
invalid_metadata_schema invalid_payload json_not_object markdown_text_conflict message_too_long
metadata_must_be_sent_from_app metadata_too_large msg_blocks_too_long msg_too_long no_text too_many_attachments
"""
# Every other word (ratelimited, internal_error, fatal_error, request_timeout, service_unavailable, ... and whatever
# Slack invents) is tried again.
_WORDS: Mapping[str, Verdict] = {
    **dict.fromkeys(_AUTH.split(), Verdict.AUTH),
    **dict.fromkeys(_CONFIG.split(), Verdict.CONFIG),
    **dict.fromkeys(_DROP.split(), Verdict.DROP),
}
_FIX = {
    Verdict.AUTH: "check the bot token and its scope chat:write, or make the webhook anew",
    Verdict.CONFIG: "check the channel, and invite the bot to it",
}
_COLORS = {"firing": "#d92d20", "resolved": "#12873f"}
_SECTION_LIMIT = 3000
_HEADER_LIMIT = 150
_CONTEXT_LIMIT = 3000


class SlackConfig(HttpNotifierConfig):
    """Configuration of a Slack notifier: `token` and `channel`, or `webhook_url`."""

    token: Secret | None = Field(default=None, description="Bot token (xoxb-...) with scope chat:write.")
    channel: str | None = Field(default=None, min_length=1, description="Channel id, or #name; with `token`.")
    webhook_url: Secret | None = Field(default=None, description="Address of an incoming webhook; it is a secret.")
    url: HttpUrl = Field(default="https://slack.com/api", description="Base address of Slack's API.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.token is None) == (self.webhook_url is None):
            raise ValueError("give either token and channel, or webhook_url")
        if self.token is not None and self.channel is None:
            raise ValueError("channel is required with token")
        if self.webhook_url is not None and not reveal(self.webhook_url).startswith(("http://", "https://")):
            raise ValueError("webhook_url is not an address")
        return self


def _escaped(text: str) -> str:
    """Text without Slack's three control characters, so that a branch called <!channel> calls nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int) -> str:
    """At most `limit` characters, never inside an escape."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    start = kept.rfind("&")
    return (kept[:start] if start > limit - 7 and ";" not in kept[start:] else kept) + "…"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _SECTION_LIMIT)}}


def _linked(text: str, link: str) -> str:
    safe = link.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C")
    return f"<{safe}|{text}>" if link.startswith(("http://", "https://")) and len(safe) < 2000 else text


def shown(notification: Notification) -> dict[str, Any]:
    """What is shown: a title, the summary, labels and times; `text` is the fallback of phones and screen readers."""
    word = {"firing": "Firing", "resolved": "Resolved"}[notification.state]
    severity = notification.labels.get("severity", "")
    title = f"{word}: {notification.rule}" + (f" ({severity})" if severity else "")
    summary = notification.annotations.get("summary", "")
    others = [
        f"*{_escaped(name)}*: {_escaped(value)}" for name, value in notification.labels.items() if name != "severity"
    ]
    until = f", until {format_ms(notification.ends_ms)}" if notification.ends_ms is not None else ""
    foot = f"since {format_ms(notification.starts_ms)}{until} · {_escaped(notification.reason)}"
    link = notification.annotations.get("link", "")
    # The key as block id lets a reader of the channel tell a repeat from a new message, in both modes.
    head = {"type": "plain_text", "text": _cut(title, _HEADER_LIMIT), "emoji": False}
    blocks: list[dict[str, Any]] = [{"type": "header", "block_id": notification.key[:255], "text": head}]
    if summary or link:
        blocks.append(_section(_linked(_cut(_escaped(summary or "Details"), 900), link)))
    if others:
        blocks.append(_section("\n".join(others)))
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(foot, _CONTEXT_LIMIT)}]})
    return {
        "text": _escaped(_cut(f"{title}: {summary}" if summary else title, 1000)),
        "attachments": [{"color": _COLORS[notification.state], "blocks": blocks}],
    }


class SlackNotifier:
    """Posts one message a notification."""

    grouped = False
    digests = False

    def __init__(self, name: str, config: SlackConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:  # noqa: ARG002  # nothing is signed
        """The request that posts the message."""
        body = shown(message.notifications[0])
        if self._config.token is None:
            return self._request(reveal(self._config.webhook_url), body)
        body |= {
            "channel": self._config.channel,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {"event_type": "headgate_alert", "event_payload": {"id": message.key}},
        }
        return self._request(f"{self._config.url.rstrip('/')}/chat.postMessage", body)

    def probe(self) -> HttpRequest | None:
        """`auth.test` tells whether the token is good; an incoming webhook can only be tried by a message."""
        if self._config.token is None:
            return None
        return self._request(f"{self._config.url.rstrip('/')}/auth.test", {})

    def _request(self, url: str, body: dict[str, Any]) -> HttpRequest:
        headers = [("content-type", "application/json; charset=utf-8"), ("user-agent", self._user_agent)]
        if self._config.token is not None:
            headers.append(("authorization", f"Bearer {reveal(self._config.token)}"))
        return HttpRequest(
            "POST", url, tuple(headers), msgspec.json.encode(body), timeout_seconds=self._config.timeout / 1000
        )

    def interpret(self, reply: HttpReply, message: Message) -> None:  # noqa: ARG002  # nothing is remembered
        """Read Slack's own word where there is one, else the status."""
        self.read_probe(reply)

    def read_probe(self, reply: HttpReply) -> None:
        """The same words for every method."""
        word = _webhook_word(reply) if self._config.token is None else _api_word(reply)
        verdict = _verdict(word, reply.status)
        wait = retry_after_seconds(reply.headers)
        text = without_secrets(word or reply.text(), self._secrets())
        raise_for(verdict, reply.status, text, retry_after=wait, fix=_FIX.get(verdict, ""))

    def _secrets(self) -> tuple[str, ...]:
        return reveal(self._config.token), *address_secrets(reveal(self._config.webhook_url))


def _verdict(word: str | None, status: int) -> Verdict:
    if word is None:
        # 200 without a readable answer: nobody knows whether the message was posted.
        return Verdict.RETRY if status == 200 else classify(status)
    if word == "":
        return Verdict.OK
    return _WORDS.get(word, Verdict.RETRY if status == 200 else classify(status))


def _api_word(reply: HttpReply) -> str | None:
    """The API's error word, empty when the call succeeded, None when the answer is not Slack's."""
    try:
        answer = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        return None
    if answer["ok"]:
        return "" if reply.status == 200 else None
    return str(answer.get("error") or "unknown")


def _webhook_word(reply: HttpReply) -> str | None:
    """The webhook's word, empty when the message was posted, None when the answer is not Slack's."""
    text = reply.text(100)
    if reply.status == 200:
        return "" if text == "ok" else None
    return text if text in _WORDS else None


PLUGINS = (Plugin("notifier", "slack", SlackConfig, SlackNotifier),)
