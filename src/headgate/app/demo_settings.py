"""What the demo is made of: the made-up organisation's options, and the configuration of the daemon that watches it.

Invariant: the configuration is a file that `headgate run` would take as it is; what it switches on that is off by
default says what that costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from headgate.core.times import format_ms

__all__ = ["HOST", "TOKEN", "Place", "twin_options", "write_files"]

HOST = "127.0.0.1"
TOKEN = "twin-token"  # noqa: S105  # the twin's, which everybody may know
# Pipelines a day of the whole organisation, each of which makes some seven facts. So many that the busiest project has
# enough for rules about a day, so few that ninety days are collected while one reads the first page.
_RUNS_PER_DAY = 72
# What the made-up organisation is like: troubles that one can find now, the first project far busier than the last,
# growing all the time, jobs enough for each trouble to have its place, few tests each and a few that fail by chance,
# few forgotten approvals,
# names that one can read, and no run or job whose end only a walk of all history would tell.
_KNOBS = {
    "plants": "true",
    "plants_now": "true",
    "families": "false",
    "uneven": "1.3",
    "growth": "0.75",
    "jobs_min": "6",
    "test_share": "0.25",
    "test_messages": "true",
    "split_steps": "true",
    "default_branch_rate": "0.55",
    "main_success_rate": "0.97",
    "branch_success_rate": "0.9",
    "flaky_share": "0.2",
    "rerun_rate": "0.8",
    "approval_never_rate": "0.002",
    "unauthorized_rate": "0",
    "error_rate": "0",
}
# Details cost a call for each job: these are asked about what ended in so many days.
_DETAILS = {"tests": "all", "steps": "failed", "output": "failed", "within": "10d", "hosts": [HOST]}
# What the file of records gets: all that happens, without what is learnt of it later, tests, steps and figures.
_RECORDS = ("pipeline", "workflow", "job", "deployment", "alert")
_SUMMARIES = {
    "exports": {"projects": {"table": "projects", "every": "1h", "format": "csv", "to": "exports", "keep": 24}},
    "reports": {"weekly": {"every": "week", "to": "reports", "keep": 12}},
}
# The shipped rules, for somebody who looks for a minute: in that time there are no three more runs to confirm that a
# default branch fails, and what is judged once an hour would be judged once. Nor has any but the first project twenty
# runs a day. And what is worst stands on top.
_MAIN_FAILS = "runs: 3}\n        context: suspect_commits\n        labels: {severity: "
_SPIKE = "compare: {baseline: same_weekday 8w, ratio: 2, min_abs: 5000}\n"
_IMPATIENT = (
    ("        for_runs: 3\n", ""),
    (f"above: 75%, {_MAIN_FAILS}warning}}", f"above: 75%, {_MAIN_FAILS}critical}}"),
    ("every: 1h\n", "every: 10m\n"),
    (_SPIKE, f"{_SPIKE}        min_runs: 4\n"),
)
# Of the machines whose size is not CircleCI's own.
_MACHINES = ({"name": "linux-medium", "executor": "machine", "cpus": 2, "ram_gb": 7.5, "credits_per_minute": 10},)
_TEAMS = ("shop", "shop", "payments", "docs")  # of the first projects; all others are the platform's


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is: a directory, ports, and the secret of the webhooks."""

    directory: Path
    page_port: int
    hook_port: int
    twin_port: int
    told_port: int
    secret: str

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.directory / "headgate.yaml"

    @property
    def store(self) -> Path:
        """The database."""
        return self.directory / "headgate.db"


def twin_options(*, seed: int, days: int, projects: int, now_ms: int, hook_port: int, secret: str) -> list[str]:
    """The words of the twin's command line."""
    options = {
        "--port": 0,
        "--seed": seed,
        "--days": days,
        "--projects": projects,
        "--runs-per-day": _RUNS_PER_DAY / projects,
        "--token": TOKEN,
        "--now": format_ms(now_ms),
        "--webhook-url": f"http://{HOST}:{hook_port}/webhooks/circleci",
        "--webhook-secret": secret,
    }
    knobs = [word for pair in _KNOBS.items() for word in ("--knob", "=".join(pair))]
    return [str(word) for pair in options.items() for word in pair] + knobs


def write_files(place: Place, orgs: Sequence[str], projects: Sequence[str], *, collected: bool = False) -> None:
    """Write rules and configuration. `projects`: slugs, the busiest first.

    `collected`: history is there, so that what sums it up has something to tell.
    """
    for package, name in (("headgate.app", "demo_rules.yaml"), ("headgate.alerting", "default_rules.yaml")):
        rules = (resources.files(package) / name).read_text("utf-8")
        for patient, impatient in _IMPATIENT:
            rules = rules.replace(patient, impatient)
        (place.directory / name).write_text(rules)
    place.file.write_text(
        yaml.safe_dump(_settings(place, orgs, projects) | (_SUMMARIES if collected else {}), sort_keys=False)
    )


def _settings(place: Place, orgs: Sequence[str], projects: Sequence[str]) -> dict[str, Any]:
    return {
        "version": 1,
        "store": {"url": f"sqlite://{place.store}"},
        "http": {"listen": f"{HOST}:{place.page_port}"},
        "webhooks": {"listen": f"{HOST}:{place.hook_port}"},
        "sources": {"circleci": _source(place, orgs)},
        "sinks": {
            "records": {
                "type": "jsonl",
                "path": str(place.directory / "records.jsonl"),
                "start": "retained",
                "records": {"kinds": list(_RECORDS)},
            },
            # Of which it refuses a few at first: that is what dead letters are.
            "board": {
                "type": "http",
                "url": f"http://{HOST}:{place.told_port}/board",
                "format": "array",
                "start": "retained",
                "records": {"kinds": ["deployment"]},
            },
        },
        "alerts": {
            "rules": ["default_rules.yaml", "demo_rules.yaml"],
            "notifiers": {"pager": {"type": "webhook", "url": f"http://{HOST}:{place.told_port}/pager"}},
        },
        "owners": _owners(projects),
        "resource_classes": list(_MACHINES),
        "log": {"level": "warning"},
    }


def _source(place: Place, orgs: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "circleci",
        "token": TOKEN,
        "base_url": f"http://{HOST}:{place.twin_port}",
        "orgs": list(orgs),
        "webhook": {"secrets": [place.secret]},
        "poll": {"every": "5s", "initial": "24h"},
        "enrich_wait": "15s",
        "budget": {"per_second": 1000, "burst": 1000},
        "details": _DETAILS,
        "deployments": [
            {"job": "deploy", "environment": "production"},
            {"job": "publish", "branch": "v*", "environment": "registry"},
        ],
        # The twin makes an export between two looks.
        "usage_export": {"poll": "0s"},
    }


def _owners(projects: Sequence[str]) -> list[dict[str, Any]]:
    named = [{"match": {"project": slug}, "team": team} for slug, team in zip(projects, _TEAMS, strict=False)]
    return [*named, {"match": ["project=~.+"], "team": "platform"}]
