"""A rule as the engine uses it: frozen, in the metric's own units. How it is written: `headgate.alerting.forms`.

Invariant: a `Rule` that exists is usable: everything that can be wrong with it was refused while loading, by
`headgate.alerting.load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from headgate.alerting.calendars import Calendar
from headgate.alerting.units import Condition
from headgate.alerting.view import Found, View
from headgate.core.alertdata import Alert, Timing
from headgate.core.times import HOUR_MS, MINUTE_MS
from headgate.insights.match import Matcher
from headgate.insights.metric import Labels, MetricDef

__all__ = ["Judge", "Limit", "Rule"]

# Data this many intervals behind, and at least so long, is "could not collect" rather than "a little late". The floor
# keeps rules that are evaluated more often than projects are polled from being frozen between two polls.
_STALE_INTERVALS = 3
_STALE_FLOOR_MS = 15 * MINUTE_MS


class Judge(Protocol):
    """What a kind of rule knows: which groups breach, which have recovered. Frozen; one module of `kinds` each."""

    async def find(self, view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, Found]:
        """What is so in groups with an alert and in those that breach; others may be left out.

        A group with an alert that is left out has no data. Reads through `view` alone; keeps nothing.
        """
        ...


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
    """One usable rule. Durations in milliseconds. `kind`: key under which `judge` was written. `where`: matchers.

    `source`: file and line. `suspects`: whether the commits between the last good and the first bad run are told.
    `calendar`: days without judgement.
    """

    name: str
    group: str
    kind: str
    judge: Judge
    metric: MetricDef
    by: tuple[str, ...]
    where: tuple[Matcher, ...]
    window_ms: int
    min_runs: int
    timing: Timing
    stale: Literal["keep", "alert"]
    every_ms: int
    delay_ms: int
    max_alerts: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    calendar: Calendar | None = None
    suspects: bool = False
    source: str = ""

    @property
    def stale_after_ms(self) -> int:
        """How far behind now collection may be before the rule's alerts are frozen."""
        return self.delay_ms + max(_STALE_INTERVALS * self.every_ms, _STALE_FLOOR_MS)

    @property
    def patience_ms(self) -> int:
        """What is older than this, or follows on so long a gap, is late."""
        return max(HOUR_MS, 2 * self.every_ms)

    def severity(self, level: int) -> str:
        """The severity label at a level."""
        return "critical" if level >= 2 else self.labels.get("severity", "warning")
