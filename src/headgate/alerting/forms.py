"""How a rule file is written: pydantic forms, at the edge, and their JSON Schema.

A rule has the keys of every rule and exactly one key that says its kind, whose form is in a module of `kinds`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, BeforeValidator, Field

from headgate.alerting.inhibition import InhibitSpec
from headgate.alerting.kinds.absence import AbsenceSpec
from headgate.alerting.kinds.compare import CompareSpec
from headgate.alerting.kinds.detect import DetectSpec
from headgate.alerting.kinds.event import EventName, build_event
from headgate.alerting.kinds.flaky import FlakySpec
from headgate.alerting.kinds.forecast import ForecastSpec
from headgate.alerting.kinds.slo import SloSpec
from headgate.alerting.kinds.stuck import StuckSpec
from headgate.alerting.kinds.threshold import ThresholdSpec
from headgate.alerting.rules import Judge
from headgate.alerting.spec import Building, PlanSpec, RecoverSpec, Spec
from headgate.alerting.units import Duration, DurationField, QuantityField
from headgate.core.times import DAY_MS
from headgate.insights.metric import Over

__all__ = [
    "KINDS",
    "CalendarSpec",
    "Defaults",
    "GroupSpec",
    "Kind",
    "RuleFile",
    "RuleSpec",
    "rules_schema",
    "spec_fields",
    "version_of",
]

NoData = Literal["ok", "alert", "keep"]
Stale = Literal["keep", "alert"]


class CalendarSpec(Spec):
    """Days on which a rule is not judged; same-weekday baselines leave them out."""

    skip: tuple[Literal["weekends", "holidays"], ...] = Field(min_length=1, description="weekends, holidays.")
    time_zone: str = Field(default="UTC", description="Where the days begin: Europe/Berlin.")
    holidays: tuple[date, ...] | str = Field(
        default=(), description="Dates (2026-12-25), or the path of a file with one a line, relative to the rule file."
    )


class Defaults(Spec):
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
    calendar: CalendarSpec | None = Field(default=None, description="Days without judgement.")


def _as_levels(value: Any) -> Any:
    return {"warning": value} if isinstance(value, str) else value


class RuleSpec(Spec):
    """One alert rule as written."""

    alert: str = Field(min_length=1, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", description="Name, unique over all files.")
    metric: str | None = Field(default=None, description="Id in the metric catalogue; some kinds have their own.")
    over: Over | None = Field(default=None, description="What is measured, where the metric knows several.")
    by: tuple[str, ...] = Field(default=(), description="Dimensions; one alert for each combination of their values.")
    window: DurationField | None = Field(default=None, description="How far back runs are judged.")
    threshold: (
        Annotated[ThresholdSpec, BeforeValidator(_as_levels, json_schema_input_type=str | ThresholdSpec)] | None
    ) = Field(default=None, description="Kind: fixed limits.")
    compare: CompareSpec | None = Field(default=None, description="Kind: change against what is usual.")
    detect: DetectSpec | None = Field(default=None, description="Kind: a lasting change of a series.")
    absence: AbsenceSpec | None = Field(default=None, description="Kind: silence against the group's own rhythm.")
    forecast: ForecastSpec | None = Field(default=None, description="Kind: a budget that will not last.")
    stuck: StuckSpec | None = Field(default=None, description="Kind: what does not end.")
    event: EventName | None = Field(default=None, description="Kind: main_broke or main_recovered.")
    slo: SloSpec | None = Field(default=None, description="Kind: burn rate of an objective.")
    flaky: FlakySpec | None = Field(default=None, description="Kind: new and worsening flaky tests.")
    floor: QuantityField = Field(default=None, description="With compare: fires whatever is usual.")
    min_runs: int | None = Field(default=None, ge=1, description="Fewer qualifying runs are not judged.")
    for_: DurationField = Field(default=Duration(0), alias="for", description="How long the condition must hold.")
    for_runs: int = Field(default=1, ge=1, description="Breaching evaluations with new runs before it fires.")
    recover: RecoverSpec = Field(default_factory=RecoverSpec, description="When it recovers.")
    keep_firing_for: DurationField | None = Field(default=None, description="How long the recovery must last.")
    context: Literal["suspect_commits"] | None = Field(
        default=None, description="Tell the commits between the last good and the first bad run."
    )
    calendar: CalendarSpec | None = Field(default=None, description="Days without judgement.")
    labels: dict[str, str] = Field(default={}, description="Fixed labels; routes match on them.")
    annotations: dict[str, str] = Field(default={}, description="Jinja2 texts for people.")
    every: DurationField | None = Field(default=None, description="How often it is evaluated.")
    evaluation_delay: DurationField | None = Field(default=None, description="How far behind the present windows end.")
    no_data: NoData | None = Field(default=None, description="What no runs in the window mean.")
    stale: Stale | None = Field(default=None, description="What failed collection means.")
    max_alerts_per_rule: int | None = Field(default=None, ge=1, description="Groups beyond it are not alerted on.")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rule. `build`: from its form. `metric`: the one it is told of, None where the rule says.

    `window_ms`: where the rule says none; None: it must. `min_runs`: the same, None: the file's default. `no_data`:
    what it means that a group has nothing to judge, None: as the file says.
    """

    build: Callable[[Any, Building], Judge | None]
    metric: str | None = None
    window_ms: int | None = None
    min_runs: int | None = None
    no_data: NoData | None = None


KINDS: Mapping[str, Kind] = {
    "threshold": Kind(ThresholdSpec.build),
    "compare": Kind(CompareSpec.build),
    "detect": Kind(DetectSpec.build, window_ms=14 * DAY_MS, no_data="keep"),
    "absence": Kind(AbsenceSpec.build, "runs", window_ms=28 * DAY_MS, no_data="keep"),
    "forecast": Kind(ForecastSpec.build, "credits", window_ms=31 * DAY_MS),
    "stuck": Kind(StuckSpec.build, "runs", window_ms=7 * DAY_MS),
    "event": Kind(build_event, "success_rate", window_ms=7 * DAY_MS, min_runs=1, no_data="keep"),
    "slo": Kind(SloSpec.build, "success_rate"),
    "flaky": Kind(FlakySpec.build, "flaky_score"),
}


class GroupSpec(Spec):
    """Rules that share a filter."""

    name: str = Field(min_length=1, description="Unique over all files; label `group` of routes.")
    match: dict[str, str] | list[str] = Field(
        default={},
        description="Runs that are judged: a mapping of equal values, or a list of matchers such as branch!=main.",
    )
    rules: list[RuleSpec] = Field(min_length=1)


class RuleFile(Spec):
    """A rule file."""

    version: Literal[1]
    defaults: Defaults = Defaults()
    plan: PlanSpec | None = Field(default=None, description="What was bought, for forecasts.")
    groups: list[GroupSpec] = Field(min_length=1)
    inhibit: list[InhibitSpec] = Field(default=[], description="Alerts that keep others from being told.")


def rules_schema() -> dict[str, Any]:
    """JSON Schema of a rule file, for editors and `headgate schema rules`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RuleFile.model_json_schema(by_alias=True)}


_TEXTS = {"alert", "labels", "annotations", "every", "evaluation_delay", "max_alerts_per_rule", "context", "stale"}


def version_of(spec: RuleSpec, match: object) -> str:
    """What identifies the meaning of a rule. Texts, labels and rhythm may change without closing its alerts."""
    meaning = spec.model_dump(exclude=_TEXTS | {"keep_firing_for"}, exclude_defaults=True, mode="python")
    body = msgspec.json.encode([repr(sorted(meaning.items())), repr(match)])
    return hashlib.sha256(body).hexdigest()[:16]


def spec_fields(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a form as they are written."""
    for name, info in model.model_fields.items():
        yield info.alias or name
