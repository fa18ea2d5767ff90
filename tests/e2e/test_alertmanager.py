"""A real Alertmanager and a real SMTP server are told of an alert, while it lasts and of its end, over restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.harness import (
    ASKING,
    TOKEN,
    Daemon,
    TwinProcess,
    free_port,
    source,
    wait_until,
    write_config,
)
from tests.e2e.receivers import alertmanager
from tests.e2e.test_alerts import RULES, evaluated, run_of, states
from tests.unit.notifiers.test_email import Mailbox, server

from headgate.testing.sinks import FakeVendor


def open_alerts(url: str) -> list[dict[str, Any]]:
    """What an Alertmanager holds as active."""
    reply = httpx.get(f"{url}/api/v2/alerts", params={"active": "true"}, **ASKING).raise_for_status()
    return [alert for alert in reply.json() if alert["status"]["state"] == "active"]


def configured(tmp_path: Path, twin: TwinProcess, urls: list[str], mail: int) -> Path:
    """A daemon with one rule, both Alertmanagers, and mail."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    smtp = {"type": "email", "host": "127.0.0.1", "port": mail, "security": "none"}
    return write_config(
        tmp_path,
        {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}},
        {"circleci": source(twin.url, twin.about()["orgs"], poll={"every": "1s", "initial": "30h"})},
        alerts={
            "rules": ["rules.yaml"],
            "notifiers": {
                "am": {"type": "alertmanager", "urls": urls, "resend": "1s"},
                "mail": {**smtp, "sender": "CI <ci@acme.example>", "to": ["dev@acme.example"]},
            },
        },
    )


@pytest.mark.timeout(240)
def test_alertmanager_and_mail_are_told(tmp_path):
    """Fires in both Alertmanagers and by mail, comes back after each restart, ends in all; told on as one page."""
    box = Mailbox()
    port = free_port()
    second = tmp_path / "second"
    second.mkdir()
    with (
        FakeVendor("webhook") as pager,
        server(box) as mail,
        alertmanager(second, free_port(), "http://127.0.0.1:9/") as other,
        TwinProcess(
            tmp_path,
            *("--days", "12", "--projects", "1", "--runs-per-day", "60", "--live"),
            *("--knob", "regression_success_rate=0.05", "--knob", "schedules=false"),
        ) as twin,
    ):
        story = next(one for one in twin.ask("GET", "/stories").json() if one["name"] == "regression")
        project = httpx.get(
            f"{twin.url}/api/v2/project/{story['project']}", headers={"circle-token": TOKEN}, **ASKING
        ).json()
        first = f"http://127.0.0.1:{port}"
        daemon = Daemon(configured(tmp_path, twin, [first, other], mail))
        with alertmanager(tmp_path, port, pager.url), daemon:
            wait_until(lambda: states(daemon) == ["pending"], "the regression noticed", 40)
            assert daemon.deliver(run_of(1000, project, story["workflow"], "failed")).status_code == 200
            wait_until(lambda: open_alerts(first) and open_alerts(other) and box.mails, "the alert", 40)
            (alert,) = open_alerts(first)
            assert alert["labels"] == {
                "alertname": "DefaultBranchFailing",
                "project": story["project"],
                "workflow": story["workflow"],
                "severity": "critical",
            }
            assert story["workflow"] in alert["annotations"]["summary"]
            wait_until(lambda: open_alerts(first)[0]["endsAt"] > alert["endsAt"], "the repetition", 20)
            assert daemon.stop() == 0
            wait_until(lambda: not open_alerts(first), "the end of what nobody repeats", 20)
            daemon.start()
            wait_until(lambda: open_alerts(first), "the repetition after a restart of the daemon", 40)
            assert open_alerts(first)[0]["startsAt"] == alert["startsAt"]
        with alertmanager(tmp_path, port, pager.url), Daemon(daemon.config) as daemon:
            wait_until(lambda: open_alerts(first), "the repetition after a restart of Alertmanager", 40)
            for number in range(150):
                assert daemon.deliver(run_of(number, project, story["workflow"], "success")).status_code == 200
            wait_until(lambda: not open_alerts(first) and not open_alerts(other), "the recovery", 40)
            wait_until(lambda: len(box.mails) == 2, "the mail of the recovery", 20)
            wait_until(lambda: pager.stored()[-1]["native"]["body"]["status"] == "resolved", "the page's end", 20)
            evaluated(daemon, 3)
            assert daemon.stop() == 0
        assert "firing" in {row["native"]["body"]["status"] for row in pager.stored()}
    told, over = box.mails
    assert (told["subject"][:8], over["subject"][:10]) == ("[FIRING]", "[RESOLVED]")
    assert over["in-reply-to"] == told["message-id"]
