"""Logic of `rules test`, `rules replay` and `alerts list`."""

import dataclasses
from pathlib import Path

import pytest
from tests.unit.alerting.world import HOUR, MINUTE, START, World, detectors, rules, run

from headgate.alerting import ruletest
from headgate.alerting.history import History
from headgate.alerting.listing import list_alerts
from headgate.alerting.load import load_rules
from headgate.alerting.replay import evaluations, per_week, replay_rules
from headgate.alerting.spec import SHIPPED
from headgate.core.errors import ConfigError
from headgate.core.runrows import TestOutcome as Outcome
from headgate.core.times import format_ms
from headgate.insights.owners import Owners

NOBODY = Owners()


def results_of(file, ground=SHIPPED, owners=NOBODY):
    """Results of a test file."""
    return ruletest.test_rules([file], detectors=detectors, ground=ground, owners=owners)


BROKEN = """
version: 1
tests:
  - name: a break
    runs:
      - {project: gh/acme/web, every: 15m, until: 48h, status: success*19 failure}
      - {project: gh/acme/web, every: 15m, from: 48h, until: 60h, status: failure*4 success}
      - {project: gh/acme/web, every: 15m, from: 60h, until: 100h, status: success*19 failure}
"""


def test_rule_tests_print_rows_in_the_promised_form(tmp_path):
    """Rows have the keys of docs/interface.md, in the order of time."""
    (tmp_path / "t.yaml").write_text(BROKEN)
    (result,) = results_of(tmp_path / "t.yaml")
    rows = list(result.rows)
    assert [set(row) for row in rows] == [{"rule", "labels", "state", "at", "value", "baseline", "n", "first_bad"}] * 2
    assert [row["state"] for row in rows] == ["firing", "resolved"]


def _test_file(tmp_path, expect: str, more: str = "") -> Path:
    file = tmp_path / "t.yaml"
    file.write_text(
        "version: 1\ntests:\n  - name: t\n    runs:\n"
        "      - {project: gh/acme/web, every: 10m, until: 48h, status: success}\n"
        f"    expect:\n      - {expect}\n{more}"
    )
    return file


def test_a_missed_alert_fails(tmp_path):
    """A rule that does not fire where it should is a failure that says what it is instead."""
    file = _test_file(tmp_path, "{at: 24h, rule: DefaultBranchFailing, state: firing}")
    (result,) = results_of(file)
    assert result.failures == ("at 1440 min DefaultBranchFailing {} is inactive, not firing",)


def test_a_wrong_count_of_messages_fails(tmp_path):
    """Messages are counted over the whole test."""
    file = _test_file(tmp_path, "{at: 24h, rule: DefaultBranchFailing, state: inactive}", "    messages: {firing: 2}\n")
    (result,) = results_of(file)
    assert result.failures == ("0 firing messages, not 2",)


def test_an_unknown_rule_fails_with_the_nearest_name(tmp_path):
    """An expectation about a rule that does not exist cannot pass as inactive."""
    file = _test_file(tmp_path, "{at: 24h, rule: DefaultBranchFaling, state: inactive}")
    (result,) = results_of(file)
    assert "did you mean `DefaultBranchFailing`?" in result.failures[0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("status: success", "status: sucess", "did you mean `success`?"),
        ("every:", "evry:", "did you mean `every`?"),
        ("state: firing", "state: burning", "t.yaml:7"),
    ],
    ids=["status", "key", "state"],
)
def test_a_wrong_test_file_is_refused(tmp_path, old, new, words):
    """Mistakes in test files are reported like those in rule files."""
    file = _test_file(tmp_path, "{at: 24h, rule: DefaultBranchFailing, state: firing}")
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        results_of(file)


async def test_replay_says_what_the_engine_said():
    """Replaying stored history gives the engine's messages, with the first bad run."""
    world = World()
    await world.pass_time(120, "success")
    broke_ms = world.clock.now_ms()
    await world.pass_time(60, "failure")
    await world.pass_time(180, "success")
    rows = [
        row
        async for row in replay_rules(
            world.store, rules(), START + 5 * MINUTE, world.clock.now_ms(), detectors=detectors
        )
    ]
    assert [row["state"] for row in rows] == [state for _, state, _ in world.told()]
    assert [row["at"] for row in rows] == [format_ms(message["at_ms"]) for message in world.messages()]
    assert rows[0]["first_bad"] == f"w{broke_ms}"
    assert rows[0]["labels"] == {"team": "web", "project": "gh/acme/web", "workflow": "build", "severity": "warning"}


async def test_replay_of_one_rule_or_of_none():
    """`only` picks a rule by name; an unknown one gives nothing."""
    world = World()
    world.store.runs = [run(START + index * MINUTE, "failure") for index in range(120)]
    found = [
        row["rule"]
        async for row in replay_rules(
            world.store, rules(), START, START + 2 * HOUR, detectors=detectors, only="Failing"
        )
    ]
    assert set(found) == {"Failing"}
    assert [
        row async for row in replay_rules(world.store, rules(), START, START + HOUR, detectors=detectors, only="Other")
    ] == []


def _flaky_history():
    """A week of green runs; from the fifth day on one test fails and passes on each commit, and another just passes."""
    runs = [run(START + hours * HOUR, "success") for hours in range(7 * 24)]
    outcomes = [
        Outcome(
            *("gh/acme/web", test, f"{hours:040x}", test, "", "", ""),
            passed=1,
            failed=int(test == "test_login" and hours >= 4 * 24),
            infra=0,
            jobs=("test",),
            first_ms=START + hours * HOUR,
            last_ms=START + hours * HOUR,
            run_ms=9,
        )
        for hours in range(0, 7 * 24, 4)
        for test in ("test_login", "test_other")
    ]
    return History(runs, [], outcomes)


async def test_flaky_rules_are_replayed_from_results_of_tests():
    """The rule tells of the test that began to fail by itself, after it began, and of no other."""
    rows = [
        row
        async for row in replay_rules(
            _flaky_history(), load_rules([]), START, START + 7 * 24 * HOUR, detectors=detectors, only="FlakyTest"
        )
    ]
    assert [(row["rule"], row["state"], row["labels"]["test"]) for row in rows] == [
        ("FlakyTest", "firing", "test_login")
    ]
    assert format_ms(START + 4 * 24 * HOUR) < rows[0]["at"] < format_ms(START + 6 * 24 * HOUR)


@pytest.mark.parametrize(("only", "asked"), [("FlakyTest", [True]), ("RunStuck", [])])
async def test_results_of_tests_are_read_for_rules_about_tests_alone(only, asked):
    """And of tests that failed alone, where that is all that the rules look at."""
    history = _flaky_history()
    seen = []

    class Watched:
        runs_between, jobs_between = history.runs_between, history.jobs_between

        async def test_outcomes(self, bounds, *, after=None, limit, failing=False):
            """As the store's, noted."""
            seen.append(failing)
            return await history.test_outcomes(bounds, after=after, limit=limit, failing=failing)

    found = replay_rules(Watched(), load_rules([]), START, START + HOUR, detectors=detectors, only=only)
    assert ([row async for row in found], seen) == ([], asked)


async def test_alerts_are_listed_firing_first_without_inactive_ones():
    """The list has what scripts need, and hides what is over unless asked."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    rows = await world.store.alerts()
    (line,) = list_alerts(rows)
    assert (line["rule"], line["state"], line["told"], line["labels"]["severity"]) == (
        "Failing",
        "firing",
        True,
        "warning",
    )
    assert line["n"] > 0
    assert list_alerts(rows, states=frozenset({"resolved"})) == []


async def test_the_most_severe_alerts_are_listed_first():
    """Within a state: by severity, then the newest; a word that nobody knows stands before mere information."""
    world = World()
    await world.pass_time(60, "success")
    await world.pass_time(60, "failure")
    (row,) = await world.store.alerts()
    words = ("info", "warning", "odd", "critical", "warning")
    rows = [dataclasses.replace(row, fingerprint=str(at), labels={"severity": word}) for at, word in enumerate(words)]
    assert ["3", "1", "4", "2", "0"] == [line["fingerprint"] for line in list_alerts(rows)]


async def test_every_evaluation_of_a_group_is_explained():
    """Numbers of each look are given, also of those in which nothing happened, for this group alone."""
    world = World()
    await world.pass_time(120, "success")
    await world.pass_time(60, "failure")
    world.store.runs.append(run(world.clock.now_ms(), project="gh/acme/api"))
    labels = (("project", "gh/acme/web"), ("workflow", "build"))
    now_ms = world.clock.now_ms()
    rows = [
        one async for one in evaluations(world.store, rules()[0], labels, START + HOUR, now_ms, detectors=detectors)
    ]
    assert len(rows) == 2 * 12 + 1
    assert [row["outcome"] for row in rows[:3]] == ["clear"] * 3
    assert (rows[-1]["outcome"], rows[-1]["state"]) == ("breach", "firing")
    assert all(row["n"] > 0 and row["n_new"] == 5 for row in rows[1:])


def test_messages_are_counted_by_rule_and_week():
    """A week begins on Monday; a rule that said nothing has a line too."""
    rows = [
        {"rule": "A", "state": "firing", "at": "2026-01-11T23:59:59.000Z"},
        {"rule": "A", "state": "firing", "at": "2026-01-12T00:00:00.000Z"},
        {"rule": "A", "state": "resolved", "at": "2026-01-12T01:00:00.000Z"},
    ]
    assert per_week(rows, ["A", "B"]) == [("A", "2026-01-05", 1, 0), ("A", "2026-01-12", 1, 1), ("B", "", 0, 0)]
