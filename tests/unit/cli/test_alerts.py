"""`headgate alerts` typed, on a store without a daemon: what it prints, what it refuses."""

import asyncio
import json

import msgspec
import pytest
import yaml

from headgate.cli import main
from headgate.core.alertdata import AlertState, Told, encode_alert, new_alert
from headgate.core.clock import ManualClock
from headgate.core.messages import ACKNOWLEDGED, Notification, content_of, payload_of
from headgate.core.metrics import NullMetrics
from headgate.core.storeport import AlertChange, AlertRow, OutboxEntry
from headgate.store import SqliteStore


async def _fill(path, *, waiting=False) -> None:
    alert = msgspec.structs.replace(
        new_alert(1), state=AlertState.FIRING, told=1, receivers={"ops": Told(1, 1)}, held={"web": "silenced by 1"}
    )
    store = SqliteStore(path, clock=ManualClock(), metrics=NullMetrics())
    await store.open()
    row = AlertRow("abc123", "Failing", {"team": "web"}, "firing", encode_alert(alert), 1)
    said = Notification("abc123:1:2", "abc123", "Failing", "firing", "breach", {}, {}, 1, None, 1)
    waits = OutboxEntry("web", said.key, payload_of(said), 1, "")
    await store.transition(AlertChange(rows=[row], outbox=[waits] if waiting else []))
    if waiting:
        [due] = await store.outbox_due(now_ms=2, limit=1)
        await store.outbox_retry([due.id], due_ms=9, error="answered 503")
    await store.close()


@pytest.fixture
def file(tmp_path):
    """A configuration over a store with one alert that fires."""
    asyncio.run(_fill(tmp_path / "store.db"))
    file = tmp_path / "headgate.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "store": {"url": f"sqlite:///{tmp_path / 'store.db'}"}}))
    return str(file)


def test_an_alert_is_listed_and_acknowledged(file, capsys):
    """Who knows, who does not and why, and who has seen it."""
    assert main(["alerts", "list", "-c", file]) == 0
    assert "ops, not web: silenced by 1\tabc123" in capsys.readouterr().out
    ack = ["alerts", "ack", "abc", "--by", "ann", "--comment", "on it", "-c", file]
    assert main([*ack, "--verdict", "noise"]) == 0
    assert capsys.readouterr().out == "Failing team=web is acknowledged\n"
    assert main(["alerts", "list", "--json", "-c", file]) == 0
    [one] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (one["acknowledged"]["by"], one["acknowledged"]["verdict"]) == ("ann", "noise")
    assert main(["alerts", "ack", "zzz", "--by", "ann", "--comment", "x", "-c", file]) == 1
    assert main(["alerts", "ack", "abc", "--by", "ann", "-c", file]) == 2


def test_an_acknowledgement_without_a_daemon_waits_for_pagerduty(file, tmp_path):
    """It is sent when the daemon runs again."""
    alerts = {"notifiers": {"ops": {"type": "pagerduty", "routing_key": "R" * 32}}}
    wanted = yaml.safe_load((tmp_path / "headgate.yaml").read_text()) | {"alerts": alerts}
    (tmp_path / "headgate.yaml").write_text(yaml.safe_dump(wanted))
    assert main(["alerts", "ack", "abc", "--by", "ann", "--comment", "on it", "-c", file]) == 0
    [waits] = asyncio.run(_waiting(tmp_path / "store.db"))
    assert (waits.notifier, content_of(waits.payload).reason) == ("ops", ACKNOWLEDGED)


async def _waiting(path):
    store = SqliteStore(path, clock=ManualClock(), metrics=NullMetrics())
    await store.open()
    found = await store.outbox_due(now_ms=1 << 50, limit=9)
    await store.close()
    return found


def test_a_receiver_that_is_down_is_not_said_to_know(file, tmp_path, capsys):
    """What waits in the outbox is listed with the receiver's last words."""
    (tmp_path / "store.db").unlink()
    asyncio.run(_fill(tmp_path / "store.db", waiting=True))
    assert main(["alerts", "list", "-c", file]) == 0
    assert "ops, web (waits: answered 503), not web: silenced by 1\t" in capsys.readouterr().out


def test_a_silence_is_added_listed_and_ended(file, capsys):
    """By its number; it stays listed."""
    add = ["alerts", "silence", "add", "team=web", "branch!=main", "--author", "ann", "--comment", "moving", "-c", file]
    assert main([*add, "--for", "2h"]) == 0
    assert capsys.readouterr().out.startswith("silence 1 is active, from ")
    assert main(["alerts", "silence", "expire", "1", "--by", "bob", "--comment", "done", "-c", file]) == 0
    assert main([*add, "--until", "2100-01-01", "--from", "2099-01-01", "--json"]) == 0
    capsys.readouterr()
    assert main(["alerts", "silence", "list", "-c", file]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(row[0], row[1], row[2], row[5]) for row in rows] == [
        ("2", "pending", "team=web branch!=main", "ann"),
        ("1", "expired", "team=web branch!=main", "ann"),
    ]


@pytest.mark.parametrize(
    "how", [[], ["--for", "2h", "--until", "2100-01-01"], ["--for", "soon"]], ids=["no-end", "two-ends", "nonsense"]
)
def test_a_silence_needs_one_end(file, how, capsys):
    """The command line is wrong otherwise."""
    add = ["alerts", "silence", "add", "team=web", "--author", "ann", "--comment", "x", "-c", file]
    assert main([*add, *how]) == 2
    assert main(["alerts", "silence", "list", "-c", file]) == 0
    assert "No silence." in capsys.readouterr().err
