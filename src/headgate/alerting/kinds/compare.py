"""Change against a baseline: `compare: {baseline: 28d, drop: 10pp, test: binomial, p: 0.005}`.

Every given effect must hold, relative and absolute ones alike, and the test must say that chance does not explain it.
`floor` fires whatever is usual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from headgate.alerting.kinds.baseline import Base, Baseline, BaselineField
from headgate.alerting.kinds.samples import completed
from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, Spec
from headgate.alerting.statistics import beyond_spread, binomial_tail, rank_tail, wilson
from headgate.alerting.units import Difference, DurationField, QuantityField, as_difference, in_metric_unit
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, AlertState, Outcome
from headgate.core.times import DAY_MS
from headgate.insights.metric import Labels, Measured

__all__ = ["Compare", "CompareSpec"]

Test = Literal["binomial", "wilson", "rank", "none"]
_P: Mapping[Test, float] = {"binomial": 0.005, "wilson": 0.005, "rank": 0.0, "none": 0.0}
_OPEN = (AlertState.FIRING, AlertState.RECOVERING)
# A window of the past is as good as a rule needs; shorter ones compare noise with noise.
_WINDOWS = 3
_WIDEST = 14
# Where nothing says when it recovers, half the effect must be gone.
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Effect:
    """How far a value must lie on the bad side of its baseline. `ratio`: of value to baseline; `least`: absolute."""

    lower: bool
    distance: Difference | None
    ratio: float | None
    least: float

    def holds(self, value: float, baseline: float) -> bool:
        """Whether all that is given does."""
        moved = baseline - value if self.lower else value - baseline
        if moved <= 0 or moved < self.least:
            return False
        if self.ratio is not None and not self._far(value, baseline, self.ratio):
            return False
        if self.distance is None:
            return True
        # A rate of 0.9 that drops to 0.8 has dropped by 10 points, whatever binary fractions make of it.
        return abs(self.distance.between(value, baseline)) >= self.distance.amount - 1e-12

    def limit(self, baseline: float) -> float:
        """Where a value begins to lie far enough from this baseline."""
        moved = self.least
        if self.distance is not None:
            moved = max(moved, self.distance.amount * (abs(baseline) if self.distance.relative else 1.0))
        if self.ratio is not None:
            moved = max(moved, abs(self.ratio * baseline - baseline))
        return baseline - moved if self.lower else baseline + moved

    def _far(self, value: float, baseline: float, ratio: float) -> bool:
        return value <= ratio * baseline if self.lower else value >= ratio * baseline


@dataclass(frozen=True, slots=True)
class Compare:
    """`fires`, `stays`: what must hold to fire, and to go on firing. `floor`: fires whatever is usual, None without.

    `clear`: beyond it recovers what fired by the floor alone. `widen_ms`: how far back a window with too few runs
    reaches.
    """

    baseline: Baseline
    fires: Effect
    stays: Effect
    test: Test
    p: float
    floor: float | None
    clear: float | None
    min_runs: int
    widen_ms: int = 0

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """As `Judge.find`."""
        measured, windows = await self._measured(view)
        bases = await self.baseline.read(view, alerts)
        found: dict[Labels, Found] = {}
        for labels, one in measured.items():
            if one.value is None:
                continue
            alert = alerts.get(labels) if alerts else None
            if alert is not None:
                seen = self.judged(one, bases.get(labels), alert)
                seen = dataclasses.replace(seen, hold=self._new_normal(view, alert))
            elif self._breaches(one, bases.get(labels)):
                seen = self._breach(one, bases.get(labels))
            else:
                continue
            found[labels] = dataclasses.replace(seen, window_ms=windows.get(labels, 0))
        return await completed(view, alerts, found, measured)

    async def _measured(self, view: View) -> tuple[Mapping[Labels, Measured], Mapping[Labels, int]]:
        """Of each group the shortest window with runs enough, by whole windows, up to the widest; and how wide.

        Groups that are judged over the rule's own window have no width.
        """
        window_ms = view.rule.window_ms
        widths: dict[Labels, int] = {}
        found = dict(await view.measure(view.bounds()))
        for wider_ms in range(2 * window_ms, self.widen_ms + 1, window_ms):
            for labels, one in (await view.measure(view.bounds(wider_ms))).items():
                if labels not in found or found[labels].n < self.min_runs:
                    found[labels], widths[labels] = one, wider_ms
        return found, widths

    def _new_normal(self, view: View, alert: Alert) -> bool:
        """A new normal is remembered until the baseline has no older days."""
        return view.now_ms - alert.normal_ms < self.baseline.span.ms + 2 * view.rule.window_ms

    def judged(self, one: Measured, base: Base | None, alert: Alert) -> Found:
        """A group that has an alert."""
        value = one.value
        if value is None or one.n < self.min_runs:
            return Found(Outcome.TOO_FEW, value=value, baseline=alert.baseline, n=one.n)
        if alert.state in _OPEN:
            return self._stays(value, one.n, alert.baseline)
        if self._breaches(one, base):
            return self._breach(one, base)
        usual = base.value if base else None
        if base is None:
            return Found(Outcome.TOO_FEW, value=value, n=one.n)
        outcome = Outcome.BETWEEN if self.stays.holds(value, base.value) else Outcome.CLEAR
        return Found(outcome, value=value, baseline=usual, n=one.n)

    def _stays(self, value: float, n: int, baseline: float | None) -> Found:
        """An open alert against the baseline with which it fired; between the two effects nothing changes.

        One that fired by its floor, without a baseline, recovers beyond `clear`.
        """
        outcome = Outcome.CLEAR
        if self._beyond(self.floor, value) or (baseline is not None and self.fires.holds(value, baseline)):
            outcome = Outcome.BREACH
        elif self._beyond(self.clear, value) if baseline is None else self.stays.holds(value, baseline):
            outcome = Outcome.BETWEEN
        return Found(outcome, 1 if outcome is Outcome.BREACH else 0, value, baseline, n)

    def _breach(self, one: Measured, base: Base | None) -> Found:
        return Found(Outcome.BREACH, 1, one.value, base.value if base else None, one.n)

    def _beyond(self, limit: float | None, value: float) -> bool:
        """Whether a value is on the bad side of a fixed limit."""
        if limit is None:
            return False
        return value < limit if self.fires.lower else value > limit

    def _breaches(self, one: Measured, base: Base | None) -> bool:
        value = one.value
        if value is None or one.n < self.min_runs:
            return False
        if self._beyond(self.floor, value):
            return True
        return base is not None and self.fires.holds(value, base.value) and self._surprising(one, value, base)

    def _surprising(self, one: Measured, value: float, base: Base) -> bool:
        """Whether chance does not explain it. The past must hold more runs than the window, or it says little."""
        lower = self.fires.lower
        if base.values and not beyond_spread(value, base.values):
            return False
        if not base.values and base.n < max(self.min_runs, one.n):
            return False
        if self.test == "rank":
            least = 1 / (len(base.values) + 1)  # few windows cannot say more than that it lies beyond all of them
            return rank_tail(value, base.values, lower=lower) <= max(self.p, least)
        if self.test == "none" or one.hits is None:
            return True
        if self.test == "wilson":
            low, high = wilson(one.hits, one.n, self.p)
            return high < base.value if lower else low > base.value
        # A past without a single failure is a high rate, not certainty: half a run more of each kind.
        usual = ((base.hits or 0) + 0.5) / (base.n + 1)
        return binomial_tail(one.hits, one.n, usual, lower=lower) <= self.p


class CompareSpec(Spec):
    """Change against what is usual. All effects that are given must hold."""

    baseline: BaselineField = Field(description="What is usual: a length such as 28d, or same_weekday 8w.")
    drop: QuantityField = Field(default=None, description="How far below the baseline: 10pp for percentages, else 30%.")
    increase: QuantityField = Field(default=None, description="How far above it: 10pp, 30%, or in the metric's unit.")
    ratio: float | None = Field(default=None, gt=0, description="Value by baseline: at least, or below 1 at most.")
    min_abs: QuantityField = Field(default=None, description="Least distance in the metric's unit, beside the others.")
    test: Test | None = Field(
        default=None, description="What rules chance out: binomial or wilson (percentages), rank (of windows), none."
    )
    p: float | None = Field(default=None, gt=0, lt=0.5, description="Chance that the test lets pass, one-sided.")
    widen: DurationField | None = Field(
        default=None, description="A window with fewer than min_runs runs reaches back further, up to this."
    )

    def build(self, on: Building) -> Judge | None:
        """The judge; None after noting what is wrong."""
        baseline = Baseline.of(self.baseline, on.metric.format)
        lower = self._direction(on)
        test = self.test or ("binomial" if on.metric.proportion and baseline.pooled else "none")
        self._check_baseline(on, baseline, test)
        self._check_widen(on, baseline)
        effect = self._effect(on, lower=lower)
        stays = self._stays(on, effect) if effect else None
        floor, clear = self._floor(on, lower=lower)
        if effect is None or stays is None:
            return None
        widen_ms = self.widen.ms if self.widen else 0
        return Compare(baseline, effect, stays, test, self.p or _P[test], floor, clear, on.min_runs, widen_ms)

    def _direction(self, on: Building) -> bool:
        """Whether small values are bad."""
        lower = self.drop is not None or (self.ratio is not None and self.ratio < 1)
        higher = self.increase is not None or (self.ratio is not None and self.ratio > 1)
        if lower and higher:
            on.note(("compare",), "drop (or a ratio below 1) and increase (or one above 1) exclude each other")
        elif not (lower or higher):
            on.note(("compare",), "needs drop, increase, or a ratio other than 1")
        return lower

    def _check_widen(self, on: Building, baseline: Baseline) -> None:
        if self.widen is None:
            return
        if not baseline.pooled:
            on.note(("compare", "widen"), "is for rates and durations; a count over a longer window is another number")
        elif not 2 * on.window_ms <= self.widen.ms <= min(_WIDEST * on.window_ms, self.baseline.ms // _WINDOWS):
            most = f"{_WIDEST} windows and a third of the baseline"
            on.note(("compare", "widen"), f"must be two windows at least, and at most {most}")

    def _check_baseline(self, on: Building, baseline: Baseline, test: Test) -> None:
        windows = self.baseline.ms // (7 * DAY_MS if self.baseline.weekly else max(1, on.window_ms))
        if windows < _WINDOWS:
            what = "3 weeks" if self.baseline.weekly else "3 windows"
            on.note(("compare", "baseline"), f"is shorter than {what}; what is usual cannot be told from it")
        if test in ("binomial", "wilson") and not (on.metric.proportion and baseline.pooled):
            why = "with same_weekday" if on.metric.proportion else f"and {on.metric.id} is none"
            on.note(("compare", "test"), f"{test} is for proportions {why}; write rank or none")
        if test == "rank" and baseline.pooled:
            on.note(("compare", "test"), "rank needs a baseline of windows: same_weekday, or a count")

    def _effect(self, on: Building, *, lower: bool) -> Effect | None:
        written = self.drop if lower else self.increase
        key = "drop" if lower else "increase"
        distance = _difference(on, written, ("compare", key)) if written is not None else None
        least = 0.0
        if self.min_abs is not None:
            found = _difference(on, self.min_abs, ("compare", "min_abs"))
            if found is not None and found.relative:
                on.note(("compare", "min_abs"), "is absolute; write it in the metric's unit")
            least = found.amount if found else 0.0
        if written is not None and distance is None:
            return None
        return Effect(lower, distance, self.ratio, least)

    def _stays(self, on: Building, fires: Effect) -> Effect | None:
        """What must still hold for an alert not to recover: as `recover` says, else half of what fires it."""
        key = "drop" if fires.lower else "increase"
        on.unused("floor", "ratio", key, *(("above" if fires.lower else "below",) if on.floor is not None else ()))
        written = on.recover.drop if fires.lower else on.recover.increase
        if written is not None:
            distance = _difference(on, written, ("recover", key))
            if distance is None:
                return None
            if fires.distance and (distance.amount > fires.distance.amount):
                on.note(("recover", key), "holds while the rule still fires; write less than under compare")
            return Effect(fires.lower, distance, on.recover.ratio, 0.0)
        distance = Difference(fires.distance.amount * _HALF, fires.distance.relative) if fires.distance else None
        ratio = on.recover.ratio or (1 + (fires.ratio - 1) * _HALF if fires.ratio is not None else None)
        return Effect(fires.lower, distance, ratio, fires.least * _HALF)

    def _floor(self, on: Building, *, lower: bool) -> tuple[float | None, float | None]:
        """The floor, and the limit beyond which what fired by it alone recovers."""
        written = on.floor
        if written is None:
            return None, None
        floor = on.quantity(("floor",), lambda: in_metric_unit(written, on.metric.format))
        key = "above" if lower else "below"
        back = on.recover.above if lower else on.recover.below
        if floor is None or back is None:
            return floor, floor
        clear = on.quantity(("recover", key), lambda: in_metric_unit(back, on.metric.format))
        if clear is not None and (clear < floor) == lower and clear != floor:
            on.note(("recover", key), "holds while the rule still fires; put it on the good side of the floor")
        return floor, clear


def _difference(on: Building, written: object, key: tuple[str, ...]) -> Difference | None:
    try:
        found = as_difference(written, on.metric.format)  # type: ignore[arg-type]  # QuantityField has read it
    except ValueError as error:
        on.note(key, str(error))
        return None
    if found.amount <= 0:
        on.note(key, "must be more than nothing; the key says the direction")
        return None
    return found
