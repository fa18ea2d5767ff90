"""The rule file's form (pydantic, at the edge) and the rule as the engine uses it (frozen, in the metric's own units).

Invariant: a `Rule` that exists is usable: everything that can be wrong with it was refused while loading, by
`headgate.alerting.load`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from headgate.alerting.inhibition import InhibitSpec
from headgate.alerting.units import Condition, ConditionField, Duration, DurationField, QuantityField
from headgate.core.alertdata import Level, Timing
from headgate.insights.catalogue import MetricDef
from headgate.insights.match import Matcher

__all__ = ["Defaults", "GroupSpec", "Limit", "Rule", "RuleFile", "RuleSpec", "ThresholdSpec", "rules_schema"]

NoData = Literal["ok", "alert", "keep"]
Stale = Literal["keep", "alert"]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Defaults(_Spec):
    """What rules of the file take where they say nothing."""

    every: DurationField = Field(default=Duration(300_000), description="How often a rule is evaluated.")
    evaluation_delay: DurationField = Field(
        default=Duration(120_000),
        description="How far behind the present a window ends; never past what was collected.",
    )
    no_data: NoData = Field(default="ok", description="What no runs in the window mean: ok, alert, or keep the state.")
    stale: Stale = Field(
        default="keep", description="What failed collection means: keep freezes the state, alert breaches."
    )
    min_runs: int = Field(default=20, ge=1, description="Fewer qualifying runs in the window are not judged.")
    keep_firing_for: DurationField = Field(
        default=Duration(900_000), description="How long the recovery must last before the alert is resolved."
    )
    max_alerts_per_rule: int = Field(default=200, ge=1, description="Groups beyond it are counted and not alerted on.")


def _as_levels(value: Any) -> Any:
    return {"warning": value} if isinstance(value, str) else value


class ThresholdSpec(_Spec):
    """Fixed limits. A plain condition is the same as `warning`."""

    warning: ConditionField | None = Field(default=None, description="Fires with the rule's own severity.")
    critical: ConditionField | None = Field(default=None, description="Fires with severity critical.")
    recover: ConditionField | None = Field(default=None, description="Must hold before the alert recovers.")


class RecoverSpec(_Spec):
    """When a firing alert recovers, beside `keep_firing_for`."""

    above: QuantityField = Field(default=None, description="The value must be above this.")
    below: QuantityField = Field(default=None, description="The value must be below this.")
    runs: int = Field(default=0, ge=0, description="Evaluations with new runs that must agree.")


class RuleSpec(_Spec):
    """One alert rule as written."""

    alert: str = Field(min_length=1, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", description="Name, unique over all files.")
    metric: str = Field(description="Id in the metric catalogue.")
    by: tuple[str, ...] = Field(default=(), description="Dimensions; one alert for each combination of their values.")
    window: DurationField = Field(description="How far back runs are judged.")
    threshold: Annotated[ThresholdSpec, BeforeValidator(_as_levels, json_schema_input_type=str | ThresholdSpec)] = (
        Field(description="When it fires.")
    )
    min_runs: int | None = Field(default=None, ge=1, description="Fewer qualifying runs are not judged.")
    for_: DurationField = Field(default=Duration(0), alias="for", description="How long the condition must hold.")
    for_runs: int = Field(default=1, ge=1, description="Breaching evaluations with new runs before it fires.")
    recover: RecoverSpec = Field(default_factory=RecoverSpec, description="When it recovers.")
    keep_firing_for: DurationField | None = Field(default=None, description="How long the recovery must last.")
    labels: dict[str, str] = Field(default={}, description="Fixed labels; routes match on them.")
    annotations: dict[str, str] = Field(default={}, description="Jinja2 texts for people.")
    every: DurationField | None = Field(default=None, description="How often it is evaluated.")
    evaluation_delay: DurationField | None = Field(default=None, description="How far behind the present windows end.")
    no_data: NoData | None = Field(default=None, description="What no runs in the window mean.")
    stale: Stale | None = Field(default=None, description="What failed collection means.")
    max_alerts_per_rule: int | None = Field(default=None, ge=1, description="Groups beyond it are not alerted on.")


class GroupSpec(_Spec):
    """Rules that share a filter."""

    name: str = Field(min_length=1, description="Unique over all files; label `group` of routes.")
    match: dict[str, str] | list[str] = Field(
        default={},
        description="Runs that are judged: a mapping of equal values, or a list of matchers such as branch!=main.",
    )
    rules: list[RuleSpec] = Field(min_length=1)


class RuleFile(_Spec):
    """A rule file."""

    version: Literal[1]
    defaults: Defaults = Defaults()
    groups: list[GroupSpec] = Field(min_length=1)
    inhibit: list[InhibitSpec] = Field(default=[], description="Alerts that keep others from being told.")


def rules_schema() -> dict[str, Any]:
    """JSON Schema of a rule file, for editors and `headgate schema rules`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RuleFile.model_json_schema(by_alias=True)}


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition with its limit in the metric's unit."""

    condition: Condition
    value: float

    def holds(self, value: float) -> bool:
        """Whether a value meets it."""
        return self.condition.holds(value, self.value)


@dataclass(frozen=True, slots=True)
class Rule:
    """One usable rule. Durations in milliseconds. `levels`: severest first. `where`: matchers of its group.

    `recover`: None where recovering is the contrary of firing. `source`: file and line.
    """

    name: str
    group: str
    metric: MetricDef
    by: tuple[str, ...]
    where: tuple[Matcher, ...]
    window_ms: int
    levels: tuple[tuple[Level, Limit], ...]
    recover: Limit | None
    min_runs: int
    timing: Timing
    stale: Stale
    every_ms: int
    delay_ms: int
    max_alerts: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    def severity(self, level: int) -> str:
        """The severity label at a level."""
        return "critical" if level >= 2 else self.labels.get("severity", "warning")


def version_of(spec: RuleSpec, match: object) -> str:
    """What identifies the meaning of a rule. Texts, labels and rhythm may change without closing its alerts."""
    meaning = spec.model_dump(
        include={"metric", "by", "window", "threshold", "min_runs", "for_", "for_runs", "recover", "no_data"},
        mode="python",
    )
    body = msgspec.json.encode([repr(sorted(meaning.items())), repr(match)])
    return hashlib.sha256(body).hexdigest()[:16]


def spec_fields(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a form as they are written."""
    for name, info in model.model_fields.items():
        yield info.alias or name
