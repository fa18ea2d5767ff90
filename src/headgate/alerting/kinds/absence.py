"""A group that fell silent against its own rhythm: `absence: {at_least: 1d, p: 0.000001}`.

Its past says in which hours of the week it usually runs. It is silent when so many of its usual hours have passed
without a run that chance does not explain it, and when it has never been quiet for nearly so long before: a weekend,
or a night, is nobody's silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field

from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import Duration, DurationField
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, AlertState, Outcome
from headgate.core.runrows import RunRow
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.dimensions import ROW_VALUES
from headgate.insights.metric import Labels

__all__ = ["Absence", "AbsenceSpec", "chance_of_silence"]

_WEEK_HOURS = 168
_MOST_RUNS = 2000
# Beyond the longest silence of the past by half: long weekends are half as long again as weekends.
_BEYOND_LONGEST = 1.5
_OPEN = (AlertState.PENDING, AlertState.FIRING, AlertState.RECOVERING)


@dataclass(frozen=True, slots=True)
class Absence:
    """`at_least`: shorter silences are never told. `history_ms`: the past that shows the rhythm."""

    at_least_ms: int
    history_ms: int
    p: float
    min_runs: int

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        past = await view.kept(0, view.bounds(self.history_ms, align_ms=HOUR_MS))
        recent = await view.measure(view.bounds(self.at_least_ms))
        found: dict[Labels, Found] = {}
        for labels in [*alerts, *(labels for labels in past if labels not in alerts and labels not in recent)]:
            alert = alerts.get(labels)
            if dict(labels)["project"] not in view.reach.ends:
                continue  # no longer collected: that is gone, not silent
            if labels in recent:
                found[labels] = Found(Outcome.CLEAR, n=recent[labels].n, n_new=recent[labels].n, value=0.0)
            elif alert is not None and alert.state in _OPEN:
                silent_s = (alert.value or 0.0) + (view.end_ms(dict(labels)) - alert.at_ms) / 1000
                found[labels] = Found(Outcome.BREACH, 1, silent_s, alert.baseline, n=1, n_new=1)
            elif past[labels].n >= self.min_runs if labels in past else False:
                found |= await self._judged(view, labels)
        return found

    def limit_ms(self, longest_ms: float) -> float:
        """A silence as long as this may be told, by the longest of the past."""
        return max(self.at_least_ms, _BEYOND_LONGEST * longest_ms)

    async def _judged(self, view: View, labels: Labels) -> Mapping[Labels, Found]:
        named = dict(labels)
        end_ms = view.end_ms(named)
        runs = [
            run
            for run in await view.shared.store.recent_runs(_MOST_RUNS, project=named["project"])
            if end_ms - self.history_ms <= run.stopped_ms < end_ms and view.accepts(values := _values(run))
            if all(values[name] == value for name, value in labels)
        ]
        if len(runs) < self.min_runs:
            return {}
        times = sorted(run.stopped_ms for run in runs)
        silent_ms = end_ms - times[-1]
        longest_ms = max(after - before for before, after in pairwise(times))
        if silent_ms < self.limit_ms(longest_ms):
            return {}
        if chance_of_silence(times, end_ms) > self.p:
            return {}
        last = max(runs, key=lambda run: run.stopped_ms)
        seconds = silent_ms / 1000
        found = Found(
            Outcome.BREACH,
            1,
            seconds,
            longest_ms / 1000,
            len(runs),
            1,
            last.workflow_id,
            last.url,
            first_bad_ms=last.stopped_ms,
        )
        return {labels: found}


def chance_of_silence(times: Sequence[int], end_ms: int) -> float:
    """How likely nothing runs from the last of `times` to the end, by how often each hour of the week had a run before.

    Hours count once however many runs they had, since runs come in bursts. `times`: never empty, ascending.
    """
    last_ms = times[-1]
    had = [0] * _WEEK_HOURS
    for hour in {at_ms // HOUR_MS for at_ms in times}:
        had[hour % _WEEK_HOURS] += 1
    weeks = max(1.0, (last_ms - times[0]) / (7 * DAY_MS))
    log_chance = 0.0
    for hour in range(last_ms // HOUR_MS + 1, end_ms // HOUR_MS):
        usual = min(0.95, had[hour % _WEEK_HOURS] / (weeks + 1))
        log_chance += math.log1p(-usual)
    return math.exp(log_chance)


def _values(run: RunRow) -> Mapping[str, str]:
    return {name: value_of(run) for name, value_of in ROW_VALUES["runs"].items()}


class AbsenceSpec(Spec):
    """Silence against a group's own rhythm."""

    at_least: DurationField = Field(default=Duration(DAY_MS), description="Shorter silences are never told.")
    history: DurationField = Field(default=Duration(28 * DAY_MS), description="The past that shows the rhythm.")
    p: float = Field(default=1e-6, gt=0, lt=0.1, description="Chance of such a silence, by the rhythm of the past.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused()
        if on.metric.id != "runs" or on.metric.over != "workflow":
            on.note(("metric",), "silence is told of metric runs")
        if "project" not in on.by:
            on.note(("by",), "a rhythm is of one project: add project")
        if self.history.ms < 3 * self.at_least.ms or self.history.ms < 14 * DAY_MS:
            on.note(("absence", "history"), "must be two weeks and three times at_least, or there is no rhythm")
        return Absence(self.at_least.ms, self.history.ms, self.p, on.min_runs)
