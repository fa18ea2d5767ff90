"""How fast the error budget of an objective burns: `slo: {objective: 90%, windows: [[1d, 2h, 3.0]], min_failures: 3}`.

Fires while, for any line of `windows`, both its long and its short window burn at least so many times as fast as the
objective allows. The short window ends the alert soon after the repair; the long one keeps a blip from firing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from headgate.alerting.kinds.samples import completed
from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import DurationField, QuantityField, in_metric_unit
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, Outcome
from headgate.insights.metric import Labels, Measured

__all__ = ["Slo", "SloSpec"]


@dataclass(frozen=True, slots=True)
class Slo:
    """`windows`: long, short (milliseconds) and factor. `objective`: a share."""

    objective: float
    windows: tuple[tuple[int, int, float], ...]
    min_failures: int
    min_runs: int

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`. The value is the share over the longest window."""
        burning: dict[Labels, float] = {}
        slowest: Mapping[Labels, Measured] = {}
        for long_ms, short_ms, factor in self.windows:
            long = await view.measure(view.bounds(long_ms))
            hot = {labels: burn for labels, one in long.items() if (burn := self._burn(one)) >= factor}
            short = await view.measure(view.bounds(short_ms)) if hot else {}
            for labels, burn in hot.items():
                if labels in short and self._burn(short[labels], enough=False) >= factor:
                    burning[labels] = max(burn, burning.get(labels, 0.0))
            slowest = long if long_ms == self._longest else slowest
        found = {
            labels: self._found(slowest[labels], burning.get(labels))
            for labels in {*burning, *alerts}
            if labels in slowest
        }
        return await completed(view, alerts, found, slowest)

    @property
    def _longest(self) -> int:
        return max(long for long, _, _ in self.windows)

    def _burn(self, one: Measured, *, enough: bool = True) -> float:
        """How many times as fast as allowed; 0 where too little failed to tell."""
        failures = one.n - (one.hits or 0)
        if one.n == 0 or (enough and (failures < self.min_failures or one.n < self.min_runs)):
            return 0.0
        return failures / one.n / (1 - self.objective)

    def _found(self, one: Measured, burn: float | None) -> Found:
        outcome = Outcome.CLEAR if burn is None else Outcome.BREACH
        texts = {"burn": burn} if burn is not None else {}
        return Found(outcome, 0 if burn is None else 1, one.value, self.objective, one.n, texts=texts)


class SloSpec(Spec):
    """An objective and how fast its error budget may burn."""

    objective: QuantityField = Field(description="Share that must be good: 90%.")
    windows: tuple[tuple[DurationField, DurationField, float], ...] = Field(
        min_length=1, description="Lines of long window, short window, and burn rate at which to fire."
    )
    min_failures: int = Field(default=3, ge=1, description="Fewer failures in the long window are not judged.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused()
        if not on.metric.proportion:
            on.note(("metric",), f"{on.metric.id} is not a share; an objective is of one, such as success_rate")
        if on.window_given:
            on.note(("window",), "the windows of an objective are under slo")
        for index, (long, short, factor) in enumerate(self.windows):
            if short.ms >= long.ms:
                on.note(("slo", "windows", index), "the second window must be the shorter one")
            if factor <= 1:
                on.note(("slo", "windows", index), "a burn rate up to 1 keeps the objective; write more")
        objective = on.quantity(("slo", "objective"), lambda: in_metric_unit(self.objective, "percentage"))
        if objective is None:
            return None
        if not 0 < objective < 1:
            on.note(("slo", "objective"), "must lie between 0% and 100%, both excluded")
            return None
        windows = tuple((long.ms, short.ms, factor) for long, short, factor in self.windows)
        return Slo(objective, windows, self.min_failures, on.min_runs)
