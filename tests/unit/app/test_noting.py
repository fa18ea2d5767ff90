"""The trail as operations give it, over HTTP or over the store, and of commands that open the store themselves."""

from __future__ import annotations

import httpx
import pytest

from headgate.app.noting import _CHANGES, _PERSONAL, _TAKEN, noting
from headgate.app.operations import StoreOperations
from headgate.app.remote import RemoteOperations
from headgate.app.telemetry import Telemetry
from headgate.core.clock import ManualClock
from headgate.core.storeport import Store
from headgate.store import MemoryStore
from headgate.testing.store_data import NOW
from headgate.web.access.trail import Trail
from headgate.web.answers import TrailAnswer
from headgate.web.api import build_app
from headgate.web.guard import Guard
from headgate.web.metricpages import MetricPages
from headgate.web.operations import ChosenLetters, Operations, Problem, WantedExport


@pytest.fixture
async def store():
    made = MemoryStore(clock=ManualClock(NOW))
    await made.open()
    return made


def over_http(store: Store, direct: StoreOperations) -> RemoteOperations:
    """The API over a store, behind a guard that keeps the trail there."""
    app = build_app(direct, None, MetricPages(Telemetry().page, lambda _: b""), version="0.0")  # type: ignore[arg-type]  # no health is asked
    clock = ManualClock(NOW)
    guard = Guard(app, trail=Trail(store.append_trail, clock), clock=clock)
    return RemoteOperations("http://127.0.0.1", "token", httpx.ASGITransport(guard, client=("127.0.0.1", 1)))


async def test_the_trail_is_the_same_over_http_and_over_the_store(store):
    """In pages, as the API describes it."""
    direct = StoreOperations(store, ManualClock(NOW))
    remote = over_http(store, direct)
    for _ in range(3):
        with pytest.raises(Problem):
            await remote.reload()
    whole = await direct.trail(0, None, 10)
    assert whole == await remote.trail(0, None, 10)
    assert whole[1:] == await remote.trail(0, whole[0]["id"], 10)
    assert [] == await remote.trail(NOW + 1, None, 10)
    assert [TrailAnswer(**one).model_dump() for one in whole] == whole
    assert ("local", "loopback", "127.0.0.1", "POST", "/api/v1/reload", 409) == tuple(
        whole[0][name] for name in ("who", "via", "peer", "action", "about", "status")
    )
    await remote.aclose()


async def test_a_command_without_a_daemon_leaves_a_trail_too(store):
    """Of changes and of reads of persons; of nothing else."""
    clock = ManualClock(NOW)
    ask = noting(StoreOperations(store, clock), store, clock, "erik")
    await ask.status()
    await ask.tail({}, 5)
    assert 0 == await ask.purge_dead(ChosenLetters((1,)))
    with pytest.raises(Problem):
        await ask.reload()
    found = await ask.trail(0, None, 9)
    assert [("erik", "command", "purge_dead"), ("erik", "command", "read")] == [
        (one["who"], one["via"], one["action"]) for one in found
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [("dead_deliveries", (5,)), ("dead_letters", (None, (), 5)), ("tail", ({}, 5)), ("trail", (0, None, 5))],
)
async def test_what_tells_of_persons_leaves_a_trail_without_a_daemon(store, name, words):
    """Webhooks and records name author and commit, the trail names who did what."""
    clock = ManualClock(NOW)
    await getattr(noting(StoreOperations(store, clock), store, clock, "erik"), name)(*words)
    (entry,) = await store.trail(since_ms=0, limit=9)
    assert ("erik", "read", f"{name}, without a daemon") == (entry.who, entry.action, entry.about)


async def test_an_export_without_a_daemon_leaves_a_trail(store):
    """One entry for each file that was answered; none for a question that was refused."""
    clock = ManualClock(NOW)
    ask = noting(StoreOperations(store, clock), store, clock, "erik")
    assert [piece async for piece in ask.export(WantedExport("projects", "csv"))]
    with pytest.raises(Problem):
        [piece async for piece in ask.export(WantedExport("nothing", "csv"))]
    found = await ask.trail(0, None, 9)
    assert [("export", "projects, without a daemon", 1)] == [
        (one["action"], one["about"], one["times"]) for one in found
    ]


def test_every_operation_is_a_change_or_a_look():
    """One that is new here fails until somebody decides."""
    looks = {"alert_history", "alerts", "audits", "backfills", "history", "overview", "query"}
    looks |= {"runs", "saved_reports", "silences", "status"}
    # Without a daemon there is nothing to reload.
    every = {name for name in vars(Operations) if not name.startswith("_")} - {"reload"}
    assert every == looks | _CHANGES | _PERSONAL | _TAKEN | {"export"}
