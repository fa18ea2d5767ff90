"""What kinds share that judge one number of a window: new runs, the first bad one, and groups that fell silent."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, Outcome
from headgate.insights.firstbad import first_bad_run
from headgate.insights.metric import Labels, Measured

__all__ = ["completed", "silent"]

# Enough to find where a failure rate rose, over any window of a workflow.
_SERIES = 300


async def completed(
    view: View, alerts: Mapping[Labels, Alert], found: Mapping[Labels, Found], measured: Mapping[Labels, Measured]
) -> Mapping[Labels, Found]:
    """Findings with their new runs and the run that began it, and those of groups that fell silent."""
    quiet = await silent(view, measured)
    if not found:
        return quiet
    new = await view.new_runs(alerts, found)
    out: dict[Labels, Found] = dict(quiet)
    for labels, one in found.items():
        changed = dataclasses.replace(one, n_new=new.get(labels, 0))
        alert = alerts.get(labels)
        if changed.outcome is Outcome.BREACH and not (alert and alert.first_bad):
            changed = await _with_first_bad(view, labels, changed)
        out[labels] = changed
    return out


async def _with_first_bad(view: View, labels: Labels, found: Found) -> Found:
    metric = view.rule.metric
    named = dict(labels)
    if not metric.proportion or not metric.series_needs or not set(metric.series_needs) <= set(named):
        return found
    points = await view.series(labels, _SERIES)  # a slow decline begins before the window
    bad = first_bad_run(points) or next((point for point in points if not point.ok), None)
    if bad is None:
        return found
    return dataclasses.replace(found, first_bad=bad.id, first_bad_url=bad.url, first_bad_ms=bad.at_ms)


async def silent(view: View, measured: Iterable[Labels]) -> Mapping[Labels, Found]:
    """Groups that had runs a window ago and have none now, where the rule wants to know."""
    if view.rule.timing.no_data != "alert":
        return {}
    before = await view.measure(view.bounds(back_ms=view.rule.window_ms))
    return {labels: Found(Outcome.NO_DATA) for labels in set(before).difference(measured)}
