"""Webhooks through API v2: what goes over the wire, what is sent twice, and what no message holds."""

import json

import httpx
import pytest
import respx
from pydantic import ValidationError
from tests.unit.sources.circleci.test_api import BASE, Rig

from headgate.core.errors import NotFound, SourceRefused, SourceUnavailable
from headgate.core.webhooks import WantedWebhook, Webhook
from headgate.sources.circleci import CircleCIConfig
from headgate.sources.circleci.hooks import CircleCIWebhookAdmin, webhook_admin

ALL, ONE = "/api/v2/webhook", "/api/v2/webhook/h1"
URL = "https://hooks.example.com/webhooks/circleci/ci"
SECRET = "signing_canary_secret"
BOTH = frozenset({"workflow-completed", "job-completed"})
TOLD = {
    "id": "h1",
    "name": "headgate",
    "url": URL,
    "events": ["job-completed", "workflow-completed"],
    "verify_tls": True,
    "signing_secret": "****",
    "scope": {"id": "p1", "type": "project"},
}
LISTED = httpx.Response(200, json={"items": [TOLD], "next_page_token": None})
EMPTY = httpx.Response(200, json={"items": [], "next_page_token": None})
MADE = httpx.Response(201, json=TOLD)


@pytest.fixture
async def rig():
    """A client and its clock."""
    made = Rig(secrets=(SECRET,))
    yield made
    await made.api.aclose()


@pytest.fixture
def admin(rig):
    """Who looks after the webhooks."""
    return CircleCIWebhookAdmin(rig.api, WantedWebhook("headgate", URL, BOTH), SECRET)


@pytest.fixture
def web():
    """What CircleCI answers."""
    with respx.mock(base_url=BASE, assert_all_called=False) as router:
        yield router


async def test_keys_go_out_in_snake_case(admin, web):
    """A hyphen would make an unsigned webhook; an update says everything again, but not the scope."""
    made = web.post(ALL).mock(return_value=MADE)
    changed = web.put(ONE).mock(return_value=httpx.Response(200, json=TOLD))
    await admin.create("p1")
    await admin.update("h1")
    properties = {
        "name": "headgate",
        "url": URL,
        "events": ["job-completed", "workflow-completed"],
        "verify_tls": True,
        "signing_secret": SECRET,
    }
    assert properties | {"scope": {"id": "p1", "type": "project"}} == json.loads(made.calls.last.request.content)
    assert properties == json.loads(changed.calls.last.request.content)
    assert "application/json" == made.calls.last.request.headers["content-type"]


async def test_what_is_listed_is_read(admin, web):
    """Stars are a secret, blank is none; the project is asked for by id."""
    bare = {**TOLD, "id": "h2", "signing_secret": "", "verify_tls": False}
    first = httpx.Response(200, json={"items": [TOLD], "next_page_token": "more"})
    route = web.get(ALL).mock(side_effect=[first, httpx.Response(200, json={"items": [bare], "next_page_token": None})])
    assert [Webhook("h1", "headgate", URL, BOTH, True, True), Webhook("h2", "headgate", URL, BOTH, False, False)] == [
        *await admin.webhooks("p1")
    ]
    asked = route.calls[0].request.url.params
    assert ("p1", "project") == (asked["scope-id"], asked["scope-type"])


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500, text="boom"),
        httpx.Response(502),
        httpx.Response(408),
        httpx.Response(201, text='{"id": "h'),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("peer closed connection"),
    ],
    ids=str,
)
async def test_a_creation_of_unknown_outcome_is_looked_for_before_it_is_repeated(admin, web, rig, trouble):
    """Found: done, and not made twice. Not found: made again."""
    posts = web.post(ALL).mock(side_effect=[trouble])
    web.get(ALL).mock(side_effect=[LISTED])
    await admin.create("p1")
    assert 1 == posts.call_count

    posts = web.post(ALL).mock(side_effect=[trouble, MADE])
    web.get(ALL).mock(side_effect=[EMPTY])
    before = rig.api.calls
    await admin.create("p1")
    assert 3 == rig.api.calls - before


async def test_a_creation_is_given_up_after_two_tries(admin, web):
    """The project is failed and its next turn begins with a look."""
    posts = web.post(ALL).mock(return_value=httpx.Response(500))
    web.get(ALL).mock(return_value=EMPTY)
    with pytest.raises(SourceUnavailable, match=r"POST /api/v2/webhook: 500"):
        await admin.create("p1")
    assert 2 == posts.call_count


@pytest.mark.parametrize("trouble", [httpx.Response(429), httpx.ConnectError("refused")], ids=str)
async def test_a_creation_that_was_not_begun_is_sent_again(admin, web, trouble):
    """A limit and a connection that never stood leave no doubt."""
    posts = web.post(ALL).mock(side_effect=[trouble, MADE])
    await admin.create("p1")
    assert 2 == posts.call_count


async def test_updates_and_deletions_are_simply_repeated(admin, web):
    """Twice is as once; what is gone already is no error for a deletion, and one for an update."""
    puts = web.put(ONE).mock(side_effect=[httpx.Response(500), httpx.Response(200, json=TOLD)])
    await admin.update("h1")
    gone = web.delete(ONE).mock(side_effect=[httpx.ReadTimeout("slow"), httpx.Response(404)])
    await admin.delete("h1")
    assert (2, 2) == (puts.call_count, gone.call_count)
    web.delete(ONE).mock(side_effect=[httpx.Response(204)])
    await admin.delete("h1")
    web.put(ONE).mock(return_value=httpx.Response(404))
    with pytest.raises(NotFound):
        await admin.update("h1")


async def test_the_missing_right_has_its_name(admin, web):
    """403 is the right of an administrator, for every verb."""
    web.route(path__startswith=ALL).mock(return_value=httpx.Response(403, json={"message": "Permission denied."}))
    web.get("/api/v2/me").mock(return_value=httpx.Response(200, json={}))
    for ask in (admin.webhooks("p1"), admin.create("p1"), admin.update("h1"), admin.delete("h1")):
        with pytest.raises(SourceRefused, match="administrator") as caught:
            await ask
        assert "no_access" == caught.value.reason
        assert "access to this organisation" not in str(caught.value)


async def test_a_refused_body_is_told_without_the_secret(admin, web):
    """Where CircleCI repeats what it was sent, the secret is left out; it is not sent again."""
    echo = f"signing_secret {SECRET} is too short"
    posts = web.post(ALL).mock(return_value=httpx.Response(400, json={"message": echo}))
    with pytest.raises(SourceRefused, match="is too short") as caught:
        await admin.create("p1")
    assert (1, "rejected") == (posts.call_count, caught.value.reason)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(admin._api.options)


async def test_changes_obey_the_budget(admin, web, rig):
    """A PUT waits for the same budget as everything else."""
    web.put(ONE).mock(return_value=httpx.Response(200, json=TOLD))
    rig.api._budget.join(rig.api, 1, 1)
    started = rig.clock.monotonic()
    for _ in range(4):
        await admin.update("h1")
    assert 3 == pytest.approx(rig.clock.monotonic() - started)


def config(**webhook):
    """A source's configuration."""
    return CircleCIConfig.model_validate({"token": "t", "webhook": {"secrets": ["new", "old"], "url": URL, **webhook}})


def test_what_is_wanted_comes_from_the_configuration(rig):
    """The first secret signs; the defaults are both events and verification."""
    made = webhook_admin(config(), rig.api)
    assert (WantedWebhook("headgate", URL, BOTH, True), "new") == (made.wanted, made._secret)
    other = webhook_admin(config(name="staging", events=["job-completed"], verify_tls=False), rig.api)
    assert WantedWebhook("staging", URL, frozenset({"job-completed"}), False) == other.wanted


@pytest.mark.parametrize("fields", [{"token": None}, {"webhook": {"secrets": ["s"]}}])
def test_without_url_or_token_nobody_manages(rig, fields):
    """Both are needed."""
    made = {"token": "t", "poll": {"enabled": False}, "webhook": {"secrets": ["s"], "url": URL}} | fields
    assert webhook_admin(CircleCIConfig.model_validate(made), rig.api) is None


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        ({"url": "http://hooks.example.com/x"}, "https"),
        ({"url": "hooks.example.com"}, "host"),
        ({"url": "https://u:p@hooks.example.com"}, "credentials"),
        ({"url": "https://hooks.example.com/?key=v"}, "query"),
        ({"secrets": []}, "webhook.secrets is needed"),
        ({"secrets": [" "]}, "webhook.secrets is needed"),
        ({"events": []}, "events"),
        ({"events": ["ping"]}, "events"),
        ({"name": ""}, "name"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(webhook, words):
    """Each with its key or the reason."""
    with pytest.raises(ValidationError, match=words):
        config(**webhook)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081/x", "http://localhost:1/x", "http://[::1]:1/x"])
def test_http_to_this_machine_is_for_twins(url):
    """The twin can be told to take it; CircleCI never does."""
    assert url == config(url=url).webhook.url
