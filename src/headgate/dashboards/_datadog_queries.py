"""Questions as Datadog's queries, over the metrics and the logs of a `datadog` sink. Pure.

Metrics answer where their tags can and a request that is sent twice changes nothing: percentiles of distributions, and
counts that the sink sends as counts. Logs answer the rest, and count distinct `record_id`s, since the number of a
distribution's values grows with every request that is sent again. Source: Datadog documentation ("Query to the graph",
"Distributions", "Log search syntax", "Log monitor"), datadog-api-client 2.62, read November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from headgate.dashboards.questions import EVIDENCE, FAILURES, Question

__all__ = ["Answer", "Scope", "answer", "failure_share", "metric_query"]

_RUN = ("project", "cicd.pipeline.name")
_JOB = (*_RUN, "cicd.pipeline.task.name")
_CLASS = "circleci.resource_class"
# (kind, attribute in ms) -> distribution in seconds.
_DISTRIBUTIONS = {
    ("workflow", "circleci.duration_ms"): "cicd.pipeline.run.duration",
    ("job", "circleci.duration_ms"): "cicd.pipeline.task.run.duration",
    ("job", "circleci.queue_ms"): "cicd.pipeline.task.run.queue.duration",
    ("job", "circleci.approval_wait_ms"): "circleci.approval.wait.duration",
    ("test_result", "circleci.test.duration_ms"): "test.case.run.duration",
}
# (kind, what is asked) -> count.
_COUNTS = {
    ("workflow", "failures"): "cicd.pipeline.run.errors",
    ("usage", "sum"): "circleci.credits.used",
    ("flaky_test", "count"): "test.case.flaky.count",
    ("deployment", "count"): "deployment.count",
}
# What a metric can be taken apart by.
_TAGS: dict[str, tuple[str, ...]] = {
    "cicd.pipeline.run.duration": _RUN,
    "cicd.pipeline.run.errors": _RUN,
    "cicd.pipeline.task.run.duration": (*_JOB, _CLASS),
    "cicd.pipeline.task.run.queue.duration": (*_JOB, _CLASS),
    "circleci.approval.wait.duration": _JOB,
    "circleci.credits.used": (*_JOB, _CLASS),
    "deployment.count": ("project", "deployment.environment.name", "deployment.status"),
    "test.case.flaky.count": _JOB,
    "test.case.run.duration": ("project", "cicd.pipeline.task.name", "test.case.result.status"),
}
_PERCENTILES = {"p50": "median", "p95": "pc95"}
_RECORD = "@record_id"
_STATUS = "@headgate.status"

ValueUnit = Literal["", "credit", "millisecond", "percent", "second"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at: the filters of metrics and of logs, and how many groups of one attribute logs give at most."""

    metrics: str
    logs: str
    most: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Named queries as Datadog's JSON, the formula over them, and the unit of its value."""

    queries: tuple[dict[str, Any], ...]
    formula: str
    unit: ValueUnit


def answer(question: Question, scope: Scope) -> Answer:
    """How the question is put, over time or for one value a group."""
    if query := metric_query(question, scope.metrics):
        percentile = question.what in _PERCENTILES
        # The one aggregator that takes the percentile of all values, not an average of percentiles.
        aggregator = "percentile" if percentile else "sum"
        asked = {"data_source": "metrics", "name": "a", "query": query, "aggregator": aggregator}
        return Answer((asked,), "a", "second" if percentile else _counted_unit(question))
    if question.what in _PERCENTILES:
        compute = {"aggregation": _PERCENTILES[question.what], "metric": f"@{question.field}"}
        return Answer((_log_query("a", question, scope, (), compute),), "a", "millisecond")
    if question.what == "success_rate":
        queries = (_log_query("a", question, scope, ("success",)), _log_query("b", question, scope, EVIDENCE))
        # A group without any success has a rate of nothing.
        return Answer(queries, "100 * default_zero(a) / b", "percent")
    outcomes = FAILURES if question.what == "failures" else ()
    return Answer((_log_query("a", question, scope, outcomes),), "a", _counted_unit(question))


def failure_share(question: Question, scope: Scope, at_least: int) -> Answer:
    """The complement of a success rate, from 0 to 1: a group without any success needs no default there.

    Of fewer than `at_least` runs it is 0.
    """
    queries = (_log_query("a", question, scope, FAILURES), _log_query("b", question, scope, EVIDENCE))
    # The vendor's guide "Add a Minimum Request Threshold for Error Rate Alerts"; runs are whole numbers.
    return Answer(queries, f"a / b * is_greater(b, {at_least - 1})", "")


def metric_query(question: Question, scope: str) -> str | None:
    """The query of a metric, None where no metric can answer."""
    percentile = question.what in _PERCENTILES
    metric = (
        _DISTRIBUTIONS.get((question.of, question.field)) if percentile else _COUNTS.get((question.of, question.what))
    )
    if metric is None or not {*question.by, *(name for name, _ in question.where)} <= set(_TAGS[metric]):
        return None
    filters = ",".join([scope, *(f"{_tag(name)}:{value}" for name, value in question.where)])
    by = f" by {{{','.join(map(_tag, question.by))}}}" if question.by else ""
    if percentile:
        return f"{question.what}:{metric}{{{filters}}}{by}"
    return f"sum:{metric}{{{filters}}}{by}.as_count()"


def _tag(attribute: str) -> str:
    return "circleci.project" if attribute == "project" else attribute


def _counted_unit(question: Question) -> ValueUnit:
    return "credit" if question.what == "sum" else ""


def _log_query(
    name: str,
    question: Question,
    scope: Scope,
    outcomes: tuple[str, ...],
    compute: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Logs of a kind with these outcomes, none: all. Without `compute` each record counts once."""
    what = compute or {"aggregation": "cardinality", "metric": _RECORD}
    parts = ["source:circleci", f"kind:{question.of}", *([scope.logs] if scope.logs else [])]
    parts += [f"{_facet(attribute)}:{value}" for attribute, value in question.where]
    if outcomes:
        parts.append(f"{_STATUS}:({' OR '.join(outcomes)})" if len(outcomes) > 1 else f"{_STATUS}:{outcomes[0]}")
    # Of two attributes Datadog gives at most 30 values each.
    most = scope.most if len(question.by) == 1 else 30
    return {
        "data_source": "logs",
        "name": name,
        "indexes": ["*"],
        "search": {"query": " ".join(parts)},
        "compute": what,
        "group_by": [
            {"facet": _facet(attribute), "limit": most, "sort": {**what, "order": "desc"}} for attribute in question.by
        ],
    }


def _facet(attribute: str) -> str:
    """The project is the tag, whose spelling is that of the metrics' tag; all else is an attribute."""
    return "project" if attribute == "project" else f"@{attribute}"
