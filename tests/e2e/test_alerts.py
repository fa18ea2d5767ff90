"""One regression, from CircleCI to a person's screen: told once, not again after a restart, told when it is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.harness import (
    SAMPLES,
    TOKEN,
    Daemon,
    TwinProcess,
    source,
    utc_text,
    uuid_of,
    wait_until,
    write_config,
)

from headgate.testing.sinks import FakeVendor
from headgate.testing.sinks.vendors import pagerduty

RULES = {
    "version": 1,
    "defaults": {"every": "1s", "evaluation_delay": "0s", "keep_firing_for": "1s", "min_runs": 5},
    "groups": [
        {
            "name": "default-branch",
            "match": {"branch": "@default"},
            "rules": [
                {
                    "alert": "DefaultBranchFailing",
                    "metric": "success_rate",
                    "by": ["project", "workflow"],
                    "window": "24h",
                    "threshold": "< 60%",
                    "recover": {"above": "70%"},
                    "labels": {"severity": "critical"},
                    "annotations": {"summary": "{{ workflow }} of {{ project }}: {{ value | pct }} of {{ n }} runs"},
                }
            ],
        }
    ],
}


def run_of(number: int, project: dict[str, Any], workflow: str, status: str) -> bytes:
    """A workflow of this project that ended just now on the default branch."""
    told = json.loads((SAMPLES / "real-github-oauth-workflow-completed.json").read_text())
    now = utc_text(datetime.now(UTC))
    told["id"] = uuid_of(number + 10**9)
    told["project"] = {"id": project["id"], "name": project["name"], "slug": project["slug"]}
    told["workflow"] |= {"id": uuid_of(number), "name": workflow, "status": status}
    told["workflow"] |= {"created_at": now, "stopped_at": now}
    told["pipeline"] |= {"id": uuid_of(number + 10**6), "number": 10**6 + number, "created_at": now}
    told["pipeline"]["vcs"]["branch"] = project["vcs_info"]["default_branch"]
    return json.dumps(told).encode()


def sent(fake: FakeVendor, status: str) -> list[dict[str, Any]]:
    """Notifications of one status at the webhook receiver."""
    return [row for row in fake.stored() if row["native"]["body"]["status"] == status]


def incidents(fake: FakeVendor) -> list[tuple[str, int]]:
    """How each incident stands, and how often it paged."""
    return [(row["native"]["status"], row["native"]["pages"]) for row in fake.stored()]


def states(daemon: Daemon) -> list[str]:
    """States of all alerts."""
    return [row["state"] for row in daemon.get("/api/v1/alerts").json()]


def evaluated(daemon: Daemon, times: int) -> None:
    """Wait until rules were evaluated so often, on complete data, since the start."""
    wait_until(
        lambda: daemon.metric("headgate_alert_evaluations_total", result="done") >= times, f"{times} evaluations", 40
    )


@pytest.mark.timeout(180)
def test_a_planted_regression_is_told_once_and_when_it_is_over(tmp_path):
    """Firing once at webhook and Slack, silence over a restart, resolved once after the recovery."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(RULES))
    with (
        FakeVendor("webhook", hmac_secret="alert-secret") as receiver,
        FakeVendor("slack") as slack,
        FakeVendor("pagerduty") as pager,
        TwinProcess(
            tmp_path,
            *("--days", "12", "--projects", "1", "--runs-per-day", "60", "--live"),
            *("--knob", "regression_success_rate=0.05", "--knob", "schedules=false"),
        ) as twin,
    ):
        story = next(one for one in twin.ask("GET", "/stories").json() if one["name"] == "regression")
        project = httpx.get(
            f"{twin.url}/api/v2/project/{story['project']}", headers={"circle-token": TOKEN}, trust_env=False
        ).json()
        config = write_config(
            tmp_path,
            {"file": {"type": "jsonl", "path": str(tmp_path / "out.jsonl")}},
            {"circleci": source(twin.url, twin.about()["orgs"], poll={"every": "1s", "initial": "30h"})},
            alerts={
                "rules": ["rules.yaml"],
                "notifiers": {
                    "hook": {"type": "webhook", "url": receiver.url, "secret": "alert-secret"},
                    "chat": {"type": "slack", "token": "xoxb-fake", "channel": "#ci", "url": f"{slack.url}/api"},
                    "pager": {"type": "pagerduty", "routing_key": pagerduty.KEY, "url": pager.url},
                },
                "routes": [{"match": {"severity": "critical"}, "to": ["hook", "chat", "pager"]}],
            },
        )
        with Daemon(config) as daemon:
            wait_until(lambda: states(daemon) == ["pending"], "the regression noticed", 40)
            assert receiver.stored() == [], "told before a new run confirmed it"
            assert daemon.deliver(run_of(1000, project, story["workflow"], "failed")).status_code == 200
            wait_until(lambda: sent(receiver, "firing") and slack.stored(), "the alert", 40)
            evaluated(daemon, 3)
            [told] = sent(receiver, "firing")
            labels = told["native"]["body"]["commonLabels"]
            assert labels["alertname"] == "DefaultBranchFailing"
            assert (labels["project"], labels["workflow"]) == (story["project"], story["workflow"])
            assert states(daemon) == ["firing"]
            assert story["workflow"] in json.dumps(slack.stored()[0]["native"])
            [alert] = daemon.get("/api/v1/alerts").json()
            seen = {"by": "ann", "comment": "bisecting", "verdict": ""}
            assert daemon.post(f"/api/v1/alerts/{alert['fingerprint']}/ack", seen).status_code == 200
            wait_until(lambda: incidents(pager) == [("acknowledged", 1)], "the acknowledgement", 20)
            assert daemon.stop() == 0
            daemon.start()
            evaluated(daemon, 4)
            assert (len(sent(receiver, "firing")), len(receiver.stored()), len(slack.stored())) == (1, 1, 1)
            for number in range(150):
                assert daemon.deliver(run_of(number, project, story["workflow"], "success")).status_code == 200
            wait_until(lambda: sent(receiver, "resolved"), "the recovery", 40)
            evaluated(daemon, 8)
            assert (len(sent(receiver, "firing")), len(sent(receiver, "resolved"))) == (1, 1)
            assert "firing" not in states(daemon)
            wait_until(lambda: incidents(pager) == [("resolved", 1)], "PagerDuty", 20)
            wait_until(lambda: "resolved" in json.dumps([row["native"] for row in slack.stored()]).lower(), "Slack", 20)
            [message] = slack.stored()
            assert message["native"]["edits"] == 1, "the message was not edited in place"
            assert daemon.stop() == 0
        kinds = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
        alerts = [one["attributes"]["headgate.alert.state"] for one in kinds if one["kind"] == "alert"]
        assert alerts == ["firing", "resolved"]
