"""Every question that the OpenAPI document allows, to a running daemon with a twin's runs: answers are as it says.

Most questions are made from names that are there, so that answers are compared and not refusals alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.e2e.harness import Daemon, TwinProcess, source, wait_until, write_config

from headgate.dashboards.target import targets

pytestmark = pytest.mark.timeout(900)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# An endless answer; `tests/unit/web/test_live.py` asks for it.
ENDLESS = "/api/v1/live"
PROJECT = "gh/acme/web"
# What this twin is not asked for: the usage export and the details of jobs, tests among them.
NOT_THERE = {"/api/v1/insights/test"}
UNTOLD = {"Credits", "Credits by project", "Queue p95 by project"}
DOCUMENT = "/api/v1/openapi.json"


class Site:
    """A daemon that has collected everything of a twin. `known`: parameter -> values that are there."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.session = requests.Session()
        self.session.trust_env = False
        self.known = self._known()

    def _known(self) -> dict[str, list[Any]]:
        runs = self.daemon.get("/api/v1/runs?limit=20").json()
        run = runs[0]["workflow_id"]
        jobs = self.daemon.get(f"/api/v1/insights/run?run={run}").json()["jobs"]
        metrics = self.daemon.get("/api/v1/metrics").json()
        return {
            "project": [runs[0]["project"]],
            "workflow": [runs[0]["workflow"]],
            "job": [one["job"] for one in jobs],
            "run": [one["workflow_id"] for one in runs],
            "branch": [one["ref"] for one in runs] + ["@default"],
            "query": [runs[0]["url"], run],
            "provider_id": [run, jobs[0]["id"]],
            "name": ["last-run", "success-rate", "duration-p95-of-jobs"],
            "metric": [one["name"] for one in metrics["metrics"]],
            "by": [[name] for name in metrics["dimensions"]],
            "where": [[f"project={PROJECT}"]],
            "window": ["24h", "30d"],
            "since": ["7d"],
            "until": ["1h"],
            "since_ms": [0],
            "until_ms": [4_000_000_000_000],
            "step": ["1d"],
            "cursor": [""],
            "org": ["gh/acme"],
            "team": [""],
            "trigger": ["webhook"],
        }


def fill(daemon: Daemon) -> None:
    """Something for the answers that runs alone leave empty."""
    daemon.deliver(b"{")
    daemon.post("/api/v1/deployments", {"id": "1", "project": PROJECT, "environment": "live", "status": "succeeded"})
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    spans = {"since_ms": now_ms - 3_600_000, "until_ms": now_ms}
    for path in ("backfills", "audits"):
        daemon.post(f"/api/v1/{path}", spans).raise_for_status()
    silence = {"matchers": ["project=x"], "starts_ms": 1, "ends_ms": 4_000_000_000_000, "author": "a", "comment": "c"}
    daemon.post("/api/v1/silences", silence).raise_for_status()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One daemon for all questions."""
    folder = tmp_path_factory.mktemp("openapi")
    with TwinProcess(folder, "--seed", "5", "--days", "2", "--projects", "2") as twin:
        polled = source(twin.url, ["gh/acme"], poll={"initial": "3d"})
        sinks = {"file": {"type": "jsonl", "path": str(folder / "out.jsonl")}, "prometheus": {"type": "prometheus"}}
        with Daemon(write_config(folder, sinks, {"circleci": polled})) as daemon:
            wait_until(lambda: daemon.overview()["facts"].get("workflow", 0) > 20 and daemon.settled(), "all runs", 60)
            fill(daemon)
            yield Site(daemon)


def operations(site: Site) -> dict[str, Any]:
    """Path -> what can be asked there."""
    config = SchemathesisConfig.discover()
    config.projects.default.generation.update(modes=[GenerationMode.POSITIVE])
    document = requests.get(site.daemon.http + DOCUMENT, timeout=10).json()
    schema = schemathesis.openapi.from_dict(document, config=config).include(method="GET")
    return {one.ok().path: one.ok() for one in schema.get_all_operations()}


@st.composite
def questions(draw: Any, operation: Any, known: dict[str, list[Any]]) -> Case:
    """As the document allows; three of four values are ones that are there."""
    case = draw(operation.as_strategy())
    for place in ("query", "path_parameters"):
        found = getattr(case, place)
        for name in dict(found or {}):
            if name in known and draw(st.integers(0, 3)):
                value = draw(st.sampled_from(known[name]))
                found[name] = quote(value, safe="") if place == "path_parameters" else value
    return case


def ask_all(site: Site, operation: Any, examples: int) -> int:
    """Ask so many questions of one path; how many were answered with 200. Raises where an answer is not as it says."""
    answered = 0

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=questions(operation, site.known))
    def ask(case: Case) -> None:
        nonlocal answered
        response = case.call(base_url=site.daemon.http, session=site.session, timeout=20)
        answered += response.status_code == 200
        case.validate_response(response, checks=CHECKS)

    ask()
    return answered


def check_all(site: Site, examples: int) -> dict[str, int]:
    """Ask everywhere; path -> how many questions were answered with 200. Raises everything that was wrong."""
    answered, wrong = {}, []
    for path, operation in operations(site).items():
        if path == ENDLESS:
            continue
        try:
            answered[path] = ask_all(site, operation, examples)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # each path is asked; all are raised below
            wrong.append(error)
    if wrong:
        raise BaseExceptionGroup("answers are not as the document says", wrong)
    return answered


def test_every_answer_is_as_the_document_says(site):
    """No failure of ours, no status, type or field that is not described; each path is answered at least once."""
    answered = check_all(site, 7)
    assert len(answered) > 30
    assert [] == [path for path, n in answered.items() if n == 0 and "{" not in path and path not in NOT_THERE]


def test_the_dashboard_for_infinity_is_answered(site):
    """Each of its queries, over a month: rows where it says they are, and in them every column, of its type."""
    (board,) = [orjson.loads(text) for text in targets()["infinity"].render().values()]
    until = datetime.now(UTC)
    window = {"from": until - timedelta(days=30), "to": until}
    kinds = {"string": str, "number": (int, float), "timestamp": str}
    for panel in board["panels"]:
        (asked,) = panel["targets"]
        path = asked["url"]
        for name, at in window.items():
            path = path.replace(f"${{__{name}:date:iso}}", at.strftime("%Y-%m-%dT%H:%M:%S.000Z"))
        rows = site.daemon.get(path).raise_for_status().json()[asked["root_selector"]]
        assert rows or panel["title"] in UNTOLD
        for column in asked["columns"]:
            values = [value for row in rows if (value := select(row, column["selector"])) is not None]
            assert all(isinstance(value, kinds[column["type"]]) for value in values)
            assert values or panel["title"] in UNTOLD or column["selector"].startswith(("queue_time", "figures")), (
                column
            )


def select(row: Any, selector: str) -> Any:
    """What a selector of names and dots takes."""
    for name in selector.split("."):
        row = None if row is None else row[name]
    return row


@pytest.mark.long
def test_every_answer_is_as_the_document_says_however_long_one_asks(site):
    """With many more questions for each path."""
    check_all(site, 300)
