"""Acknowledging and silencing: over the store, and the same through the API."""

import asyncio

import httpx
import msgspec
import pytest
from tests.unit.app.test_operations import Health

from headgate.app.operations import StoreOperations
from headgate.app.remote import RemoteOperations
from headgate.app.running import Running
from headgate.core.alertdata import AlertState, Told, encode_alert, new_alert
from headgate.core.clock import ManualClock
from headgate.core.messages import ACKNOWLEDGED, Notification, content_of, payload_of
from headgate.core.silences import history_name
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry
from headgate.store import MemoryStore
from headgate.web.api import build_app
from headgate.web.metricpages import MetricPages, ci_page
from headgate.web.operations import NewSilence, Problem

HOUR = 3_600_000


def row_of(name: str, state: AlertState) -> AlertRow:
    alert = msgspec.structs.replace(new_alert(1), state=state, told=1, receivers={"ops": Told(1, 1)})
    return AlertRow(name, "Failing", {"team": "web"}, str(state), encode_alert(alert), 1)


@pytest.fixture(params=["store", "api"])
async def desk(request):
    """Operations, the store, its clock, and the lock that stands for an engine at work."""
    clock, lock = ManualClock(), asyncio.Lock()
    store = MemoryStore(clock=clock)
    await store.open()
    rows = [row_of("abc1", AlertState.FIRING), row_of("abd2", AlertState.RESOLVED)]
    await store.transition(AlertChange(rows=rows))
    direct = StoreOperations(store, clock, Running(turn=lambda: lock, acknowledging=lambda: {"ops", "night"}))
    if request.param == "store":
        yield direct, store, clock, lock
        return
    app = build_app(direct, Health(), MetricPages(lambda: b"", lambda name: ci_page({}, name)), version="0")
    remote = RemoteOperations("http://127.0.0.1", "token", httpx.ASGITransport(app))
    yield remote, store, clock, lock
    await remote.aclose()


async def test_an_acknowledgement_says_who_and_why(desk):
    """In the list and in the history; the beginning of the fingerprint is enough."""
    ask, store, _, _ = desk
    one = await ask.acknowledge("abc", by="ann", comment="bisecting", verdict="new_normal")
    seen = one["acknowledged"]
    assert (seen["by"], seen["comment"], seen["verdict"], one["flags"]) == (
        "ann",
        "bisecting",
        "new_normal",
        ["acknowledged"],
    )
    [found] = [one for one in await ask.alerts() if one["fingerprint"] == "abc1"]
    assert (found["acknowledged"], found["receivers"]) == (seen, ["ops"])
    [(_, _, body)] = await store.alert_history("abc1", 9)
    line = msgspec.json.decode(body)
    assert (line["who"], line["why"], line["comment"], line["verdict"]) == (
        "ann",
        "acknowledged",
        "bisecting",
        "new_normal",
    )


async def test_an_acknowledgement_is_passed_on_to_who_knows_of_the_alert(desk):
    """After what waits of its group, to those alone that pass it on and for whom it is open."""
    ask, store, clock, _ = desk
    alert = msgspec.structs.replace(
        new_alert(1),
        state=AlertState.FIRING,
        told=1,
        receivers={"ops": Told(1, 1, group="g"), "chat": Told(1, 1)},
    )
    rows = [AlertRow("fff3", "Failing", {"team": "web"}, "firing", encode_alert(alert), 1)]
    later_ms = clock.now_ms() + 30_000
    waits = OutboxEntry(
        "ops", "k", payload_of(Notification("k", "f", "r", "firing", "", {}, {}, 1, None, 1)), later_ms, "g"
    )
    await store.transition(AlertChange(rows=rows, outbox=[waits]))
    await ask.acknowledge("fff3", by="ann", comment="bisecting", verdict="")
    first, second = await store.outbox_due(now_ms=later_ms, limit=9)
    said = content_of(second.payload)
    assert (first.key, second.notifier, second.group, second.due_ms) == ("k", "ops", "g", later_ms)
    assert (said.reason, said.state, said.fingerprint) == (ACKNOWLEDGED, "firing", "fff3")
    assert said.annotations["summary"] == "acknowledged by ann: bisecting"
    [(_, _, body)] = await store.alert_history("fff3", 9)
    assert msgspec.json.decode(body)["told"] == ["ops"]


@pytest.mark.parametrize(
    ("fingerprint", "reason"), [("ab", "unknown"), ("zzz", "unknown"), ("abd2", "refused")], ids=["two", "none", "over"]
)
async def test_what_cannot_be_acknowledged_stays_as_it_is(desk, fingerprint, reason):
    """An unclear or unknown alert, and one that is over."""
    ask, store, _, _ = desk
    before = list(await store.alerts())
    with pytest.raises(Problem) as caught:
        await ask.acknowledge(fingerprint, by="ann", comment="x", verdict="")
    assert (caught.value.reason, list(await store.alerts())) == (reason, before)


@pytest.mark.parametrize("wrong", [{"by": " "}, {"comment": " "}, {"verdict": "odd"}])
async def test_an_acknowledgement_needs_who_and_why(desk, wrong):
    """And a verdict that exists."""
    ask, _, _, _ = desk
    with pytest.raises(Problem):
        await ask.acknowledge("abc", **({"by": "ann", "comment": "x", "verdict": ""} | wrong))


async def test_an_acknowledgement_waits_for_the_engine(desk):
    """What the engine read and is about to write would overwrite it."""
    ask, store, _, lock = desk
    async with lock:
        waiting = asyncio.ensure_future(ask.acknowledge("abc", by="ann", comment="x", verdict=""))
        for _ in range(50):
            await asyncio.sleep(0)
        assert (waiting.done(), list(await store.alert_history("abc1", 9))) == (False, [])
    assert (await waiting)["acknowledged"]["by"] == "ann"


async def test_a_silence_from_its_making_to_its_end(desk):
    """Listed with its state, also when it has ended; each change is a line of history with who and why."""
    ask, store, clock, _ = desk
    now_ms = clock.now_ms()
    made = await ask.silence(NewSilence(("team=web",), now_ms, now_ms + HOUR, "ann", "moving"))
    assert (made["state"], made["matchers"], made["author"]) == ("active", ["team=web"], "ann")
    clock.advance(60)
    ended = await ask.expire_silence(made["id"], by="bob", comment="done")
    assert (ended["state"], [one["id"] for one in await ask.silences()]) == ("expired", [made["id"]])
    lines = [msgspec.json.decode(body) for _, _, body in await store.alert_history(history_name(made["id"]), 9)]
    assert [(line["who"], line["to"], line["why"]) for line in lines] == [
        ("bob", "expired", "done"),
        ("ann", "silenced", "moving"),
    ]
    with pytest.raises(Problem, match="ended already"):
        await ask.expire_silence(made["id"], by="bob", comment="again")
    with pytest.raises(Problem, match="no silence 99"):
        await ask.expire_silence(99, by="bob", comment="x")


async def test_a_silence_that_means_nothing_is_refused(desk):
    """Nothing is stored."""
    ask, _, clock, _ = desk
    now_ms = clock.now_ms()
    for matchers, end in ((("team",), now_ms + HOUR), (("team=web",), now_ms)):
        with pytest.raises(Problem):
            await ask.silence(NewSilence(matchers, now_ms, end, "ann", "x"))
    assert await ask.silences() == []
