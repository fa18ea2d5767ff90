"""What does not end: `stuck: {status: [running, on_hold], longer_than: 2h, times_usual: 4}`.

Looks at what is unfinished now. With `times_usual` a run or job must also have taken so many times the 95th percentile
of its kind over 28 days; where that is not known, `longer_than` alone decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import Duration, DurationField
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, Outcome
from headgate.core.runrows import LiveRow
from headgate.core.slug import org_slug
from headgate.core.tally import class_name
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.metric import Labels, MetricDef

__all__ = ["Stuck", "StuckSpec"]

Status = Literal["queued", "running", "on_hold"]
_MOST = 10_000
_USUAL_MS = 28 * DAY_MS
_FEWEST = 20
_DIMENSIONS = ("org", "project", "workflow", "job", "branch", "branch_class")


@dataclass(frozen=True, slots=True)
class Stuck:
    """`kind`: whether workflows or jobs are looked at; `usual`: their 95th percentile, None where it does not count."""

    kind: Literal["workflow", "job"]
    statuses: frozenset[str]
    longer_ms: int
    times: float
    usual: MetricDef | None

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        live = await view.shared.store.in_flight(_MOST)
        long_ago_ms = view.now_ms - self.longer_ms
        rows = [row for row in live if row.since_ms < long_ago_ms and self._concerns(view, row)]
        usual = await self._usual(view) if self.usual and rows else {}
        groups: dict[Labels, list[LiveRow]] = {}
        for row in rows:
            age_ms = view.now_ms - row.since_ms
            if age_ms > self.times * usual.get(_kind_of(row), 0.0) * 1000:
                labels = tuple(sorted((name, _value(row, name)) for name in view.rule.by))
                groups.setdefault(labels, []).append(row)
        found = {labels: Found(Outcome.CLEAR, value=0.0, n=1, n_new=1) for labels in alerts}
        for labels, stuck in groups.items():
            oldest = min(stuck, key=lambda row: row.since_ms)
            found[labels] = Found(
                Outcome.BREACH,
                1,
                (view.now_ms - oldest.since_ms) / 1000,
                usual.get(_kind_of(oldest)),
                len(stuck),
                1,
                oldest.id,
                oldest.url,
                texts={"status": oldest.status},
                first_bad_ms=oldest.since_ms,
            )
        return found

    def _concerns(self, view: View, row: LiveRow) -> bool:
        if row.kind != self.kind or row.status not in self.statuses or row.project not in view.reach.ends:
            return False
        return view.accepts({name: _value(row, name) for name in _DIMENSIONS})

    async def _usual(self, view: View) -> Mapping[tuple[str, ...], float]:
        """Seconds, by project, workflow and for jobs job; of those that ran often enough to tell."""
        by = ("project", "workflow", "job") if self.kind == "job" else ("project", "workflow")
        bounds = view.bounds(_USUAL_MS, align_ms=HOUR_MS)
        if self.usual is None:
            return {}
        measured = await view.shared.reader.measure(self.usual, by=by, where=(), bounds=bounds)
        return {
            tuple(dict(labels)[name] for name in by): one.value
            for labels, one in measured.items()
            if one.value is not None and one.n >= _FEWEST
        }


def _kind_of(row: LiveRow) -> tuple[str, ...]:
    return (row.project, row.workflow, row.job) if row.kind == "job" else (row.project, row.workflow)


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
        usual = CATALOGUE.resolve("duration_p95", "jobs" if kind == "job" else "workflow")
        return Stuck(
            kind,
            frozenset(self.status),
            self.longer_than.ms,
            self.times_usual,
            usual if self.times_usual else None,
        )
