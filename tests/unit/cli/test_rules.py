"""`headgate rules`: exit codes and what is printed, over a store without a daemon."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from headgate.cli.application import run_command
from headgate.core.alertdata import AlertState, encode_alert, fingerprint, new_alert
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.storeport import AlertChange, AlertRow
from headgate.store import SqliteStore

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
    assert {row["outcome"] for row in rows[1:]} <= {"no_data"}
    assert run_command(["rules", "explain", IDENTITY[:12], "--since", "1h", "-c", str(config)]) == 0
    assert "breach" in capsys.readouterr().out


def test_an_unknown_alert_is_said_to_be_unknown(capsys, config):
    """Exit 1, and nothing on stdout."""
    assert run_command(["rules", "explain", "ffff", "-c", str(config)]) == 1
    said = capsys.readouterr()
    assert (said.out, "no alert" in said.err) == ("", True)


def test_a_replay_over_nothing_counts_every_rule(capsys, config):
    """A rule that said nothing has its line, so that a misspelt name is noticed."""
    assert run_command(["rules", "replay", "--since", "1d", "--rule", "RunStuck", "-c", str(config)]) == 0
    assert "RunStuck" in capsys.readouterr().out
