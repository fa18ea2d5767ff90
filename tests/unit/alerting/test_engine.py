"""The engine against a store: alerts fire, recover, survive restarts, and stay quiet about what is not true."""

import asyncio
import dataclasses

import msgspec
import pytest
import structlog.testing
from tests.unit.alerting.world import HOUR, MINUTE, RULES, START, World, rules, run

from headgate.alerting.evidence import evidence_of
from headgate.alerting.listing import list_alerts
from headgate.alerting.load import load_rules
from headgate.alerting.view import Watermark
from headgate.core.alertdata import fingerprint
from headgate.core.errors import StoreFull
from headgate.core.ports import Notification
from headgate.core.record import encode_record
from headgate.core.runrows import TestOutcome as Outcome
from headgate.core.times import format_ms
from headgate.insights.metric import FromTally


async def test_a_drop_fires_once_and_its_end_resolves_once():
    """Failures fire the alert, recovery resolves it; one message each, and both are records too."""
    world = World()
    await world.pass_time(60, "success")
    assert (world.states(), world.told()) == ([], [])
    await world.pass_time(60, "failure")
    assert world.states() == ["firing"]
    await world.pass_time(180, "success")
    assert world.states() == ["resolved"]
    assert world.told() == [("ops", "firing", "breach"), ("ops", "resolved", "clear")]
    assert [record.attributes["headgate.alert.state"] for record in world.store.records.values()] == [
        "firing",
        "resolved",
    ]


async def test_the_message_says_what_where_and_since_when():
    """The stored payload is a Notification with rendered texts, labels, numbers and a stable key."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    (payload,) = world.store.outbox.values()
    found = msgspec.json.decode(payload, type=Notification)
    identity = fingerprint("Failing", {"project": "gh/acme/web", "workflow": "build"})
    assert found.fingerprint == identity
    assert found.key.startswith(f"{identity}:")
    assert found.key.endswith(":2")
    assert found.labels == {
        "project": "gh/acme/web",
        "severity": "warning",
        "team": "web",
        "workflow": "build",
    }
    assert found.annotations["summary"].startswith("gh/acme/web/build 6")
    assert found.annotations["link"] == f"https://app.circleci.com/run/{START + 60 * MINUTE}"
    assert 0.6 < found.numbers["value"] < 0.7
    assert found.ends_ms is None


async def test_an_alert_says_what_its_numbers_are_and_where_the_first_bad_run_is():
    """Also after passes that find that run no more; and every line of its history has the units too."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    (alert,) = list_alerts(world.store.rows.values())
    assert ("percentage", "1") == (alert["format"], alert["unit"])
    began = START + 60 * MINUTE
    assert (format_ms(began), f"https://app.circleci.com/run/{began}") == (
        alert["first_bad_at"],
        alert["first_bad_url"],
    )
    lines = [msgspec.json.decode(line) for _, _, line in world.store.history]
    assert lines
    assert {("percentage", "1")} == {(line["format"], line["unit"]) for line in lines}


async def test_a_worse_drop_escalates_with_its_own_message():
    """Beyond the critical limit one more message goes out, with severity critical."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(120, "failure")
    assert [message["labels"]["severity"] for message in world.messages()] == ["warning", "critical"]
    assert world.told()[1] == ("ops", "firing", "escalated")


async def test_too_few_runs_never_fire():
    """Below min_runs nothing is judged, however bad it looks."""
    world = World()
    world.store.runs = [run(START + index * MINUTE, "failure") for index in range(4)]
    await world.pass_time(60, None)
    assert (world.states(), world.told()) == ([], [])


async def test_other_branches_do_not_count():
    """The group's match keeps runs of other branches out."""
    world = World()
    await world.pass_time(60, "failure", branch_class=0, ref="feature")
    assert world.told() == []


async def test_groups_are_judged_apart():
    """Each combination of the `by` dimensions has its own alert."""
    world = World()
    for minute in range(60):
        for project, status in (("gh/acme/web", "failure"), ("gh/acme/api", "success")):
            world.store.runs.append(run(START + minute * MINUTE, status, project=project))
    await world.pass_time(60, "failure")
    assert {message["labels"]["project"] for message in world.messages()} == {"gh/acme/web"}


async def test_a_restart_at_every_step_changes_nothing():
    """A new engine before each evaluation ends in the same rows, history and outbox."""

    async def play(world: World, *, restart: bool):
        for status, count in (("success", 60), ("failure", 45), ("success", 180)):
            for _ in range(count // 5):
                await world.pass_time(5, status)
                if restart:
                    world.engine = world.started()
        return world.store.rows, world.store.history, world.store.outbox, world.store.records

    assert await play(World(), restart=False) == await play(World(), restart=True)


async def test_a_restart_does_not_repeat_what_was_told():
    """Several new engines over a firing alert tell nobody again."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    for _ in range(3):
        world.engine = world.started()
        await world.engine.evaluate_once()
        await world.pass_time(5, "failure")
    assert [state for _, state, _ in world.told()].count("firing") <= 2  # warning, then critical
    assert len(world.store.offered) == len(world.store.outbox)


async def test_a_refused_transaction_loses_and_repeats_nothing():
    """When the store is full nothing is kept, the rule stays due, and the next pass tells once."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(35, "failure")
    world.store.runs += [run(world.clock.now_ms() + index, "failure") for index in range(60)]
    world.clock.advance(300)
    before = dict(world.store.rows)
    world.store.full = True
    with pytest.raises(StoreFull):
        await world.engine.evaluate_once()
    assert world.store.rows == before
    world.store.full = False
    report = await world.engine.evaluate_once()
    assert report.evaluated == ("Failing",)
    assert [state for _, state, _ in world.told()] == ["firing"]


async def test_after_six_hours_down_what_is_over_is_not_told():
    """A drop that came and went while nothing ran gives no alert afterwards."""
    world = World()
    await world.pass_time(60, "success")
    now = world.clock.now_ms()
    world.store.runs += [run(now + index * MINUTE, "failure") for index in range(60)]
    world.store.runs += [run(now + HOUR + index * MINUTE, "success") for index in range(300)]
    world.clock.advance(6 * 3600)
    world.engine = world.started()
    await world.engine.evaluate_once()
    await world.pass_time(30, "success")
    assert world.told() == []


async def test_after_six_hours_down_a_pending_alert_waits_for_confirmation():
    """The first evaluation after a long gap is late: it may move the state, and tells nobody by itself."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(45, "failure")
    assert world.states() in (["pending"], ["firing"])
    told = len(world.told())
    now = world.clock.now_ms()
    world.store.runs += [run(now + 5 * HOUR + index * MINUTE, "failure") for index in range(50)]
    world.clock.advance(6 * 3600)
    world.engine = world.started()
    await world.engine.evaluate_once()
    assert len(world.told()) == told
    await world.pass_time(10, "failure")
    assert len(world.told()) > told


async def test_backfilled_old_failures_never_page():
    """A day of old failures that arrives at once stays silent: none of its runs is new."""
    world = World(RULES.replace("window: 2h", "window: 24h"))
    world.store.runs += [run(START - 20 * HOUR + index * MINUTE, "failure") for index in range(300)]
    await world.pass_time(120, None)
    assert world.told() == []


async def test_a_collector_that_is_behind_freezes_and_says_so_once():
    """Without fresh data states stay as they are and one meta-alert names the frozen rules; both end with it."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    frozen_at = world.clock.now_ms()
    world.marks = {"gh/acme/web": Watermark("circleci", frozen_at)}
    await world.pass_time(300, "success")
    failing = next(row for row in world.store.rows.values() if row.rule == "Failing")
    assert (failing.state, b'"stale"' in failing.state_json) == ("firing", True)
    meta = [message for message in world.messages() if message["rule"] == "CollectorStale"]
    assert [(message["state"], message["annotations"]["frozen_rules"]) for message in meta] == [("firing", "Failing")]
    assert meta[0]["labels"] == {"severity": "warning", "source": "circleci"}
    world.marks = None
    await world.pass_time(60, "success")
    meta = [message for message in world.messages() if message["rule"] == "CollectorStale"]
    assert [message["state"] for message in meta] == ["firing", "resolved"]
    assert next(row.state for row in world.store.rows.values() if row.rule == "Failing") == "resolved"


async def test_a_collector_that_is_behind_for_long_costs_nothing_with_each_pass():
    """Whom it concerns is read once, and by the hour what ran since; a project that began to run since is found."""
    world = World()
    world.marks = {f"gh/acme/{name}": Watermark("circleci", START) for name in ("web", "new")}
    world.store.runs = [run(START - MINUTE), run(START + 71 * HOUR, project="gh/acme/new")]
    world.clock.advance(72 * 3600)
    reads, tallies = [], world.store.tallies

    async def counted(query):
        reads.append(query)
        return await tallies(query)

    world.store.tallies = counted
    for _ in range(11):
        report = await world.engine.evaluate_once()
        assert set(report.frozen) == {"circleci"}
        world.clock.advance(300)
    assert len(reads) == 2
    assert set(reads[0].bounds.values()) == {(START - 2 * HOUR, START)}


async def test_a_held_sink_is_told_once_and_when_it_goes_on():
    """One message per signal with its reason and since when, also over a restart; one more when it takes records."""
    world = World()
    world.held = {"loki.logs": "auth: the key is refused"}
    began = format_ms(world.clock.now_ms())
    await world.engine.evaluate_once()
    world.clock.advance(60)
    world.engine = world.started()
    await world.pass_time(5, "success")
    [message] = world.messages()
    assert (message["rule"], message["state"]) == ("SinkHeld", "firing")
    assert message["labels"] == {"severity": "warning", "sink": "loki", "signal": "logs"}
    assert message["annotations"]["summary"] == (
        f"sink loki holds records back since {began}: auth: the key is refused; what waits is kept, unless this sink's"
        " `overflow` is drop_oldest or the disk fills; see `headgate check`"
    )
    world.held = {}
    await world.pass_time(5, "success")
    assert [one["state"] for one in world.messages()] == ["firing", "resolved"]
    assert world.messages()[-1]["annotations"]["summary"] == "sink loki takes records again, or is not used any more"
    world.held = {"loki.logs": "auth: again"}
    await world.pass_time(5, "success")
    assert [one["state"] for one in world.messages()] == ["firing", "resolved", "firing"]


async def test_webhooks_that_stopped_are_told_once_and_when_they_come_again():
    """One message per project, however many more are missing meanwhile and over a restart; one more at the end."""
    world = World()
    since_ms = world.clock.now_ms() - HOUR
    world.missing = {("circleci", "gh/acme/web"): (since_ms, 7)}
    await world.engine.evaluate_once()
    world.missing = {("circleci", "gh/acme/web"): (since_ms, 12)}
    world.engine = world.started()
    await world.pass_time(10, "success")
    [message] = world.messages()
    assert (message["rule"], message["state"]) == ("WebhooksMissing", "firing")
    assert message["labels"] == {"severity": "warning", "source": "circleci", "project": "gh/acme/web"}
    assert message["annotations"]["summary"].startswith(
        f"webhooks of gh/acme/web stopped at {format_ms(since_ms)}: 7 runs and jobs have ended since"
    )
    world.missing = {}
    await world.pass_time(5, "success")
    assert [one["state"] for one in world.messages()] == ["firing", "resolved"]
    assert world.messages()[-1]["annotations"]["summary"] == "webhooks of gh/acme/web come again"


async def test_a_short_delay_of_the_collector_is_not_told():
    """A collector that catches up within 15 minutes raises no meta-alert."""
    world = World()
    await world.pass_time(30, "success")
    world.marks = {"gh/acme/web": Watermark("circleci", None)}
    await world.pass_time(10, "success")
    world.marks = None
    await world.pass_time(10, "success")
    assert world.told() == []


async def test_a_rule_faster_than_polling_is_not_frozen_between_polls():
    """A rule evaluated every second waits for the next poll as for any other; no message about the collector."""
    world = World(RULES.replace("labels:", "every: 1s\n        evaluation_delay: 1s\n        labels:"))
    world.store.runs = [run(START - HOUR + index * MINUTE, "failure") for index in range(50)]
    world.marks = {"gh/acme/web": Watermark("circleci", START)}
    world.clock.advance(600)
    report = await world.engine.evaluate_once()
    assert report.frozen == {}
    assert world.states() == ["pending"]


async def test_nothing_collected_yet_is_not_no_data():
    """Before any walk is known, a firing alert stays as it is, although its window is empty."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    world.marks = {}
    world.store.runs.clear()
    await world.pass_time(240, None)
    assert next(row.state for row in world.store.rows.values() if row.rule == "Failing") == "firing"


async def test_the_window_ends_at_the_watermark():
    """Runs after the watermark are not judged yet."""
    world = World()
    await world.pass_time(60, "success")
    world.marks = {"gh/acme/web": Watermark("circleci", world.clock.now_ms())}
    await world.pass_time(10, "failure")
    assert world.states() == []


async def test_no_runs_resolve_by_policy_ok():
    """A firing alert whose group no longer runs recovers, with the reason."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    await world.pass_time(300, None)
    assert world.told()[-1] == ("ops", "resolved", "no_data")


async def test_a_removed_project_resolves_as_gone():
    """With no_data keep, a project that no longer runs nor is collected is gone after two windows."""
    world = World(RULES.replace("keep_firing_for", "no_data: keep\n        keep_firing_for"))
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    world.marks = {"gh/acme/other": Watermark("circleci", START + 100 * HOUR)}
    await world.pass_time(480, None)
    assert world.told()[-1] == ("ops", "resolved", "gone")


async def test_an_edited_rule_resolves_with_its_reason():
    """After a reload with a limit that is not broken, the alert resolves as rule_changed."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    edited = rules(RULES.replace('warning: "< 70%", critical: "< 30%"', 'warning: "< 10%"').replace("85%", "20%"))
    world.engine.replace(edited, world.routes)
    await world.pass_time(5, "success")
    assert world.told()[-1] == ("ops", "resolved", "rule_changed")


async def test_changed_texts_do_not_touch_an_alert():
    """Annotations and labels may be edited while an alert fires."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    told = world.told()
    world.engine.replace(rules(RULES.replace("team: web", "team: api").replace("of {{ n }}", "!")), world.routes)
    await world.pass_time(5, "failure")
    assert (world.states(), world.told()[: len(told)]) == (["firing"], told)


@pytest.mark.parametrize(
    "text", [RULES.replace("alert: Failing", "alert: Other"), RULES.replace("by: [project, workflow]", "by: [project]")]
)
async def test_a_rule_that_is_gone_or_regrouped_resolves_its_alerts(text):
    """Alerts that no rule stands for any more end as rule_changed and are forgotten after a day."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    old = next(iter(world.store.rows))
    world.engine.replace(rules(text), world.routes)
    world.store.runs.clear()
    await world.pass_time(5, "success")
    assert ("ops", "resolved", "rule_changed") in world.told()
    assert world.store.rows[old].state == "resolved"
    world.clock.advance(25 * 3600)
    await world.engine.evaluate_once()
    assert old not in world.store.rows


async def test_an_alert_that_comes_back_after_being_forgotten_is_told_again():
    """The key of a second life differs from that of the first, although the transitions count from 1."""
    world = World()
    for _ in range(2):
        await world.pass_time(60, "success")
        await world.pass_time(40, "failure")
        await world.pass_time(180, "success")
        world.clock.advance(26 * 3600)
        await world.pass_time(30, "success")
        assert world.states() == []
    assert [state for _, state, _ in world.told()].count("firing") == 2


async def test_the_cap_limits_new_alerts_alone():
    """Beyond max_alerts_per_rule groups are not alerted on; those that have an alert keep it."""
    world = World(RULES.replace("labels:", "max_alerts_per_rule: 3\n        labels:"))
    for minute in range(60):
        for index in range(6):
            world.store.runs.append(run(START + minute * MINUTE, "failure", project=f"gh/acme/p{index}"))
    await world.pass_time(60, None)
    assert len([row for row in world.store.rows.values() if row.rule == "Failing"]) == 3
    meta = [message for message in world.messages() if message["rule"] == "TooManyAlerts"]
    assert [(one["state"], one["labels"]["rule"]) for one in meta] == [("firing", "Failing")]
    assert meta[0]["annotations"]["summary"].startswith("rule Failing has 3 groups more than")
    world.engine.replace(rules(RULES), world.routes)
    await world.pass_time(70, None)
    meta = [message for message in world.messages() if message["rule"] == "TooManyAlerts"]
    assert [one["state"] for one in meta] == ["firing", "resolved"]


async def test_every_transition_is_in_the_history_with_its_numbers():
    """History says who, when, why and with which numbers; messages are in it with whom they went to."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    lines = world.history()
    assert [(line["from"], line["to"]) for line in lines] == [
        ("inactive", "pending"),
        ("pending", "firing"),
        ("firing", "firing"),
    ]
    assert {"who": "engine", "rule": "Failing", "why": "breach", "number": 2}.items() <= lines[1].items()
    assert lines[1]["n"] > 5
    assert lines[2]["told"] == ["ops"]


async def test_transition_message_and_record_are_one_change():
    """The change that holds a firing row holds its history, its message and its record."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    change = next(change for change in world.store.changes if change.outbox)
    assert (len(change.rows), len(change.outbox), len(change.records)) == (1, 1, 1)
    record = change.records[0]
    assert record.kind == "alert"
    assert (record.org, record.project) == ("gh/acme", "gh/acme/web")
    assert record.attributes["headgate.alert.label.team"] == "web"
    assert list(record.attributes) == sorted(record.attributes)
    assert b'"headgate.alert.transition":2' in encode_record(record)


async def test_a_reload_during_a_pass_counts_from_the_next_one():
    """Rules that are replaced while a pass waits neither close an alert twice nor lose their turn."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    world.clock.advance(300)

    async def watermarks(family):
        world.engine.replace(rules(RULES.replace("alert: Failing", "alert: Other")), world.routes)
        return await world.watermarks(family)

    world.engine._watermarks = watermarks
    first = await world.engine.evaluate_once()
    assert len({row.fingerprint for row in first.change.rows}) == len(first.change.rows) == 1
    second = await world.engine.evaluate_once()
    assert second.evaluated == ("Other",)
    assert world.told()[-1] == ("ops", "resolved", "rule_changed")


async def test_one_broken_rule_does_not_stop_the_others():
    """A rule whose metric raises is counted as failed; the rest is evaluated."""
    world = World(RULES + RULES.split("groups:\n")[1].replace("name: main", "name: b").replace("Failing", "Other"))
    metric = dataclasses.replace(world.rules[0].metric, id="broken", compute=FromTally("workflow", lambda *_: 1 / 0))
    broken = dataclasses.replace(world.rules[0], metric=metric)
    world.engine.replace([broken, world.rules[1]], world.routes)
    with structlog.testing.capture_logs() as logs:
        await world.pass_time(60, "failure")
    assert {message["rule"] for message in world.messages()} == {"Other"}
    assert {(line["event"], line["rule"]) for line in logs} == {("alerts.rule_failed", "Failing")}


async def test_a_rule_whose_evidence_cannot_be_told_does_not_stop_the_others(monkeypatch):
    """It is counted as failed and tried again; nothing of it is half done."""
    world = World(RULES + RULES.split("groups:\n")[1].replace("name: main", "name: b").replace("Failing", "Other"))

    def evidence(rule, group):
        return (
            {"Failing": None}[rule.name]
            if group.step.transitions and rule.name == "Other"
            else evidence_of(rule, group)
        )

    monkeypatch.setattr("headgate.alerting.engine.evidence_of", evidence)
    with structlog.testing.capture_logs() as logs:
        await world.pass_time(60, "failure")
    assert {message["rule"] for message in world.messages()} == {"Failing"}
    assert {(line["event"], line["rule"]) for line in logs} == {("alerts.rule_failed", "Other")}


async def test_a_template_that_fails_does_not_stop_the_alert():
    """A plain summary goes out, and an annotation says what was wrong."""
    world = World(RULES.replace("{{ value | pct }}", "{{ nothing.there }}"))
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    annotations = world.messages()[0]["annotations"]
    assert annotations["summary"] == "Failing: project gh/acme/web, severity warning, team web, workflow build"
    assert "nothing" in annotations["template_error"]


async def test_a_rule_without_texts_still_says_something():
    """A rule without annotations has a summary with metric, value and sample size."""
    world = World(RULES[: RULES.index("        annotations:")])
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    assert world.messages()[0]["annotations"] == {"summary": "gh/acme/web build: success_rate is 65% over 93 runs"}


async def test_routes_decide_who_is_told():
    """The first matching route is taken, `continue` goes on, and what no route takes goes to all."""
    routes = [
        {"match": {"team": "web"}, "to": ["web"], "continue": True},
        {"match": ["severity=~warning"], "to": ["ops"]},
    ]
    world = World(routes=routes, notifiers=("ops", "web", "boss"))
    await world.pass_time(60, "success")
    await world.pass_time(45, "failure")
    assert {notifier for notifier, _, _ in world.told()} == {"web", "ops"}


async def test_a_wall_clock_set_back_does_not_stop_evaluation():
    """After a jump of an hour back the rule is evaluated at once and nothing is told twice."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    told = world.told()
    world.clock.jump(-3600)
    report = await world.engine.evaluate_once()
    assert (report.evaluated, world.told()) == (("Failing",), told)


async def _naps(world: World, count: int) -> list[float]:
    """What the loop asks for between passes, the first `count` times."""
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        world.clock.advance(seconds)
        world.store.full = False
        if len(naps) == count:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await world.engine.run(sleep=sleep)
    return naps


async def test_a_message_that_waited_long_is_sent_only_while_it_is_true():
    """An old firing message of an alert that is over is not wanted; a fresh one and a resolved one always are."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    firing = msgspec.json.decode(next(iter(world.store.outbox.values())), type=Notification)
    late_ms = firing.at_ms + HOUR + 1
    assert world.engine.wanted(firing, late_ms)
    await world.pass_time(180, "success")
    resolved = msgspec.json.decode(list(world.store.outbox.values())[-1], type=Notification)
    assert not world.engine.wanted(firing, late_ms)
    assert world.engine.wanted(firing, firing.at_ms + HOUR)
    assert world.engine.wanted(resolved, resolved.at_ms + 9 * HOUR)
    restarted = world.started()
    assert restarted.wanted(firing, late_ms)
    await restarted.recall()
    assert not restarted.wanted(firing, late_ms)


async def test_run_looks_at_least_every_minute_and_is_ended_by_cancelling():
    """The loop never sleeps longer than a minute, so that a changed clock is noticed."""
    assert await _naps(World(), 3) == [60.0, 60.0, 60.0]


async def test_run_sleeps_until_the_next_rule_is_due():
    """A rule that is due sooner shortens the sleep."""
    assert await _naps(World(RULES.replace("labels:", "every: 20s\n        labels:")), 2) == [20.0, 20.0]


async def test_run_waits_out_a_full_store():
    """A full store is waited for; the next pass then tells what the refused one could not."""
    world = World()
    world.store.runs = [run(START - 120_000 - index * 1000, "failure") for index in range(30)]
    world.store.full = True
    assert await _naps(world, 2) == [30.0, 60.0]
    assert world.states() == ["pending"]


async def test_a_source_is_not_collected_again_because_its_last_runs_are_long_ago():
    """However long it is behind, and whether anything fires or not, `CollectorStale` says so until it is collected."""
    world = World()
    await world.pass_time(30)
    world.marks = {"gh/acme/web": Watermark("circleci", world.clock.now_ms())}
    await world.pass_time(9 * 60, None)
    assert world.states() == ["firing"]
    world.marks = None
    await world.pass_time(30, None)
    assert [(one["rule"], one["state"]) for one in world.messages()] == [
        ("CollectorStale", "firing"),
        ("CollectorStale", "resolved"),
    ]


async def test_a_rule_about_late_data_is_not_frozen_by_late_data():
    """It fires while a project is behind, and is resolved when the project is collected again."""
    tail = 'metric: data_freshness\n        by: [project]\n        window: 2h\n        threshold: "> 30m"\n'
    head = RULES[: RULES.index("metric:")].replace('    match: {branch: "@default"}\n', "")
    world = World(head + tail)
    await world.pass_time(30)
    world.marks = {"gh/acme/web": Watermark("circleci", world.clock.now_ms() - 2 * HOUR)}
    await world.pass_time(30)
    world.marks = None
    await world.pass_time(60)
    told = [(one["rule"], one["state"]) for one in world.messages() if one["rule"] == "Failing"]
    assert told == [("Failing", "firing"), ("Failing", "resolved")]


async def test_a_test_that_becomes_flaky_is_told_with_its_jobs():
    """By the shipped rule; what it keeps as evidence are no jobs that changed."""
    world = World()
    world.engine.replace([rule for rule in load_rules([]) if rule.name == "FlakyTest"], world.routes)
    world.store.runs = [run(START + hours * HOUR) for hours in range(7 * 24)]
    world.store.outcomes = [
        Outcome(
            *("gh/acme/web", "t1", f"{hours:040x}", "test_login", "", "", ""),
            passed=1,
            failed=int(hours >= 4 * 24),
            infra=0,
            jobs=("e2e", "unit"),
            run_ms=9,
            first_ms=START + hours * HOUR,
            last_ms=START + hours * HOUR,
        )
        for hours in range(0, 7 * 24, 4)
    ]
    for _ in range(7):
        world.clock.advance(24 * HOUR // 1000)
        await world.engine.evaluate_once()
    assert world.told()[0] == ("ops", "firing", "breach")
    kept = [one["evidence"] for one in world.history() if "evidence" in one]
    assert [(one["kind"], one.get("grew", [])) for one in kept] == [("flaky", [])] * len(kept) != []
