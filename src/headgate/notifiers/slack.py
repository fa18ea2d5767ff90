"""Notifier `slack`: with a bot token one message for each alert or group, edited in place; or an incoming webhook.

Slack answers API errors with status 200 and `{"ok": false, "error": "..."}`; the tables below say what each means.
Source: docs.slack.dev, "chat.postMessage", "Sending messages using incoming webhooks", "Rate limits"; the errors of
chat.update as hexdocs.pm "Slack.Web.Chat" lists them; read 2026-11. That a broadcast reply tells people and an edit
does not is known, not looked up. `_slack_text` says how messages look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import msgspec
from pydantic import Field, model_validator

from headgate.core.messages import Exchange, Message
from headgate.core.ports import BuildContext, HttpReply, HttpRequest, Plugin, TransportOptions
from headgate.core.verdicts import Verdict, classify, raise_for, retry_after_seconds
from headgate.notifiers._config import HeaderSecret, HttpNotifierConfig, HttpUrl, without_secrets
from headgate.notifiers._slack_text import digest_shown, group_shown, reply_shown, shown
from headgate.notifiers._threads import Entry, entries_of, firing, remembered, state_of
from headgate.plugins.config import Secret, address_secrets, reveal

__all__ = ["PLUGINS", "SlackBot", "SlackConfig", "SlackWebhook", "build"]

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
# The message to be edited is not there, or Slack does not let us: a new one is posted.
_NOT_EDITABLE = frozenset({"message_not_found", "edit_window_closed", "cant_update_message", "channel_not_found"})
# The same for the message to be replied to.
_NO_THREAD = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})


class SlackConfig(HttpNotifierConfig):
    """Configuration of a Slack notifier: `token` and `channel`, or `webhook_url`."""

    token: HeaderSecret | None = Field(default=None, description="Bot token (xoxb-...) with scope chat:write.")
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


class _Slack:
    """What both ways have in common."""

    grouped = True
    digests = True

    def __init__(self, name: str, config: SlackConfig, context: BuildContext) -> None:
        self.name = name
        self.transport: TransportOptions = config.transport()
        self._config = config
        self._user_agent = context.user_agent

    def _request(self, url: str, body: dict[str, Any]) -> HttpRequest:
        headers = [("content-type", "application/json; charset=utf-8"), ("user-agent", self._user_agent)]
        if self._config.token is not None:
            headers.append(("authorization", f"Bearer {reveal(self._config.token)}"))
        return HttpRequest(
            "POST", url, tuple(headers), msgspec.json.encode(body), timeout_seconds=self._config.timeout / 1000
        )

    def _judge(self, reply: HttpReply, word: str | None) -> None:
        """Return for an empty word; raise what another one means."""
        verdict = _verdict(word, reply.status)
        wait = retry_after_seconds(reply.headers)
        secrets = reveal(self._config.token), *address_secrets(reveal(self._config.webhook_url))
        text = without_secrets(word or reply.text(), secrets)
        raise_for(verdict, reply.status, text, retry_after=wait, fix=_FIX.get(verdict, ""))


class SlackWebhook(_Slack):
    """Posts every message through an incoming webhook, which cannot edit."""

    def encode(self, message: Message, *, now_ms: int) -> HttpRequest:  # noqa: ARG002  # nothing is signed
        """The request that posts the message."""
        return self._request(reveal(self._config.webhook_url), _looks(message, {}))

    def interpret(self, reply: HttpReply, message: Message) -> None:  # noqa: ARG002  # nothing is remembered
        """Read Slack's own word where there is one, else the status."""
        self._judge(reply, _webhook_word(reply))


class SlackBot(_Slack):
    """Keeps one message for an alert or group: edits it, and replies in its thread to what fires again.

    It remembers channel and `ts` of the message, under which channel of the configuration it was posted, and the
    message's alerts. When all of them were over, the next one that fires gets a message of its own.
    """

    async def send(self, message: Message, *, now_ms: int, http: Exchange) -> Mapping[str, str] | None:
        """Edit and reply, or post. Repeating an edit harms nobody, and a post comes last."""
        del now_ms  # nothing is signed
        if message.digest is not None:
            await self._call(http, "chat.postMessage", self._posted(message, digest_shown(message.digest)))
            return None
        memory = message.memory if message.memory.get("to") == self._config.channel else {}
        entries = entries_of(replace(message, memory=memory))
        body = _looks(message, entries)
        if _goes_on(memory, message) and await self._edit(http, message, memory, body):
            return {**memory, **remembered(entries), "state": state_of(entries)}
        answer = await self._call(http, "chat.postMessage", self._posted(message, body)) or {}
        if not answer.get("channel") or not answer.get("ts"):
            return {}
        place = {"channel": str(answer["channel"]), "ts": str(answer["ts"]), "to": self._config.channel or ""}
        return {**place, **remembered(entries), "state": state_of(entries)}

    async def reach(self, http: Exchange) -> None:
        """`auth.test` tells whether the token is good."""
        await self._call(http, "auth.test", {})

    async def _edit(self, http: Exchange, message: Message, memory: Mapping[str, str], body: dict[str, Any]) -> bool:
        """Whether the message is there still, says what it should, and those who should know were told."""
        place = {"channel": memory["channel"]}
        edit = {**body, **place, "ts": memory["ts"], "metadata": _metadata(message)}
        if await self._call(http, "chat.update", edit, passed=_NOT_EDITABLE) is None:
            return False
        again = firing(message)
        if not again:
            return True
        reply = {"thread_ts": memory["ts"], "reply_broadcast": True}
        said = {**self._posted(message, reply_shown(again)), **place, **reply}
        return await self._call(http, "chat.postMessage", said, passed=_NO_THREAD) is not None

    def _posted(self, message: Message, body: dict[str, Any]) -> dict[str, Any]:
        return body | {
            "channel": self._config.channel,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": _metadata(message),
        }

    async def _call(
        self, http: Exchange, method: str, body: dict[str, Any], *, passed: frozenset[str] = frozenset()
    ) -> dict[str, Any] | None:
        """The answer to a call; None when it failed with one of the words in `passed`."""
        reply = await http(self._request(f"{self._config.url.rstrip('/')}/{method}", body))
        answer = _answer(reply)
        word = _api_word(answer, reply.status)
        if word and word in passed:
            return None
        self._judge(reply, word)
        return answer


def _looks(message: Message, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """What is shown of a message: a digest, one alert, or all alerts of a group."""
    if message.digest is not None:
        return digest_shown(message.digest)
    entries = entries or entries_of(message)
    if len(entries) == 1:
        return shown(message.notifications[0])
    return group_shown(entries, message.group, message.key)


def _metadata(message: Message) -> dict[str, Any]:
    return {"event_type": "headgate_alert", "event_payload": {"id": message.key}}


def _goes_on(memory: Mapping[str, str], message: Message) -> bool:
    """Whether the message that is there is edited: not when it was over and something fires, good news or not."""
    over = memory.get("state") == "resolved" and message.state == "firing"
    return bool(memory.get("ts") and memory.get("channel")) and not over


def _verdict(word: str | None, status: int) -> Verdict:
    if word is None:
        # 200 without a readable answer: nobody knows whether the message was posted.
        return Verdict.RETRY if status == 200 else classify(status)
    if word == "":
        return Verdict.OK
    return _WORDS.get(word, Verdict.RETRY if status == 200 else classify(status))


def _answer(reply: HttpReply) -> dict[str, Any]:
    """The answer's object, empty when it is none."""
    try:
        answer = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _api_word(answer: Mapping[str, Any], status: int) -> str | None:
    """The API's error word, empty when the call succeeded, None when the answer is not Slack's."""
    if not isinstance(answer.get("ok"), bool):
        return None
    if answer["ok"]:
        return "" if status == 200 else None
    return str(answer.get("error") or "unknown")


def _webhook_word(reply: HttpReply) -> str | None:
    """The webhook's word, empty when the message was posted, None when the answer is not Slack's."""
    text = reply.text(100)
    if reply.status == 200:
        return "" if text == "ok" else None
    return text if text in _WORDS else None


def build(name: str, config: SlackConfig, context: BuildContext) -> SlackBot | SlackWebhook:
    """Make the notifier for the way that is configured."""
    return SlackBot(name, config, context) if config.token is not None else SlackWebhook(name, config, context)


PLUGINS = (Plugin("notifier", "slack", SlackConfig, build),)
