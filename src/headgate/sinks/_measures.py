"""What a record measures: points of a few metrics with bounded labels, under their OpenTelemetry names. Pure.

Invariant: a point is a function of its record alone, and no label holds an id, a revision, a branch, a person or the
name of a test, so projects, workflows, jobs and machine classes bound the number of series. Amendments measure
nothing: what was released is counted once, and credits are counted from `usage`, whose figures are final. Names:
OpenTelemetry semantic conventions `cicd.*` (release candidate, August 2026) where there is one, else the same style.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from headgate.core.record import Attribute, Record
from headgate.core.times import parse_ms

__all__ = [
    "ERRORS",
    "MEASURES",
    "RESULTS",
    "TAG_PREFIX",
    "_INSIGHT_PREFIX",
    "Labels",
    "Measure",
    "Point",
    "_insight_measure",
    "points",
]

Instrument = Literal["histogram", "counter", "gauge"]
Labels = tuple[tuple[str, str], ...]

# Attributes that per-sink tags arrive as; the label is the rest of the name.
TAG_PREFIX = "tag."
_INSIGHT_PREFIX = "circleci.insight."

_MINUTES = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0)
_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
_MOMENTS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0)
_RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_PROJECT = "circleci.project"
_RUN = ("cicd.pipeline.name", "cicd.pipeline.result", _PROJECT, "error.type")
_TASK = (
    "cicd.pipeline.name",
    "cicd.pipeline.task.name",
    "cicd.pipeline.task.run.result",
    _PROJECT,
    "circleci.resource_class",
    "error.type",
)
_USAGE = ("cicd.pipeline.name", "cicd.pipeline.task.name", _PROJECT, "circleci.resource_class")


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric.

    `unit`: UCUM, blank where CircleCI does not say. `labels`: every name that a point may have beside tags; an absent
    fact has none. `bounds`: upper bounds of a histogram's buckets, ascending, in `unit`; empty for other instruments.
    """

    name: str
    unit: str
    instrument: Instrument
    meaning: str
    kind: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


class Point(NamedTuple):
    """One value. `labels`: sorted by name, values never blank. `at_ms`: the record's `occurred_at`."""

    measure: Measure
    value: float
    labels: Labels
    at_ms: int


_RUN_DURATION = Measure(
    "cicd.pipeline.run.duration", "s", "histogram", "Creation to end of a workflow.", "workflow", _RUN, _MINUTES
)
_RUN_ERRORS = Measure(
    "cicd.pipeline.run.errors",
    "{error}",
    "counter",
    "Workflows that did not succeed, by kind of failure.",
    "workflow",
    ("cicd.pipeline.name", _PROJECT, "error.type"),
)
_TASK_DURATION = Measure(
    "cicd.pipeline.task.run.duration", "s", "histogram", "Execution of a job.", "job", _TASK, _MINUTES
)
_TASK_QUEUE = Measure(
    "cicd.pipeline.task.run.queue.duration", "s", "histogram", "Wait of a job for a machine.", "job", _USAGE, _WAITS
)
_APPROVAL_WAIT = Measure(
    "circleci.approval.wait.duration",
    "s",
    "histogram",
    "Wait for a person's approval.",
    "job",
    ("cicd.pipeline.name", "cicd.pipeline.task.name", _PROJECT),
    _MINUTES,
)
_CREDITS = Measure(
    "circleci.credits.used",
    "{credit}",
    "counter",
    "Credits of jobs, as billed.",
    "usage",
    (*_USAGE, "circleci.credits.kind"),
)
_CPU = Measure(
    "circleci.job.cpu.utilization", "1", "histogram", "Median CPU use of a job, of its class.", "usage", _USAGE, _RATIOS
)
_MEMORY = Measure(
    "circleci.job.memory.utilization", "1", "histogram", "Median memory use of a job.", "usage", _USAGE, _RATIOS
)
_TEST = Measure(
    "test.case.run.duration",
    "s",
    "histogram",
    "Run time of a test.",
    "test_result",
    ("cicd.pipeline.task.name", _PROJECT, "test.case.result.status"),
    _MOMENTS,
)
_FLAKY = Measure(
    "test.case.flaky.count",
    "{test}",
    "counter",
    "Tests that CircleCI began to list as flaky.",
    "flaky_test",
    ("cicd.pipeline.name", "cicd.pipeline.task.name", _PROJECT),
)
_DEPLOYMENTS = Measure(
    "deployment.count",
    "{deployment}",
    "counter",
    "Deployments.",
    "deployment",
    (_PROJECT, "deployment.environment.name", "deployment.status"),
)
_PLATFORM = Measure(
    "platform.event.count",
    "{event}",
    "counter",
    "Events of the developer platform.",
    "platform_event",
    ("platform.action", "platform.plugin"),
)
# Every metric but CircleCI's own aggregates, of which there is one for each figure that it gives (`_insight_measure`).
MEASURES: tuple[Measure, ...] = (
    _RUN_DURATION,
    _RUN_ERRORS,
    _TASK_DURATION,
    _TASK_QUEUE,
    _APPROVAL_WAIT,
    _CREDITS,
    _CPU,
    _MEMORY,
    _TEST,
    _FLAKY,
    _DEPLOYMENTS,
    _PLATFORM,
)
_INSIGHT_LABELS = ("cicd.pipeline.name", "cicd.pipeline.task.name", _PROJECT, "circleci.insight.subject")
_NOT_FIGURES = frozenset({"circleci.insight.delay_ms"})
_insights: dict[str, Measure] = {}
# The same few label sets come again and again; this many are kept.
_known: dict[object, Labels] = {}
_MOST_KNOWN = 20_000

# Our word -> OpenTelemetry's result of a run or task.
RESULTS = {
    "success": "success",
    "failure": "failure",
    "error": "error",
    "timeout": "timeout",
    "canceled": "cancellation",
    "skipped": "skip",
}
ERRORS = frozenset({"failure", "error", "timeout"})
_CREDIT_KINDS = {
    f"circleci.credits.{kind}": (("circleci.credits.kind", kind),)
    for kind in ("compute", "dlc", "ipranges", "lease", "lease_overage", "network", "storage", "user")
}


def _insight_measure(attribute: str) -> Measure:
    """The gauge of one figure of CircleCI Insights, named as the attribute: `circleci.insight.success_rate`."""
    found = _insights.get(attribute)
    if found is None:
        found = Measure(attribute, "", "gauge", "As CircleCI Insights gives it.", "insight", _INSIGHT_LABELS)
        _insights[attribute] = found
    return found


def points(record: Record, at_ms: int | None = None) -> list[Point]:
    """What a record measures, in a fixed order; nothing for most kinds. `at_ms`: its `occurred_at`, where known."""
    measured = _BY_KIND.get(record.kind)
    if measured is None:
        return []
    if at_ms is None:
        at_ms = parse_ms(record.occurred_at) or 0
    attributes = record.attributes
    tagged = [name for name in attributes if name[:4] == TAG_PREFIX]
    tags = tuple((name[4:], str(attributes[name])) for name in tagged) if tagged else ()
    found = _Found(attributes, record.project or record.org or "", tags)
    return [Point(measure, value, found.labels(measure, *more), at_ms) for measure, value, more in measured(found)]


class _Found:
    """A record's attributes, and the labels that they make."""

    __slots__ = ("_project", "_tags", "attributes", "outcome")

    def __init__(self, attributes: Mapping[str, Attribute], project: str, tags: Labels) -> None:
        self.attributes = attributes
        self.outcome = str(attributes.get("headgate.status", ""))
        self._project = project
        self._tags = tags

    def seconds(self, attribute: str) -> float | None:
        """Milliseconds of an attribute as seconds."""
        value = self.attributes.get(attribute)
        return value / 1000 if isinstance(value, int) else None

    def number(self, attribute: str) -> float | None:
        """A number as it is."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def labels(self, measure: Measure, *more: tuple[str, str]) -> Labels:
        """The measure's labels that the record has a value for, its tags, and `more`; sorted."""
        key = (measure.name, self._project, self.outcome, more, self._tags, *map(self.attributes.get, measure.labels))
        try:
            return _known[key]
        except KeyError:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            made = _known[key] = self._labels(measure, more)
            return made
        except TypeError:  # a list where text belongs
            return self._labels(measure, more)

    def _labels(self, measure: Measure, more: Labels) -> Labels:
        out = dict(self._tags)
        for name in measure.labels:
            if name == _PROJECT:
                value = self._project
            elif name in _OF_OUTCOME:
                value = _OF_OUTCOME[name](self.outcome)
            else:
                value = str(self.attributes.get(name, ""))
            out.pop(name, None)
            if value:
                out[name] = value
        return tuple(sorted((out | dict(more)).items()))


def _result(outcome: str) -> str:
    return RESULTS.get(outcome, "")


def _error_type(outcome: str) -> str:
    return outcome if outcome in ERRORS else ""


_OF_OUTCOME = {
    "cicd.pipeline.result": _result,
    "cicd.pipeline.task.run.result": _result,
    "error.type": _error_type,
}
_Measured = Iterable[tuple[Measure, float, tuple[tuple[str, str], ...]]]


def _workflow(found: _Found) -> _Measured:
    duration = found.seconds("circleci.duration_ms")
    if duration is not None:
        yield _RUN_DURATION, duration, ()
    if found.outcome in ERRORS:
        yield _RUN_ERRORS, 1.0, ()


def _job(found: _Found) -> _Measured:
    for measure, attribute in (
        (_TASK_DURATION, "circleci.duration_ms"),
        (_TASK_QUEUE, "circleci.queue_ms"),
        (_APPROVAL_WAIT, "circleci.approval_wait_ms"),
    ):
        value = found.seconds(attribute)
        if value is not None:
            yield measure, value, ()


def _usage(found: _Found) -> _Measured:
    attributes = found.attributes
    for attribute, kind in _CREDIT_KINDS.items():
        value = found.number(attribute) if attribute in attributes else None
        if value:
            yield _CREDITS, value, kind
    for measure, attribute in ((_CPU, "circleci.job.cpu.median_pct"), (_MEMORY, "circleci.job.memory.median_pct")):
        value = found.number(attribute)
        if value is not None:
            yield measure, value / 100, ()


def _test_result(found: _Found) -> _Measured:
    duration = found.seconds("circleci.test.duration_ms")
    if duration is not None:
        yield _TEST, duration, ()


def _insight(found: _Found) -> _Measured:
    """The figures of a reporting window up to now; series of past days and hours are history, not state."""
    window = str(found.attributes.get("circleci.insight.window", ""))
    if (
        not window.startswith("last-")
        or "test.case.name" in found.attributes
        or "vcs.ref.head.name" in found.attributes
    ):
        return
    for attribute in found.attributes:
        value = found.number(attribute) if attribute.startswith(_INSIGHT_PREFIX) else None
        if value is not None and attribute not in _NOT_FIGURES:
            yield _insight_measure(attribute), value, (("circleci.insight.window", window),)


_BY_KIND = {
    "workflow": _workflow,
    "job": _job,
    "usage": _usage,
    "test_result": _test_result,
    "flaky_test": lambda _: ((_FLAKY, 1.0, ()),),
    "deployment": lambda _: ((_DEPLOYMENTS, 1.0, ()),),
    "platform_event": lambda _: ((_PLATFORM, 1.0, ()),),
    "insight": _insight,
}
