"""The metrics of steps, tests, deployments and of the data itself, each defined once. A table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain

from headgate.insights.eventfolds import of_deployments, step_failures
from headgate.insights.flaky import FLAKY_RATE, FLAKY_SCORE, of_flaky
from headgate.insights.metric import FromLags, MetricDef
from headgate.insights.slow import SLOW_SECONDS, of_slow

__all__ = ["OTHER_METRICS"]

_TEST_DIMENSIONS = ("org", "project", "test", "team")
_ENDED_DEPLOYMENTS = (
    "Deployments that ended as succeeded or failed, by rules or calls: a rule goes by the end of the deploy job itself,"
    " not by that of its workflow. The same end of one commit again, with nothing else deployed there in between, is a"
    " rerun and counts once; of the time before a window as much is looked at as the window is long, and a week at"
    " least, so that short windows may add up to more than a long one. What no rule and no call tells of is not seen."
)
_DEPLOYMENT_DIMENSIONS = ("org", "project", "environment", "team")


def _steps() -> Iterator[MetricDef]:
    yield MetricDef(
        id="failures_by_step",
        unit="{failure}",
        format="number",
        doc="Failed steps of jobs.",
        formula="count",
        inputs=("step.status", "step.stopped_at"),
        counts="Steps that ended as failure, error or timeout, on each parallel machine. Needs steps to be read.",
        family="jobs",
        dimensions=("org", "project", "workflow", "job", "step", "team"),
        compute=step_failures(),
        over="jobs",
        circleci="Insights has no steps.",
    )


def _tests() -> Iterator[MetricDef]:
    shared = partial(MetricDef, family="tests", dimensions=_TEST_DIMENSIONS, over="jobs")
    evidence = (
        "Results by test and commit. A failure counts where the test also passed on that commit, at most as often as it"
        " passed; failures of jobs that ended as error (infrastructure) do not. Needs test results to be read."
    )
    score = f"probability that a test fails by itself in more than {FLAKY_RATE:.1%} of its runs: Beta posterior"
    yield shared(
        id="flaky_tests",
        unit="{test}",
        format="number",
        doc="Flaky tests. The ranking of them goes by the credits lost: failures times the mean credits of their jobs.",
        formula=f"tests with `flaky_score` >= {FLAKY_SCORE}",
        inputs=("test.result", "test.test_id", "revision", "job.status"),
        counts=evidence,
        compute=of_flaky("tests"),
        circleci="CircleCI calls a test flaky that passed and failed on one commit within two weeks; it has no score.",
    )
    yield shared(
        id="flaky_score",
        unit="1",
        format="score",
        doc="How surely a test is flaky, 0 to 1; of a group the highest.",
        formula=f"{score} over a prior of half a failure in 100 runs",
        inputs=("test.result", "test.test_id", "revision", "job.status"),
        counts=evidence,
        compute=of_flaky("score"),
        circleci="CircleCI has no score.",
    )
    yield shared(
        id="slow_tests",
        unit="{test}",
        format="number",
        doc="Slow tests. The ranking of them goes by the time they take altogether.",
        formula=f"tests whose mean run time is at least {SLOW_SECONDS:g} s",
        inputs=("test.run_ms",),
        counts="Results with pass or fail; skipped ones do not count.",
        compute=of_slow("tests"),
        circleci="CircleCI ranks tests by their duration and counts none.",
    )
    yield shared(
        id="test_duration",
        unit="s",
        format="duration",
        doc="Mean run time of a test.",
        formula="sum of run times / results",
        inputs=("test.run_ms",),
        counts="Results with pass or fail; skipped ones do not count.",
        compute=of_slow("mean"),
    )


def _deployments() -> Iterator[MetricDef]:
    shared = partial(
        MetricDef,
        family="deployments",
        dimensions=_DEPLOYMENT_DIMENSIONS,
        inputs=("deployment.status", "deployment.stopped_at"),
        counts=_ENDED_DEPLOYMENTS,
    )
    yield shared(
        id="deployments",
        unit="{deployment}",
        format="number",
        doc="Successful deployments.",
        formula="count of succeeded",
        compute=of_deployments("count"),
        higher_is_worse=False,
    )
    yield shared(
        id="failed_deployments",
        unit="{deployment}",
        format="number",
        doc="Failed deployments.",
        formula="count of failed",
        compute=of_deployments("failed"),
    )
    proxy = partial(shared, proxy=True, circleci="Insights has no deployments.")
    yield proxy(
        id="dora_deployment_frequency",
        unit="{deployment}/d",
        format="number",
        doc="Successful deployments per day.",
        formula="succeeded / length of the window in days",
        compute=of_deployments("frequency"),
        higher_is_worse=False,
    )
    yield proxy(
        id="dora_lead_time",
        unit="s",
        format="duration",
        doc="Median time from the first workflow of a commit to its successful deployment.",
        formula="end of the deployment - creation of the first workflow of its commit; nearest rank, exact",
        inputs=("deployment.revision", "deployment.workflow_id", "workflow.created_at"),
        counts="Successful deployments, reruns once, whose commit, or whose workflow, is known and has ended. The"
        " time from the commit to its first workflow is not in it.",
        compute=of_deployments("lead_time"),
    )
    yield proxy(
        id="dora_change_failure_rate",
        unit="1",
        format="percentage",
        doc="Share of deployments that failed. A deployment that succeeded and broke production is not seen.",
        formula="failed / (succeeded + failed)",
        compute=of_deployments("failure_rate"),
        proportion=True,
    )
    yield proxy(
        id="dora_recovery_time",
        unit="s",
        format="duration",
        doc="Mean time from a failed deployment to the next successful one of that name and environment.",
        formula="sum of (end of the success - end of the first failure) / recoveries of the window",
        compute=of_deployments("recovery_time"),
    )


def _freshness() -> Iterator[MetricDef]:
    yield MetricDef(
        id="data_freshness",
        unit="s",
        format="duration",
        doc="How far behind the present the data is; of a group its stalest project.",
        formula="now - time up to which the project was completely collected",
        inputs=("watermark",),
        counts="Projects that are collected, whether something ran or not.",
        family="freshness",
        dimensions=("org", "project", "team"),
        compute=FromLags(),
        circleci="Insights is up to a day late.",
    )


OTHER_METRICS: tuple[MetricDef, ...] = tuple(chain(_steps(), _tests(), _deployments(), _freshness()))
