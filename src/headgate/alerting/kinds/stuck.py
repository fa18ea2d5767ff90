"""What does not end: `stuck: {status: [running, on_hold], longer_than: 2h, times_usual: 4}`.

Looks at what is unfinished now. With `times_usual` a run or job must also have taken so many times the 95th percentile
of the newest that ended of its own workflow or job, however seldom it runs; where too few are known, `longer_than`
alone decides. Like is held against like: time on hold against times on hold, time since an approval against running
times without hold, and what was never held against whole durations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
from pydantic import Field

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import Duration, DurationField
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, Outcome
from headgate.core.runrows import JobRow, LiveChoice, LiveRow, RunRow
from headgate.core.slug import org_slug
from headgate.core.status import FAILED
from headgate.core.tally import class_name
from headgate.core.times import HOUR_MS
from headgate.insights.metric import Labels
from headgate.insights.runfolds import without_hold

__all__ = ["Stuck", "StuckSpec"]

Status = Literal["queued", "running", "on_hold"]
# Of a kind and these states, the oldest; beyond it no rule could tell them apart, and somebody is told in the log.
_MOST = 100_000
# Of so many that ended newest; fewer than the least say nothing. A weekly release has its least after three weeks.
_NEWEST = 200
_FEWEST = 3
_USUAL_RANK = 0.95
_ENDED = ("success", *FAILED)
_log = structlog.get_logger(__name__)
_DIMENSIONS = ("org", "project", "workflow", "job", "branch", "branch_class")


@dataclass(frozen=True, slots=True)
class Stuck:
    """`kind`: whether workflows or jobs are looked at. `times`: of what is usual, 0 where that does not count."""

    kind: Literal["workflow", "job"]
    statuses: frozenset[str]
    longer_ms: int
    times: float

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        live = await view.shared.store.in_flight(_MOST, LiveChoice(self.kind, self.statuses))
        if len(live) == _MOST:
            _log.warning(
                "alerts.too_many_unfinished", rule=view.rule.name, judged=_MOST, fix="the newest are not judged"
            )
        long_ago_ms = view.now_ms - self.longer_ms
        rows = [row for row in live if row.since_ms < long_ago_ms and self._concerns(view, row)]
        usual: dict[tuple[str, ...], float | None] = {}
        groups: dict[Labels, list[LiveRow]] = {}
        for row in rows:
            if self.times and _likeness(row) not in usual:
                usual[_likeness(row)] = await self._usual(view, row)
            if view.now_ms - row.since_ms > self.times * (usual.get(_likeness(row)) or 0.0) * 1000:
                labels = tuple(sorted((name, _value(row, name)) for name in view.rule.by))
                groups.setdefault(labels, []).append(row)
        found = {labels: Found(Outcome.CLEAR, value=0.0, n=1, n_new=1) for labels in alerts}
        for labels, stuck in groups.items():
            oldest = min(stuck, key=lambda row: row.since_ms)
            found[labels] = Found(
                Outcome.BREACH,
                1,
                (view.now_ms - oldest.since_ms) / 1000,
                usual.get(_likeness(oldest)),
                len(stuck),
                1,
                oldest.id,
                oldest.url,
                texts={"status": oldest.status},
                first_bad_ms=oldest.since_ms,
            )
        return found

    def _concerns(self, view: View, row: LiveRow) -> bool:
        if row.project not in view.reach.ends:
            return False
        return view.accepts({name: _value(row, name) for name in _DIMENSIONS})

    async def _usual(self, view: View, row: LiveRow) -> float | None:
        """Seconds that its like usually takes; None where too few are known."""
        ended = await view.shared.store.series(
            self.kind,
            project=row.project,
            workflow=row.workflow,
            job=row.job if self.kind == "job" else None,
            statuses=_ENDED,
            before_ms=view.now_ms,
            limit=_NEWEST,
        )
        spans = sorted(span for one in ended if (span := _span_ms(one, row)) is not None)
        return spans[math.ceil(_USUAL_RANK * len(spans)) - 1] / 1000 if len(spans) >= _FEWEST else None


def _likeness(row: LiveRow) -> tuple[str, ...]:
    """What decides to which times its own is compared."""
    return row.project, row.workflow, row.job, row.status, "approved" if row.since_ms > row.created_ms else ""


def _span_ms(ended: RunRow | JobRow, row: LiveRow) -> int | None:
    """What one that ended took of what is measured of `row`; None where that is not known or there was none."""
    if isinstance(ended, JobRow):
        return ended.queue_ms if row.status == "queued" else ended.duration_ms
    if row.status == "on_hold":
        return ended.hold_ms or None
    return ended.duration_ms if row.since_ms <= row.created_ms else without_hold(ended)


def _value(row: LiveRow, dimension: str) -> str:
    match dimension:
        case "org":
            return org_slug(row.project)
        case "branch":
            return row.ref
        case "branch_class":
            return class_name(row.branch_class)
        case _:
            return str(getattr(row, dimension))


class StuckSpec(Spec):
    """What has been running, waiting or on hold for too long."""

    status: tuple[Status, ...] = Field(default=("running",), min_length=1, description="queued, running, on_hold.")
    longer_than: DurationField = Field(default=Duration(HOUR_MS), description="Shorter is never stuck.")
    times_usual: float = Field(default=0, ge=0, description="And so many times the usual 95th percentile; 0: alone.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused()
        for index, name in enumerate(on.by):
            if name not in _DIMENSIONS:
                on.note(("by", index), f"what is unfinished has no {name!r} yet")
        kind: Literal["workflow", "job"] = "job" if "job" in on.by else "workflow"
        return Stuck(kind, frozenset(self.status), self.longer_than.ms, self.times_usual)
