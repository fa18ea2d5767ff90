"""Runs, rules and an engine over a fake store, for tests that watch alerts come and go."""

import msgspec
from tests.unit.alerting.fake_store import FakeStore

from headgate.alerting.engine import AlertEngine
from headgate.alerting.load import parse_rules
from headgate.alerting.routes import RouteConfig, build_routes
from headgate.alerting.view import Watermark
from headgate.app.compose import context_of
from headgate.app.detectors import detector_factory
from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.runrows import JobRow, RunRow
from headgate.insights.owners import Owners
from headgate.plugins import load_plugins

REGISTRY = load_plugins()
MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_795_000_000_000 // HOUR * HOUR

RULES = """
version: 1
groups:
  - name: main
    match: {branch: "@default"}
    rules:
      - alert: Failing
        metric: success_rate
        by: [project, workflow]
        window: 2h
        min_runs: 5
        threshold: {warning: "< 70%", critical: "< 30%"}
        for_runs: 2
        recover: {above: 85%, runs: 1}
        keep_firing_for: 10m
        labels: {team: web}
        annotations:
          summary: "{{ project }}/{{ workflow }} {{ value | pct }} of {{ n }}"
          link: "{{ links.first_bad or links.workflow }}"
"""


def rules(text: str = RULES):
    """Rules of a text that must be good."""
    found, problems = parse_rules([("rules.yaml", text)])
    assert problems == []
    return found


def run(at_ms: int, status: str = "success", **values) -> RunRow:
    """A run of gh/acme/web build on main, unless said otherwise."""
    base = {
        "workflow_id": f"w{at_ms}",
        "project": "gh/acme/web",
        "workflow": "build",
        "ref": "main",
        "branch_class": 1,
        "status": status,
        "stopped_ms": at_ms,
        "duration_ms": 60_000,
        "revision": "a" * 40,
        "pipeline_number": 1,
        "url": f"https://app.circleci.com/run/{at_ms}",
    }
    return RunRow(**(base | values))


def job(at_ms: int, name: str, duration_ms: int, **values) -> JobRow:
    """A job of gh/acme/web build on main; its commit is its time in hexadecimal."""
    base = {
        "job_id": f"{name}{at_ms}",
        "workflow_id": f"w{at_ms}",
        "project": "gh/acme/web",
        "workflow": "build",
        "job": name,
        "ref": "main",
        "branch_class": 1,
        "status": "success",
        "type": "build",
        "resource_class": "medium",
        "executor": "docker",
        "parallelism": 1,
        "started_ms": at_ms - duration_ms,
        "stopped_ms": at_ms,
        "duration_ms": duration_ms,
        "queue_ms": 1_000,
        "credits": 10,
        "revision": f"{at_ms:040x}",
        "number": 1,
        "url": "",
        "trigger": "webhook",
    }
    return JobRow(**(base | values))


def detectors(name, options):
    """The shipped detector, as the application builds it."""
    return detector_factory(REGISTRY, context_of(ManualClock(START), NullMetrics()))(name, options)


class World:
    """An engine whose clock is moved in steps of five minutes; runs end one minute apart."""

    def __init__(self, text: str = RULES, routes=None, notifiers=("ops",)) -> None:
        self.clock = ManualClock(START)
        self.store = FakeStore(self.clock.now_ms)
        self.marks: dict[str, Watermark] | None = None
        self.routes = build_routes([RouteConfig(**route) for route in routes or []], notifiers)
        self.rules = rules(text)
        self.owners = Owners()
        self.held: dict[str, str] = {}
        self.missing: dict[tuple[str, str], tuple[int, int]] = {}
        self.engine = self.started()

    def started(self) -> AlertEngine:
        """A new engine over the same store, as after a restart."""
        return AlertEngine(
            self.store,
            self.rules,
            self.routes,
            clock=self.clock,
            metrics=NullMetrics(),
            watermarks=self.watermarks,
            detectors=detectors,
            owners=self.owners,
            held=self.held_signals,
            missing=self.missing_webhooks,
        )

    async def held_signals(self):
        return self.held

    async def missing_webhooks(self):
        return self.missing

    async def watermarks(self, family):
        if self.marks is not None:
            return self.marks
        projects = {run.project for run in self.store.runs} | {"gh/acme/web"}
        return {project: Watermark("circleci", self.clock.now_ms()) for project in projects}

    async def pass_time(self, minutes: int, status: str | None = "success", **values):
        """Let runs of a status end every minute (None: no runs), evaluating every five minutes."""
        for minute in range(minutes):
            if status is not None:
                self.store.runs.append(run(self.clock.now_ms(), status, **values))
            self.clock.advance(60)
            if minute % 5 == 4:
                await self.engine.evaluate_once()

    def states(self):
        return sorted(row.state for row in self.store.rows.values())

    def told(self):
        """(notifier, state, reason) of every message, in order."""
        out = []
        for (notifier, _), payload in self.store.outbox.items():
            body = msgspec.json.decode(payload)
            out.append((notifier, body["state"], body["reason"]))
        return out

    def messages(self):
        return [msgspec.json.decode(payload) for payload in self.store.outbox.values()]

    def history(self):
        return [msgspec.json.decode(line) for _, _, line in self.store.history]
