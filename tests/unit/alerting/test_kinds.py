"""What each kind of rule finds: unit tests of shipped rules and of one rule of each kind, and what those cannot say."""

from functools import cache
from importlib import resources
from pathlib import Path

import pytest
import yaml
from tests.unit.alerting.world import HOUR, MINUTE, START, World, detectors, job, run

from headgate.alerting import ruletest, summaries
from headgate.alerting.forms import KINDS
from headgate.alerting.kinds.event import EVENTS
from headgate.alerting.silencing import acknowledge
from headgate.alerting.spec import Ground
from headgate.alerting.templates import render_annotations
from headgate.alerting.view import Watermark
from headgate.core.alertdata import Acknowledgement, AlertState, decode_alert
from headgate.insights.owners import Owners, parse_owner

SHIPPED = str(resources.files("headgate.alerting") / "default_rules_test.yaml")
OURS = str(Path(__file__).parent / "rules" / "kinds_test.yaml")
NAMES = [(file, one["name"]) for file in (SHIPPED, OURS) for one in yaml.safe_load(Path(file).read_text())["tests"]]


@cache
def results_of(file: str):
    """Results of a file of unit tests of rules, by name."""
    return {
        result.name: result
        for result in ruletest.test_rules([file], detectors=detectors, ground=Ground(), owners=Owners())
    }


SLOWER = """
version: 1
groups:
  - name: main
    rules:
      - alert: Slower
        metric: duration_p95
        over: jobs
        by: [project, workflow, job]
        min_runs: 40
        detect: {min_change: 20%}
        context: suspect_commits
        annotations:
          summary: "{{ job }}"
          jobs: "{{ jobs | map(attribute='job') | join(' ') }}"
          who: "{{ suspects | join(' ') }}"
"""
COMPARED = """
version: 1
groups:
  - name: main
    rules:
      - alert: Dropped
        metric: success_rate
        by: [project]
        window: 1h
        min_runs: 10
        keep_firing_for: 5m
        labels: {team: "{{ project.owner | default('platform') }}"}
        compare: {baseline: 6h, drop: 20pp}
"""


@pytest.mark.parametrize(("file", "name"), NAMES, ids=[name for _, name in NAMES])
def test_rules_as_their_unit_tests_say(file, name):
    """Every expectation of the files holds."""
    assert results_of(file)[name].failures == ()


async def slow_down(world: World, names, *, before: int = 120, after: int = 40) -> None:
    """Jobs every five minutes, which then take twice as long."""
    for index in range(before + after):
        for name in names:
            span = 60_000 + 1_000 * (index * 7 % 11) if index < before else 130_000 + 1_000 * (index * 7 % 11)
            world.store.jobs.append(job(world.clock.now_ms(), name, span))
        world.clock.advance(300)
        await world.engine.evaluate_once()


async def test_a_change_fires_once_and_names_commits():
    """One alert over many evaluations; the suspects are the commits after the last good run."""
    world = World(SLOWER)
    await slow_down(world, ["test"])
    (message,) = world.messages()
    assert message["annotations"]["summary"] == "test"
    first_ms = START + 120 * 5 * MINUTE
    found = int(message["annotations"]["who"].split()[-1], 16)
    assert abs(found - first_ms) <= 10 * 5 * MINUTE


async def test_jobs_that_change_together_are_one_alert():
    """The job with the largest change speaks and names the others."""
    world = World(SLOWER)
    await slow_down(world, ["test", "lint", "build"])
    (message,) = world.messages()
    assert set(message["annotations"]["jobs"].split()) <= {"test", "lint", "build"}
    assert len(world.store.rows) == 1


async def test_a_restart_while_a_change_fires_does_not_tell_it_again():
    """What was told is in the row, not in the engine."""
    world = World(SLOWER)
    await slow_down(world, ["test"])
    world.engine = world.started()
    await slow_down(world, ["test"], before=0, after=10)
    assert [state for _, state, _ in world.told()] == ["firing"]


async def accepted(world: World) -> None:
    """Somebody says of the open alert that this is normal."""
    (row,) = world.store.rows.values()
    said = Acknowledgement("ann", world.clock.now_ms(), "as planned", "new_normal")
    await world.store.transition(acknowledge(row, said))


async def test_an_accepted_change_never_fires_again():
    """The new level is normal from then on, for days of runs."""
    world = World(SLOWER)
    await slow_down(world, ["test"])
    await accepted(world)
    await slow_down(world, ["test"], before=0, after=60)
    assert [(state, reason) for _, state, reason in world.told()][1:] == [("resolved", "new_normal")]
    assert world.states() == ["resolved"]


async def mixed(world: World) -> None:
    """Five hours in which two of five runs fail."""
    for _ in range(60):
        now_ms = world.clock.now_ms()
        world.store.runs += [run(now_ms + index * MINUTE, "failure" if index < 2 else "success") for index in range(5)]
        world.clock.advance(300)
        await world.engine.evaluate_once()


async def test_an_accepted_drop_moves_what_is_usual():
    """After the new normal the same rate is quiet, and a further drop is told against it."""
    world = World(COMPARED)
    await world.pass_time(7 * 60, "success")
    await mixed(world)
    assert world.told()[0][1] == "firing"
    await accepted(world)
    told = len(world.told())
    await mixed(world)
    assert [reason for _, _, reason in world.told()[told:]] == ["new_normal"]
    await world.pass_time(60, "failure")
    assert [state for _, state, _ in world.told()[told + 1 :]] == ["firing"]


async def test_the_team_is_a_label():
    """A project's owner comes from the setting; without one the template's default stands."""
    world = World(COMPARED)
    await world.pass_time(7 * 60, "success")
    await world.pass_time(45, "failure")
    assert world.messages()[0]["labels"]["team"] == "platform"
    owned = World(COMPARED)
    owned.owners = Owners([parse_owner({"project": "gh/acme/web"}, "web")])
    owned.engine = owned.started()
    await owned.pass_time(7 * 60, "success")
    await owned.pass_time(45, "failure")
    assert owned.messages()[0]["labels"]["team"] == "web"


async def test_an_old_break_is_no_event():
    """A break that is first seen an hour late is never told."""
    text = COMPARED[: COMPARED.index("        metric")] + "        event: main_broke\n        by: [project, workflow]\n"
    world = World(text)
    world.store.runs = [run(START - 4 * HOUR), run(START - 3 * HOUR), run(START - 2 * HOUR, "failure")]
    await world.pass_time(30, None)
    assert world.told() == []
    world.store.runs.append(run(world.clock.now_ms(), "failure"))
    await world.pass_time(10, None)
    assert world.told() == []
    assert AlertState.FIRING not in world.states()


SILENT = """
version: 1
groups:
  - name: main
    rules:
      - alert: Silent
        absence: {at_least: 6h}
        by: [project]
"""


async def test_a_project_that_is_no_longer_collected_is_gone_not_silent():
    """Its alert does not go on breaching; one that is still collected does."""
    world = World(SILENT)
    for hour in range(15 * 24):
        world.store.runs.append(run(START - (15 * 24 - hour) * HOUR))
    world.clock.advance(3 * 24 * 3600)
    for _ in range(12):
        await world.pass_time(5, None)
    assert world.states() == ["firing"]
    (row,) = world.store.rows.values()
    before_ms = decode_alert(row.state_json).seen_ms
    world.marks = {"gh/acme/other": Watermark("circleci", world.clock.now_ms() + 9 * HOUR)}
    await world.pass_time(30, None)
    (row,) = world.store.rows.values()
    assert decode_alert(row.state_json).seen_ms == before_ms


@pytest.mark.parametrize(("heard_hours", "expected"), [(73, ["firing"]), (12, []), (0, [])])
async def test_what_ran_while_nobody_listened_is_no_silence(heard_hours, expected):
    """After an outage of ours a project that webhooks alone tell of is given the time that any silence takes."""
    world = World(SILENT)
    world.store.runs = [run(START - (15 * 24 - hour) * HOUR) for hour in range(15 * 24)]
    world.clock.advance(3 * 24 * 3600)
    now_ms = world.clock.now_ms()
    world.marks = {"gh/acme/web": Watermark("circleci", now_ms, since_ms=now_ms - heard_hours * HOUR)}
    await world.engine.evaluate_once()
    assert expected == world.states()


@pytest.mark.parametrize("by", ["[project]", "[project, workflow]"])
async def test_a_rhythm_is_learnt_from_all_of_the_past(by):
    """Not from so many newest runs: one busy hour, and what else runs in the project, hide nobody's rhythm."""
    world = World(SILENT.replace("[project]", by))
    name = "nightly" if "workflow" in by else "build"
    hours = [START - (15 * 24 - hour) * HOUR for hour in range(15 * 24)]
    world.store.runs = [run(at, workflow=name) for at in hours]
    world.store.runs += [run(hours[-1] + 1 + number, workflow="build") for number in range(2_100)]
    if name == "nightly":
        world.store.runs += [run(hours[-1] + number * MINUTE, workflow="build") for number in range(3 * 24 * 60)]
    world.clock.advance(24 * 3600)
    for _ in range(12):
        await world.pass_time(5, None)
    (alert,) = [decode_alert(row.state_json) for row in world.store.rows.values()]
    last_ms = hours[-1] if name == "nightly" else hours[-1] + 2_100
    assert (AlertState.FIRING, 3600.0, last_ms) == (alert.state, alert.baseline, alert.first_bad_ms)
    assert alert.value == (alert.at_ms - last_ms) / 1000


async def test_runs_that_came_in_one_long_walk_are_all_new():
    """A change is found although the watermark moves by hours at a time and nothing runs just before it."""
    world = World(SLOWER)
    for index in range(160):
        span = 60_000 + 1_000 * (index * 7 % 11) + (70_000 if index >= 120 else 0)
        world.store.jobs.append(job(START + index // 10 * HOUR + index % 10 * MINUTE, "test", span))
    for hour in range(1, 17):
        world.clock.jump((START + hour * HOUR - world.clock.now_ms()) / 1000)
        world.marks = {"gh/acme/web": Watermark("circleci", world.clock.now_ms())}
        for _ in range(3):
            await world.engine.evaluate_once()
            world.clock.advance(300)
    assert [state for _, state, _ in world.told()] == ["firing"]


async def test_what_a_rule_without_texts_says_is_of_its_kind():
    """An event is no rate over runs, and silence is no number of them; each names its group."""
    head = COMPARED[: COMPARED.index("        metric")]
    broke = World(head + "        event: main_broke\n        by: [project, workflow]\n")
    for status, minutes in (("success", 30), ("failure", 10), ("success", 30)):
        await broke.pass_time(minutes, status)
    assert [one["annotations"]["summary"] for one in broke.messages()] == [
        "gh/acme/web build: the default branch fails after green runs",
        "gh/acme/web build: the default branch is green again",
    ]


def test_every_kind_of_rule_has_a_sentence():
    """A new kind cannot be forgotten."""
    assert {*summaries._SENTENCES, "event"} == set(KINDS)
    assert set(summaries._EVENTS) == set(EVENTS)
    for text in (*summaries._SENTENCES.values(), *summaries._EVENTS.values()):
        names = {
            "place": "p",
            "metric": "m",
            "shown": "1",
            "usual": "2",
            "value": 0.5,
            "n": 3,
            "state": "resolved",
            "reason": "",
        }
        assert "template_error" not in render_annotations({"summary": text}, names, "plain")


CREDITS = """
version: 1
groups:
  - name: money
    rules:
      - {alert: Dear, metric: credits, by: [project], window: 1d, min_runs: 4, threshold: "> 500"}
"""


async def test_credits_that_come_by_the_day_are_judged_by_the_day():
    """It fires and is told once the day is known, hours after it ended and bit by bit; today is not looked at."""
    world = World(CREDITS)
    today = START // (24 * HOUR) * 24 * HOUR
    told = [run(today - 20 * HOUR + index * MINUTE, credits=10) for index in range(60)]
    world.clock.jump((today + 14 * HOUR - world.clock.now_ms()) / 1000)
    for part in (told[:20], told[20:], [], []):
        world.store.runs += part
        now_ms = world.clock.now_ms()
        world.marks = {"gh/acme/web": Watermark("circleci", today, now_ms - today)}
        await world.pass_time(5, None)
    assert world.states() == ["firing"]
    (alert,) = [decode_alert(row.state_json) for row in world.store.rows.values()]
    assert (600.0, 60, ()) == (alert.value, alert.n, alert.flags)
    assert alert.at_ms > today + 14 * HOUR
    assert [("ops", "firing", "breach")] == world.told()
