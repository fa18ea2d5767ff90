"""An event that is good news looks so in every notifier, opens nothing, and a text that could not be made is said."""

import asyncio
import dataclasses
import json

import pytest

from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.notifiers._github_text import body_of
from headgate.notifiers._letters import body_html, body_text, subject
from headgate.notifiers._slack_text import group_shown, shown
from headgate.notifiers._threads import entries_of, state_of
from headgate.notifiers.datadog_event import PLUGINS as DATADOG
from headgate.notifiers.jsonl import line
from headgate.notifiers.pagerduty import event
from headgate.notifiers.slack import SlackBot, SlackConfig
from headgate.notifiers.teams import PLUGINS as TEAMS
from headgate.notifiers.webhook import payload
from headgate.testing.notifier_suite import NOW_MS, exchange_with, notification, told
from headgate.testing.sinks import front_door

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
NEWS = dataclasses.replace(notification(), rule="main_recovered", good=True)
BAD = dataclasses.replace(notification(), fingerprint="b" * 64, rule="main_broke")
BROKEN = dataclasses.replace(
    notification(), annotations={"summary": "{{ oh", "template_error": "summary: oh <!channel>"}
)


def encoded(plugins, **options):
    """The body that a notifier over HTTP sends of the news."""
    plugin = plugins[0]
    notifier = plugin.build("ops", plugin.config(**options), CONTEXT)
    return json.loads(notifier.encode(told(NEWS), now_ms=NOW_MS).body)


def test_slack_shows_good_news_in_green():
    """Title and colour say that it is good."""
    (attachment,) = shown(NEWS)["attachments"]
    assert (attachment["color"], attachment["blocks"][0]["text"]["text"][:25]) == (
        "#12873f",
        "Good news: main_recovered",
    )


def test_slack_groups_good_news_behind_what_fires():
    """What fires comes first and gives the colour; alone, good news is green."""
    both = group_shown(entries_of(told(NEWS, BAD)), {}, "key")["attachments"][0]
    assert (both["color"], both["blocks"][0]["text"]["text"]) == (
        "#d92d20",
        "1 firing, 1 good news: main_broke, main_recovered",
    )
    assert state_of(entries_of(told(NEWS))) == "resolved"


def test_slack_posts_the_next_good_news_anew():
    """An edit of the message before would tell nobody."""
    bot = SlackBot("ops", SlackConfig(token="xoxb-1", channel="#ci"), CONTEXT)
    door, requests = front_door("slack", clock_ms=lambda: NOW_MS, token="xoxb-1"), []
    http = exchange_with(door, requests)
    memory = asyncio.run(bot.send(told(NEWS), now_ms=NOW_MS, http=http))
    again = told(dataclasses.replace(NEWS, key=NEWS.fingerprint + ":1:9"), memory=memory)
    asyncio.run(bot.send(again, now_ms=NOW_MS, http=http))
    assert [request.url.rpartition("/")[2] for request in requests] == ["chat.postMessage", "chat.postMessage"]


def test_letters_show_good_news_in_green():
    """Subject, text and colour."""
    message = told(NEWS)
    assert subject(message).startswith("[GOOD NEWS] main_recovered")
    assert body_text(message).startswith("GOOD NEWS: main_recovered")
    assert "solid #067647" in body_html(message)


def test_vendors_are_told_that_it_is_good():
    """Each in its own words; nobody is paged, and no issue is opened."""
    teams = encoded(TEAMS, url="https://prod.example/workflows/x?sig=1")
    assert "Good news: main_recovered" in json.dumps(teams)
    assert "attention" not in json.dumps(teams)
    datadog = encoded(DATADOG, api_key="0" * 32)
    assert (datadog["alert_type"], datadog["title"]) == ("success", "main_recovered is good news")
    assert event("k", told(NEWS))["event_action"] == "resolve"
    assert body_of(told(NEWS), entries_of(told(NEWS))).startswith("**Good news**")


def test_scripts_are_told_that_it_is_good():
    """`good_news` is a field of both machine formats."""
    assert payload("ops", told(NEWS))["headgate"]["alerts"][0]["good_news"] is True
    assert [one["good_news"] for one in line(told(BAD))["alerts"]] == [False]


@pytest.mark.parametrize(
    "text", [lambda: json.dumps(shown(BROKEN)), lambda: body_of(told(BROKEN), entries_of(told(BROKEN)))]
)
def test_a_text_that_could_not_be_made_is_said(text):
    """Whoever reads the raw template sees why, and the error calls nobody."""
    assert "could not be made: summary: oh" in text()
    assert "<!channel>" not in json.dumps(shown(BROKEN))
