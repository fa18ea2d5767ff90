"""Doing what was planned: order, read-back, and trouble that stays where it is."""

from dataclasses import replace

import pytest
from tests.unit.collect.fakes import FakeSource

from headgate.app.wiring import Wired, carry_out, look, planner, remover, wired
from headgate.core.errors import SourceRefused, SourceUnavailable
from headgate.core.ports import Scope, WebhookSource
from headgate.core.webhooks import WantedWebhook, Webhook

WANTED = WantedWebhook("headgate", "https://hooks.example.com/x", frozenset({"job-completed"}))
GOOD = Webhook("", WANTED.name, WANTED.url, WANTED.events, verify_tls=True, signed=True)
SCOPES = [Scope("p1", "gh/acme/a"), Scope("p2", "gh/acme/b"), Scope("p3", "gh/other/c")]


class FakeAdmin:
    """Keeps webhooks in memory; `fails` names calls that raise, `signs` off loses the secret on the way."""

    def __init__(self, **have):
        self.wanted, self.limit = WANTED, 5
        self.have = {scope.key: list(have.get(scope.key, [])) for scope in SCOPES}
        self.fails, self.signs, self.log = {}, True, []

    def _enter(self, what, where):
        self.log.append((what, where))
        if (what, where) in self.fails:
            raise self.fails[what, where]

    async def webhooks(self, key):
        self._enter("webhooks", key)
        return tuple(self.have[key])

    async def create(self, key):
        self._enter("create", key)
        self.have[key].append(replace(GOOD, id=f"new-{key}", signed=self.signs))

    async def update(self, webhook_id):
        self._enter("update", webhook_id)
        for kept in self.have.values():
            kept[:] = [replace(GOOD, id=it.id, signed=self.signs) if it.id == webhook_id else it for it in kept]

    async def delete(self, webhook_id):
        self._enter("delete", webhook_id)
        for kept in self.have.values():
            kept[:] = [it for it in kept if it.id != webhook_id]


class Projects:
    """The part of a source that is asked."""

    name, host = "ci", "circleci.com"

    async def scopes(self):
        return SCOPES


async def run(admin, chosen=None, again=None):
    """Look, plan and do; gives (kind, project, problem)."""
    one = Wired(Projects(), admin)
    actions = (chosen or planner())(admin, await look(one))
    done = await carry_out(one, actions, again or planner())
    return [(it.action.kind, it.action.project, it.problem) for it in done]


async def test_only_sources_that_can_are_asked():
    """A source of another kind, and one without a URL, are passed over."""
    plain, able = FakeSource(), FakeSource()
    off = FakeSource()
    off.webhook_admin, able.webhook_admin = None, FakeAdmin()
    assert [able] == [one.source for one in wired([plain, off, able])]
    assert not isinstance(plain, WebhookSource)


async def test_each_project_is_read_back_once():
    """After all of its changes, the deletion first, so that it frees a place."""
    admin = FakeAdmin(p1=[replace(GOOD, id="b", signed=False), replace(GOOD, id="a", signed=False)], p2=[])
    done = await run(admin)
    assert [("delete", "gh/acme/a", ""), ("update", "gh/acme/a", "")] == done[:2]
    calls = [call for call in admin.log[3:] if call[1] in ("p1", "a", "b")]
    assert [("delete", "b"), ("update", "a"), ("webhooks", "p1")] == calls


async def test_a_change_that_did_not_take_is_a_failure():
    """A webhook that reads back unsigned is not done, whatever the far side answered."""
    admin = FakeAdmin()
    admin.signs = False
    done = await run(admin)
    assert [True] * 3 == ["signing secret" in problem for _, _, problem in done]


@pytest.mark.parametrize(
    "error",
    [
        SourceUnavailable("POST: 500 boom"),
        SourceRefused("POST: 400 no", reason="rejected", fix="see"),
        SourceRefused("POST: 403", reason="no_access", fix="ask"),
    ],
    ids=str,
)
async def test_a_failure_is_of_its_project_alone(error):
    """The others are done; a second run does only what is left."""
    admin = FakeAdmin()
    admin.fails["create", "p2"] = error
    done = await run(admin)
    assert [("create", "gh/acme/a", ""), ("create", "gh/acme/b", str(error)), ("create", "gh/other/c", "")] == done
    admin.fails.clear()
    assert [("create", "gh/acme/b", "")] == await run(admin)


async def test_a_project_that_cannot_be_read_back_is_a_failure():
    """Nobody knows what came of it."""
    admin = FakeAdmin()
    actions = planner()(admin, await look(Wired(Projects(), admin), "gh/acme/a"))
    admin.fails["webhooks", "p1"] = SourceUnavailable("GET: 502")
    [done] = await carry_out(Wired(Projects(), admin), actions, planner())
    assert "GET: 502" in done.problem


async def test_an_organisation_that_refuses_is_asked_once():
    """Its other projects are not looked at; other organisations are. Unreadable projects are failures."""
    admin = FakeAdmin()
    admin.fails["webhooks", "p1"] = SourceRefused("GET: 403", reason="no_access", fix="ask")
    admin.fails["webhooks", "p3"] = SourceUnavailable("GET: 500")
    found = await look(Wired(Projects(), admin))
    assert ["no_right", "no_right", "failed"] == [one.refused for one in found]
    assert ("webhooks", "p2") not in admin.log
    assert "GET: 500" == found[2].detail
    assert ["gh/acme/b"] == [one.project for one in await look(Wired(Projects(), admin), "*/b")]


async def test_a_dead_token_ends_the_look():
    """It is said as itself, not as a group of errors."""
    admin = FakeAdmin()
    admin.fails["webhooks", "p2"] = SourceRefused("GET: 401", reason="token_expired", fix="new")
    with pytest.raises(SourceRefused, match="401"):
        await look(Wired(Projects(), admin))


async def test_a_removal_is_read_back_too():
    """What has our URL is gone afterwards; what has our name and goes elsewhere stays and is no failure."""
    elsewhere = replace(GOOD, id="s", url="https://staging.example")
    admin = FakeAdmin(p1=[replace(GOOD, id="a"), elsewhere])
    assert [("delete", "gh/acme/a", "")] == await run(admin, remover, remover)
    assert [elsewhere] == admin.have["p1"]
