"""Aggregates: read when due, once, behind walks; resumed after a kill; one bad scope harms no other."""

import asyncio
import json
from contextlib import suppress

import pytest
from structlog.testing import capture_logs
from tests.unit.collect.fakes import until

from headgate.collect import SourceSettings
from headgate.collect.insights import InsightReader
from headgate.collect.intake import Intake
from headgate.collect.state import Polled, ScopeState
from headgate.core.clock import ManualClock
from headgate.core.errors import SourceRefused, SourceUnavailable
from headgate.core.feeds import InsightSource
from headgate.core.merge import Observation, ProjectRef
from headgate.core.metrics import NullMetrics
from headgate.core.ports import Scope
from headgate.core.times import DAY_MS
from headgate.store import MemoryStore, SqliteStore

NOW = 1_795_000_000_000
ORG = Scope("gh/a", "gh/a")
SCOPES = [Scope("p1", "gh/a/one"), Scope("p2", "gh/a/two"), Scope("p3", "gh/a/three")]


class FakeSource:
    """Two aggregates about each scope. `asked`: (scope, since_ms); `errors`: raised between the two, by slug."""

    name, host, webhook = "ci", "circleci.com", None

    def __init__(self, clock):
        self.clock, self.insights_every_ms = clock, DAY_MS
        self.asked, self.errors, self.runs = [], {}, 5

    def now_ms(self):
        return self.clock.now_ms()

    def insight_orgs(self):
        return [ORG]

    async def insights(self, scope, *, since_ms):
        self.asked.append((scope.slug, since_ms))
        for subject in ("project", "flaky_tests"):
            await asyncio.sleep(0)
            yield [self.told(scope, subject)]
            if scope.slug in self.errors:
                raise self.errors[scope.slug]

    def told(self, scope, subject):
        """One aggregate of today."""
        now = self.clock.now_ms()
        key = json.dumps([subject, scope.key, now // DAY_MS])
        org = scope.slug == "gh/a"
        owner = ProjectRef("circleci.com", scope.slug, "gh/a", None if org else f"id-{scope.key}")
        fields = {"subject": subject, "window_end": NOW, "delay_ms": now - NOW, "numbers": {"total_runs": self.runs}}
        return Observation("insight", key, owner, "insights", now, True, fields)


async def _no_sleep(_seconds):
    await asyncio.sleep(0)


class Bench:
    """A store, a source and a reader of it."""

    def __init__(self, store, clock):
        self.store, self.clock, self.slept = store, clock, []
        self.source = FakeSource(clock)

    async def start(self, **options):
        """As after a restart: nothing but the store is left."""
        self.polled = Polled(self.source, SourceSettings(), self.clock, NullMetrics(), discovered=True)
        self.polled.scopes = {scope.key: ScopeState(scope, walked=True) for scope in SCOPES}
        intake = Intake(self.store, clock=self.clock, metrics=NullMetrics())

        async def sleep(seconds):
            self.slept.append(seconds)
            await asyncio.sleep(0)

        self.reader = InsightReader(self.store, intake, self.polled, self.source, sleep=sleep, **options)
        await self.reader.load()

    async def records(self):
        """All records, oldest first."""
        entries = await self.store.tail({}, 1000)
        return sorted((json.loads(one.body) for one in entries), key=lambda one: one["observed_at"])

    def asked(self):
        """Slugs asked for since the last look."""
        found, self.source.asked = [slug for slug, _ in self.source.asked], []
        return found


@pytest.fixture(params=["memory", "sqlite"])
async def bench(request, tmp_path):
    clock = ManualClock(NOW // DAY_MS * DAY_MS + DAY_MS // 4, jitter=0.0)
    store = (
        MemoryStore(clock=clock)
        if request.param == "memory"
        else SqliteStore(tmp_path / "headgate.db", clock=clock, metrics=NullMetrics())
    )
    await store.open()
    made = Bench(store, clock)
    await made.start()
    yield made
    await store.close()


EVERYTHING = ["gh/a", "gh/a/one", "gh/a/two", "gh/a/three"]


def test_the_fake_is_a_source_of_aggregates():
    """What the engine looks for."""
    assert isinstance(FakeSource(ManualClock()), InsightSource)


async def test_everything_is_read_once_a_day(bench):
    """Organisations first; then nothing until the time between two readings is over."""
    await bench.reader.once()
    assert EVERYTHING == bench.asked()
    bench.clock.advance(DAY_MS / 1000 - 1)
    await bench.reader.once()
    assert [] == bench.asked()
    read_ms = bench.clock.now_ms() - DAY_MS + 1000
    bench.clock.advance(1)
    await bench.reader.once()
    assert [(slug, read_ms) for slug in EVERYTHING] == bench.source.asked


async def test_readings_come_early_by_chance_and_never_late(bench):
    """At most a twentieth: projects do not stay in step, and no day is without a reading."""
    bench.clock._jitter = 1.0  # what the next draw gives
    await bench.reader.once()
    bench.asked()
    bench.clock.advance(0.94 * DAY_MS / 1000)
    await bench.reader.once()
    assert [] == bench.asked()
    bench.clock.advance(0.01 * DAY_MS / 1000)
    await bench.reader.once()
    assert EVERYTHING == bench.asked()


async def test_a_restart_neither_repeats_nor_forgets(bench):
    """When each scope was read is in the store; nothing leaves twice."""
    await bench.reader.once()
    before = await bench.records()
    assert 8 == len(before)
    bench.asked()
    await bench.start()
    await bench.reader.once()
    assert [] == bench.asked()
    bench.clock.advance(DAY_MS / 1000)
    await bench.start()
    await bench.reader.once()
    assert EVERYTHING == bench.asked()
    assert 16 == len(await bench.records())


async def test_a_kill_is_resumed_at_the_project_where_it_came(bench):
    """What was read to its end is not read again, and what is told twice leaves once."""
    bench.source.errors["gh/a/two"] = asyncio.CancelledError()
    with suppress(asyncio.CancelledError):
        await bench.reader.once()
    assert EVERYTHING[:3] == bench.asked()
    bench.source.errors.clear()
    await bench.start()
    await bench.reader.once()
    assert EVERYTHING[2:] == bench.asked()
    assert ["insight"] * 8 == [one["kind"] for one in await bench.records()]


async def test_one_project_that_fails_harms_no_other(bench):
    """It is tried again a quarter of an hour later; its walks do not notice."""
    bench.source.errors["gh/a/one"] = SourceUnavailable("busy")
    bench.source.errors["gh/a/two"] = ValueError("a bug")
    with capture_logs() as logs:
        await bench.reader.once()
    assert EVERYTHING == bench.asked()
    assert ["insights_failed", "unforeseen_error"] == [line["event"] for line in logs if line["log_level"] != "debug"]
    assert {""} == {state.trouble for state in bench.polled.scopes.values()}
    bench.source.errors.clear()
    await bench.reader.once()
    assert [] == bench.asked()
    bench.clock.advance(900)
    await bench.reader.once()
    assert ["gh/a/one", "gh/a/two"] == bench.asked()


async def test_values_that_change_on_the_same_day_are_one_amendment(bench):
    """And where nothing but the moment of asking changed, none."""
    bench.source.insights_every_ms = 3_600_000
    await bench.reader.once()
    bench.clock.advance(3600)
    await bench.reader.once()
    assert {"insight"} == {one["kind"] for one in await bench.records()}
    bench.source.runs = 6
    bench.clock.advance(3600)
    await bench.reader.once()
    await bench.start()
    bench.clock.advance(3600)
    await bench.reader.once()
    records = await bench.records()
    amendments = [one for one in records if one["kind"] == "amendment"]
    first = {one["id"]: one for one in records if one["kind"] == "insight"}
    assert (8, 8) == (len(first), len(amendments))
    assert first.keys() == {one["attributes"]["headgate.amends"] for one in amendments}
    assert {6} == {one["attributes"]["circleci.insight.total_runs"] for one in amendments}


async def test_records_of_an_organisation_have_no_project(bench):
    """Neither the first nor its amendment; a project's have both."""
    await bench.reader.once()
    bench.source.runs, bench.source.insights_every_ms = 6, 1
    bench.clock.advance(3600)
    await bench.reader.once()
    records = await bench.records()
    found = {(one["kind"], one["org"], one.get("project")) for one in records}
    expected = {(kind, "gh/a", slug) for kind in ("insight", "amendment") for slug in (None, *EVERYTHING[1:])}
    assert expected == found


async def test_it_stands_still_while_the_store_is_full_or_the_source_refuses_us(bench, monkeypatch):
    """Also in the middle of a round."""
    monkeypatch.setattr(bench.store, "space_level", lambda: "pause")
    await bench.reader.once()
    assert [] == bench.asked()
    monkeypatch.undo()
    bench.source.errors["gh/a"] = SourceRefused("401", reason="token_expired", fix="new")
    await bench.reader.once()
    assert ["gh/a"] == bench.asked()
    await bench.reader.once()
    assert [] == bench.asked()


async def test_only_walked_projects_are_asked_about_and_none_when_it_is_off(bench):
    """Live things come first; `off` asks nobody."""
    bench.polled.scopes["p2"].walked = False
    assert ["gh/a", "gh/a/one", "gh/a/three"] == [scope.slug for scope in bench.reader.due()]
    bench.polled.discovered = False
    assert [] == bench.reader.due()
    bench.polled.discovered = True
    bench.source.insights_every_ms = None
    assert [] == bench.reader.due()


async def test_a_start_has_more_urgent_things_to_do(bench):
    """The first reading waits a minute, except where everything is to be collected at once."""
    for options, first in (({}, 60.0), ({"hurry": True}, 5.0)):
        await bench.start(**options)
        bench.slept.clear()
        running = asyncio.create_task(bench.reader.run())
        await until(lambda: len(bench.slept) > 1)
        running.cancel()
        await asyncio.wait({running})
        assert first == bench.slept[0]


async def test_a_clock_that_was_set_back_keeps_nobody_waiting(bench):
    """What was read in the future is read again now."""
    await bench.reader.once()
    bench.asked()
    bench.clock.jump(-3 * DAY_MS / 1000)
    await bench.reader.once()
    assert EVERYTHING == bench.asked()
