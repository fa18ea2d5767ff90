"""Who is told what of one alert, over an engine: groups, reminders, silences, inhibition, mute times, flapping."""

import dataclasses

import msgspec
import pytest
from tests.unit.alerting.world import MINUTE, RULES, START, World

from headgate.alerting.digestplan import DigestConfig, build_digests
from headgate.alerting.inhibition import InhibitSpec, compile_inhibition
from headgate.alerting.mutetimes import MuteTimeConfig
from headgate.alerting.routes import RouteConfig, RouteOptions, build_routes
from headgate.alerting.silencing import acknowledge
from headgate.core.alertdata import Acknowledgement, decode_alert
from headgate.core.silences import Silence
from headgate.core.times import DAY_MS

INFO = RULES.replace("labels: {team: web}", "labels: {team: web, severity: info}")


def routed(routes=(), notifiers=("ops",), default=None, mute_times=None, **options):
    """Routes as the settings say them."""
    return build_routes(
        [RouteConfig(**route) for route in routes],
        notifiers,
        default,
        options=RouteOptions(**options),
        mute_times={name: MuteTimeConfig(**one) for name, one in (mute_times or {}).items()},
    )


def ruled(world: World, routes) -> World:
    """The world under these routes, from now on."""
    world.routes = routes
    world.engine.replace(world.rules, routes)
    return world


async def breaking(world: World, minutes: int = 60) -> World:
    """An hour of success, then failures, little enough to stay below critical unless it goes on."""
    await world.pass_time(60, "success")
    await world.pass_time(minutes, "failure")
    return world


def alert_of(world: World):
    """The one stored alert."""
    (row,) = [row for row in world.store.rows.values() if row.rule == "Failing"]
    return decode_alert(row.state_json)


def held(world: World):
    """Every line of history about who was not told."""
    return [line["held"] for line in world.history() if line.get("held")]


async def test_a_firing_alert_is_told_again_after_its_time():
    """A reminder has a key of its own and comes by the clock of the alert: 24 h for a warning."""
    world = ruled(World(RULES.replace(', critical: "< 30%"', "")), routed())
    await breaking(world, 45)
    for _ in range(6):
        await world.pass_time(5 * 60, "failure")
    firing = [message for message in world.messages() if message["state"] == "firing"]
    assert [message["reason"] for message in firing] == ["breach", "repeat"]
    assert firing[1]["key"].endswith(":r1")
    assert firing[1]["at_ms"] - firing[0]["at_ms"] >= DAY_MS


@pytest.mark.parametrize(("repeat", "wanted"), [("0s", 0), ({"critical": "2h"}, 3), ("3h", 2)])
async def test_how_often_is_for_the_route_to_say(repeat, wanted):
    """One time, or one for each severity; zero is never."""
    world = ruled(World(), routed(repeat=repeat))
    await breaking(world, 120)
    before = len(world.told())
    await world.pass_time(7 * 60, "failure")
    assert [reason for _, _, reason in world.told()[before:]] == ["repeat"] * wanted


async def test_an_acknowledged_alert_is_not_told_again_until_it_fires_anew():
    """Who has seen it is not reminded; the end is told, and with it the acknowledgement is over."""
    world = ruled(World(), routed(repeat="1h"))
    await breaking(world, 120)
    (row,) = world.store.rows.values()
    said = Acknowledgement("ann", world.clock.now_ms(), "on it", "good")
    await world.store.transition(acknowledge(row, said))
    before = len(world.told())
    await world.pass_time(6 * 60, "failure")
    assert world.told()[before:] == []
    assert (alert_of(world).acknowledged, "acknowledged" in alert_of(world).flags) == (said, True)
    await world.pass_time(180, "success")
    assert [state for _, state, _ in world.told()[before:]] == ["resolved"]
    assert (alert_of(world).acknowledged, alert_of(world).flags) == (None, ())


async def test_only_what_fires_can_be_acknowledged():
    """An alert that is over is refused and stays as it is."""
    world = await breaking(World())
    await world.pass_time(180, "success")
    (row,) = world.store.rows.values()
    with pytest.raises(ValueError, match="is resolved"):
        acknowledge(row, Acknowledgement("ann", 0, "late"))


async def test_a_silence_keeps_the_message_not_the_state():
    """Nobody hears of what fires under a silence; when it ends and the alert still fires, they do."""
    world = World()
    end_ms = START + 150 * MINUTE
    await world.store.put_silence(Silence(0, ("team=web",), START, end_ms, "ann", "known"), b"{}", at_ms=START)
    await breaking(world)
    assert (world.states(), world.told(), alert_of(world).flags) == (["firing"], [], ("silenced",))
    assert held(world) == [{"ops": "silenced by 1"}]
    assert [record.attributes["headgate.alert.state"] for record in world.store.records.values()] == ["firing"]
    world.engine = world.started()
    await world.pass_time(35, "failure")
    assert [state for _, state, _ in world.told()] == ["firing"]
    assert (alert_of(world).flags, alert_of(world).held) == ((), {})


async def test_what_came_and_went_under_a_silence_is_never_told():
    """No firing and no resolved."""
    world = World()
    await world.store.put_silence(
        Silence(0, ("alertname=Failing",), START, START + DAY_MS, "ann", "known"), b"{}", at_ms=START
    )
    await breaking(world)
    await world.pass_time(180, "success")
    assert (world.states(), world.told()) == (["resolved"], [])


async def test_the_end_is_told_through_a_silence():
    """Who was told that it fires hears that it is over, so that nothing stays open anywhere."""
    world = await breaking(World())
    now_ms = world.clock.now_ms()
    await world.store.put_silence(Silence(0, ("team=web",), now_ms, now_ms + DAY_MS, "ann", "x"), b"{}", at_ms=now_ms)
    before = len(world.told())
    await world.pass_time(180, "success")
    assert [state for _, state, _ in world.told()[before:]] == ["resolved"]


async def test_mute_times_wait_with_both():
    """While it is muted neither firing nor resolved is told; afterwards what differs from what is known."""
    hours = {"night": {"times": ["00:00-24:00"]}}
    world = await breaking(ruled(World(), routed(mute_times=hours, mute=["night"])))
    assert (world.told(), held(world)) == ([], [{"ops": "muted by night"}])
    ruled(world, routed())
    await world.pass_time(5, "failure")
    assert len(world.told()) == 1
    ruled(world, routed(mute_times=hours, mute=["night"]))
    await world.pass_time(180, "success")
    assert (world.states(), len(world.told()), alert_of(world).held) == (["resolved"], 1, {"ops": "muted by night"})
    world.clock.advance(30 * 3600)
    await world.pass_time(5, None)
    assert world.states() == ["inactive"]
    ruled(world, routed())
    await world.pass_time(5, None)
    assert ([state for _, state, _ in world.told()], world.states()) == (["firing", "resolved"], [])


async def test_a_new_project_is_quiet():
    """Before its first run is a week old nobody is paged; then, when it still fires, they are."""
    world = ruled(World(), routed(quiet_new_groups="7d"))
    world.store.since = {"gh/acme/web": START - 6 * DAY_MS}
    await breaking(world)
    assert (world.told(), held(world)) == ([], [{"ops": "the project is new"}])
    world.store.since = {"gh/acme/web": START - 7 * DAY_MS}
    await world.pass_time(5, "failure")
    assert len(world.told()) == 1


async def test_an_inhibited_alert_is_not_told_while_its_source_fires():
    """The state is untouched; when the source is over and it still fires, it is told."""
    world = World()
    spec = InhibitSpec(source={"alert": "SinkHeld"}, target={"group": "main"}, equal=())
    world.held = {"loki.logs": "auth"}
    ruled(world, dataclasses.replace(routed(), inhibitions=(compile_inhibition(spec),)))
    await breaking(world)
    assert {message["rule"] for message in world.messages()} == {"SinkHeld"}
    assert (alert_of(world).state, alert_of(world).flags) == ("firing", ("inhibited",))
    world.held = {}
    await world.pass_time(5, "failure")
    assert sorted(message["rule"] for message in world.messages()) == ["Failing", "SinkHeld", "SinkHeld"]


async def test_flapping_is_said_once_then_quiet_until_stable():
    """The fifth change of a day is told as flapping; six hours after the last the state is told, if it differs."""
    text = RULES.replace("for_runs: 2", "for_runs: 1").replace("runs: 1}", "runs: 0}").replace("for: 10m", "for: 0s")
    world = World(text.replace("window: 2h", "window: 10m").replace(', critical: "< 30%"', ""))
    for _ in range(6):
        await world.pass_time(20, "failure")
        await world.pass_time(20, "success")
    reasons = [(state, reason) for _, state, reason in world.told()]
    assert [state for state, _ in reasons] == ["firing", "resolved", "firing", "resolved", "firing"]
    assert reasons[-1] == ("firing", "flapping")
    assert "flapping" in alert_of(world).flags
    world.engine = world.started()
    await world.pass_time(6 * 60, "success")
    assert world.told()[len(reasons) :] == [("ops", "resolved", "clear")]
    assert (alert_of(world).flags, alert_of(world).flips) == ((), ())


async def test_a_group_waits_then_keeps_its_distance():
    """The first of a group waits 30 s, what comes meanwhile goes with it, later ones five minutes after the last."""
    world = ruled(World(), routed(group_by=["team"]))
    await breaking(world, 45)
    (first,) = world.store.entries
    written = msgspec.json.decode(first.payload)["at_ms"]
    assert (first.group, first.due_ms) == ('{"team":"web"}', written + 30_000)
    await world.pass_time(60, "failure")
    (_, second) = world.store.entries
    written = msgspec.json.decode(second.payload)["at_ms"]
    assert second.due_ms == max(written + 30_000, first.due_ms + 300_000)


async def test_below_warning_is_for_digests_unless_a_route_asks():
    """Without a digest everybody is told; with one nobody is, save by a route that names the severity."""
    plans = build_digests({"daily": DigestConfig(to=("mail",))}, {"mail": True})
    told = []
    for routes, digests in (
        (routed(), ()),
        (routed(), plans),
        (routed([{"match": {"severity": "info"}, "to": ["ops"]}]), plans),
    ):
        world = ruled(World(INFO), dataclasses.replace(routes, digests=digests))
        await breaking(world, 45)
        told.append(len(world.told()))
    assert told == [1, 0, 1]
    assert held(world) == []


async def test_who_is_no_longer_routed_hears_the_end_alone():
    """After a reload the new notifier is told that it fires, the old one no more than that it is over."""
    world = await breaking(ruled(World(), routed(notifiers=("ops", "web"), default=["ops"], repeat="1h")))
    ruled(world, routed(notifiers=("ops", "web"), default=["web"], repeat="1h"))
    await world.pass_time(15, "failure")
    await world.pass_time(240, "success")
    by_name = {name: [state for one, state, _ in world.told() if one == name] for name in ("ops", "web")}
    assert (by_name["ops"].count("resolved"), by_name["web"].count("resolved")) == (1, 1)
    assert by_name["ops"][-1] == "resolved"
    assert by_name["web"][0] == "firing"


async def test_a_notifier_that_is_removed_is_forgotten():
    """Nothing is written for a notifier that is not there any more."""
    world = await breaking(World())
    ruled(world, routed(notifiers=("web",)))
    await world.pass_time(180, "success")
    assert [name for name, state, _ in world.told() if state == "resolved"] == ["web"]


async def test_a_failing_notifier_is_told_of_by_the_others():
    """The alert about it never goes to itself, whatever the routes say; alone it tells nobody."""
    world = ruled(World(), routed(notifiers=("ops", "web"), default=["ops"]))
    world.store.failing = {"ops": (START, 3, "503")}
    await world.pass_time(5, "success")
    (message,) = world.messages()
    assert (message["rule"], message["labels"]["notifier"], world.told()[0][0]) == ("NotifierFailing", "ops", "web")
    assert "took none of 3 messages" in message["annotations"]["summary"]
    world.store.failing = {}
    await world.pass_time(5, "success")
    assert [state for _, state, _ in world.told()] == ["firing", "resolved"]
    alone = World()
    alone.store.failing = {"ops": (START, 1, "503")}
    await alone.pass_time(5, "success")
    assert (alone.told(), alone.states()) == ([], ["firing"])


async def test_the_store_is_asked_for_failing_notifiers_only_while_one_may():
    """At the start, after a message was given up, and while the alert is open."""
    world = World()
    asked = []

    async def failing():
        asked.append(world.clock.now_ms())
        return {}

    world.store.outbox_failing = failing
    await world.pass_time(15, "success")
    world.engine.given_up()
    await world.pass_time(15, "success")
    assert len(asked) == 2


async def test_a_digest_is_written_once_over_restarts():
    """One entry for each period and notifier, however often the daemon starts."""
    plans = build_digests({"daily": DigestConfig(to=("ops",), at="00:00")}, {"ops": True})
    world = ruled(World(), dataclasses.replace(routed(), digests=plans))
    for _ in range(9):
        await world.pass_time(6 * 60, "success")
        world.engine = world.started()
    digests = [payload for payload in world.store.outbox.values() if b'"digest":' in payload]
    midnights = {(START + minutes * MINUTE) // DAY_MS for minutes in range(5, 54 * 60 + 1, 5)}
    keys = {msgspec.json.decode(one)["digest"]["key"] for one in digests}
    assert keys <= {f"digest:daily:{day * DAY_MS}" for day in midnights}
    assert len(keys) == len(digests) >= 2


async def test_what_is_open_stays_in_the_group_in_which_it_was_told():
    """Neither another route nor another grouping moves it: its end would come alone, and before its beginning."""
    grouped = {"match": {"severity": "warning"}, "to": ["ops"], "group_by": ["project"], "batch_interval": "1h"}
    world = ruled(World(), routed([grouped, {"match": {"severity": "critical"}, "to": ["page"]}], ("ops", "page")))
    await breaking(world, 120)
    await world.pass_time(240, "success")
    ops = [
        (one.group, msgspec.json.decode(one.payload)["state"]) for one in world.store.entries if one.notifier == "ops"
    ]
    assert ops == [('{"project":"gh/acme/web"}', "firing"), ('{"project":"gh/acme/web"}', "resolved")]


async def test_a_reload_that_groups_otherwise_holds_for_what_fires_from_then_on():
    """The end goes where the beginning went; what fires anew goes by the new grouping."""
    world = await breaking(ruled(World(), routed(group_by=["project"], repeat="0s")), 45)
    ruled(world, routed(group_by=["team"], repeat="0s"))
    await world.pass_time(240, "success")
    await world.pass_time(60, "failure")
    assert [one.group for one in world.store.entries][:3] == [
        '{"project":"gh/acme/web"}',
        '{"project":"gh/acme/web"}',
        '{"team":"web"}',
    ]
