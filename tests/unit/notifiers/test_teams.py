"""Notifier `teams`: the card, its limits, groups, digests, answers, configuration."""

import dataclasses

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.messages import Message
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers.teams import TeamsConfig, TeamsNotifier
from headgate.testing.notifier_suite import DIGEST, GROUP, NOW_MS, asked, notification, told
from headgate.testing.sinks import front_door
from headgate.testing.sinks.vendors.teams import ADDRESS, SIGNATURE

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
TEAMS = TeamsNotifier("ops", TeamsConfig(url=f"https://flow.example{ADDRESS}"), CONTEXT)


def card(message):
    """The card of a message that the strict workflow took."""
    request = TEAMS.encode(message, now_ms=NOW_MS)
    door = front_door("teams")
    TEAMS.interpret(asked(door, request), message)
    (row,) = door.ledger.rows()
    assert row.record_id == message.key
    return row.native["attachments"][0]["content"]


def texts(found):
    """The texts of a card, a line each."""
    return [
        block["text"] if "text" in block else "".join(run["text"] for run in block["inlines"])
        for block in found["body"]
    ]


def test_the_card_reads_well():
    """Title, summary, labels, times, a button; a resolved one is green and has its end."""
    found = card(told(notification()))
    assert texts(found) == [
        "Firing: DefaultBranchFailing (warning)",
        "gh/acme/web build: 60% of 30 runs",
        "project: gh/acme/web",
        "workflow: build",
        "since 2026-11-18T11:05:40.000Z · breach",
    ]
    assert found["body"][0]["inlines"][0]["color"] == "attention"
    assert found["actions"][0]["url"] == "https://app.circleci.com/x?a=1&b=2"
    over = card(told(notification(state="resolved", ends_ms=NOW_MS)))
    assert over["body"][0]["inlines"][0]["color"] == "good"
    assert "until 2026-11-18T11:06:40.000Z" in texts(over)[-1]


def test_a_group_is_one_card_with_a_line_each():
    """Those that fire come first; each line leads where its alert does."""
    over = dataclasses.replace(GROUP[0], state="resolved", ends_ms=NOW_MS, annotations={"summary": "it is over"})
    found = card(told(over, notification()))
    assert texts(found) == [
        "1 firing, 1 resolved: DefaultBranchFailing",
        "Firing gh/acme/web build: 60% of 30 runs",
        "Resolved it is over",
    ]
    assert found["body"][1]["inlines"][1]["selectAction"]["url"] == "https://app.circleci.com/x?a=1&b=2"


def test_a_large_group_keeps_the_limit_and_counts_the_rest():
    """A hundred alerts with long texts of four bytes a character; Teams counts more than what is sent."""
    many = [dataclasses.replace(one, annotations={"summary": "\U0001f525" * 400}) for one in GROUP]
    message = told(*many, *(dataclasses.replace(one, fingerprint=f"x{n}") for n, one in enumerate(many)))
    assert len(TEAMS.encode(message, now_ms=NOW_MS).body) < 21_000
    found = texts(card(message))
    assert found[-1] == f"and {80 - (len(found) - 2)} more"


def test_labels_are_not_markdown():
    """A branch cannot become a link or a heading: only a digest has Markdown."""
    found = card(told(notification(labels={"branch": "[x](https://evil.example)"})))
    assert {block["type"] for block in found["body"]} == {"RichTextBlock"}


def test_a_digest_is_markdown():
    """A block for each paragraph; what does not fit is counted."""
    found = card(
        Message(DIGEST.key, (), digest=dataclasses.replace(DIGEST, markdown="**3** alerts\n\n" + "- x\n\n" * 900))
    )
    assert texts(found)[:3] == ["CI, 20 November", "**3** alerts", "- x"]
    assert texts(found)[-1].endswith("more")


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (HttpReply(400, {}, b'{"error":{"code":"WorkflowTriggerIsNotEnabled"}}'), SinkRefused, "config"),
        (HttpReply(404, {}, b'{"error":{"code":"WorkflowNotFound"}}'), SinkRefused, "config"),
        (HttpReply(401, {}, b'{"error":{"code":"DirectApiAuthorizationRequired"}}'), SinkRefused, "auth"),
        (HttpReply(400, {}, b'{"error":{"code":"TriggerInputSchemaMismatch"}}'), BatchRejected, "refused"),
        (HttpReply(429, {"retry-after": "5"}, b""), SinkUnavailable, ""),
    ],
)
def test_answers(reply, kind, reason):
    """A workflow that is off or gone, or an address that is wrong, waits for somebody."""
    with pytest.raises(kind) as caught:
        TEAMS.interpret(reply, told(notification()))
    assert getattr(caught.value, "reason", "") == reason


def test_the_signature_is_a_secret():
    """It is in no representation of the configuration."""
    assert SIGNATURE not in repr(TeamsConfig(url=f"https://flow.example{ADDRESS}"))


@pytest.mark.parametrize("url", ["", "flow.example", "https://acme.webhook.office.com/webhookb2/x"])
def test_a_wrong_configuration_is_refused(url):
    """The connectors that workflows replace are named, so that nobody waits for their messages."""
    with pytest.raises(ValidationError):
        TeamsConfig(url=url)
