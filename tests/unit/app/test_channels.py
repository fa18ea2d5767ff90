"""Notifiers that remember, over the real outbox worker, transport and store, against strict fakes on loopback."""

import asyncio
import dataclasses

import pytest

from headgate.core.backoff import BackOff
from headgate.core.clock import SystemClock
from headgate.core.messages import Digest, payload_of
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.core.storeport import AlertChange, OutboxEntry
from headgate.deliver import HttpTransport, OutboxOptions, OutboxWorker
from headgate.plugins import load_plugins
from headgate.store.sqlite import SqliteStore
from headgate.testing.notifier_suite import DIGEST, notification
from headgate.testing.sinks import FakeVendor
from headgate.testing.sinks.vendors import github, pagerduty, slack, teams

CLOCK = SystemClock()
GROUP = '{"alertname":"DefaultBranchFailing"}'
OPTIONS = {
    "slack": lambda url: {"token": slack.TOKEN, "channel": "#ci", "url": f"{url}/api"},
    "github": lambda url: {"token": github.TOKEN, "repository": github.REPOSITORY, "url": url},
    "pagerduty": lambda url: {"routing_key": pagerduty.KEY, "url": url},
    "teams": lambda url: {"url": f"{url}{teams.ADDRESS}"},
    "webhook": lambda url: {"url": url},
    "datadog_event": lambda url: {"api_key": "k", "url": url},
}
A, B = (
    notification(fingerprint=letter * 64, key=f"{letter}1", at_ms=CLOCK.now_ms(), annotations={"summary": letter})
    for letter in "ab"
)
OVER_A, OVER_B = (
    dataclasses.replace(one, state="resolved", key=f"{one.key}:r", ends_ms=CLOCK.now_ms()) for one in (A, B)
)
STEPS = ((A, B), (OVER_A,), (OVER_B,))


class Watched:
    """A store that ends the worker when nothing waits any more."""

    def __init__(self, store):
        self._store, self.worker = store, None

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def outbox_done(self, ids, **more):
        await self._store.outbox_done(ids, **more)
        if not (await self._store.figures()).outbox_waiting:
            self.worker.stop()

    async def outbox_dead(self, ids, *, error, at_ms):
        raise AssertionError(error)


async def deliver(store, notifier, transport, ones):
    """Write notifications of one group, and digests; deliver them with a worker of their own, as after a restart."""
    now = CLOCK.now_ms()
    groups = ["" if isinstance(one, Digest) else GROUP for one in ones]
    entries = [
        OutboxEntry("ops", one.key, payload_of(one), now, group) for one, group in zip(ones, groups, strict=True)
    ]
    await store.transition(AlertChange(outbox=entries))
    watched = Watched(store)
    options = OutboxOptions(poll_seconds=0.01, back_off=BackOff(base=0.01, cap=0.01))
    watched.worker = OutboxWorker(
        watched, {"ops": notifier}, transport=transport, clock=CLOCK, metrics=NullMetrics(), options=options
    )
    await watched.worker.run()


@pytest.fixture
async def store(tmp_path):
    """An empty store."""
    opened = SqliteStore(tmp_path / "h.db", clock=CLOCK, metrics=NullMetrics())
    await opened.open()
    yield opened
    await opened.close()


async def told(store, name, fake, *, before=lambda _step: None, steps=STEPS):
    """Tell the steps of a group; what the fake then holds."""
    plugin = load_plugins().plugins["notifier", name]
    context = BuildContext(CLOCK, NullMetrics(), "headgate/0")
    notifier = plugin.build("ops", plugin.config(**OPTIONS[name](fake.url)), context)
    transport = HttpTransport()
    try:
        for number, ones in enumerate(steps):
            before(number)
            await deliver(store, notifier, transport, ones)
    finally:
        await transport.aclose()
    return [row["native"] for row in fake.stored()]


def broken(fake):
    """A far side that fails once before each step, and once takes what it does not answer."""

    def before(step):
        cut = {"cut": "after_store" if step == 1 else "before_store", "count": 1}
        fake.answer({"status": 503, "count": 1}, cut)

    return before


@pytest.mark.parametrize("trouble", [False, True])
async def test_slack_has_one_message_of_a_group(store, trouble):
    """Posted, edited twice, over a restart before each step; a failure makes no second one."""
    with FakeVendor("slack") as fake:
        messages = await told(store, "slack", fake, before=broken(fake) if trouble else lambda _step: None)
    (message,) = messages
    assert message["text"] == "2 resolved: DefaultBranchFailing"
    assert message["edits"] == 2 + trouble


@pytest.mark.parametrize("trouble", [False, True])
async def test_github_has_one_issue_of_a_group(store, trouble):
    """Opened, and closed by the last; a failure makes no second one."""
    with FakeVendor("github") as fake:
        issues = await told(store, "github", fake, before=broken(fake) if trouble else lambda _step: None)
    (issue,) = issues
    assert (issue["state"], len(issue["comments"])) == ("closed", 2)


@pytest.mark.parametrize("name", ["webhook", "teams"])
async def test_a_digest_of_any_name_is_taken_and_keeps_nothing_back(store, name):
    """Its key goes in a header; the page behind it arrives, too."""
    digest = dataclasses.replace(DIGEST, key="digest:w\u00f6chentlich:1795000000000")
    async with asyncio.timeout(20):
        with FakeVendor(name) as fake:
            assert len(await told(store, name, fake, steps=((digest, A),))) == 2


async def test_pagerduty_has_an_incident_for_each_alert(store):
    """Both are resolved, whatever their group."""
    with FakeVendor("pagerduty") as fake:
        incidents = await told(store, "pagerduty", fake, before=broken(fake))
    assert [(one["dedup_key"], one["status"]) for one in incidents] == [("a" * 64, "resolved"), ("b" * 64, "resolved")]


async def test_an_acknowledgement_goes_once_and_pages_nobody_again(store):
    """Sent over a far side that fails and one that takes it unanswered; the reminder after it is no page either."""
    seen = dataclasses.replace(A, reason="acknowledged", key=f"{A.key}:ack1")
    again = dataclasses.replace(A, reason="escalated", key=f"{A.key}:2")
    with FakeVendor("pagerduty") as fake:
        steps = ((A,), (seen,), (again,))
        incidents = await told(store, "pagerduty", fake, before=broken(fake), steps=steps)
        actions = [one["status"] for one in incidents]
        assert (actions, [one["pages"] for one in incidents]) == (["acknowledged"], [1])


@pytest.mark.parametrize(("name", "fake_name"), [("teams", "teams"), ("datadog_event", "datadog")])
async def test_others_get_a_message_for_each_step(store, name, fake_name):
    """They cannot edit: each change is a message."""
    with FakeVendor(fake_name) as fake:
        assert len(await told(store, name, fake)) == len(STEPS)
