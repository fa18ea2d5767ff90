"""Notifier `datadog_event`: the event, what is folded, kinds, limits, the key's check, configuration."""

import dataclasses
import json

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import SinkRefused
from headgate.core.messages import Message
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, Probing
from headgate.notifiers.datadog_event import DatadogEventConfig, DatadogEventNotifier
from headgate.testing.notifier_suite import DIGEST, GROUP, NOW_MS, asked, notification, told
from headgate.testing.sinks import front_door

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
DATADOG = DatadogEventNotifier("ops", DatadogEventConfig(api_key="k", site="datadoghq.eu", tags=("team:web",)), CONTEXT)


def event(message):
    """The event of a message that the strict intake took."""
    door = front_door("datadog", clock_ms=lambda: NOW_MS)
    request = DATADOG.encode(message, now_ms=NOW_MS)
    DATADOG.interpret(asked(door, request), message)
    (row,) = door.ledger.rows()
    assert row.native == json.loads(request.body)
    return row.native


def test_the_event():
    """Every field of an alert that fires."""
    assert event(told(notification())) == {
        "title": "DefaultBranchFailing is firing",
        "text": "firing · gh/acme/web build: 60% of 30 runs · value: 0.6, n: 30 · reason: breach"
        " · https://app.circleci.com/x?a=1&b=2",
        "date_happened": NOW_MS // 1000 - 1,
        "alert_type": "warning",
        "priority": "normal",
        "source_type_name": "circleci",
        "aggregation_key": "f" * 64,
        "tags": [
            "message_key:" + "f" * 64 + ":1795000000000:2",
            "team:web",
            "kind:alert",
            "rule:defaultbranchfailing",
            "state:firing",
            "project:gh/acme/web",
            "severity:warning",
            "workflow:build",
        ],
    }


def test_events_of_one_alert_or_group_are_folded():
    """The key is that of the alert, or of the group whatever its alerts are."""
    over = notification(state="resolved", ends_ms=NOW_MS)
    assert event(told(notification()))["aggregation_key"] == event(told(over))["aggregation_key"]
    groups = [event(told(*GROUP[:2])), event(told(*GROUP[2:4]))]
    assert len({one["aggregation_key"] for one in groups}) == 1
    other = dataclasses.replace(told(*GROUP[:2]), group={"alertname": "Other"})
    assert event(other)["aggregation_key"] != groups[0]["aggregation_key"]


@pytest.mark.parametrize(
    ("severity", "state", "kind"),
    [
        ("critical", "firing", "error"),
        ("warning", "firing", "warning"),
        ("info", "firing", "info"),
        ("strange", "firing", "warning"),
        ("critical", "resolved", "success"),
    ],
)
def test_kinds(severity, state, kind):
    """Datadog's colours: what is over is a success."""
    one = notification(labels={"severity": severity}, state=state, ends_ms=NOW_MS if state == "resolved" else None)
    assert event(told(one))["alert_type"] == kind


def test_a_group_has_the_labels_that_its_alerts_share():
    """A line each, those that fire first; the gravest gives the kind."""
    grave = dataclasses.replace(
        GROUP[0], labels={"severity": "critical", "project": "p"}, annotations={"summary": "grave"}
    )
    over = dataclasses.replace(GROUP[1], labels={"project": "p"}, state="resolved", ends_ms=NOW_MS)
    found = event(told(over, grave))
    assert found["title"] == "1 firing, 1 resolved: DefaultBranchFailing"
    assert found["text"].startswith("firing · grave")
    assert found["alert_type"] == "error"
    assert "project:p" in found["tags"]
    assert "severity:critical" not in found["tags"]


def test_a_digest_is_markdown_that_is_cut():
    """Between Datadog's marks, within its limit."""
    found = event(Message(DIGEST.key, (), digest=dataclasses.replace(DIGEST, markdown="x" * 9_000)))
    assert len(found["text"]) == 4_000
    assert found["text"].startswith("%%% \nxxx")
    assert found["text"].endswith("…\n %%%")


def test_the_key_is_checked_without_an_event():
    """`validate` answers for a good key and refuses a wrong one."""
    assert isinstance(DATADOG, Probing)
    door = front_door("datadog", api_key="k")
    DATADOG.read_probe(asked(door, DATADOG.probe()))
    with pytest.raises(SinkRefused) as caught:
        DATADOG.read_probe(asked(front_door("datadog", api_key="other"), DATADOG.probe()))
    assert caught.value.reason == "auth"
    assert list(door.ledger.rows()) == []


@pytest.mark.parametrize(
    ("values", "url"),
    [({}, "https://api.datadoghq.com/api/v1/events"), ({"url": "http://p.example/"}, "http://p.example/api/v1/events")],
)
def test_the_address_is_that_of_the_site(values, url):
    """Or of a proxy."""
    made = DatadogEventNotifier("ops", DatadogEventConfig(api_key="k", **values), CONTEXT)
    assert made.encode(told(notification()), now_ms=NOW_MS).url == url


@pytest.mark.parametrize(
    "values",
    [{}, {"api_key": "k\nx: y"}, {"api_key": "ключ"}, {"api_key": "k", "site": "x"}, {"api_key": "k", "tags": ["web"]}],
)
def test_a_wrong_configuration_is_refused(values):
    """Keys go into a header; sites and tags have a form."""
    with pytest.raises(ValidationError):
        DatadogEventConfig(**values)
