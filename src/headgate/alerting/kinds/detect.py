"""A lasting change of a series: `detect: {kind: change_point, runs: 200, min_change: 10%, direction: up}`.

Fires once per change and holds the first run after it. It is over when the level has come back within half of the
change, or when somebody accepts it as the new normal. The detector runs again only for groups with new runs.

Jobs of one workflow that change within five runs of each other have one cause: the alert is that of the job which
contributes most, and names the others.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from pydantic import Field

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import Percent, QuantityField, in_metric_unit
from headgate.alerting.view import DetectorOptions, Found, View
from headgate.alerting.yamlfile import nearest
from headgate.core.alertdata import Alert, AlertState, Outcome
from headgate.core.ports import Change
from headgate.insights.culprit import SAME_CAUSE_RUNS, Ran, suspects
from headgate.insights.metric import Labels, Point

__all__ = ["Detect", "DetectSpec"]

_OPEN = (AlertState.PENDING, AlertState.FIRING, AlertState.RECOVERING)
# The level of now is that of as many runs as a segment has at least; a change this near to a known one is that one.
_SEGMENT = 8


@dataclass(frozen=True, slots=True)
class _Seen:
    """A change with the run it begins with, and the group's series."""

    change: Change
    first: Point
    points: Sequence[Point]

    @property
    def moved(self) -> float:
        """How far, in the metric's unit."""
        return abs(self.change.after - self.change.before)


@dataclass(frozen=True, slots=True)
class Detect:
    """`runs`: of the series. `least`: smallest change, as a share or (`absolute`) in the metric's unit."""

    detector: str
    runs: int
    least: float
    absolute: bool
    direction: Literal["up", "down", "both"]
    sensitivity: str
    min_runs: int

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        news = view.fresh()
        fresh = {labels: one.n for labels, one in (await view.measure(news)).items()} if news else {}
        fresh |= await view.new_runs(alerts, alerts) if alerts else {}
        alive = await view.measure(view.bounds()) if alerts else {}
        found: dict[Labels, Found] = {}
        new: dict[Labels, _Seen] = {}
        for labels in {*fresh, *alerts}:
            alert = alerts.get(labels)
            if not fresh.get(labels):
                if alert is not None and labels in alive:
                    found[labels] = self._as_before(alert)
                continue
            seen, points = await self._newest(view, labels)
            if alert is not None and alert.state in _OPEN:
                found[labels] = self._followed(alert, points, fresh[labels])
            elif seen is not None and not self._is_known(seen, alert):
                new[labels] = seen
            elif alert is not None:
                found[labels] = self._at_rest(alert, seen, len(points), fresh[labels])
        return found | _merged(new, alerts, fresh)

    async def _newest(self, view: View, labels: Labels) -> tuple[_Seen | None, Sequence[Point]]:
        points = await view.series(labels, self.runs)
        if len(points) < self.min_runs:
            return None, points
        await asyncio.sleep(0)  # a detector takes milliseconds; whoever cancels the pass is heard in between
        detector = view.shared.detectors(self.detector, self._options)
        change = detector.newest([point.value for point in points])
        if change is None or not self._large(change):
            return None, points
        return _Seen(change, points[change.index], points), points

    @property
    def _options(self) -> DetectorOptions:
        return (
            ("direction", self.direction),
            ("sensitivity", self.sensitivity),
            ("runs", self.runs),
            ("min_change", 0.0 if self.absolute else self.least),
        )

    def _large(self, change: Change) -> bool:
        moved = change.after - change.before
        if self.direction != "both" and (moved > 0) != (self.direction == "up"):
            return False
        return abs(moved) >= (self.least if self.absolute else self.least * abs(change.before))

    def _is_known(self, seen: _Seen, alert: Alert | None) -> bool:
        """Whether the change was told before, was accepted, or is the way back from one that was told."""
        if alert is None:
            return False
        if seen.first.at_ms <= alert.normal_ms:
            return True
        times = [point.at_ms for point in seen.points]
        if alert.change_ms and abs(bisect_left(times, alert.change_ms) - seen.change.index) < _SEGMENT:
            return alert.change_ms >= times[0]
        return _is_back(alert, seen.change.after)

    @staticmethod
    def _as_before(alert: Alert) -> Found:
        """Nothing new ran: what was so is so."""
        outcome = Outcome.BREACH if alert.state in _OPEN and not alert.good else Outcome.CLEAR
        return Found(
            outcome,
            1 if outcome is Outcome.BREACH else 0,
            alert.value,
            alert.baseline,
            alert.n,
            hold=bool(alert.change_ms),
        )

    def _followed(self, alert: Alert, points: Sequence[Point], n_new: int) -> Found:
        """An open alert: whether the level has come back."""
        level = _level(points)
        outcome = Outcome.CLEAR if level is None or _is_back(alert, level) else Outcome.BREACH
        value = level if outcome is Outcome.CLEAR else alert.value
        return Found(
            outcome,
            1 if outcome is Outcome.BREACH else 0,
            value,
            alert.baseline,
            len(points),
            n_new,
            change_ms=alert.change_ms,
            hold=True,
        )

    def _at_rest(self, alert: Alert, seen: _Seen | None, n: int, n_new: int) -> Found:
        """An alert that is over; it is remembered while the detector may still see its change."""
        return Found(Outcome.CLEAR, 0, alert.value, alert.baseline, n, n_new, hold=seen is not None)


def _level(points: Sequence[Point]) -> float | None:
    return median(point.value for point in points[-_SEGMENT:]) if len(points) >= _SEGMENT else None


def _is_back(alert: Alert, level: float) -> bool:
    if alert.baseline is None or alert.changed is None:
        return False
    return abs(level - alert.baseline) <= abs(alert.changed - alert.baseline) / 2


def _breach(seen: _Seen, n_new: int, jobs: Sequence[tuple[Labels, _Seen]]) -> Found:
    change, first = seen.change, seen.first
    runs = [Ran(point.id, point.value, point.revision, point.url) for point in seen.points]
    cause = suspects(runs, change)
    texts: dict[str, Any] = {
        "jobs": [_contribution(labels, one, jobs) for labels, one in jobs],
        "suspects": list(cause.commits),
        "last_good": cause.last_good.url if cause.last_good else None,
    }
    return Found(
        Outcome.BREACH,
        1,
        change.after,
        change.before,
        len(seen.points),
        n_new,
        cause.first_bad.id,
        cause.first_bad.url,
        first.at_ms,
        hold=True,
        texts=texts,
        first_bad_ms=next(point.at_ms for point in seen.points if point.id == cause.first_bad.id),
    )


def _contribution(labels: Labels, seen: _Seen, jobs: Sequence[tuple[Labels, _Seen]]) -> dict[str, Any]:
    total = sum(one.moved for _, one in jobs)
    return {
        "job": dict(labels)["job"],
        "before": seen.change.before,
        "after": seen.change.after,
        "share": seen.moved / total if total else 0.0,
    }


def _merged(
    new: Mapping[Labels, _Seen], alerts: Mapping[Labels, Alert], fresh: Mapping[Labels, int]
) -> dict[Labels, Found]:
    """One finding for each cause: of changes of a workflow's jobs that begin together the largest speaks."""
    found: dict[Labels, Found] = {}
    taken: dict[Labels, list[int]] = {}
    for labels, alert in alerts.items():
        if alert.change_ms:
            taken.setdefault(_workflow(labels), []).append(alert.change_ms)
    left = sorted(new, key=lambda labels: (-new[labels].moved, labels))
    while left:
        leader = left.pop(0)
        seen, family = new[leader], _workflow(leader)
        if _has_job(leader) and any(_together(seen, at_ms) for at_ms in taken.get(family, ())):
            continue
        same = [one for one in left if _has_job(one) and _workflow(one) == family]
        joined = [one for one in same if _together(seen, new[one].first.at_ms) and _rose(new[one]) == _rose(seen)]
        left = [one for one in left if one not in joined]
        taken.setdefault(family, []).append(seen.first.at_ms)
        jobs = [(labels, new[labels]) for labels in (leader, *joined)] if _has_job(leader) else []
        found[leader] = _breach(seen, fresh.get(leader, 0), jobs)
    return found


def _workflow(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != "job")


def _has_job(labels: Labels) -> bool:
    return any(name == "job" for name, _ in labels)


def _rose(seen: _Seen) -> bool:
    return seen.change.after > seen.change.before


def _together(seen: _Seen, at_ms: int) -> bool:
    times = [point.at_ms for point in seen.points]
    return abs(bisect_left(times, at_ms) - seen.change.index) <= SAME_CAUSE_RUNS


class DetectSpec(Spec):
    """A lasting change of the runs of a group."""

    kind: Literal["change_point"] = "change_point"
    detector: str = Field(default="change_point", description="Name of the detector; plugins may bring others.")
    runs: int = Field(default=200, ge=30, le=1000, description="How many of the newest runs are looked at.")
    min_change: QuantityField = Field(default=Percent(0.1), description="Smaller changes are nobody's business: 10%.")
    direction: Literal["up", "down", "both"] | None = Field(
        default=None, description="Which changes are told; without it the metric's bad direction."
    )
    sensitivity: Literal["low", "normal", "high"] = Field(default="normal", description="How soon a change counts.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused()
        if self.detector not in on.detectors:
            on.note(
                ("detect", "detector"), f"no detector is called {self.detector!r}{nearest(self.detector, on.detectors)}"
            )
        missing = [name for name in on.metric.series_needs if name not in on.by]
        if not on.metric.series_needs:
            on.note(("metric",), f"{on.metric.id} has no value of a single run, so nothing to find a change in")
        elif missing:
            on.note(("by",), f"a series is of one {on.metric.series_needs[-1]}: add {', '.join(missing)}")
        relative = isinstance(self.min_change, Percent) and on.metric.format != "percentage"
        written = self.min_change
        least = (
            written.ratio
            if relative
            else on.quantity(("detect", "min_change"), lambda: in_metric_unit(written, on.metric.format))
        )
        if least is None:
            return None
        direction = self.direction or ("up" if on.metric.higher_is_worse else "down")
        return Detect(
            self.detector, self.runs, least, not relative, direction, self.sensitivity, min(on.min_runs, self.runs)
        )
