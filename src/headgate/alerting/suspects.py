"""What an alert that fires says of its cause: the commits after the last good run, up to the first bad one.

Invariant: at most three questions to the store, and only when people are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from headgate.alerting.view import View
from headgate.core.alertdata import Alert
from headgate.core.times import DAY_MS
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.culprit import growth
from headgate.insights.match import Matcher
from headgate.insights.metric import Labels, Measured, Point

__all__ = ["commits_between", "suspects"]

_RUNS = 300
# More commits than this name nobody.
_MOST = 10
_BEFORE_MS = 7 * DAY_MS


async def suspects(view: View, labels: Labels, alert: Alert) -> Mapping[str, Any]:
    """Names for templates: `suspects` (revisions, oldest first), `last_good` (link of that run), `grew` (jobs)."""
    found: dict[str, Any] = {"suspects": [], "last_good": None, "grew": []}
    named, needs = dict(labels), view.rule.metric.series_needs
    if not needs or not set(needs) <= set(named) or not alert.first_bad:
        return found
    points = await view.series(labels, _RUNS)
    found |= commits_between(points, alert.first_bad)
    if alert.change_ms and "job" not in named:
        found["grew"] = await _grew(view, named, alert)
    return found


async def _grew(view: View, named: Mapping[str, str], alert: Alert) -> list[dict[str, Any]]:
    """Jobs of a workflow that take longer since a change, by how much of it is theirs."""
    project, since_ms, end_ms = named["project"], alert.change_ms, view.end_ms(named)
    if since_ms >= end_ms or alert.changed is None or alert.baseline is None:
        return []
    where = [*view.rule.where, Matcher("workflow", "=", named["workflow"])]
    metric, by = CATALOGUE.resolve("duration_p50", "jobs"), ("project", "workflow", "job")
    ask = view.shared.reader.measure
    before = await ask(metric, by=by, where=where, bounds={project: (since_ms - _BEFORE_MS, since_ms)})
    after = await ask(metric, by=by, where=where, bounds={project: (since_ms, end_ms)})
    parts = {dict(job)["job"]: (_known(before.get(job)), _known(one)) for job, one in after.items()}
    return [asdict(one) for one in growth(parts, alert.changed - alert.baseline)]


def _known(measured: Measured | None) -> list[float]:
    return [measured.value] if measured is not None and measured.value is not None else []


def commits_between(points: Sequence[Point], first_bad: str) -> Mapping[str, Any]:
    """The commits of the runs after the last one on an older commit. `points`: oldest first."""
    at = next((index for index, point in enumerate(points) if point.id == first_bad), None)
    if at is None:
        return {"suspects": [], "last_good": None}
    good = next((point for point in reversed(points[:at]) if point.ok and point.revision != points[at].revision), None)
    since = points.index(good) + 1 if good else at
    revisions = dict.fromkeys(point.revision for point in points[since : at + 1] if point.revision)
    return {"suspects": list(revisions)[-_MOST:], "last_good": good.url if good else None}
