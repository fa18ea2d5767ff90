"""The public notifier suite over our own notifiers, against the strict fakes."""

import msgspec

from headgate.core.clock import ManualClock
from headgate.core.errors import BatchRejected, SinkRefused
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers._github_text import body_of
from headgate.notifiers._threads import entries_of
from headgate.notifiers.datadog_event import DatadogEventConfig, DatadogEventNotifier
from headgate.notifiers.github import GitHubConfig, GitHubNotifier
from headgate.notifiers.pagerduty import PagerDutyConfig, PagerDutyNotifier
from headgate.notifiers.slack import SlackBot, SlackConfig, SlackWebhook
from headgate.notifiers.teams import TeamsConfig, TeamsNotifier
from headgate.notifiers.webhook import WebhookConfig, WebhookNotifier
from headgate.testing.notifier_suite import NotifierSubject, NotifierSuite, notification, told
from headgate.testing.sinks.vendors.github import TOKEN
from headgate.testing.sinks.vendors.teams import ADDRESS, PATH, SIGNATURE

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
SLACK_OK = HttpReply(200, {}, b'{"ok":true,"channel":"C1","ts":"1.2"}')


class TestWebhook(NotifierSuite):
    """Signed, with a bearer token and a header of its own."""

    subject = NotifierSubject(
        build=lambda: WebhookNotifier(
            "ops",
            WebhookConfig(
                url="https://hooks.example/alerts/s3cret-token-in-path?token=s3cret-token-in-query",
                secret="s3cret-key",
                bearer_token="s3cret-token",
                headers={"X-Team": "s3cret-team"},
            ),
            CONTEXT,
        ),
        config=WebhookConfig,
        secrets=("s3cret-key", "s3cret-token", "s3cret-team", "s3cret-token-in-path", "s3cret-token-in-query"),
        accepts=(
            HttpReply(200, {}, b"anything"),
            HttpReply(201, {}, b""),
            HttpReply(202, {}, b""),
            HttpReply(204, {}, b""),
        ),
        fake="webhook",
        fake_options={"hmac_secret": "s3cret-key"},
    )


class TestSlackBot(NotifierSuite):
    """With a bot token."""

    subject = NotifierSubject(
        build=lambda: SlackBot("ops", SlackConfig(token="xoxb-fake", channel="C1"), CONTEXT),
        config=SlackConfig,
        secrets=("xoxb-fake",),
        accepts=(SLACK_OK,),
        fake="slack",
        fake_options={"token": "xoxb-fake", "channels": "C1"},
    )


class TestSlackWebhook(NotifierSuite):
    """With an incoming webhook."""

    subject = NotifierSubject(
        build=lambda: SlackWebhook(
            "ops", SlackConfig(webhook_url="https://hooks.slack.com/services/T0/B0/secret"), CONTEXT
        ),
        config=SlackConfig,
        secrets=("services/T0/B0/secret",),
        accepts=(HttpReply(200, {}, b"ok"),),
        fake="slack",
        fake_options={"webhook_path": "/services/T0/B0/secret"},
        statuses={400: (BatchRejected, "refused"), 404: (SinkRefused, "config")},
    )


class TestPagerDuty(NotifierSuite):
    """One event an alert."""

    subject = NotifierSubject(
        build=lambda: PagerDutyNotifier(
            "ops", PagerDutyConfig(routing_key="R0123456789ABCDEF0123456789ABCDE"), CONTEXT
        ),
        config=PagerDutyConfig,
        secrets=("R0123456789ABCDEF0123456789ABCDE",),
        accepts=(HttpReply(202, {}, b'{"status":"success","message":"Event processed","dedup_key":"k"}'),),
        fake="pagerduty",
        untold=frozenset({"resolved"}),
    )


class TestTeams(NotifierSuite):
    """Cards through a workflow."""

    subject = NotifierSubject(
        build=lambda: TeamsNotifier("ops", TeamsConfig(url=f"https://flow.example{ADDRESS}"), CONTEXT),
        config=TeamsConfig,
        secrets=(PATH, SIGNATURE, ADDRESS),
        accepts=(HttpReply(202, {}, b""), HttpReply(200, {}, b"")),
        fake="teams",
    )


FIRING = told(notification())


class TestGitHub(NotifierSuite):
    """One issue, which needs a search first."""

    subject = NotifierSubject(
        build=lambda: GitHubNotifier("ops", GitHubConfig(token=TOKEN, repository="acme/web"), CONTEXT),
        config=GitHubConfig,
        secrets=(TOKEN,),
        accepts=(
            HttpReply(200, {}, msgspec.json.encode([{"number": 7, "body": body_of(FIRING, entries_of(FIRING))}])),
        ),
        fake="github",
        untold=frozenset({"resolved", "over"}),
    )


class TestDatadogEvent(NotifierSuite):
    """One event a message."""

    subject = NotifierSubject(
        build=lambda: DatadogEventNotifier("ops", DatadogEventConfig(api_key="s3cret-key"), CONTEXT),
        config=DatadogEventConfig,
        secrets=("s3cret-key",),
        accepts=(HttpReply(202, {}, b'{"status":"ok"}'), HttpReply(200, {}, b"")),
        fake="datadog",
        fake_options={"api_key": "s3cret-key"},
    )
