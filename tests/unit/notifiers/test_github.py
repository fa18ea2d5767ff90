"""Notifier `github`: an issue from firing to resolved, found again, limits, what people do to issues, configuration."""

import asyncio
import dataclasses
import json

import pytest
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.errors import SinkRefused, SinkUnavailable
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, HttpReply
from headgate.notifiers.github import GitHubConfig, GitHubNotifier
from headgate.testing.notifier_suite import NOW_MS, exchange_with, notification, told
from headgate.testing.sinks import front_door
from headgate.testing.sinks.vendors.github import TOKEN

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
A = notification(fingerprint="a" * 64, key="a" * 64 + ":1:1")
B = notification(fingerprint="b" * 64, key="b" * 64 + ":1:1", annotations={"summary": "b broke"})
GROUP = {"alertname": "DefaultBranchFailing", "project": "gh/acme/web"}


def over(one):
    """The same alert when it is over."""
    return dataclasses.replace(one, state="resolved", key=f"{one.key}:r", ends_ms=NOW_MS, reason="clear")


class Repository:
    """A notifier and a strict GitHub; `say` sends a message with what was remembered of the one before."""

    def __init__(self, config=None, **options):
        self.now_ms = NOW_MS
        self.door = front_door("github", clock_ms=lambda: self.now_ms, **options)
        self.notifier = GitHubNotifier(
            "ops", GitHubConfig(**{"token": TOKEN, "repository": "acme/web", **(config or {})}), CONTEXT
        )
        self.memory, self.requests = {}, []

    def say(self, *notifications, **values):
        message = told(*notifications, **{"group": GROUP, "memory": self.memory, **values})
        http = exchange_with(self.door, self.requests)
        self.memory = asyncio.run(self.notifier.send(message, now_ms=self.now_ms, http=http))
        return self.calls()

    def calls(self):
        done = [f"{one.method} {one.url.partition('/acme/web')[2].partition('?')[0]}" for one in self.requests]
        self.requests.clear()
        return done

    def issues(self):
        return [row.native for row in self.door.ledger.rows()]

    def change(self, number, **values):
        """Do what people do to issues."""
        native = self.door.ledger.get(number).native
        self.door.ledger.replace(number, str(number), {**native, **values})


def test_an_issue_is_opened_and_closed():
    """One search and one issue; the end closes it with a comment."""
    repository = Repository()
    assert repository.say(A) == ["GET /issues", "POST /issues"]
    (issue,) = repository.issues()
    assert issue["title"] == "DefaultBranchFailing: gh/acme/web build: 60% of 30 runs"
    assert issue["labels"] == [{"name": "headgate"}]
    assert "[`gh/acme/web build: 60% of 30 runs`](<https://app.circleci.com/x?a=1&b=2>)" in issue["body"]
    assert "- `project`: `gh/acme/web`" in issue["body"]
    assert repository.say(over(A)) == ["PATCH /issues/1", "POST /issues/1/comments"]
    (issue,) = repository.issues()
    assert (issue["state"], issue["state_reason"], len(issue["comments"])) == ("closed", "completed", 1)
    assert issue["comments"][0].startswith("**Resolved**")


def test_what_fires_again_opens_its_issue_again():
    """The history of one alert is in one place."""
    repository = Repository()
    for one in (A, over(A), A):
        repository.say(one)
    (issue,) = repository.issues()
    assert (issue["state"], issue["state_reason"], len(issue["comments"])) == ("open", "reopened", 2)


def test_a_repeat_brings_the_issue_up_to_date_without_a_comment():
    """Nothing is new, so nobody is told; an issue that somebody closed stays closed."""
    repository = Repository()
    repository.say(A)
    repository.change(1, state="closed")
    assert repository.say(dataclasses.replace(A, key="repeat", annotations={"summary": "50%"})) == ["PATCH /issues/1"]
    (issue,) = repository.issues()
    assert (issue["state"], issue["comments"]) == ("closed", [])
    assert "50%" in issue["body"]
    assert issue["title"].endswith("60% of 30 runs")


def test_a_group_is_one_issue_until_all_of_it_is_over():
    """Who joins is told by a comment; the last one closes it."""
    repository = Repository()
    repository.say(A)
    repository.say(B)
    repository.say(over(A))
    (issue,) = repository.issues()
    assert issue["state"] == "open"
    assert "**1 firing, 1 resolved**" in issue["body"]
    assert len(issue["comments"]) == 2
    repository.say(over(B))
    assert repository.issues()[0]["state"] == "closed"


@pytest.mark.parametrize(
    "lost", [{}, {"repository": "acme/other", "number": "99"}, {"repository": "acme/web", "alerts": "["}]
)
def test_an_issue_is_found_again(lost):
    """Without memory, by its hidden comment, with what it says to fire: none is made twice, none closed too early."""
    repository = Repository()
    repository.say(A, B)
    repository.memory = lost
    assert repository.say(over(A)) == ["GET /issues", "PATCH /issues/1", "POST /issues/1/comments"]
    assert [issue["state"] for issue in repository.issues()] == ["open"]
    repository.say(over(B))
    assert [issue["state"] for issue in repository.issues()] == ["closed"]


def test_an_answer_that_was_lost_makes_no_second_issue():
    """The retry finds what the first attempt has made, and says nothing more."""
    repository = Repository()
    repository.door.script.put({"cut": "after_store", "path": "/repos/acme/web/issues", "status": 502, "store": True})
    with pytest.raises(SinkUnavailable):
        repository.say(A)
    repository.calls()
    repository.door.script.clear()
    repository.say(A)
    repository.memory = {}
    assert repository.say(A) == ["GET /issues"]
    assert len(repository.issues()) == 1


def test_another_group_has_another_issue():
    """The hidden comment is about the group, or the alert that is by itself."""
    repository = Repository()
    for group in (GROUP, {**GROUP, "project": "gh/acme/api"}, {}):
        repository.memory = {}
        repository.say(A, group=group)
    assert len(repository.issues()) == 3


@pytest.mark.parametrize("gone", ["deleted", "moved"])
def test_an_issue_that_went_away_is_opened_anew(gone):
    """Deleted, or moved to another repository."""
    repository = Repository()
    repository.say(A)
    if gone == "deleted":
        repository.change(1, deleted=True)
    else:
        repository.change(1, body="moved")
        moved = {"status": 301, "body": {"message": "Moved Permanently"}, "path": "/repos/acme/web/issues/1"}
        repository.door.script.put(moved)
    assert repository.say(dataclasses.replace(A, key="again")) == ["PATCH /issues/1", "GET /issues", "POST /issues"]
    assert repository.memory["number"] == "2"


def test_what_is_over_and_unknown_makes_no_issue():
    """There is nothing to close."""
    repository = Repository()
    assert repository.say(over(A)) == ["GET /issues"]
    assert repository.issues() == []
    assert repository.memory == {}


def test_the_search_is_bounded_and_passes_over_pull_requests():
    """Three pages of open issues with the label; a pull request is not an issue, whatever its text."""
    repository = Repository()
    repository.say(A)
    body = repository.issues()[0]["body"]
    repository.change(1, body="x")
    for number in range(2, 403):
        text = {"body": body, "pull_request": {}} if number == 402 else {"body": None}
        repository.door.ledger.add(number, None, {**repository.issues()[0], "number": number, **text})
    repository.memory = {}
    assert repository.say(A) == ["GET /issues"] * 3 + ["POST /issues"]


def test_labels_that_are_not_wanted_are_not_searched_for():
    """Without labels every open issue is looked at."""
    repository = Repository({"labels": ()})
    repository.say(A)
    repository.memory = {}
    assert repository.say(over(A))[0] == "GET /issues"
    assert repository.issues()[0]["state"] == "closed"


@pytest.mark.parametrize(
    ("headers", "words", "wait"),
    [
        ({"retry-after": "17"}, "You have exceeded a secondary rate limit", 17.0),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_MS // 1000 + 90)},
            "API rate limit exceeded",
            90.0,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "API rate limit exceeded", 1.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_MS)}, "API rate limit exceeded", 3600.0),
        ({"x-ratelimit-remaining": "4999"}, "You have exceeded a secondary rate limit", 60.0),
    ],
)
@pytest.mark.parametrize("status", [403, 429])
def test_limits_are_waited_for(status, headers, words, wait):
    """A 403 is a limit when GitHub says so, and no question of rights."""
    repository = Repository()
    repository.door.script.put({"status": status, "headers": headers, "body": {"message": words}})
    with pytest.raises(SinkUnavailable) as caught:
        repository.say(A)
    assert caught.value.retry_after == wait


def test_the_secondary_limit_of_content():
    """The fake's own limit reads the same."""
    repository = Repository(content_per_minute=1)
    repository.say(A)
    with pytest.raises(SinkUnavailable, match="secondary rate limit") as caught:
        repository.say(over(A))
    assert caught.value.retry_after == 61.0


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"token": "other"}, "auth"), ({"repository": "acme/other"}, "config"), ({"has_issues": False}, "config")],
)
def test_a_wrong_token_or_repository_holds_everything(options, reason):
    """For a message and for the check alike."""
    repository = Repository(**options)
    with pytest.raises(SinkRefused) as caught:
        repository.say(A)
    assert caught.value.reason == reason
    with pytest.raises(SinkRefused) as caught:
        asyncio.run(repository.notifier.reach(exchange_with(repository.door)))
    assert caught.value.reason == reason


def test_the_check_tells_nobody():
    """It reads the repository alone."""
    repository = Repository()
    asyncio.run(repository.notifier.reach(exchange_with(repository.door, repository.requests)))
    assert repository.calls() == ["GET "]


def test_the_address_of_a_server_of_ones_own():
    """GitHub Enterprise Server has its API under /api/v3."""
    repository = Repository({"url": "https://github.example/api/v3/"}, prefix="/api/v3")
    repository.say(A)
    assert len(repository.issues()) == 1


def test_nobody_is_mentioned_and_no_comment_ends():
    """Labels and texts stand in code spans."""
    repository = Repository()
    hostile = "@acme/everybody `rm` <!-- --> #1\nx"
    repository.say(
        notification(labels={"branch": hostile}, annotations={"summary": hostile, "link": "javascript:alert(1)"})
    )
    (issue,) = repository.issues()
    assert "`@acme/everybody  rm  <!-- --> #1 x`" in issue["body"]
    assert "javascript" not in issue["body"]
    assert "\n" not in issue["title"]


def test_each_line_of_a_group_names_its_rule():
    """The title is that of the first alert, whatever joins it."""
    repository = Repository()
    repository.say(A, dataclasses.replace(B, rule="QueueTimeHigh"))
    (issue,) = repository.issues()
    assert f"- **Firing** `{A.rule}` " in issue["body"]
    assert "- **Firing** `QueueTimeHigh` " in issue["body"]


def test_a_large_group_keeps_the_limits():
    """300 alerts with long texts: 40 by name, all of them remembered by the hidden comment."""
    repository = Repository()
    link = "https://e.example/" + "x" * 280
    many = [
        notification(fingerprint=f"{n:064d}", key=f"{n}", annotations={"summary": "s" * 300, "link": link})
        for n in range(300)
    ]
    for start in range(0, 300, 100):
        repository.say(*many[start : start + 100])
    (issue,) = repository.issues()
    assert "- and 260 more" in issue["body"]
    repository.memory = {}
    repository.say(*map(over, many[:299]))
    assert repository.issues()[0]["state"] == "open"
    repository.say(over(many[299]))
    assert repository.issues()[0]["state"] == "closed"


def test_answers_that_are_not_githubs():
    """A proxy's page is no issue."""

    async def http(_request):
        return HttpReply(200, {}, json.dumps({"number": "x"}).encode())

    notifier = Repository().notifier
    with pytest.raises(SinkUnavailable):
        asyncio.run(notifier.send(told(A), now_ms=NOW_MS, http=http))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"token": "x"},
        {"token": "x", "repository": "web"},
        {"token": "x", "repository": "https://github.com/acme/web"},
    ],
)
def test_a_wrong_configuration_is_refused(values):
    """A repository is owner/name."""
    with pytest.raises(ValidationError):
        GitHubConfig(**values)
