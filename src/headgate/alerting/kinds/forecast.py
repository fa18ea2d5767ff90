"""A budget that will not last: `forecast: {horizon: end_of_period, above: "{{ plan.credits }}", band: p80}`.

What was used since the period began, and for each day that is left the median of that weekday over eight weeks. The
band says how sure it must be: with p80 the rule fires when the period ends above the limit with a chance of at least
80 %, judged by how far days lay from their weekday's median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, PlanSpec, Spec
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, Outcome
from headgate.core.times import DAY_MS
from headgate.insights.metric import Labels
from headgate.insights.outlook import Outlook, outlook, period_of, weekday

__all__ = ["Forecast", "ForecastSpec"]

_DAYS = 56
_FEWEST_DAYS = 14
# Half-way back from what fires: an outlook that moves with every day must not come and go.
_RECOVER_SHARE = 0.95
_BANDS = {"p50": 0.5, "p80": 0.8, "p90": 0.9, "p95": 0.95}
_PLAN = "{{ plan.credits }}"


@dataclass(frozen=True, slots=True)
class Forecast:
    """`above`: what must not be used up, in the metric's unit."""

    above: float
    chance: float
    plan: PlanSpec

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        end_ms = view.reach.end_ms
        since_ms, until_ms = period_of(self.plan.period, self.plan.starts_on, end_ms)
        used = await view.measure({project: (since_ms, end) for project, end in view.reach.ends.items()})
        days = await self._days(view, end_ms)
        left = [weekday(at_ms) for at_ms in range(end_ms // DAY_MS * DAY_MS + DAY_MS, until_ms, DAY_MS)]
        rest = 1 - end_ms % DAY_MS / DAY_MS  # of today
        found: dict[Labels, Found] = {}
        for labels in {*days, *alerts}:
            past = days.get(labels, ())
            spent = used[labels].value or 0.0 if labels in used else 0.0
            if len(past) < _FEWEST_DAYS:
                found[labels] = Found(Outcome.TOO_FEW, value=spent, n=len(past))
                continue
            today = median([value for day, value in past if day == weekday(end_ms)] or [0.0]) * rest
            found[labels] = self._found(outlook(spent + today, past, left, self.chance), spent, len(past))
        return found

    async def _days(self, view: View, end_ms: int) -> Mapping[Labels, list[tuple[int, float]]]:
        """(weekday, value) of each whole day since a group first has one; a day without anything is 0."""
        found: dict[Labels, list[tuple[int, float]]] = {}
        today_ms = end_ms // DAY_MS * DAY_MS
        for back in range(_DAYS, 0, -1):
            at_ms = today_ms - back * DAY_MS
            bounds = dict.fromkeys(view.reach.ends, (at_ms, at_ms + DAY_MS))
            measured = await view.kept(at_ms // DAY_MS % _DAYS, bounds)
            for labels in measured:
                found.setdefault(labels, [])
            for labels, days in found.items():
                value = measured[labels].value if labels in measured else None
                days.append((weekday(at_ms), value or 0.0))
        return found

    def _found(self, seen: Outlook, spent: float, n: int) -> Found:
        texts: dict[str, Any] = {"used": spent, "expected": seen.middle}
        if seen.sure > self.above:
            return Found(Outcome.BREACH, 1, seen.middle, self.above, n, 1, texts=texts)
        outcome = Outcome.CLEAR if seen.middle < self.above * _RECOVER_SHARE else Outcome.BETWEEN
        return Found(outcome, 0, seen.middle, self.above, n, 1, texts=texts)


def _as_limit(value: Any) -> Any:
    if isinstance(value, str) and value.replace(" ", "") == _PLAN.replace(" ", ""):
        return "plan"
    return value


Above = Annotated[
    float | Literal["plan"],
    BeforeValidator(_as_limit, json_schema_input_type=float | str),
]


class ForecastSpec(Spec):
    """A budget that will not last to the end of its period."""

    horizon: Literal["end_of_period"] = Field(default="end_of_period", description="Up to when.")
    above: Above = Field(description="What must not be used up: a number, or {{ plan.credits }}.")
    band: Literal["p50", "p80", "p90", "p95"] = Field(default="p80", description="How sure it must be.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused()
        if on.metric.format not in ("credits", "number") or on.metric.proportion:
            on.note(("metric",), f"{on.metric.id} does not add up over days; forecasts are of credits and counts")
        if on.plan is None and self.above == "plan":
            on.note(("forecast", "above"), "the file has no plan; add `plan: {credits: 400000}` on top")
            return None
        above = on.plan.credits if on.plan and self.above == "plan" else self.above
        plan = on.plan or PlanSpec(credits=float(above))
        return Forecast(float(above), _BANDS[self.band], plan)
