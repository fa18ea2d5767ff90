"""What an alert that fires says of its cause: the commits after the last good run, up to the first bad one.

Invariant: at most three questions to the store, and only when people are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.alerting.view import View
from headgate.core.alertdata import Alert
from headgate.insights.metric import Labels, Point

__all__ = ["commits_between", "suspects"]

_RUNS = 300
# More commits than this name nobody.
_MOST = 10


async def suspects(view: View, labels: Labels, alert: Alert) -> Mapping[str, Any]:
    """Names for templates: `suspects` (revisions, oldest first) and `last_good` (link of the run before)."""
    needs = view.rule.metric.series_needs
    if not needs or not set(needs) <= set(dict(labels)) or not alert.first_bad:
        return {"suspects": [], "last_good": None}
    points = await view.series(labels, _RUNS)
    return commits_between(points, alert.first_bad)


def commits_between(points: Sequence[Point], first_bad: str) -> Mapping[str, Any]:
    """The commits of the runs after the last one on an older commit. `points`: oldest first."""
    at = next((index for index, point in enumerate(points) if point.id == first_bad), None)
    if at is None:
        return {"suspects": [], "last_good": None}
    good = next((point for point in reversed(points[:at]) if point.ok and point.revision != points[at].revision), None)
    since = points.index(good) + 1 if good else at
    revisions = dict.fromkeys(point.revision for point in points[since : at + 1] if point.revision)
    return {"suspects": list(revisions)[-_MOST:], "last_good": good.url if good else None}
