"""What dashboards ask, in no vendor's language. Pure data.

A question names record kinds and attributes as docs/records.md has them; each target renders it with the names that
its sink gives them, or says that it cannot (`None`), and the panel is left out there. Success rate: success of success,
failure, error and timeout; canceled and skipped runs are no evidence either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headgate.core.record import Kind

__all__ = ["DASHBOARDS", "EVIDENCE", "FAILURES", "MONITORS", "Dashboard", "Monitor", "Panel", "Question", "What"]

What = Literal["count", "failures", "success_rate", "p50", "p95", "sum"]
Shape = Literal["stat", "series", "table"]
Unit = Literal["runs", "ratio", "ms", "credits"]

# Our status words that count for and against.
FAILURES = ("failure", "error", "timeout")
EVIDENCE = ("success", *FAILURES)


@dataclass(frozen=True, slots=True)
class Question:
    """One figure, or one for each group.

    `what`: `count` of records; `failures`: those that ended badly; `success_rate`: a ratio; `p50`, `p95`, `sum` of the
    numeric attribute `field`. `by`: attributes, or `project`. `where`: attribute and the value it must have.
    """

    of: Kind
    what: What
    field: str = ""
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One question with a title. `shape`: one number, lines over time, or a list of the largest groups."""

    title: str
    shape: Shape
    unit: Unit
    question: Question


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page. `key`: part of file names and ids; never changes."""

    key: str
    title: str
    about: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Monitor:
    """An alert in the product's own alerting. Fires when the question's value over `minutes` is beyond `limit`.

    `at_least`: how many runs must have been in that time, of a success rate those that succeeded or failed, of a
    percentile those that have the value; fewer say nothing.
    """

    key: str
    title: str
    about: str
    question: Question
    beyond: Literal["above", "below"]
    limit: float
    minutes: int
    at_least: int


_PROJECT = "project"
_WORKFLOW = "cicd.pipeline.name"
_JOB = "cicd.pipeline.task.name"
_STATUS = "headgate.status"
_DURATION = "circleci.duration_ms"
_QUEUE = "circleci.queue_ms"
_CLASS = "circleci.resource_class"
_CREDITS = "circleci.credits.total"

_OVERVIEW = Dashboard(
    "overview",
    "CircleCI overview",
    "Health of all projects: how much runs, how much of it succeeds, how long it takes.",
    (
        Panel("Workflow runs", "stat", "runs", Question("workflow", "count")),
        Panel("Success rate", "stat", "ratio", Question("workflow", "success_rate")),
        Panel("Median duration", "stat", "ms", Question("workflow", "p50", _DURATION)),
        Panel("Median wait for a machine", "stat", "ms", Question("job", "p50", _QUEUE)),
        Panel("Runs by outcome", "series", "runs", Question("workflow", "count", by=(_STATUS,))),
        Panel("Success rate by project", "series", "ratio", Question("workflow", "success_rate", by=(_PROJECT,))),
        Panel("95 % duration by project", "series", "ms", Question("workflow", "p95", _DURATION, (_PROJECT,))),
        Panel("Failures by workflow", "table", "runs", Question("workflow", "failures", by=(_PROJECT, _WORKFLOW))),
    ),
)
_WORKFLOWS = Dashboard(
    "workflow",
    "CircleCI workflows",
    "Runs, success and duration of each workflow.",
    (
        Panel("Runs by workflow", "series", "runs", Question("workflow", "count", by=(_WORKFLOW,))),
        Panel("Success rate by workflow", "series", "ratio", Question("workflow", "success_rate", by=(_WORKFLOW,))),
        Panel("Median duration by workflow", "series", "ms", Question("workflow", "p50", _DURATION, (_WORKFLOW,))),
        Panel("95 % duration by workflow", "series", "ms", Question("workflow", "p95", _DURATION, (_WORKFLOW,))),
        Panel("Failures by branch", "table", "runs", Question("workflow", "failures", by=("vcs.ref.head.name",))),
        Panel("Runs by trigger", "table", "runs", Question("workflow", "count", by=("circleci.trigger.type",))),
    ),
)
_JOBS = Dashboard(
    "job",
    "CircleCI jobs",
    "Which jobs are slow, wait long or fail.",
    (
        Panel("Runs by job", "series", "runs", Question("job", "count", by=(_JOB,))),
        Panel("Success rate by job", "series", "ratio", Question("job", "success_rate", by=(_JOB,))),
        Panel("95 % duration by job", "series", "ms", Question("job", "p95", _DURATION, (_JOB,))),
        Panel("95 % wait by project", "series", "ms", Question("job", "p95", _QUEUE, (_PROJECT,))),
        Panel("Failures by job", "table", "runs", Question("job", "failures", by=(_PROJECT, _JOB))),
        Panel("Wait for approval", "table", "ms", Question("job", "p50", "circleci.approval_wait_ms", (_WORKFLOW,))),
        Panel(
            "95 % wait by machine class (needs enrich: each)",
            "series",
            "ms",
            Question("job", "p95", _QUEUE, (_CLASS,)),
        ),
    ),
)
_TEST = "test.case.name"
_TESTS = Dashboard(
    "tests",
    "CircleCI tests",
    "Results, the tests that fail, the slow and the flaky ones.",
    (
        Panel("Results", "series", "runs", Question("test_result", "count", by=("test.case.result.status",))),
        Panel("Duration by job", "series", "ms", Question("test_result", "p95", "circleci.test.duration_ms", (_JOB,))),
        Panel(
            "Failing tests",
            "table",
            "runs",
            Question("test_result", "count", by=(_PROJECT, _TEST), where=(("test.case.result.status", "fail"),)),
        ),
        Panel(
            "Slowest tests",
            "table",
            "ms",
            Question("test_result", "p95", "circleci.test.duration_ms", (_PROJECT, _TEST)),
        ),
        Panel("Flaky tests listed", "table", "runs", Question("flaky_test", "count", by=(_PROJECT, _TEST))),
    ),
)
_CREDIT_BOARD = Dashboard(
    "credits",
    "CircleCI credits",
    "What was used, by whom and for what, as billed.",
    (
        Panel("Credits", "stat", "credits", Question("usage", "sum", _CREDITS)),
        Panel("Credits by project", "series", "credits", Question("usage", "sum", _CREDITS, (_PROJECT,))),
        Panel("Credits by machine class", "series", "credits", Question("usage", "sum", _CREDITS, (_CLASS,))),
        Panel("Credits by job", "table", "credits", Question("usage", "sum", _CREDITS, (_PROJECT, _JOB))),
        Panel("Credits by workflow", "table", "credits", Question("usage", "sum", _CREDITS, (_PROJECT, _WORKFLOW))),
    ),
)
_ALERTS = Dashboard(
    "alerts",
    "Headgate alerts",
    "Alerts that Headgate raised, and deployments beside them.",
    (
        Panel("Alerts by state", "series", "runs", Question("alert", "count", by=("headgate.alert.state",))),
        Panel("Alerts by rule", "table", "runs", Question("alert", "count", by=("headgate.alert.rule",))),
        Panel("Deployments", "series", "runs", Question("deployment", "count", by=("deployment.status",))),
        Panel(
            "Deployments by environment",
            "table",
            "runs",
            Question("deployment", "count", by=(_PROJECT, "deployment.environment.name")),
        ),
    ),
)
DASHBOARDS: tuple[Dashboard, ...] = (_OVERVIEW, _WORKFLOWS, _JOBS, _TESTS, _CREDIT_BOARD, _ALERTS)

MONITORS: tuple[Monitor, ...] = (
    Monitor(
        "success-rate",
        "CircleCI: success rate of a project is low",
        "Less than 80 % of the runs of the last 6 hours succeeded, of at least 5.",
        Question("workflow", "success_rate", by=(_PROJECT,)),
        "below",
        0.8,
        360,
        at_least=5,
    ),
    Monitor(
        "queue",
        "CircleCI: jobs wait long for a machine",
        "Of the jobs of a project, at least 5, 5 % waited longer than 5 minutes in the last hour.",
        Question("job", "p95", _QUEUE, (_PROJECT,)),
        "above",
        300_000,
        60,
        at_least=5,
    ),
    Monitor(
        "duration",
        "CircleCI: a workflow takes long",
        "Of the runs of the last 6 hours, at least 5, 5 % took longer than an hour.",
        Question("workflow", "p95", _DURATION, (_PROJECT, _WORKFLOW)),
        "above",
        3_600_000,
        360,
        at_least=5,
    ),
)
