"""Whatever happens in whatever order, receivers hear a story that makes sense, also when it dies at any store call."""

import dataclasses
from collections import defaultdict

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.alerting.fake_store import FakeStore
from tests.unit.alerting.test_telling import routed
from tests.unit.alerting.world import MINUTE, START, World

from headgate.alerting.change import Subject
from headgate.alerting.inhibition import InhibitSpec, compile_inhibition
from headgate.alerting.silencing import acknowledge, expire
from headgate.alerting.teller import Teller
from headgate.core.alertdata import (
    Acknowledgement,
    Event,
    Outcome,
    Reading,
    Timing,
    decode_alert,
    fingerprint,
    new_alert,
)
from headgate.core.alerts import close, step
from headgate.core.messages import ACKNOWLEDGED, Notification
from headgate.core.silences import Silence

NIGHT = {"night": {"times": ["00:00-08:00", "20:00-24:00"]}}
_INHIBIT = compile_inhibition(InhibitSpec(source={"job": "a"}, target={"job": "b"}, equal=()))
ROUTES = [
    routed(notifiers=("ops", "web")),
    routed([{"match": {"severity": "critical"}, "to": ["ops"]}], ("ops", "web"), ["web"], repeat="1h"),
    routed(notifiers=("ops", "web"), default=["ops"], mute_times=NIGHT, mute=["night"], group_by=["job"]),
    dataclasses.replace(routed(notifiers=("ops", "web"), repeat="30m"), inhibitions=(_INHIBIT,)),
]
TIMING = Timing(for_ms=0, keep_firing_ms=10 * MINUTE)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("read"),
            st.sampled_from("ab"),
            st.sampled_from([Outcome.BREACH, Outcome.BREACH, Outcome.CLEAR, Outcome.CLEAR, Outcome.TOO_FEW]),
            st.sampled_from([1, 2]),
            st.booleans(),
            st.sampled_from([-1, 1, 5, 15, 45, 400]),
        ),
        st.tuples(st.just("restart")),
        st.tuples(st.just("reload"), st.sampled_from(ROUTES)),
        st.tuples(st.just("silence"), st.sampled_from(["job=a", "severity=critical"]), st.sampled_from([10, 100])),
        st.tuples(st.just("expire")),
        st.tuples(st.just("ack"), st.sampled_from("ab")),
        st.tuples(st.just("delete"), st.sampled_from("ab")),
    ),
    max_size=60,
)


class Play:
    """Two alerts of one rule, told through the teller; all that lasts is in the store."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.now_ms = START
        self.routes = ROUTES[0]
        self.restart()

    def restart(self) -> None:
        self.teller = Teller(self.store, tenant="t", app_url="https://app.circleci.com")

    def reload(self, routes) -> None:
        self.routes = routes

    async def silence(self, matcher, minutes) -> None:
        end_ms = self.now_ms + minutes * MINUTE
        silence = Silence(0, (matcher,), self.now_ms, end_ms, "ann", "why")
        await self.store.put_silence(silence, b"{}", at_ms=self.now_ms)

    async def expire(self) -> None:
        for one in await self.store.silences():
            await self.store.put_silence(expire(one, self.now_ms), b"{}", at_ms=self.now_ms)

    async def ack(self, job) -> None:
        self.now_ms += 1
        said = Acknowledgement("ann", self.now_ms, "why")
        row = self.store.rows.get(fingerprint("R", {"job": job}))
        if row is not None and row.state in ("firing", "recovering"):
            await self.store.transition(acknowledge(row, said, {"ops"}))

    async def read(self, job, outcome, level, late, minutes) -> None:
        self.now_ms += minutes * MINUTE
        level = level if outcome is Outcome.BREACH else 0
        reading = Reading(self.now_ms, outcome, level=level, n=30, n_new=1, late=late)
        await self._pass(job, lambda alert: step(alert, reading, TIMING))

    async def delete(self, job) -> None:
        await self._pass(job, lambda alert: close(alert, Event.EDITED, self.now_ms))

    async def _pass(self, job, move) -> None:
        known = {row.fingerprint: (row, decode_alert(row.state_json)) for row in await self.store.alerts()}
        identity = fingerprint("R", {"job": job})
        stored = known.get(identity)
        before = stored[1] if stored else new_alert(self.now_ms)
        made = move(before)
        severity = "critical" if (made.alert.told or made.alert.level or before.level) == 2 else "warning"
        subject = Subject(
            identity, "R", "g", {"job": job}, {}, severity, {"summary": "x"}, before, made, stored is not None
        )
        change = await self.teller.change([subject], known, {"R": "g"}, self.routes, self.now_ms)
        await self.store.transition(change)
        self.teller.written(self.routes, self.now_ms)


def heard(store):
    """Notifier and alert -> messages in order."""
    found = defaultdict(list)
    for one in store.entries:
        told = msgspec.json.decode(one.payload, type=Notification)
        found[one.notifier, told.fingerprint].append(told)
    return found


def check_story(messages) -> bool:
    """Hold one receiver's messages about one alert against the promises; whether it is open for it at the end."""
    open_, level = False, 0
    for told in messages:
        if told.state == "resolved":
            assert open_, "resolved without firing"
            open_, level = False, 0
            continue
        if told.reason == ACKNOWLEDGED:
            assert open_, "acknowledged what is not open"
            continue
        now = 2 if told.labels["severity"] == "critical" else 1
        assert not open_ or told.reason in {"repeat", "flapping"} or now > level, "open twice"
        open_, level = True, max(level, now)
    return open_


@settings(max_examples=300, deadline=None)
@given(ACTIONS)
async def test_every_receiver_hears_a_story_that_makes_sense(actions):
    """Nothing twice, no end without a beginning, nothing open twice; and the rows know what the outbox says."""
    play = Play()
    for name, *values in actions:
        done = getattr(play, name)(*values)
        if done is not None:
            await done
    assert len(play.store.offered) == len(play.store.outbox), "a key was offered twice"
    stories = {place: check_story(messages) for place, messages in heard(play.store).items()}
    known = {
        (notifier, row.fingerprint)
        for row in play.store.rows.values()
        for notifier in decode_alert(row.state_json).receivers
    }
    assert known == {place for place, open_ in stories.items() if open_}


class DyingStore(FakeStore):
    """Dies at the next call of every kind in turn: once before it does anything, `transition` also once after."""

    def __init__(self) -> None:
        super().__init__()
        self.countdown = 0

    def arm(self, calls: int) -> None:
        self.countdown = calls

    def _dies(self) -> bool:
        self.countdown -= 1
        return self.countdown == 0

    async def alerts(self):
        self._maybe()
        return await super().alerts()

    async def runs_between(self, since_ms, until_ms, *, after=None, limit):
        self._maybe()
        return await super().runs_between(since_ms, until_ms, after=after, limit=limit)

    async def silences(self):
        self._maybe()
        return await super().silences()

    async def outbox_groups(self, *, since_ms):
        self._maybe()
        return await super().outbox_groups(since_ms=since_ms)

    async def outbox_failing(self):
        self._maybe()
        return await super().outbox_failing()

    async def transition(self, change):
        self._maybe()
        await super().transition(change)
        self._maybe()

    def _maybe(self) -> None:
        if self._dies():
            raise Killed


class Killed(Exception):
    """The process is gone."""


async def _pass_with_deaths(world: World) -> int:
    """Die at the first call, start anew, die at the second, and so on until a pass survives; how many died."""
    calls = 0
    while True:
        calls += 1
        world.store.arm(calls)
        try:
            await world.engine.evaluate_once()
        except Killed:
            world.engine = world.started()
            continue
        world.store.arm(0)
        return calls - 1


async def _played(*, dying: bool):
    world = World(routes=None)
    world.store = DyingStore()
    world.routes = routed(group_by=["team"], repeat="1h")
    world.engine = world.started()
    deaths = 0
    for status, minutes in (("success", 60), ("failure", 150), ("success", 180)):
        for _ in range(minutes // 5):
            runs = list(world.store.runs)
            engine = world.engine
            world.engine = _Idle()
            await world.pass_time(5, status)
            world.engine = engine
            assert len(world.store.runs) == len(runs) + 5
            if dying:
                deaths += await _pass_with_deaths(world)
            else:
                await world.engine.evaluate_once()
    return world, deaths


class _Idle:
    """Lets time pass without an engine."""

    async def evaluate_once(self):
        return None


async def test_a_death_at_every_store_call_changes_nothing():
    """Each pass dies at each of its calls in turn; rows, history, outbox and records are those of a quiet life."""
    quiet, none = await _played(dying=False)
    died, deaths = await _played(dying=True)
    assert none == 0
    assert deaths > 300
    assert died.store.rows == quiet.store.rows
    assert died.store.entries == quiet.store.entries
    assert died.store.records == quiet.store.records
    assert died.store.history == quiet.store.history
    assert {state for _, state, _ in died.told()} == {"firing", "resolved"}
