"""Notifier `slack`: words of Slack's answers, edits in place, groups, digests, escaping, limits, configuration."""

import asyncio
import dataclasses
import json

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply, HttpRequest
from headgate.notifiers._slack_text import shown
from headgate.notifiers.slack import SlackBot, SlackConfig, SlackWebhook, build
from headgate.testing.notifier_suite import DIGEST, NOW_MS, exchange_with, notification, told
from headgate.testing.sinks import front_door

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
BOT = SlackBot("ops", SlackConfig(token="xoxb-1", channel="#ci"), CONTEXT)
HOOK = SlackWebhook("ops", SlackConfig(webhook_url="https://hooks.slack.com/services/T0/B0/s"), CONTEXT)

TOLD = told(notification())


def answered(reply, message=TOLD, bot=BOT):
    """What a bot makes of an answer to each of its calls."""

    async def http(_request):
        return reply

    return asyncio.run(bot.send(message, now_ms=NOW_MS, http=http))


class Channel:
    """A bot and a strict Slack; `say` sends a message with what was remembered of the one before."""

    def __init__(self, **options):
        self.now_ms = NOW_MS
        self.door = front_door("slack", clock_ms=lambda: self.now_ms, token="xoxb-1", **options)
        self.requests = []
        self.memory = {}

    def say(self, *notifications, bot=BOT, **values):
        message = told(*notifications, memory=self.memory, **values)
        http = exchange_with(self.door, self.requests)
        self.memory = asyncio.run(bot.send(message, now_ms=self.now_ms, http=http))
        return self.calls()

    def calls(self):
        done, self.requests[:] = [request.url.rpartition("/")[2] for request in self.requests], []
        return done

    def rows(self):
        return [row.native for row in self.door.ledger.rows()]


A = notification(fingerprint="a" * 64, key="a" * 64 + ":1:1", labels={"workflow": "build"})
B = notification(fingerprint="b" * 64, key="b" * 64 + ":1:1", annotations={"summary": "b broke"})


def over(one):
    """The same alert when it is over."""
    return dataclasses.replace(one, state="resolved", key=f"{one.key}:r", ends_ms=NOW_MS)


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
        answered(HttpReply(200, {}, body))
    assert getattr(caught.value, "reason", "") == reason


def test_rate_limits_carry_the_time_to_wait():
    """429 with Retry-After waits as long as Slack says."""
    with pytest.raises(SinkUnavailable) as caught:
        answered(HttpReply(429, {"retry-after": "30"}, b'{"ok":false,"error":"ratelimited"}'))
    assert caught.value.retry_after == 30.0


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[]", b"{}", b'{"ok":"yes"}', b'{"ok": tr'])
def test_an_unreadable_200_is_tried_again(body):
    """Nobody knows whether the message was posted; at least once means again."""
    with pytest.raises(SinkUnavailable):
        answered(HttpReply(200, {}, body))


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
    channel = Channel()
    asyncio.run(BOT.send(TOLD, now_ms=NOW_MS, http=exchange_with(channel.door, channel.requests)))
    (request,) = channel.requests
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


def test_one_alert_is_one_message_that_changes():
    """Firing is posted; the end edits it in silence, without a second message."""
    channel = Channel()
    assert channel.say(A) == ["chat.postMessage"]
    assert channel.say(over(A)) == ["chat.update"]
    (row,) = channel.rows()
    assert (row["channel"], row["edits"], row["attachments"][0]["color"]) == ("C0CI", 1, "#12873f")
    assert "Resolved" in row["text"]


def test_what_fires_still_or_again_is_told_in_the_thread():
    """An edit tells nobody: a broadcast reply does, and the message stays one."""
    channel = Channel()
    channel.say(A)
    assert channel.say(dataclasses.replace(A, key="repeat")) == ["chat.update", "chat.postMessage"]
    message, reply = channel.rows()
    assert (reply["thread_ts"], reply["reply_broadcast"]) == (channel.memory["ts"], True)
    assert reply["text"].startswith("Firing: DefaultBranchFailing")
    assert message["metadata"]["event_payload"]["id"] == reply["metadata"]["event_payload"]["id"] == "repeat"


def test_a_new_failure_after_the_end_has_a_message_of_its_own():
    """People look for what is new at the end of the channel."""
    channel = Channel()
    channel.say(A)
    channel.say(over(A))
    assert channel.say(A) == ["chat.postMessage"]
    assert [row["edits"] for row in channel.rows()] == [1, 0]


def test_a_group_is_over_when_its_last_alert_is():
    """A message holds what has changed; the edited one says all, and stays red while one fires."""
    channel = Channel()
    channel.say(A, B)
    channel.say(over(A), group={"alertname": "X"})
    (row,) = channel.rows()
    shown_now = json.dumps(row["attachments"])
    assert row["attachments"][0]["color"] == "#d92d20"
    assert row["text"] == "1 firing, 1 resolved: DefaultBranchFailing"
    assert "*Firing* (warning)" in shown_now
    assert "b broke" in shown_now
    assert "*Resolved*" in shown_now
    channel.say(over(B), group={"alertname": "X"})
    (row,) = channel.rows()
    assert (row["edits"], row["attachments"][0]["color"], row["text"]) == (
        2,
        "#12873f",
        "2 resolved: DefaultBranchFailing",
    )


@pytest.mark.parametrize("gone", ["deleted", "too-old", "another-channel", "not-ours"])
def test_what_cannot_be_edited_is_posted_anew(gone):
    """A deleted message, a closed edit window, another channel in the configuration, another author."""
    channel = Channel(edit_window_seconds=3_600)
    channel.say(A)
    bot = BOT
    if gone == "deleted":
        body = json.dumps({"channel": "C0CI", "ts": channel.memory["ts"]}).encode()
        headers = (("content-type", "application/json"), ("authorization", "Bearer xoxb-1"))
        asyncio.run(exchange_with(channel.door)(HttpRequest("POST", "http://x/api/chat.delete", headers, body)))
    if gone == "too-old":
        channel.now_ms += 3_601_000
    if gone == "another-channel":
        bot = SlackBot("ops", SlackConfig(token="xoxb-1", channel="#other"), CONTEXT)
    if gone == "not-ours":
        channel.door.script.put({"body": {"ok": False, "error": "cant_update_message"}, "path": "/api/chat.update"})
    before = channel.memory["ts"]
    assert channel.say(over(A), bot=bot)[-1] == "chat.postMessage"
    assert channel.memory["ts"] != before
    assert len(channel.rows()) == 2


def test_a_thread_that_went_away_is_begun_anew():
    """Deleted between the edit and the reply: whoever should know is told by a new message."""
    channel = Channel()
    channel.say(A)
    no_thread = {"body": {"ok": False, "error": "thread_not_found"}, "store": False, "count": 1}
    channel.door.script.put([no_thread | {"path": "/api/chat.postMessage"}])
    assert channel.say(dataclasses.replace(A, key="again")) == ["chat.update", "chat.postMessage", "chat.postMessage"]
    assert "thread_ts" not in channel.rows()[-1]


def test_an_edit_that_waits_is_not_a_post():
    """Rate limits are waited for; nothing is posted beside the message."""
    channel = Channel()
    channel.say(A)
    channel.door.script.put(
        {"status": 429, "headers": {"retry-after": "9"}, "body": {"ok": False, "error": "ratelimited"}}
    )
    with pytest.raises(SinkUnavailable) as caught:
        channel.say(over(A))
    assert caught.value.retry_after == 9.0
    assert len(channel.rows()) == 1


def test_a_large_group_keeps_the_limits_and_counts_the_rest():
    """300 alerts are one message that the strict fake takes, and none is forgotten."""
    channel = Channel()
    link = {"link": "https://e.example/" + "|" * 270, "summary": "&" * 300}
    many = [
        dataclasses.replace(A, fingerprint=f"{n:064d}", key=f"{n}", annotations=link, rule="R" * 200)
        for n in range(300)
    ]
    for start in range(0, 300, 100):
        channel.say(*many[start : start + 100])
    assert "and 260 more" in json.dumps(channel.rows()[0])
    assert len("".join(channel.memory.values())) < 70_000
    for start, end in ((0, 100), (100, 200), (200, 299)):
        channel.say(*map(over, many[start:end]))
    assert channel.memory["state"] == "firing"
    channel.say(over(many[299]), group={"alertname": "R"})
    assert channel.memory["state"] == "resolved"


def test_a_digest_is_posted_and_nothing_is_remembered():
    """Its Markdown is Slack's to read; it calls nobody, and a long one is cut at a line."""
    channel = Channel()
    digest = dataclasses.replace(DIGEST, markdown="# CI <!channel>\n" + "a line\n" * 3_000)
    message = dataclasses.replace(told(A), key=digest.key, notifications=(), digest=digest)
    http = exchange_with(channel.door)
    assert asyncio.run(BOT.send(message, now_ms=NOW_MS, http=http)) is None
    text = channel.rows()[0]["blocks"][1]["text"]
    assert text.startswith("# CI &lt;!channel>")
    assert text.endswith("a line\n…")
    assert len(text) <= 12_000


def test_memory_of_something_else_is_no_harm():
    """What cannot be read is nothing."""
    channel = Channel()
    channel.memory = {"to": "#ci", "alerts": "[1"}
    assert channel.say(A) == ["chat.postMessage"]


def test_an_accepted_post_without_a_place_is_forgotten():
    """Nothing can be edited, so the next message is posted."""
    assert answered(HttpReply(200, {}, b'{"ok":true}')) == {}


def test_the_way_decides_the_notifier():
    """A token makes a bot, an address a webhook."""
    assert isinstance(build("ops", SlackConfig(token="x", channel="C1"), CONTEXT), SlackBot)
    assert isinstance(build("ops", SlackConfig(webhook_url="https://h.example/x"), CONTEXT), SlackWebhook)


def test_a_webhook_posts_groups_and_digests():
    """It cannot edit: each message says what has changed."""
    group = json.loads(HOOK.encode(told(A, over(B)), now_ms=NOW_MS).body)
    assert group["text"] == "1 firing, 1 resolved: DefaultBranchFailing"
    digest = json.loads(HOOK.encode(dataclasses.replace(told(A), digest=DIGEST), now_ms=NOW_MS).body)
    assert digest["blocks"][0]["text"]["text"] == DIGEST.title


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


def test_a_group_of_several_rules_says_which_of_them_each_line_is_of():
    """A summary alone may fit two rules; where all are of one rule, the title says it."""
    other = dataclasses.replace(B, rule="QueueTimeHigh")
    text = json.dumps(json.loads(HOOK.encode(told(A, other), now_ms=NOW_MS).body))
    assert f"*Firing* {A.rule} " in text
    assert "*Firing* QueueTimeHigh " in text
    assert f"*Firing* {A.rule} " not in HOOK.encode(told(A, B), now_ms=NOW_MS).body.decode()
