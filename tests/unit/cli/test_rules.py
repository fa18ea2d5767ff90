"""`headgate rules`: exit codes and what is printed, over a store without a daemon."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import asynccontextmanager

import msgspec
import pytest

from headgate.alerting.load import default_rules_text
from headgate.app.operations import StoreOperations
from headgate.app.running import Running
from headgate.cli.application import run_command
from headgate.core.alertdata import AlertState, encode_alert, fingerprint, new_alert
from headgate.core.clock import ManualClock, SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.storeport import AlertChange, AlertRow
from headgate.plugins import Registry, load_plugins
from headgate.store import SqliteStore
from headgate.testing.store_data import merge, pipeline, workflow

LABELS = {"project": "gh/acme/web", "workflow": "build"}
IDENTITY = fingerprint("DefaultBranchFailing", LABELS)
LINE = {
    "who": "engine",
    "rule": "DefaultBranchFailing",
    "labels": LABELS,
    "number": 1,
    "from": "inactive",
    "to": "pending",
}


@pytest.fixture
def config(tmp_path):
    """A configuration whose store has one alert."""

    async def fill() -> None:
        store = SqliteStore(tmp_path / "h.db", clock=ManualClock(), metrics=NullMetrics())
        await store.open()
        alert = msgspec.structs.replace(new_alert(1), state=AlertState.PENDING, number=1)
        row = AlertRow(IDENTITY, LINE["rule"], LABELS, "pending", encode_alert(alert), 1)
        history = [(IDENTITY, 1, msgspec.json.encode({**LINE, "why": "breach", "value": 0.4, "n": 30}))]
        await store.transition(AlertChange(rows=[row], history=history))
        now_ms = SystemClock().now_ms()
        await merge(store, pipeline(at=now_ms), workflow(at=now_ms, stopped_at=now_ms - 1_800_000), now=now_ms)
        await store.close()

    asyncio.run(fill())
    path = tmp_path / "headgate.yaml"
    path.write_text(f"version: 1\nstore: {{url: sqlite://{tmp_path}/h.db}}\n", encoding="utf-8")
    return path


def test_what_became_of_an_alert_is_explained(capsys, config):
    """The start of a fingerprint is enough; each line has its numbers, and evaluations follow."""
    assert run_command(["rules", "explain", IDENTITY[:12], "--since", "1h", "-c", str(config), "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"from": "inactive", "to": "pending", "why": "breach", "value": 0.4}.items() <= rows[0].items()
    assert {row["outcome"] for row in rows[1:]} <= {"no_data", "too_few_runs"}
    assert run_command(["rules", "explain", IDENTITY[:12], "--since", "1h", "-c", str(config)]) == 0
    assert "breach" in capsys.readouterr().out


BROKEN = "version: 1\ngroups: [{name: g, rules: [{alert: A, metrc: runs}]}]\n"


def test_a_broken_rule_file_does_not_keep_an_alert_from_being_explained(capsys, config, monkeypatch):
    """While a daemon runs, by the rules that it goes by; what is wrong with the file is said on stderr."""
    (config.parent / "rules.yaml").write_text(BROKEN)
    config.write_text(config.read_text() + "alerts: {rules: [rules.yaml]}\n", encoding="utf-8")
    explain = ["rules", "explain", IDENTITY[:12], "--since", "1h", "-c", str(config), "--json"]
    assert run_command(explain) == 2
    assert "did you mean `metric`?" in capsys.readouterr().err
    texts = [("rules.yaml", default_rules_text())]

    @asynccontextmanager
    async def running(configuration):
        store = SqliteStore(configuration.settings.store.path, clock=ManualClock(), metrics=NullMetrics())
        await store.open()
        yield StoreOperations(store, ManualClock(), Running(rule_texts=lambda: texts))
        await store.close()

    monkeypatch.setattr("headgate.cli.rules.operations", running)
    assert run_command(explain) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert rows[0]["why"] == "breach"
    assert {row["outcome"] for row in rows[1:]} <= {"no_data", "too_few_runs"}
    assert len(rows) > 1
    assert "the rule files cannot be used" in said.err
    assert "rules.yaml:2" in said.err


def test_what_is_not_kept_any_more_is_said(capsys, config):
    """Of runs and of results of tests, each with its date and the rules that it concerns."""
    replay = ["rules", "replay", "-c", str(config), "--rule"]
    assert run_command([*replay, "FlakyTest", "--since", "20d"]) == 0
    assert "kept" not in capsys.readouterr().err
    assert run_command([*replay, "FlakyTest", "--since", "40d"]) == 0
    said = capsys.readouterr().err
    assert "results of tests are kept (store.retention.test_results) since 2" in said
    assert "FlakyTest can say nothing" in said
    assert run_command([*replay, "RunStuck", "--since", "40d"]) == 0
    assert "kept" not in capsys.readouterr().err


CONFIGURED = """
version: 1
owners: [{match: {project: gh/acme/web}, team: web}]
kpis: {failures: {formula: "runs * (1 - success_rate)"}}
"""
OWNED = """
version: 1
groups:
  - name: g
    rules:
      - {alert: Failures, metric: failures, by: [project], window: 6h, threshold: "> 3", labels: {owner: WHOSE}}
"""
CASES = """
version: 1
rules: [rules.yaml]
tests:
  - name: a team's failures
    runs: [{project: gh/acme/web, every: 10m, until: 24h, status: failure}]
    expect: [{at: 20h, rule: Failures, labels: {owner: web}, state: firing}]
"""


def test_rule_tests_know_owners_and_kpis_of_the_configuration(capsys, tmp_path):
    """With `-c`; without it the KPI is unknown."""
    owned = OWNED.replace("WHOSE", '"{{ project.owner }}"')
    for name, text in (("headgate.yaml", CONFIGURED), ("rules.yaml", owned), ("t.yaml", CASES)):
        (tmp_path / name).write_text(text)
    test = ["rules", "test", str(tmp_path / "t.yaml")]
    assert run_command([*test, "-c", str(tmp_path / "headgate.yaml")]) == 0, capsys.readouterr().out
    assert run_command(test) == 2
    assert "unknown metric 'failures'" in capsys.readouterr().err


def test_rules_may_name_detectors_of_plugins(capsys, config, monkeypatch):
    """As in the daemon; one that is not there is refused with the nearest name."""
    ours = load_plugins()
    step = dataclasses.replace(ours.plugins["detector", "change_point"], name="steps")
    plugins = {**ours.plugins, ("detector", "steps"): step}
    monkeypatch.setattr("headgate.plugins.load_plugins", lambda: Registry(plugins))
    detect = "version: 1\ngroups: [{name: g, rules: [{alert: A, metric: duration_p50, by: [project, workflow], "
    detect += "detect: {detector: NAME}}]}]\n"
    file = config.parent / "rules.yaml"
    file.write_text(detect.replace("NAME", "steps"))
    assert run_command(["rules", "check", str(file)]) == 0
    assert run_command(["rules", "replay", str(file), "-c", str(config), "--since", "1d"]) == 0
    (config.parent / "t.yaml").write_text(
        CASES.replace("Failures, labels: {owner: web}, state: firing", "A, state: inactive")
    )
    assert run_command(["rules", "test", str(config.parent / "t.yaml")]) == 0
    capsys.readouterr()
    file.write_text(detect.replace("NAME", "stepz"))
    assert run_command(["rules", "check", str(file)]) == 1
    assert "did you mean `steps`?" in capsys.readouterr().out


def test_an_unknown_alert_is_said_to_be_unknown(capsys, config):
    """Exit 1, and nothing on stdout."""
    assert run_command(["rules", "explain", "ffff", "-c", str(config)]) == 1
    said = capsys.readouterr()
    assert (said.out, "no alert" in said.err) == ("", True)


def test_a_replay_over_nothing_counts_every_rule(capsys, config):
    """A rule that said nothing has its line, so that a misspelt name is noticed."""
    assert run_command(["rules", "replay", "--since", "1d", "--rule", "RunStuck", "-c", str(config)]) == 0
    assert "RunStuck" in capsys.readouterr().out


def test_a_rule_that_there_is_not_is_refused(capsys, config):
    """Silence of a rule that nobody wrote proves nothing."""
    assert run_command(["rules", "replay", "--since", "1d", "--rule", "RunStukc", "-c", str(config)]) == 2
    assert "RunStuck" in capsys.readouterr().err
