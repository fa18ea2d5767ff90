"""What the form of every rule kind has in common, and what it may use to become a judge. Pydantic, at the edge."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from headgate.alerting.units import QuantityField
from headgate.alerting.yamlfile import KeyPath
from headgate.core.times import DAY_MS
from headgate.insights.catalogue import CATALOGUE, Catalogue
from headgate.insights.metric import MetricDef

__all__ = ["SHIPPED", "Building", "Ground", "PlanSpec", "RecoverSpec", "Spec"]


@dataclass(frozen=True, slots=True)
class Ground:
    """What rules stand on, beyond their files. `catalogue`: metrics, with KPIs of the configuration.

    `detectors`: names that rules can use. `facts_ms`, `tests_ms`: how long runs and results of tests are kept.
    """

    catalogue: Catalogue = field(default_factory=lambda: CATALOGUE)
    detectors: Collection[str] = ("change_point",)
    facts_ms: int = 400 * DAY_MS
    tests_ms: int = 30 * DAY_MS


SHIPPED = Ground()  # what is so without a configuration


class Spec(BaseModel):
    """A part of a rule file: unknown keys are refused, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class RecoverSpec(Spec):
    """When a firing alert recovers, beside `keep_firing_for`."""

    above: QuantityField = Field(default=None, description="The value must be above this.")
    below: QuantityField = Field(default=None, description="The value must be below this.")
    drop: QuantityField = Field(default=None, description="The value must have dropped less than this: 5pp, 10%.")
    increase: QuantityField = Field(default=None, description="The value must have risen less than this.")
    ratio: float | None = Field(default=None, gt=0, description="Value by baseline must be nearer to 1 than this.")
    runs: int = Field(default=0, ge=0, description="Evaluations with new runs that must agree.")


class PlanSpec(Spec):
    """What was bought, for forecasts."""

    credits: float = Field(gt=0, description="Credits of one period.")
    period: Literal["month", "week"] = Field(default="month", description="How long a period is.")
    starts_on: int = Field(default=1, ge=1, le=28, description="Day of the month, or of the week (1 is Monday).")


@dataclass(frozen=True, slots=True)
class Building:
    """One rule on its way from form to judge. `note`: says what is wrong under a key of the rule.

    `window_given`: whether the rule has a window of its own. `plan`: of the file, None without.
    `detectors`: names of those that are there.
    """

    metric: MetricDef
    by: tuple[str, ...]
    window_ms: int
    window_given: bool
    every_ms: int
    min_runs: int
    recover: RecoverSpec
    floor: Any
    plan: PlanSpec | None
    detectors: Collection[str]
    note: Callable[[KeyPath, str], None]

    def quantity(self, key: KeyPath, read: Callable[[], float]) -> float | None:
        """A number in the metric's unit; None after noting why it cannot be."""
        try:
            return read()
        except ValueError as error:
            self.note(key, str(error))
            return None

    def unused(self, *names: str) -> None:
        """Note keys of `recover`, and `floor`, that this kind has no use for."""
        given = {name for name in ("above", "below", "drop", "increase", "ratio") if getattr(self.recover, name)}
        for name in sorted(given - set(names)):
            self.note(("recover", name), "means nothing for this kind of rule")
        if self.floor is not None and "floor" not in names:
            self.note(("floor",), "belongs to compare; a fixed limit is a threshold")
