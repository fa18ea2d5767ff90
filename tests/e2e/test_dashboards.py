"""Dashboards on the real thing: every PromQL query on Debian's Prometheus, rules through promtool, files by command."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from tests.e2e.harness import headgate
from tests.e2e.receivers import program, prometheus, query

from headgate.core.clock import SystemClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, LogEntry
from headgate.dashboards.questions import MONITORS
from headgate.dashboards.target import targets
from headgate.sinks.prometheus import PLUGINS, PrometheusConfig
from headgate.testing.sink_harness import make_entry

VARIABLES = {"$project": ".*", "$__range": "1h", "$__rate_interval": "5m"}


def records() -> list[LogEntry]:
    """Ends of every sort that the dashboards ask about, now."""
    now = SystemClock().now_ms()
    many: list[dict[str, Any]] = [
        {"kind": kind, "headgate__status": status, "circleci__queue_ms": 400_000, "circleci__duration_ms": 4_000_000}
        for kind in ("workflow", "job")
        for status in ("success", "failure", "timeout", "canceled", "failure", "failure", "failure", "failure")
    ]
    many += [
        {"kind": "job", "circleci__approval_wait_ms": 5_000},
        {"kind": "test_result", "test__case__result__status": "fail", "circleci__test__duration_ms": 70},
        {"kind": "usage", "circleci__credits__compute": 12, "circleci__resource_class": "large"},
        {"kind": "deployment", "deployment__status": "failed", "deployment__environment__name": "prod"},
        {"kind": "flaky_test"},
    ]
    return [make_entry(n, occurred_ms=now, **one) for n, one in enumerate(many, start=1)]


async def write(url: str) -> None:
    """Tell Prometheus of them as the sink does."""
    config = PrometheusConfig.model_validate({"url": f"{url}/api/v1/write"})
    sink = PLUGINS[0].build("prom", config, BuildContext(SystemClock(), NullMetrics(), "test"))
    (signal,) = sink.signals()
    await signal.send(records())
    await sink.aclose()


def test_every_query_of_grafana_runs_on_prometheus(tmp_path: Path) -> None:
    """No query is refused, each finds what was told, and the rules of the monitors fire on it."""
    target = targets()["grafana-prometheus"]
    with prometheus(tmp_path) as url:
        asyncio.run(write(url))
        for asked in target.queries():
            promql = re.sub("|".join(map(re.escape, VARIABLES)), lambda found: VARIABLES[found[0]], asked.query)
            assert query(url, promql), asked
        rate = next(asked.query for asked in target.queries() if asked.title == "Success rate")
        for name, value in VARIABLES.items():
            rate = rate.replace(name, value)
        assert list(query(url, rate).values()) == [pytest.approx(1 / 7)]
        low = next(asked.query for asked in target.queries() if asked.title == MONITORS[0].title)
        assert not query(url, low.replace(">= 5", ">= 50"))
    rules = tmp_path / "rules.yaml"
    rules.write_bytes(target.render()["rules.yaml"])
    checked = subprocess.run([program("promtool"), "check", "rules", str(rules)], capture_output=True, check=False)
    assert (checked.returncode, b"3 rules found" in checked.stdout) == (0, True), checked.stderr


def test_files_are_written_by_command(tmp_path: Path) -> None:
    """`dashboards export` gives each target a folder; an unknown one is told with the known ones."""
    account = {"NEW_RELIC_ACCOUNT_ID": "4242"}
    done = headgate("dashboards", "export", "--to", str(tmp_path / "out"), "--json", env=account)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["target"] for one in told] == list(targets())
    for one in told:
        assert sorted(path.name for path in Path(one["folder"]).iterdir()) == one["files"]
    assert '"accountId": 4242,' in (tmp_path / "out" / "newrelic" / "dashboard.json").read_text()
    wrong = headgate("dashboards", "export", "grafana")
    assert (wrong.returncode, "grafana-loki" in wrong.stderr) == (2, True)


class Grafana(BaseHTTPRequestHandler):
    """Takes dashboards, refuses what comes without the token."""

    taken: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        good = self.headers["authorization"] == "Bearer good" and self.path == "/api/dashboards/db"
        if good:
            self.taken.append(body["dashboard"]["uid"])
        answer = b'{"status":"success"}' if good else b'{"message":"invalid API key"}'
        self.send_response(200 if good else 401)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_dashboards_are_pushed_by_command() -> None:
    """Every dashboard arrives; a wrong token is exit 1 with the server's words, a missing one exit 2 with its name."""
    server = HTTPServer(("127.0.0.1", 0), Grafana)
    Thread(target=server.serve_forever, daemon=True).start()
    push = ("dashboards", "push", "grafana-loki", "--url", f"http://127.0.0.1:{server.server_port}/")
    try:
        done = headgate(*push, env={"GRAFANA_TOKEN": "good"})
        assert done.returncode == 0, done.stderr
        assert len(Grafana.taken) == 6
        assert "rules.yaml: is loaded by hand" in done.stdout
        bad = headgate(*push, env={"GRAFANA_TOKEN": "bad"})
        assert (bad.returncode, "invalid API key" in bad.stdout) == (1, True)
        missing = headgate(*push, env={"GRAFANA_TOKEN": ""})
        assert (missing.returncode, "GRAFANA_TOKEN" in missing.stderr) == (2, True)
    finally:
        server.shutdown()
        server.server_close()
