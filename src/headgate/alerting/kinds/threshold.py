"""Fixed limits: `threshold: {warning: "< 80%", critical: "< 50%", recover: "> 90%"}`.

The severest level whose limit the value meets counts. Between a level and the recovery limit nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from headgate.alerting.kinds.samples import completed
from headgate.alerting.rules import Judge, Limit
from headgate.alerting.spec import Building, Spec
from headgate.alerting.units import Condition, ConditionField, Quantity, in_metric_unit
from headgate.alerting.view import Found, View
from headgate.alerting.yamlfile import KeyPath
from headgate.core.alertdata import Alert, Level, Outcome
from headgate.insights.metric import Labels, Measured

__all__ = ["Threshold", "ThresholdSpec"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """`levels`: severest first, never empty. `recover`: None where recovering is the contrary of firing."""

    levels: tuple[tuple[Level, Limit], ...]
    recover: Limit | None
    min_runs: int

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        measured = await view.measure(view.bounds())
        return await completed(view, alerts, self.judged(measured, alerts), measured)

    def judged(self, measured: Mapping[Labels, Measured], alerts: Mapping[Labels, Alert]) -> dict[Labels, Found]:
        """Groups with an alert, and those beyond the mildest limit. Runs over every group: nothing else may."""
        mildest = self.levels[-1][1]
        holds, limit, least = mildest.condition.comparison, mildest.value, self.min_runs
        found: dict[Labels, Found] = {}
        for labels, one in measured.items():
            value = one.value
            if value is None:
                continue
            if (holds(value, limit) and one.n >= least) or (alerts and labels in alerts):
                found[labels] = self._found(value, one.n)
        return found

    def _found(self, value: float, n: int) -> Found:
        if n < self.min_runs:
            return Found(Outcome.TOO_FEW, value=value, n=n)
        for level, limit in self.levels:
            if limit.holds(value):
                return Found(Outcome.BREACH, level, value, n=n)
        recovered = self.recover is None or self.recover.holds(value)
        return Found(Outcome.CLEAR if recovered else Outcome.BETWEEN, value=value, n=n)


class ThresholdSpec(Spec):
    """Fixed limits. A plain condition is the same as `warning`."""

    warning: ConditionField | None = Field(default=None, description="Fires with the rule's own severity.")
    critical: ConditionField | None = Field(default=None, description="Fires with severity critical.")
    recover: ConditionField | None = Field(default=None, description="Must hold before the alert recovers.")

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        on.unused("above", "below")
        critical = _limit(on, self.critical, "critical")
        warning = _limit(on, self.warning, "warning")
        named: list[tuple[Level, Limit | None]] = [(2, critical), (1, warning)]
        levels = tuple((level, limit) for level, limit in named if limit is not None)
        if self.critical is None and self.warning is None:
            on.note(("threshold",), "needs warning or critical")
        if critical and warning:
            _check_order(on, critical, warning)
        recover = self._recover(on, levels)
        if not levels:
            return None
        if recover:
            self._check_recover(on, levels[-1][1], recover)
        return Threshold(levels, recover, on.min_runs)

    def _recover(self, on: Building, levels: Sequence[tuple[Level, Limit]]) -> Limit | None:
        given: list[tuple[KeyPath, str, Quantity]] = [
            (("recover", key), op, value)
            for key, op, value in (("above", ">", on.recover.above), ("below", "<", on.recover.below))
            if value is not None
        ]
        if self.recover is not None:
            given.append((("threshold", "recover"), self.recover.op, self.recover.quantity))
        if len(given) > 1:
            on.note(given[-1][0], "the recovery condition is given twice")
        if not given or not levels:
            return None
        key, op, quantity = given[0]
        value = on.quantity(key, lambda: in_metric_unit(quantity, on.metric.format))
        return None if value is None else Limit(Condition(op, quantity), value)

    def _check_recover(self, on: Building, first: Limit, recover: Limit) -> None:
        key: KeyPath = ("threshold", "recover") if self.recover else ("recover",)
        if first.condition.below == recover.condition.below:
            on.note(key, "points the same way as the threshold")
        elif (recover.value < first.value) == first.condition.below and recover.value != first.value:
            on.note(key, "holds while the rule still fires; put it on the good side of the threshold")


def _limit(on: Building, condition: Condition | None, key: str) -> Limit | None:
    if condition is None:
        return None
    value = on.quantity(("threshold", key), lambda: in_metric_unit(condition.quantity, on.metric.format))
    return None if value is None else Limit(condition, value)


def _check_order(on: Building, critical: Limit, warning: Limit) -> None:
    if critical.condition.below != warning.condition.below:
        on.note(("threshold", "critical"), "points the other way than warning")
    elif (critical.value > warning.value) == critical.condition.below and critical.value != warning.value:
        on.note(("threshold", "critical"), "is reached before warning; swap the two")
