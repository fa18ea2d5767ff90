"""Notifier `webhook`: the exact body, the signature, and a real receiver on loopback."""

import hashlib
import hmac
import json

import httpx
import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock, SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers.webhook import PLUGINS, WebhookConfig, WebhookNotifier, payload
from headgate.testing.notifier_suite import NOW_MS, notification, told
from headgate.testing.sinks import FakeVendor

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")

GOLDEN = {
    "version": "4",
    "groupKey": '{}:{alertname="DefaultBranchFailing"}/' + "f" * 64,
    "truncatedAlerts": 0,
    "status": "resolved",
    "receiver": "ops",
    "groupLabels": {"alertname": "DefaultBranchFailing"},
    "commonLabels": {
        "alertname": "DefaultBranchFailing",
        "project": "gh/acme/web",
        "severity": "warning",
        "workflow": "build",
    },
    "commonAnnotations": {
        "summary": "gh/acme/web build: 60% of 30 runs",
        "link": "https://app.circleci.com/x?a=1&b=2",
    },
    "externalURL": "https://app.circleci.com/x?a=1&b=2",
    "alerts": [
        {
            "status": "resolved",
            "labels": {
                "alertname": "DefaultBranchFailing",
                "project": "gh/acme/web",
                "severity": "warning",
                "workflow": "build",
            },
            "annotations": {
                "summary": "gh/acme/web build: 60% of 30 runs",
                "link": "https://app.circleci.com/x?a=1&b=2",
            },
            "startsAt": "2026-11-18T11:05:40.000Z",
            "endsAt": "2026-11-18T11:06:38.000Z",
            "generatorURL": "https://app.circleci.com/x?a=1&b=2",
            "fingerprint": "f" * 64,
        }
    ],
    "headgate": {
        "schema": 2,
        "key": "f" * 64 + ":1795000000000:2",
        "alerts": [
            {
                "key": "f" * 64 + ":1795000000000:2",
                "fingerprint": "f" * 64,
                "rule": "DefaultBranchFailing",
                "reason": "clear",
                "at": "2026-11-18T11:06:39.000Z",
                "numbers": {"value": 0.6, "n": 30.0},
                "good_news": False,
            }
        ],
    },
}


def test_the_body_is_alertmanagers_with_ours_beside_it():
    """Every key of the body, for a resolved alert."""
    found = payload("ops", told(notification(state="resolved", reason="clear", ends_ms=NOW_MS - 2_000)))
    assert found == GOLDEN


def test_a_firing_alert_has_no_end():
    """While it fires, the end is Go's zero time, as Alertmanager sends it."""
    assert payload("ops", told(notification()))["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"


def test_signature_and_key_are_headers():
    """The signature covers the timestamp and the body; the key is the notification's."""
    made = WebhookNotifier("ops", WebhookConfig(url="http://h.example/x", secret="k"), CONTEXT)
    request = made.encode(told(notification()), now_ms=NOW_MS)
    headers = dict(request.headers)
    wanted = hmac.new(b"k", b"1795000000." + request.body, hashlib.sha256).hexdigest()
    assert headers["x-headgate-timestamp"] == "1795000000"
    assert headers["x-headgate-signature"] == f"v1={wanted}"
    assert headers["idempotency-key"] == notification().key
    assert headers["user-agent"] == "headgate/0"


def test_without_a_secret_nothing_is_signed():
    """No secret, no signature header."""
    made = WebhookNotifier("ops", WebhookConfig(url="http://h.example/x"), CONTEXT)
    assert "x-headgate-signature" not in dict(made.encode(told(notification()), now_ms=NOW_MS).headers)


@pytest.mark.parametrize(
    "values",
    [
        {"url": "hooks.example"},
        {"url": "ftp://hooks.example"},
        {"url": "http://h", "unknown": 1},
        {"url": "http://h", "secret": " "},
        {"url": "http://h", "headers": {"X-A": "a\r\nX-B: b"}},
        {"url": "http://h", "headers": {"X A": "a"}},
        {"url": "http://h", "headers": {"Idempotency-Key": "a"}},
    ],
    ids=["no-scheme", "ftp", "unknown-key", "blank-secret", "header-injection", "header-name", "own-header"],
)
def test_a_wrong_configuration_is_refused(values):
    """Addresses, headers and keys that cannot work are refused when the file is read."""
    with pytest.raises(ValidationError):
        WebhookConfig(**values)


def test_a_real_receiver_takes_it_and_folds_a_retry():
    """Over loopback: accepted, and the retry of one transition is one notification."""
    with FakeVendor("webhook", hmac_secret="k") as fake:
        config = WebhookConfig(url=f"{fake.url}/alerts", secret="k")
        made = PLUGINS[0].build("ops", config, CONTEXT)
        for _ in range(2):
            request = made.encode(told(notification()), now_ms=SystemClock().now_ms())
            answer = httpx.request(request.method, request.url, headers=dict(request.headers), content=request.body)
            made.interpret(HttpReply(answer.status_code, dict(answer.headers), answer.content), told(notification()))
        (stored,) = fake.stored()
        assert stored["record_id"] == notification().key
        assert json.loads(request.body)["headgate"]["key"] == notification().key
