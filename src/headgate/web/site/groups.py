"""Tables of projects, workflows and jobs: a row for each, with its figures and how they changed. No number is its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate.insights.metric import Labels, Measured
from headgate.insights.reader import Reader
from headgate.web.site.asked import Window
from headgate.web.site.measures import Place, measured

__all__ = ["Group", "Worse", "groups", "worse"]

_METRICS = ("duration_p95", "duration_p50", "runs", "success_rate", "failed_runs", "credits")
_OF_JOBS = ("queue_p95",)
# What counts as worse: with at least so many runs in both windows, so much lower or longer.
_ENOUGH = 10
_POINTS = 0.05
_SURE = 2.0  # standard errors by which a share must have fallen
_LONGER = 1.25
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Group:
    """One row. `labels`: what it is; `now`, `before`: metric -> value, without those that have none."""

    labels: Mapping[str, str]
    now: Mapping[str, float]
    before: Mapping[str, float]
    judged: int
    judged_before: int

    @property
    def runs(self) -> float:
        """How many ended."""
        return self.now.get("runs", 0)


@dataclass(frozen=True, slots=True)
class Worse:
    """Something that got worse. `what`: the metric in words; `before`, `now`: its values; `weight`: how bad, 0 to 1."""

    labels: Mapping[str, str]
    what: str
    form: str
    before: float
    now: float
    failed: float
    judged: int
    weight: float


async def groups(reader: Reader, place: Place, by: Sequence[str], window: Window) -> list[Group]:
    """A row for each group of which anything ended, those with most runs first."""
    metrics = (*_METRICS, *(_OF_JOBS if place.over == "jobs" else ()))
    spans = (window, window.previous)
    now, before = [
        await measured(reader, place, metrics, by, place.bounds(one.since_ms, one.until_ms)) for one in spans
    ]
    rows = [_group(labels, values, before.get(labels, {})) for labels, values in now.items()]
    return sorted(rows, key=lambda row: (-row.runs, sorted(row.labels.items())))


def _group(labels: Labels, now: Mapping[str, Measured], before: Mapping[str, Measured]) -> Group:
    return Group(
        dict(labels),
        {name: one.value for name, one in now.items() if one.value is not None},
        {name: one.value for name, one in before.items() if one.value is not None},
        now["success_rate"].n if "success_rate" in now else 0,
        before["success_rate"].n if "success_rate" in before else 0,
    )


def worse(rows: Sequence[Group]) -> list[Worse]:
    """What got clearly worse since the window before, the worst first."""
    found = [one for row in rows for one in (_fails_more(row), _takes_longer(row)) if one is not None]
    return sorted(found, key=lambda one: -one.weight)[:_SHOWN]


def _fails_more(row: Group) -> Worse | None:
    now, before = row.now.get("success_rate"), row.before.get("success_rate")
    if now is None or before is None or before - now < _POINTS or min(row.judged, row.judged_before) < _ENOUGH:
        return None
    both = (now * row.judged + before * row.judged_before) / (row.judged + row.judged_before)
    error = math.sqrt(both * (1 - both) * (1 / row.judged + 1 / row.judged_before))
    if before - now < _SURE * error:
        return None
    failed = row.now.get("failed_runs", 0)
    return Worse(row.labels, "Success rate", "percentage", before, now, failed, row.judged, before - now)


def _takes_longer(row: Group) -> Worse | None:
    now, before = row.now.get("duration_p50"), row.before.get("duration_p50")
    if not now or not before or now < before * _LONGER or min(row.judged, row.judged_before) < _ENOUGH:
        return None
    return Worse(row.labels, "Duration p50", "duration", before, now, 0, row.judged, 1 - before / now)
