"""Notifier `pagerduty`: the event, what is folded, severities, limits, answers, configuration."""

import dataclasses
import json

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers.pagerduty import PagerDutyConfig, PagerDutyNotifier
from headgate.testing.notifier_suite import NOW_MS, asked, notification, told
from headgate.testing.sinks import front_door
from headgate.testing.sinks.vendors.pagerduty import KEY

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
PAGER = PagerDutyNotifier("ops", PagerDutyConfig(routing_key=KEY), CONTEXT)


def sent(one):
    """The event of a notification."""
    return json.loads(PAGER.encode(told(one), now_ms=NOW_MS).body)


def test_the_event():
    """Every field of an alert that fires."""
    assert sent(notification()) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "f" * 64,
        "client": "Headgate",
        "client_url": "https://app.circleci.com/x?a=1&b=2",
        "links": [{"href": "https://app.circleci.com/x?a=1&b=2", "text": "Details"}],
        "payload": {
            "summary": "DefaultBranchFailing: gh/acme/web build: 60% of 30 runs",
            "source": "gh/acme/web",
            "severity": "warning",
            "timestamp": "2026-11-18T11:05:40.000Z",
            "class": "DefaultBranchFailing",
            "component": "build",
            "custom_details": {
                "key": "f" * 64 + ":1795000000000:2",
                "reason": "breach",
                "numbers": {"value": 0.6, "n": 30.0},
                "labels": {"project": "gh/acme/web", "severity": "warning", "workflow": "build"},
                "annotations": {
                    "summary": "gh/acme/web build: 60% of 30 runs",
                    "link": "https://app.circleci.com/x?a=1&b=2",
                },
            },
        },
    }


def test_one_alert_is_one_incident_until_it_is_resolved():
    """A repeat and a retry are folded, the end resolves, what fires again opens anew."""
    door = front_door("pagerduty")
    over = notification(state="resolved", ends_ms=NOW_MS)
    seen = []
    for one in (notification(), notification(), over, over, notification()):
        request = PAGER.encode(told(one), now_ms=NOW_MS)
        PAGER.interpret(asked(door, request), told(one))
        (row,) = door.ledger.rows()
        seen.append((row.native["status"], row.native["events"]))
    assert seen == [("triggered", 1), ("triggered", 2), ("resolved", 3), ("resolved", 3), ("triggered", 1)]


def test_an_acknowledgement_pages_nobody():
    """The open incident is acknowledged, however often that is sent, and stays so; without one nothing opens."""
    door = front_door("pagerduty")
    seen_by = notification(reason="acknowledged", annotations={"summary": "acknowledged by ann: bisecting"})
    event = sent(seen_by)
    assert (event["event_action"], event["dedup_key"]) == ("acknowledge", sent(notification())["dedup_key"])
    assert "acknowledged by ann: bisecting" in event["payload"]["summary"]
    seen = []
    for one in (seen_by, notification(), seen_by, seen_by, notification(reason="escalated")):
        PAGER.interpret(asked(door, PAGER.encode(told(one), now_ms=NOW_MS)), told(one))
        seen.append([(row.native["status"], row.native["pages"]) for row in door.ledger.rows()])
    assert seen == [[], [("triggered", 1)], *[[("acknowledged", 1)]] * 3]


@pytest.mark.parametrize(
    ("label", "severity"),
    [
        ("critical", "critical"),
        ("Critical", "critical"),
        ("page", "critical"),
        ("high", "error"),
        ("error", "error"),
        ("warning", "warning"),
        ("info", "info"),
        ("low", "info"),
        ("strange", "warning"),
        ("", "warning"),
    ],
)
def test_severities(label, severity):
    """PagerDuty knows four words; any other is a warning."""
    assert sent(notification(labels={"severity": label}))["payload"]["severity"] == severity


def test_an_event_keeps_the_size_limit():
    """Labels that do not fit stay away; what tells the incident stays."""
    huge = notification(labels={"workflow": "build", **{f"l{n}": "v" * 10_000 for n in range(60)}})
    request = PAGER.encode(told(huge), now_ms=NOW_MS)
    assert len(request.body) < 512 * 1024
    details = json.loads(request.body)["payload"]["custom_details"]
    assert "labels" not in details
    assert "annotations" in details


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (HttpReply(400, {}, b'{"errors":["Length of \'routing_key\' is incorrect"]}'), SinkRefused, "auth"),
        (HttpReply(400, {}, b'{"errors":["\'payload.summary\' is missing or blank"]}'), BatchRejected, "refused"),
        (HttpReply(429, {}, b""), SinkUnavailable, ""),
        (HttpReply(500, {}, b""), SinkUnavailable, ""),
    ],
)
def test_answers(reply, kind, reason):
    """A wrong key holds everything; a wrong event is given up; the rest waits."""
    with pytest.raises(kind) as caught:
        PAGER.interpret(reply, told(notification()))
    assert getattr(caught.value, "reason", "") == reason


def test_the_address_is_that_of_the_region():
    """The path is added to the base address."""
    config = PagerDutyConfig(routing_key=KEY, url="https://events.eu.pagerduty.com/")
    request = PagerDutyNotifier("ops", config, CONTEXT).encode(told(notification()), now_ms=NOW_MS)
    assert request.url == "https://events.eu.pagerduty.com/v2/enqueue"


def test_a_link_that_is_none_is_left_out():
    """PagerDuty refuses an event with a link that is no address."""
    one = dataclasses.replace(notification(), annotations={"link": "javascript:alert(1)"})
    assert "links" not in sent(one)


@pytest.mark.parametrize("values", [{}, {"routing_key": " "}, {"routing_key": KEY, "url": "x"}])
def test_a_wrong_configuration_is_refused(values):
    """A key must be there; that it is right only PagerDuty knows."""
    with pytest.raises(ValidationError):
        PagerDutyConfig(**values)
