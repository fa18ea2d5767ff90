"""The whole engine: it catches up, keeps sources apart, stops at once and says what it waits for."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.unit.collect.fakes import NOW, FakeSource, FakeStore, Recorder, Rig, job, until, workflow

from headgate.collect import Collector, SourceSettings, settings_from
from headgate.collect.poll import Poller
from headgate.core.clock import SystemClock
from headgate.core.discovery import MARK, Found, FoundProject
from headgate.core.errors import SourceRefused, SourceUnavailable, StoreFailed
from headgate.core.ports import Enrichment, Scope, WalkPage
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import SourceCursor
from headgate.plugins.config import SourceConfig

FAST = SourceSettings(policy=ReleasePolicy("none", 0), poll_every_ms=20)


class Engine:
    """A running collector on real time, ended on leaving."""

    def __init__(self, store, *sources, settings=FAST, **options):
        self.metrics = Recorder()
        pairs = {source.name: (source, settings) for source in sources}
        self.collector = Collector(store, pairs, clock=SystemClock(), metrics=self.metrics, **options)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.collector.run())
        return self.collector

    async def __aexit__(self, *exc):
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=5)
        assert self.task.done()


async def _caught_up(collector):
    async with asyncio.timeout(10):
        while await collector.waiting_for():  # noqa: ASYNC110  # it is asked, as `run --until-idle` asks
            await asyncio.sleep(0.005)


def _source(name="ci", **fields):
    fields.setdefault("pages", {"p1": [[WalkPage([job(1), workflow("w1")], 7, last=True)], [WalkPage((), None, True)]]})
    return FakeSource(name=name, clock=SystemClock(), **fields)


async def test_it_catches_up_and_polls_on():
    """Walks, deliveries and revisits are all in before it says so; then it goes on polling from the cursor."""
    store, source = FakeStore(), _source(revisits={"w1": [workflow("w1", terminal=True)]})
    store.deliver(b"5")
    async with Engine(store, source) as collector:
        collector.wake()
        await _caught_up(collector)
        assert {("job", "j1"), ("job", "j5")} <= store.released
        assert (store.cursors["p1"].high, store.settled) == (7, {1: "done"})
        assert collector.watermark_ms("ci") == collector.watermark_ms("ci", "gh/a/b") == store.cursors["p1"].complete_ms
        async with asyncio.timeout(10):
            await until(lambda: len([one for one in source.asked if one[:3] == ("walk", "p1", 7)]) >= 2)
            await until(lambda: ("workflow", "w1") in store.released)
        status = collector.status()["ci"]
        assert ("", {}, {"gh/a/b"}) == (status.refused, status.troubles, set(status.complete_ms))


async def test_it_says_what_it_waits_for():
    """Each thing that is missing is named, with the reason where there is one."""
    store = FakeStore()
    broken = _source("broken", found=SourceRefused("no", reason="token_expired", fix="new"))
    slow = _source("slow", pages={"p1": [[SourceUnavailable("busy", retry_after=60)]]})
    store.deliver(b"bad", source="slow")
    async with Engine(store, broken, slow) as collector:
        before = await collector.waiting_for()
        assert "1 deliveries wait in the inbox" in before
        assert "broken: projects are not found yet" in before
        async with asyncio.timeout(10):
            await until(lambda: collector.status()["slow"].troubles)
            await until(lambda: collector.status()["broken"].refused)
        reasons = await collector.waiting_for()
        assert "broken: projects are not found yet (token_expired)" in reasons
        assert "slow: gh/a/b is not walked yet (SourceUnavailable)" in reasons
        assert collector.watermark_ms("slow") is None


async def test_a_broken_source_harms_no_other():
    """One dead token, one bug: the third source is collected as if they were not there; a token is logged once."""
    store = FakeStore()
    dead = _source("dead", found=SourceRefused("no", reason="token_expired", fix="new"))
    buggy = _source("buggy", found=ZeroDivisionError())
    good = _source("good", revisits={"w1": [workflow("w1", terminal=True)]})
    with capture_logs() as logs:
        async with Engine(store, dead, buggy, good), asyncio.timeout(10):
            await until(lambda: ("job", "j1") in store.released)
            await until(lambda: len(buggy.asked) >= 3)
    assert len(dead.asked) == 1
    (refused,) = [line for line in logs if line["event"] == "source_refused"]
    assert (refused["error"], refused["reason"], refused["fix"]) == ("no", "token_expired", "new")


async def test_enrichment_under_batch():
    """With hurry, records leave as soon as the page has told about them."""
    recent = [Enrichment([job(1, enriches=True)])]
    store, source = FakeStore(), _source(recent=recent, revisits={"w1": [workflow("w1")]})
    settings = SourceSettings(policy=ReleasePolicy("batch", 60_000), poll_every_ms=20)
    async with Engine(store, source, settings=settings, hurry=True) as collector:
        await _caught_up(collector)
    assert ("job", "j1") in store.released


async def test_failed_store_ends_the_engine():
    """StoreFailed is raised as itself, so that the process can stop."""
    store = FakeStore()
    store.failing = [StoreFailed("flush")]
    collector = Collector(store, {"ci": (_source(), FAST)}, clock=SystemClock(), metrics=Recorder())
    async with asyncio.timeout(10):
        with pytest.raises(StoreFailed):
            await collector.run()


async def test_it_stops_in_the_middle_of_a_walk():
    """Canceling ends every walk; no task is left behind."""
    store, source = FakeStore(), _source()
    stopped = []

    async def walk(scope, *, after, since_ms, below):
        try:
            yield WalkPage([job(1)], 1, last=False)
            await asyncio.get_running_loop().create_future()
        finally:
            stopped.append(scope.key)

    source.walk = walk
    before = asyncio.all_tasks()
    async with Engine(store, source), asyncio.timeout(10):
        await until(lambda: store.released)
    assert (stopped, store.cursors["p1"].high) == (["p1"], None)
    assert asyncio.all_tasks() == before


async def test_cursors_of_an_earlier_run_are_used():
    """A restart goes on where the last complete walk ended."""
    store, source = FakeStore(), _source(pages={})
    store.cursors["p1"] = SourceCursor("ci", "p1", 41, 55, 123)
    async with Engine(store, source) as collector:
        await _caught_up(collector)
    assert next(one for one in source.asked if one[0] == "walk")[2] == 41


async def test_webhooks_alone():
    """Without polling nothing is asked, and it is caught up when the inbox is empty."""
    store, source = FakeStore(), _source()
    store.deliver(b"5")
    settings = SourceSettings(policy=ReleasePolicy("none", 0), poll_enabled=False)
    async with Engine(store, source, settings=settings) as collector:
        await _caught_up(collector)
    assert (source.asked, store.released) == ([], {("job", "j5")})


# --- Polling ------------------------------------------------------------------------------------------------------


def _poller(rig):
    return Poller(rig.store, rig.intake, {"ci": rig.polled}, rig.clock, rig.metrics)


async def test_discovery_follows_the_source():
    """A new project is walked, a vanished one is not, a renamed one stays the same scope."""
    rig = Rig()
    poller = _poller(rig)
    await poller.discover(rig.polled)
    first = rig.polled.scopes["p1"]
    rig.source.found = [Scope("p1", "gh/a/renamed"), Scope("p2", "gh/a/c")]
    await poller.discover(rig.polled)
    assert (rig.polled.scopes["p1"], first.scope.slug) == (first, "gh/a/renamed")
    rig.source.found = [Scope("p2", "gh/a/c")]
    await poller.discover(rig.polled)
    assert {"p2"} == set(rig.polled.scopes)


async def test_a_scope_is_never_walked_twice_at_once():
    """A turn that comes while the last one still runs does nothing."""
    rig = Rig()
    poller = _poller(rig)
    state = rig.state()
    await asyncio.gather(*(poller.walk(rig.polled, state) for _ in range(5)))
    assert len(rig.asked("walk")) == 1
    await poller.walk(rig.polled, state)
    assert len(rig.asked("walk")) == 2


async def test_discovery_that_fails_keeps_what_is_known():
    """An organisation that cannot be asked now does not end the walks of its projects."""
    rig = Rig()
    poller = _poller(rig)
    await poller.discover(rig.polled)
    rig.source.found = SourceUnavailable("busy")
    await poller.discover(rig.polled)
    assert {"p1"} == set(rig.polled.scopes)


class Finding(FakeSource):
    """A source that goes on from what it found before."""

    def __init__(self, answer, **fields):
        super().__init__(**fields)
        self.answer, self.known, self.found = answer, Found(), lambda: self.known

    def recall(self, found):
        self.known = found

    async def scopes(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _found(*keys):
    return {MARK: Found({key: FoundProject("host", f"gh/a/{key}", "gh/a", key) for key in keys}).encode()}


@pytest.mark.parametrize(
    "error", [SourceUnavailable("busy"), SourceRefused("401", reason="token_expired", fix="")], ids=["busy", "refused"]
)
async def test_discovery_that_fails_after_a_restart_keeps_what_was_stored(error):
    """Its projects are walked where that is possible, and how old the last walk is, is told where it is not."""
    rig = Rig()
    rig.store.marks = _found("p1", "p2")
    rig.polled.cursors = {key: SourceCursor("ci", key, 7, None, NOW - 5000) for key in ("p1", "p2")}
    rig.source = rig.polled.source = Finding(error, clock=rig.clock)
    poller = _poller(rig)
    await poller.discover(rig.polled)
    assert {"gh/a/p1": NOW - 5000, "gh/a/p2": NOW - 5000} == rig.polled.complete_ms()
    assert not rig.polled.discovered
    await poller.walk(rig.polled, rig.polled.scopes["p1"])
    refused = isinstance(error, SourceRefused)
    assert (0 if refused else 1) == len(rig.asked("walk"))
    assert 5 == rig.metrics.gauges["headgate_source_walk_age_seconds", "ci"]
    rig.source.answer = [Scope("p1", "gh/a/p1")]
    rig.polled.answered()
    await poller.discover(rig.polled)
    assert {"p1"} == set(rig.polled.scopes)
    assert rig.polled.discovered


async def test_an_organisation_that_did_not_answer_yet_is_waited_for():
    """It is told in the status too, until it was looked through once."""
    source = Finding([], name="ci")
    source.known = Found(orgs={"gh/a": NOW}, unreached=["gh/a", "gh/b"])
    collector = Collector(FakeStore(), {"ci": (source, FAST)}, clock=SystemClock(), metrics=Recorder())
    assert "ci: projects of gh/b are not found yet (it does not answer)" in await collector.waiting_for()
    assert {"gh/b": "SourceUnavailable"} == collector.status()["ci"].troubles


async def test_what_is_no_longer_wanted_is_forgotten_with_the_first_answer():
    """What was stored counts as found by this source, so it is written although nothing was found since."""
    rig = Rig()
    rig.store.marks = _found("p1", "p2")
    rig.source = rig.polled.source = source = Finding([Scope("p1", "gh/a/p1")], clock=rig.clock)
    source.recall = lambda found: setattr(source, "known", Found({"p1": found.projects["p1"]}))
    await _poller(rig).discover(rig.polled)
    assert _found("p1") == {key: value for key, value in rig.store.marks.items() if key == MARK}


async def test_up_to_when_is_known_from_the_first_moment():
    """By what is stored, until the source was asked; nothing of a source of which nothing was ever found."""
    store, source = FakeStore(), Finding(SourceUnavailable("busy"), name="ci")
    store.marks, store.cursors = _found("p1", "p2"), {"p1": SourceCursor("ci", "p1", 7, None, NOW)}
    pairs = {"ci": (source, FAST)}
    collector = Collector(store, pairs, clock=SystemClock(), metrics=Recorder())
    assert {"ci": {"gh/a/p1": NOW, "gh/a/p2": None}} == await collector.complete_ms()
    store.marks = {}
    assert {} == await collector.complete_ms()
    collector = Collector(
        store, {"ci": (source, replace(FAST, poll_enabled=False))}, clock=SystemClock(), metrics=Recorder()
    )
    assert {"ci": {}} == await collector.complete_ms()


@pytest.mark.parametrize("level", ["pause", "refuse"])
async def test_polling_pauses_when_the_store_is_nearly_full(level):
    """CircleCI keeps its data; said once, and once when it goes on."""
    rig = Rig()
    poller = _poller(rig)
    with capture_logs() as logs:
        rig.store.level = level
        for _ in range(3):
            await poller.discover(rig.polled)
            await poller.walk(rig.polled, rig.state())
        assert rig.source.asked == []
        rig.store.level = "warn"
        await poller.walk(rig.polled, rig.state())
    assert [line["event"] for line in logs if "polling" in line["event"]] == ["polling_paused", "polling_resumed"]
    assert rig.metrics.gauges["headgate_source_walk_age_seconds", "ci"] == 0


async def test_clock_jump_makes_every_job_due():
    """A wall clock that is set back an hour does not stop polling for an hour."""
    rig = Rig()
    poller = _poller(rig)
    await poller.discover(rig.polled)
    poller._scheduler.start(paused=True)
    rig.clock.jump(-3600)
    poller.run_all_now()
    assert {rig.clock.now_ms()} == {
        int(found.next_run_time.timestamp() * 1000) for found in poller._scheduler.get_jobs()
    }
    poller._scheduler.shutdown(wait=False)
    await asyncio.sleep(0)


def test_settings_come_from_the_configuration():
    """What people write becomes what the engine obeys; nothing reaches beyond retention."""
    config = SourceConfig.model_validate({"poll": {"every": "30s", "initial": "30d"}, "enrich": "each"})
    settings = settings_from(config, retention_ms=5 * 86_400_000)
    assert (settings.poll_every_ms, settings.initial_ms, settings.retention_ms) == (30_000, 432_000_000, 432_000_000)
    assert settings.policy == ReleasePolicy("each", 60_000)
