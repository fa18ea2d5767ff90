"""The metrics of runs and jobs, each defined once. A table: read `insights.metric` for what the columns mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

from headgate.core.runrows import JobRow, RunRow
from headgate.core.status import OUR_STATUSES
from headgate.insights import sums
from headgate.insights.metric import Each, MetricDef
from headgate.insights.runfolds import (
    mean_without_hold,
    of_outages,
    of_reruns,
    quantile_without_hold,
    unread_as_others,
    without_hold,
)
from headgate.insights.sums import FAILED, JUDGED, Kind

__all__ = ["RUN_METRICS"]

_RUN_DIMENSIONS = ("org", "project", "workflow", "branch", "branch_class", "trigger", "team")
_JOB_DIMENSIONS = ("org", "project", "workflow", "job", "branch", "branch_class", "trigger", "resource_class", "team")
_ENDED = frozenset(OUR_STATUSES) - {"skipped"}
_QUANTILES = (("p50", 0.5, "Median"), ("p90", 0.9, "90th percentile"), ("p95", 0.95, "95th percentile"))
_RANK = "nearest rank of logarithmic bins, within 1.01 % of the exact one"


def _is_one_of(statuses: Collection[str]) -> Callable[[RunRow | JobRow], float | None]:
    """1 or 0; an approval is neither."""
    return lambda row: None if isinstance(row, JobRow) and row.type == "approval" else float(row.status in statuses)


def _seconds(row: RunRow | JobRow) -> float | None:
    return None if row.duration_ms is None else row.duration_ms / 1000


def _credits(row: RunRow | JobRow) -> float | None:
    return None if row.credits is None else float(row.credits)


def _queued(row: RunRow | JobRow) -> float | None:
    return row.queue_ms / 1000 if isinstance(row, JobRow) and row.queue_ms is not None else None


def _held(row: RunRow | JobRow) -> float | None:
    if not isinstance(row, JobRow) or row.type != "approval" or row.status != "success" or row.started_ms is None:
        return None  # one that was canceled was never answered
    return max(0, row.stopped_ms - row.started_ms) / 1000


def _net_seconds(row: RunRow | JobRow) -> float | None:
    net = without_hold(row) if isinstance(row, RunRow) else None
    return None if net is None else net / 1000


def _unread_as_others(rows: Sequence[RunRow | JobRow]) -> Sequence[RunRow | JobRow]:
    return unread_as_others([row for row in rows if isinstance(row, RunRow)])


_THINGS: dict[Kind, str] = {"workflow": "runs", "job": "jobs"}
_OF_ANY_END: dict[Kind, str] = {
    "workflow": "Insights leaves time on hold out, and does not say that it takes successful runs alone.",
    "job": "Insights does not say that it takes successful jobs alone.",
}
_UNITS: dict[Kind, str] = {"workflow": "{run}", "job": "{job}"}
_BASE: dict[Kind, Callable[..., MetricDef]] = {
    "workflow": partial(MetricDef, family="runs", dimensions=_RUN_DIMENSIONS, over="workflow"),
    "job": partial(MetricDef, family="jobs", dimensions=_JOB_DIMENSIONS, over="jobs"),
}


def _ends(kind: Kind) -> Iterator[MetricDef]:
    """How many ended, and how."""
    things, unit, base = _THINGS[kind], _UNITS[kind], _BASE[kind]
    judged = f"{things.capitalize()} that ended as success, failure, error or timeout. Canceled and skipped ones do not"
    yield base(
        id="success_rate",
        unit="1",
        format="percentage",
        doc=f"Share of successful {things}.",
        formula="success / (success + failure + error + timeout)",
        inputs=("status",),
        counts=f"{judged} count; infrastructure failures do.",
        compute=sums.success_share(kind),
        each=Each(kind, _is_one_of({"success"}), JUDGED),
        proportion=True,
        higher_is_worse=False,
        circleci="CircleCI's texts disagree on canceled runs; its glossary leaves them out, as we do.",
    )
    yield base(
        id="runs",
        unit=unit,
        format="number",
        doc=f"Ended {things}.",
        formula="count",
        inputs=("status", "stopped_at"),
        counts="Whatever their end, canceled ones included; skipped ones did not run. Approvals are no jobs.",
        compute=sums.ran(kind),
        circleci="`total_runs` also has runs that are on hold still; ours count once they have ended.",
    )
    yield base(
        id="failed_runs",
        unit=unit,
        format="number",
        doc=f"Failed {things}.",
        formula="failure + error + timeout",
        inputs=("status",),
        counts=f"{judged} count; the sample size has successful ones too.",
        compute=sums.failed(kind),
        each=Each(kind, _is_one_of(FAILED), JUDGED),
        circleci="Which words Insights counts as failed is not documented.",
    )
    yield base(
        id="infrastructure_failures",
        unit=unit,
        format="number",
        doc=f"{things.capitalize()} that failed for a reason outside the code, so far as CircleCI says so.",
        formula="error",
        inputs=("status",),
        counts=f"{judged} count. Failures with CircleCI's words error, infrastructure_fail and unauthorized.",
        compute=sums.infrastructure(kind),
        each=Each(kind, _is_one_of({"error"}), JUDGED),
    )
    yield base(
        id="throughput",
        unit=f"{unit}/d",
        format="number",
        doc=f"Ended {things} per day.",
        formula="runs / length of the window in days",
        inputs=("status", "stopped_at"),
        counts="As `runs`.",
        compute=sums.throughput(kind),
        higher_is_worse=False,
        circleci="The same: the average number of runs per day.",
    )


def _durations(kind: Kind) -> Iterator[MetricDef]:
    """How long successful ones took."""
    things, base = _THINGS[kind], _BASE[kind]
    span, inputs = {
        "workflow": ("creation to end", ("created_at", "stopped_at", "status")),
        "job": ("start to end", ("started_at", "stopped_at", "status")),
    }[kind]
    counts = f"Successful {things}. " + (
        "Time on hold counts; see `workflow_without_hold`." if kind == "workflow" else "Time in the queue does not."
    )
    shared = partial(
        base,
        unit="s",
        format="duration",
        inputs=inputs,
        counts=counts,
        each=Each(kind, _seconds, frozenset({"success"})),
        circleci=_OF_ANY_END[kind],
    )
    yield shared(
        id="duration_mean",
        doc=f"Mean duration of successful {things}.",
        formula=f"sum of {span} / count",
        compute=sums.mean(kind, "duration_ok"),
    )
    for name, q, words in _QUANTILES:
        yield shared(
            id=f"duration_{name}",
            doc=f"{words} of the duration of successful {things}.",
            formula=f"{span}, {_RANK}",
            compute=sums.quantile(kind, "duration_ok", q),
        )


def _durations_without_hold() -> Iterator[MetricDef]:
    """How long successful workflows took, approvals aside."""
    shared = partial(
        MetricDef,
        unit="s",
        format="duration",
        inputs=("created_at", "stopped_at", "status", "started_at and stopped_at of approvals"),
        counts="Successful runs of which the list of jobs was read, which alone tells of approvals; and the others of "
        "a workflow and class of branch where all of those had none. What the usage export, Insights or webhooks alone "
        "tell of does not count. Approvals that waited side by side are taken off one by one; never below 0.",
        family="jobs",
        dimensions=_RUN_DIMENSIONS,
        over="workflow_without_hold",
        each=Each("workflow", _net_seconds, frozenset({"success"}), _unread_as_others),
        circleci="Nearest to the durations of Insights, which also leave time on hold out.",
    )
    yield shared(
        id="duration_mean",
        doc="Mean duration of successful runs without waits for approval.",
        formula="sum of (creation to end - waits for approval) / count",
        compute=mean_without_hold(),
    )
    for name, q, words in _QUANTILES:
        yield shared(
            id=f"duration_{name}",
            doc=f"{words} of the duration of successful runs without waits for approval.",
            formula=f"creation to end - waits for approval, {_RANK}",
            compute=quantile_without_hold(q),
        )


def _waits() -> Iterator[MetricDef]:
    """How long jobs waited for a machine and runs for a person."""
    for name, q, words in _QUANTILES:
        yield _BASE["job"](
            id=f"queue_{name}",
            unit="s",
            format="duration",
            doc=f"{words} of the time that jobs waited for a machine.",
            formula=f"queued to started, {_RANK}",
            inputs=("queued_at", "started_at"),
            counts="Jobs of any end whose queue time is known: that takes job details or the usage export.",
            compute=sums.quantile("job", "queue", q),
            each=Each("job", _queued, _ENDED),
            circleci="Insights has no queue times.",
        )
    shared = partial(
        _BASE["job"],
        unit="s",
        format="duration",
        inputs=("started_at and stopped_at of approvals",),
        counts="Approvals that were given, each by itself; none that was canceled. `job` is the name of the approval.",
        each=Each("job", _held, _ENDED),
        circleci="Insights has no waits for approval.",
    )
    yield shared(
        id="approval_wait",
        doc="Mean time that approvals waited for an answer.",
        formula="sum of waits / count",
        compute=sums.mean("job", "hold"),
    )
    yield shared(
        id="approval_wait_p95",
        doc="95th percentile of the time that approvals waited for an answer.",
        formula=f"start to end of the approval, {_RANK}",
        compute=sums.quantile("job", "hold", 0.95),
    )


def _credits_of(kind: Kind) -> Iterator[MetricDef]:
    """What it cost."""
    things = _THINGS[kind]
    source = {
        "workflow": "The usage export where it is read, else estimates of Insights, which are marked so.",
        "job": "The usage export alone: without it jobs have none.",
    }[kind]
    yield replace(
        _BASE[kind](
            id="credits",
            unit="{credit}",
            format="credits",
            doc=f"Credits that ended {things} used.",
            formula="sum",
            inputs=("credits", "credits_estimated"),
            counts=f"Ended {things} of any end. {source} No value where none are told of, which is not 0.",
            compute=sums.credits_used(kind),
            each=Each(kind, _credits, _ENDED),
            circleci="`total_credits_used` is an estimate and has runs on hold; the bill is the usage export.",
        ),
        family="credits",
    )


def _outages() -> Iterator[MetricDef]:
    """From red to green and back."""
    shared = partial(
        _BASE["workflow"],
        inputs=("status", "stopped_at", "name", "ref_name"),
        counts="Each workflow and branch by itself; infrastructure failures are failures. Looks one more window back, "
        "a week at least: an outage that is older begins there.",
    )
    yield shared(
        id="mttr",
        unit="s",
        format="duration",
        doc="Mean time from the first failed run to the next successful one.",
        formula="sum of (end of the success - end of the first failure) / recoveries of the window",
        compute=of_outages("mttr"),
        circleci="Insights: mean time between failures and their next success; from which failure on is not said.",
    )
    yield shared(
        id="mtbf",
        unit="s",
        format="duration",
        doc="Mean time from a recovery to the next failure.",
        formula="sum of (end of the failure - end of the recovery) / failures of the window that follow a recovery",
        compute=of_outages("mtbf"),
        higher_is_worse=False,
    )
    yield shared(
        id="recoveries",
        unit="{recovery}",
        format="number",
        doc="How often a workflow went from red to green.",
        formula="successes that follow a failure",
        compute=of_outages("recoveries"),
        circleci="`total_recoveries`, within its window.",
    )


def _reruns() -> Iterator[MetricDef]:
    """What repeating failed runs costs."""
    shared = partial(
        _BASE["workflow"],
        inputs=("status", "rerun_of", "credits", "created_at", "stopped_at"),
        circleci="Insights has no such number.",
    )
    repeats = "Runs that repeat a failed one (failure, error or timeout), of any end."
    yield shared(
        id="rerun_waste",
        unit="1",
        format="percentage",
        doc="Share of successful runs that are green only because a failed run was repeated.",
        formula="successes that repeat a failed run / successes",
        counts="Successful runs.",
        compute=of_reruns("waste"),
        proportion=True,
    )
    yield shared(
        id="reruns",
        unit="{run}",
        format="number",
        doc="Repeats of failed runs.",
        formula="count",
        counts=repeats,
        compute=of_reruns("runs"),
    )
    yield replace(
        shared(
            id="rerun_credits",
            unit="{credit}",
            format="credits",
            doc="Credits burnt by repeating failed runs.",
            formula="sum of the credits of repeats",
            counts=repeats,
            compute=of_reruns("credits"),
        ),
        family="credits",
    )
    yield shared(
        id="rerun_time",
        unit="s",
        format="duration",
        doc="Time burnt by repeating failed runs.",
        formula="sum of creation to end of repeats",
        counts=repeats,
        compute=of_reruns("time"),
    )


RUN_METRICS: tuple[MetricDef, ...] = tuple(
    chain(
        _ends("workflow"),
        _durations("workflow"),
        _durations_without_hold(),
        _credits_of("workflow"),
        _outages(),
        _reruns(),
        _waits(),
        _ends("job"),
        _durations("job"),
        _credits_of("job"),
    )
)
