"""Series of single runs or jobs of a metric, for detectors and for the first bad run.

Invariant: a series has the runs that the metric counts and no others, oldest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.core.runrows import JobRow, RunRow
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import class_name
from headgate.insights.match import Matcher, by_class, matches
from headgate.insights.metric import Each, MetricDef, Point
from headgate.insights.owners import Owners

__all__ = ["read_points"]

# Filters that no index knows are applied to what was read: so many rows for each that is wanted, then it is enough.
_READ_AT_MOST = 16


async def read_points(
    store: ReadStore,
    owners: Owners,
    metric: MetricDef,
    *,
    labels: Mapping[str, str],
    where: Sequence[Matcher],
    before_ms: int,
    limit: int,
) -> Sequence[Point]:
    """What `Reader.series` promises."""
    each, missing = metric.each, [name for name in metric.series_needs if name not in labels]
    if each is None or missing:
        raise ValueError(f"{metric.id} has no series" + (f" without {', '.join(missing)}" if each else ""))
    wanted = [by_class(Matcher(name, "=", value)) for name, value in labels.items()] + [by_class(one) for one in where]
    asked = limit
    while True:
        rows = await store.series(
            each.kind,
            project=labels["project"],
            workflow=labels["workflow"],
            job=labels["job"] if each.kind == "job" else None,
            branch_class=_branch_class(wanted),
            statuses=each.statuses,
            before_ms=before_ms,
            limit=asked,
        )
        told = each.among(rows) if each.among else rows
        points = [point for row in told if (point := _point(row, each, owners, wanted)) is not None]
        if len(points) >= limit or len(rows) < asked or asked >= limit * _READ_AT_MOST:
            return points[-limit:]
        asked *= 4


def _branch_class(wanted: Sequence[Matcher]) -> int | None:
    """The one branch class that filters leave, None for both."""
    left = [
        number
        for number in (0, 1)
        if all(one.accepts(class_name(number)) for one in wanted if one.label == "branch_class")
    ]
    return left[0] if len(left) == 1 else None


def _point(row: RunRow | JobRow, each: Each, owners: Owners, wanted: Sequence[Matcher]) -> Point | None:
    value = each.of(row)
    labels = _labels(row, owners)
    if value is None or not matches(wanted, labels):
        return None
    return Point(
        id=row.job_id if isinstance(row, JobRow) else row.workflow_id,
        at_ms=row.stopped_ms,
        value=value,
        ok=row.status == "success",
        revision=row.revision,
        number=row.number if isinstance(row, JobRow) else row.pipeline_number,
        url=row.url,
        labels=labels,
    )


def _labels(row: RunRow | JobRow, owners: Owners) -> Mapping[str, str]:
    of_job = {"job": row.job, "resource_class": row.resource_class} if isinstance(row, JobRow) else {}
    return {
        "org": org_slug(row.project),
        "project": row.project,
        "workflow": row.workflow,
        "branch": row.ref,
        "branch_class": class_name(row.branch_class),
        "trigger": row.trigger,
        "team": owners.team(row.project, row.workflow, of_job.get("job", "")),
        **of_job,
    }
