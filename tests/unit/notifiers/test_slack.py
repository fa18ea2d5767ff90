"""Notifier `slack`: words of Slack's answers, escaping, limits, configuration."""

import json

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers.slack import SlackConfig, SlackNotifier, shown
from headgate.testing.notifier_suite import NOW_MS, notification, told

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
BOT = SlackNotifier("ops", SlackConfig(token="xoxb-1", channel="#ci"), CONTEXT)
HOOK = SlackNotifier("ops", SlackConfig(webhook_url="https://hooks.slack.com/services/T0/B0/s"), CONTEXT)

TOLD = told(notification())

API_WORDS = {
    "ratelimited": (SinkUnavailable, ""),
    "internal_error": (SinkUnavailable, ""),
    "fatal_error": (SinkUnavailable, ""),
    "service_unavailable": (SinkUnavailable, ""),
    "a_word_of_next_year": (SinkUnavailable, ""),
    "invalid_auth": (SinkRefused, "auth"),
    "not_authed": (SinkRefused, "auth"),
    "token_revoked": (SinkRefused, "auth"),
    "token_expired": (SinkRefused, "auth"),
    "missing_scope": (SinkRefused, "auth"),
    "account_inactive": (SinkRefused, "auth"),
    "channel_not_found": (SinkRefused, "config"),
    "not_in_channel": (SinkRefused, "config"),
    "is_archived": (SinkRefused, "config"),
    "invalid_blocks": (BatchRejected, "refused"),
    "msg_too_long": (BatchRejected, "refused"),
    "no_text": (BatchRejected, "refused"),
}


@pytest.mark.parametrize("word", API_WORDS)
def test_api_errors_come_with_status_200(word):
    """`{"ok": false}` is never accepted; its word says what it means, an unknown one is tried again."""
    kind, reason = API_WORDS[word]
    body = json.dumps({"ok": False, "error": word}).encode()
    with pytest.raises(kind, match=word) as caught:
        BOT.interpret(HttpReply(200, {}, body), TOLD)
    assert getattr(caught.value, "reason", "") == reason


def test_rate_limits_carry_the_time_to_wait():
    """429 with Retry-After waits as long as Slack says."""
    with pytest.raises(SinkUnavailable) as caught:
        BOT.interpret(HttpReply(429, {"retry-after": "30"}, b'{"ok":false,"error":"ratelimited"}'), TOLD)
    assert caught.value.retry_after == 30.0


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b"{}", b'{"ok":"yes"}', b'{"ok": tr'])
def test_an_unreadable_200_is_tried_again(body):
    """Nobody knows whether the message was posted; at least once means again."""
    with pytest.raises(SinkUnavailable):
        BOT.interpret(HttpReply(200, {}, body), TOLD)


@pytest.mark.parametrize(
    ("status", "text", "kind", "reason"),
    [
        (400, "invalid_payload", BatchRejected, "refused"),
        (400, "no_text", BatchRejected, "refused"),
        (403, "invalid_token", SinkRefused, "auth"),
        (403, "action_prohibited", SinkRefused, "auth"),
        (404, "no_service", SinkRefused, "config"),
        (404, "channel_not_found", SinkRefused, "config"),
        (410, "channel_is_archived", SinkRefused, "config"),
        (500, "rollup_error", SinkUnavailable, ""),
        (200, "not ok", SinkUnavailable, ""),
    ],
)
def test_webhook_answers(status, text, kind, reason):
    """Incoming webhooks answer with a status and a word."""
    with pytest.raises(kind) as caught:
        HOOK.interpret(HttpReply(status, {}, text.encode()), TOLD)
    assert getattr(caught.value, "reason", "") == reason


def test_a_branch_cannot_call_the_channel():
    """Labels and summaries are escaped; a link that is no address is not one."""
    hostile = notification(
        labels={"branch": "<!channel>"}, annotations={"summary": "<@U1> & co", "link": "javascript:alert(1)"}
    )
    text = json.dumps(shown(hostile))
    assert "<!channel>" not in text
    assert "<@U1>" not in text
    assert "javascript" not in text
    assert "&lt;!channel&gt;" in text


def test_the_bots_request():
    """Address, token, channel and key; nothing is unfurled."""
    request = BOT.encode(told(notification()), now_ms=NOW_MS)
    body = json.loads(request.body)
    assert request.url == "https://slack.com/api/chat.postMessage"
    assert dict(request.headers)["authorization"] == "Bearer xoxb-1"
    assert (body["channel"], body["unfurl_links"]) == ("#ci", False)
    assert body["metadata"]["event_payload"]["id"] == notification().key


def test_the_webhooks_request_has_no_channel_and_no_token():
    """An incoming webhook has its channel and its secret in the address."""
    request = HOOK.encode(told(notification()), now_ms=NOW_MS)
    assert request.url == "https://hooks.slack.com/services/T0/B0/s"
    assert "authorization" not in dict(request.headers)
    assert "channel" not in json.loads(request.body)


def test_the_message_reads_well():
    """Title, linked summary, labels and times; resolved is green and has its end."""
    firing = shown(notification())
    assert firing["text"] == "Firing: DefaultBranchFailing (warning): gh/acme/web build: 60% of 30 runs"
    title, summary, labels, foot = firing["attachments"][0]["blocks"]
    assert title["text"]["text"] == "Firing: DefaultBranchFailing (warning)"
    assert summary["text"]["text"] == "<https://app.circleci.com/x?a=1&b=2|gh/acme/web build: 60% of 30 runs>"
    assert labels["text"]["text"] == "*project*: gh/acme/web\n*workflow*: build"
    assert foot["elements"][0]["text"] == "since 2026-11-18T11:05:40.000Z · breach"
    resolved = shown(notification(state="resolved", ends_ms=NOW_MS, reason="clear"))["attachments"][0]
    assert resolved["color"] != firing["attachments"][0]["color"]
    assert "until 2026-11-18T11:06:40.000Z" in resolved["blocks"][-1]["elements"][0]["text"]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"token": "x"},
        {"token": "x", "channel": "C1", "webhook_url": "https://h"},
        {"webhook_url": "hooks.slack.com"},
        {"token": " ", "channel": "C1"},
        {"token": "x", "channel": "C1", "url": "slack.com"},
    ],
    ids=["nothing", "no-channel", "both", "no-scheme", "blank-token", "bad-url"],
)
def test_a_wrong_configuration_is_refused(values):
    """One of the two ways must be given, whole."""
    with pytest.raises(ValidationError):
        SlackConfig(**values)
