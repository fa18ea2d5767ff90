"""Notifier `alertmanager`: what it posts, to whom, and when it tells again. The real one is in tests/e2e."""

import json

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused, SinkUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers.alertmanager import AlertmanagerConfig, AlertmanagerNotifier
from headgate.testing.notifier_suite import NOTIFICATIONS, NOW_MS, notification, told

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
OK = HttpReply(200, {}, b"")
MINUTE = 60_000


def notifier(*urls, **more):
    """One for these addresses."""
    return AlertmanagerNotifier("am", AlertmanagerConfig(urls=urls or ("http://am:9093/",), **more), CONTEXT)


class Posts:
    """Requests in order; answers by host, else 200."""

    def __init__(self, **answers):
        self.requests = []
        self.answers = answers

    async def __call__(self, request):
        self.requests.append(request)
        answer = self.answers.get(request.url.split("/")[2].split(":")[0], OK)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def alerts(self):
        """All that was posted, request by request."""
        return [json.loads(request.body) for request in self.requests]


async def test_a_firing_alert_ends_by_itself_unless_it_is_told_again():
    """End four intervals ahead, labels with the rule as alertname, a link only where it is one."""
    posts = Posts()
    memory = await notifier().send(told(notification()), now_ms=NOW_MS, http=posts)
    (request,) = posts.requests
    assert (request.method, request.url) == ("POST", "http://am:9093/api/v2/alerts")
    assert posts.alerts() == [
        [
            {
                "labels": {
                    "alertname": "DefaultBranchFailing",
                    "project": "gh/acme/web",
                    "severity": "warning",
                    "workflow": "build",
                },
                "annotations": dict(notification().annotations),
                "startsAt": "2026-11-18T11:05:40.000Z",
                "endsAt": "2026-11-18T11:10:40.000Z",
                "generatorURL": "https://app.circleci.com/x?a=1&b=2",
            }
        ]
    ]
    assert list(memory) == ["alert"]


async def test_labels_of_any_kind_can_be_sent():
    """Names that Alertmanager takes, no empty values, no made-up links."""
    for one in NOTIFICATIONS.values():
        posts = Posts()
        await notifier().send(told(one), now_ms=NOW_MS, http=posts)
        ((alert,),) = posts.alerts()
        assert all(name.isidentifier() and value for name, value in alert["labels"].items())
        assert alert.get("generatorURL", "https://").startswith("https://")


async def test_a_change_of_severity_ends_the_former_alert():
    """To Alertmanager an alert is its labels."""
    made, posts = notifier(), Posts()
    memory = await made.send(told(notification()), now_ms=NOW_MS, http=posts)
    worse = notification(labels={"project": "gh/acme/web", "severity": "critical", "workflow": "build"})
    await made.send(told(worse, memory=memory), now_ms=NOW_MS + MINUTE, http=posts)
    former, present = posts.alerts()[-1]
    assert (former["labels"]["severity"], former["endsAt"]) == ("warning", "2026-11-18T11:07:40.000Z")
    assert (present["labels"]["severity"], present["endsAt"]) == ("critical", "2026-11-18T11:11:40.000Z")


async def test_open_alerts_are_told_again_and_ended_ones_for_a_while():
    """Also one whose end was told to others; what needs no more telling is forgotten."""
    made, posts = notifier(), Posts()
    ends = {"state": "resolved", "ends_ms": NOW_MS}
    given = {
        "open": notification(fingerprint="open"),
        "gone": notification(fingerprint="gone"),
        "over": notification(fingerprint="over", **ends),
        "old": notification(fingerprint="old", state="resolved", ends_ms=NOW_MS - 5 * MINUTE),
    }
    memories = {name: await made.send(told(one), now_ms=NOW_MS, http=Posts()) for name, one in given.items()}
    memories["broken"] = {"alert": "{"}
    over = await made.refresh(memories, now_ms=NOW_MS + MINUTE, open_alerts=lambda one: one == "open", http=posts)
    assert sorted(over) == ["broken", "gone", "old"]
    ((opened, gone, ended, old),) = posts.alerts()
    assert opened["endsAt"] == "2026-11-18T11:11:40.000Z"
    assert gone["endsAt"] == "2026-11-18T11:07:40.000Z"
    assert (ended["endsAt"], old["endsAt"]) == ("2026-11-18T11:06:40.000Z", "2026-11-18T11:01:40.000Z")


async def test_one_of_several_is_enough_and_all_are_told():
    """A dead member delays nobody; none at all is tried again."""
    made = notifier("http://one:9093", "http://two:9093/alertmanager")
    down, busy = SinkUnavailable("down"), HttpReply(503, {"retry-after": "9"}, b"no")
    posts = Posts(one=down)
    await made.send(told(notification()), now_ms=NOW_MS, http=posts)
    assert [request.url for request in posts.requests] == [
        "http://one:9093/api/v2/alerts",
        "http://two:9093/alertmanager/api/v2/alerts",
    ]
    with pytest.raises(SinkUnavailable):
        await made.send(told(notification()), now_ms=NOW_MS, http=Posts(one=down, two=HttpReply(401, {}, b"")))
    with pytest.raises(SinkUnavailable) as caught:
        await notifier().send(told(notification()), now_ms=NOW_MS, http=Posts(am=busy))
    assert caught.value.retry_after == 9.0


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (HttpReply(400, {}, b'{"message":"bad labels"}'), BatchRejected),
        (HttpReply(401, {}, b"hunter22 is wrong"), SinkRefused),
        (HttpReply(404, {}, b"404 page not found"), SinkRefused),
        (HttpReply(500, {}, b""), SinkUnavailable),
    ],
)
async def test_answers(reply, kind):
    """By the shared table; no secret is repeated."""
    made = notifier(bearer_token="hunter22")
    with pytest.raises(kind) as caught:
        await made.send(told(notification()), now_ms=NOW_MS, http=Posts(am=reply))
    assert "hunter22" not in str(caught.value)


async def test_check_knows_an_alertmanager():
    """It tells nobody, and another product from an Alertmanager."""
    posts = Posts(am=HttpReply(200, {}, b'{"cluster":{},"versionInfo":{"version":"0.25.0"}}'))
    await notifier(username="ci", password="pw", tenant="acme").reach(posts)
    (request,) = posts.requests
    assert (request.method, request.url) == ("GET", "http://am:9093/api/v2/status")
    assert dict(request.headers)["authorization"] == "Basic Y2k6cHc="
    assert dict(request.headers)["x-scope-orgid"] == "acme"
    with pytest.raises(SinkRefused, match="not as Alertmanager"):
        await notifier().reach(Posts(am=HttpReply(200, {}, b"<html>")))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"urls": ()}, "at least 1 item"),
        ({"urls": ("am:9093",)}, "not an address"),
        ({"username": "ci"}, "belong together"),
        ({"username": "ci", "password": "x", "bearer_token": "y"}, "either"),
        ({"resend": "2h"}, "between 1s and 1h"),
    ],
)
def test_configurations_that_cannot_work(given, words):
    """Refused while loading, in words."""
    with pytest.raises(ValidationError, match=words):
        AlertmanagerConfig(**{"urls": ("http://am:9093",), **given})
