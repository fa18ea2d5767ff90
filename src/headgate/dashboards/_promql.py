"""Questions in PromQL, over the metrics of a `prometheus` sink. Pure."""

from __future__ import annotations

from headgate.dashboards.questions import EVIDENCE, FAILURES, Question

__all__ = ["evidence", "label", "promql"]

# (kind, numeric attribute) -> histogram, and how many of the attribute's units one of the metric's is.
_HISTOGRAMS = {
    ("workflow", "circleci.duration_ms"): "cicd_pipeline_run_duration_seconds",
    ("job", "circleci.duration_ms"): "cicd_pipeline_task_run_duration_seconds",
    ("job", "circleci.queue_ms"): "cicd_pipeline_task_run_queue_duration_seconds",
    ("job", "circleci.approval_wait_ms"): "circleci_approval_wait_duration_seconds",
    ("test_result", "circleci.test.duration_ms"): "test_case_run_duration_seconds",
}
_MS_PER_SECOND = 1000
_QUANTILES = {"p50": "0.5", "p95": "0.95"}
_COUNTS = {
    "workflow": "cicd_pipeline_run_duration_seconds_count",
    "job": "cicd_pipeline_task_run_duration_seconds_count",
    "test_result": "test_case_run_duration_seconds_count",
    "flaky_test": "test_case_flaky_count_total",
    "deployment": "deployment_count_total",
}
_SUMS = {("usage", "circleci.credits.total"): "circleci_credits_used_total"}
# Labels that a kind's metrics have; what else is asked for is not there.
_RUN = {"project": "circleci_project", "cicd.pipeline.name": "cicd_pipeline_name"}
_JOB = {**_RUN, "cicd.pipeline.task.name": "cicd_pipeline_task_name"}
_LABELS: dict[str, dict[str, str]] = {
    "workflow": {**_RUN, "headgate.status": "cicd_pipeline_result"},
    "job": {
        **_JOB,
        "headgate.status": "cicd_pipeline_task_run_result",
        "circleci.resource_class": "circleci_resource_class",
    },
    "usage": {**_JOB, "circleci.resource_class": "circleci_resource_class"},
    "test_result": {
        "project": "circleci_project",
        "cicd.pipeline.task.name": "cicd_pipeline_task_name",
        "test.case.result.status": "test_case_result_status",
    },
    "flaky_test": _JOB,
    "deployment": {
        "project": "circleci_project",
        "deployment.environment.name": "deployment_environment_name",
        "deployment.status": "deployment_status",
    },
}
_OUTCOME = {"workflow": "cicd_pipeline_result", "job": "cicd_pipeline_task_run_result"}


def label(question: Question, attribute: str) -> str | None:
    """The label that an attribute is for the kind that is asked about, if it is one."""
    return _LABELS.get(question.of, {}).get(attribute)


def promql(question: Question, window: str, *, project: str = "") -> str | None:
    """The query over `window` (`$__range`, `6h`), None where the metrics cannot answer.

    `project`: a matcher's value for the project label, a regular expression; blank: all.
    """
    by = [label(question, attribute) for attribute in question.by]
    where = [(label(question, attribute), value) for attribute, value in question.where]
    if None in by or any(name is None for name, _ in where):
        return None
    matchers = [f'{name}="{value}"' for name, value in where]
    if project:
        matchers.append(f'circleci_project=~"{project}"')
    return _answer(question, window, ", ".join(name for name in by if name), matchers)


def evidence(question: Question, window: str) -> str:
    """How many runs a success rate or a percentile rests on, in the same groups."""
    by = ", ".join(name for name in (label(question, attribute) for attribute in question.by) if name)
    if histogram := _HISTOGRAMS.get((question.of, question.field)):
        return _total(f"{histogram}_count", [], window, by)
    return _ended(question, window, by, [], EVIDENCE)


def _answer(question: Question, window: str, by: str, matchers: list[str]) -> str | None:
    if question.what in ("p50", "p95"):
        return _quantile(question, window, by, matchers)
    if question.what == "sum":
        counter = _SUMS.get((question.of, question.field))
        return _total(counter, matchers, window, by) if counter else None
    counter = _COUNTS.get(question.of)
    if counter and question.what == "count":
        return _total(counter, matchers, window, by)
    if not (counter and question.of in _OUTCOME):
        return None
    if question.what == "failures":
        return _ended(question, window, by, matchers, FAILURES)
    good = _ended(question, window, by, matchers, ("success",))
    ran = _ended(question, window, by, matchers, EVIDENCE)
    # Without any success the first part has no series; a group that only failed has a rate of nothing.
    return f"({good} or 0 * {ran}) / {ran}"


def _ended(question: Question, window: str, by: str, matchers: list[str], words: tuple[str, ...]) -> str:
    """Runs with these outcomes; OpenTelemetry's words for them are ours."""
    outcome = f'{_OUTCOME[question.of]}=~"{"|".join(words)}"'
    return _total(_COUNTS[question.of], [*matchers, outcome], window, by)


def _quantile(question: Question, window: str, by: str, matchers: list[str]) -> str | None:
    histogram = _HISTOGRAMS.get((question.of, question.field))
    if histogram is None:
        return None
    total = _total(f"{histogram}_bucket", matchers, window, f"le, {by}" if by else "le")
    return f"{_MS_PER_SECOND} * histogram_quantile({_QUANTILES[question.what]}, {total})"


def _selected(metric: str, matchers: list[str]) -> str:
    return f"{metric}{{{', '.join(matchers)}}}" if matchers else metric


def _total(metric: str, matchers: list[str], window: str, by: str) -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (increase({_selected(metric, matchers)}[{window}]))"
