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
from headgate.core.times import DAY_MS, HOUR_MS
from headgate.insights.metric import Labels
from headgate.insights.newest import newest_of

__all__ = ["Absence", "AbsenceSpec", "chance_of_silence"]

_WEEK_HOURS = 168
_MOST_RUNS = 2000  # of one hour, to find the last of the group among
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
        bounds = view.bounds(self.history_ms, align_ms=HOUR_MS)
        past = await view.kept(0, bounds)
        # Nothing that is shorter than an hour is a silence: rhythms are known by the hour.
        recent = await view.measure(view.bounds(max(self.at_least_ms, HOUR_MS)))
        found: dict[Labels, Found] = {}
        silent: list[Labels] = []
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
                silent.append(labels)
        projects = {dict(labels)["project"] for labels in silent}
        hours = await view.hours({project: bounds[project] for project in sorted(projects)})
        for labels in silent:
            found |= await self._judged(view, labels, hours.get(labels, ()), past[labels].n)
        return found

    def limit_ms(self, longest_ms: float) -> float:
        """A silence as long as this may be told, by the longest of the past."""
        return max(self.at_least_ms, _BEYOND_LONGEST * longest_ms)

    async def _judged(self, view: View, labels: Labels, hours: Sequence[int], n: int) -> Mapping[Labels, Found]:
        """`hours`: begins of those in which it ran, ascending; `n`: its runs in them."""
        named = dict(labels)
        end_ms = view.end_ms(named)
        limit_ms = self.limit_ms(longest_ms := max((after - before for before, after in pairwise(hours)), default=0))
        heard_ms = view.listened_ms(named["project"])  # nothing is known of what ran while nobody listened
        if not hours or end_ms - max(hours[-1], heard_ms) < limit_ms:
            return {}
        if chance_of_silence(hours, end_ms, heard_ms) > self.p:
            return {}
        last_ms = hours[-1] + HOUR_MS  # where that run itself is no longer kept
        newest = await newest_of(
            view.shared.store,
            named,
            view.rule.where,
            owners=view.shared.reader.owners,
            since_ms=hours[-1],
            until_ms=last_ms,
            limit=_MOST_RUNS,
        )
        last = next(iter(newest), None)
        if last is not None:
            last_ms = last.stopped_ms
        if end_ms - last_ms < limit_ms:
            return {}
        found = Found(
            Outcome.BREACH,
            1,
            (end_ms - last_ms) / 1000,
            longest_ms / 1000,
            n,
            1,
            last.workflow_id if last else "",
            last.url if last else "",
            first_bad_ms=last_ms,
        )
        return {labels: found}


def chance_of_silence(times: Sequence[int], end_ms: int, heard_ms: int = 0) -> float:
    """How likely nothing runs from the last of `times` to the end, by how often each hour of the week had a run before.

    Hours count once however many runs they had, since runs come in bursts. `times`: of runs or of hours that had some;
    never empty, ascending. `heard_ms`: hours before that tell nothing.
    """
    last_ms = times[-1]
    had = [0] * _WEEK_HOURS
    for hour in {at_ms // HOUR_MS for at_ms in times}:
        had[hour % _WEEK_HOURS] += 1
    weeks = max(1.0, (last_ms - times[0]) / (7 * DAY_MS))
    log_chance = 0.0
    for hour in range(max(last_ms, heard_ms) // HOUR_MS + 1, end_ms // HOUR_MS):
        usual = min(0.95, had[hour % _WEEK_HOURS] / (weeks + 1))
        log_chance += math.log1p(-usual)
    return math.exp(log_chance)


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
