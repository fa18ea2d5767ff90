"""What a metric is: its definition for people, how its value is computed, and what a measurement gives. Pure data.

Invariant: a definition holds everything that rules, pages, exports and documentation say about the metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from headgate.core.outages import Outages
from headgate.core.rollup import Measure
from headgate.core.runrows import JobRow, RunRow
from headgate.core.tally import Tally

__all__ = [
    "Each",
    "Family",
    "Fold",
    "Format",
    "FromDeployments",
    "FromFormula",
    "FromLags",
    "FromOutages",
    "FromRepeats",
    "FromRows",
    "FromTally",
    "Labels",
    "Measured",
    "MetricDef",
    "Over",
    "Point",
    "Repeats",
    "Rows",
]

Format = Literal["percentage", "score", "duration", "number", "credits"]
# Which data must be complete for a window to be judged.
Family = Literal["runs", "jobs", "credits", "tests", "deployments", "freshness"]
# What durations and sums are about. Metrics that make sense for one of them alone have one variant.
Over = Literal["workflow", "workflow_without_hold", "jobs"]
# `flakes`: tests that flaked, and how many did not.
Rows = Literal["runs", "tests", "flakes", "steps"]
# The labels of a group as sorted pairs, usable as a key.
Labels = tuple[tuple[str, str], ...]


class Measured(msgspec.Struct, frozen=True, gc=False):
    """One metric of one group over one window; a struct, which is made fastest, since a page makes thousands.

    `value`: in the metric's unit, None where nothing qualifies. `n`: sample size, what qualifies. `hits`: of a
    proportion, those that make up the share. `estimated`: some of the credits in it are estimates, which a bill may
    replace.
    """

    value: float | None
    n: int
    hits: int | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One run or job of a series. `value`: in the metric's unit. `ok`: it succeeded. `labels`: what it is about."""

    id: str
    at_ms: int
    value: float
    ok: bool
    revision: str
    number: int | None
    url: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FromTally:
    """Computed from sums of ended workflows or jobs. `of`: takes the sums and the window's length, milliseconds."""

    kind: Literal["workflow", "job"]
    of: Callable[[Tally, int], Measured]
    bins: frozenset[Measure] = frozenset()


class Fold(Protocol):
    """Gathers the rows of one group, in the order of their end where rows have one."""

    def add(self, row: Any, *, inside: bool) -> None:
        """One row. `inside`: it ended in the window; the others came before it and are context."""
        ...


@dataclass(frozen=True, slots=True)
class FromRows:
    """Computed from rows that are read one by one. `start`: an empty fold; metrics with the same share one reading.

    `read`: the value of a fold over a window of that many milliseconds. `context`: as much time as the window is long,
    and a week at least, is read before it too.
    """

    rows: Rows
    start: Callable[[], Fold]
    read: Callable[[Any, int], Measured]
    context: bool = False


@dataclass(frozen=True, slots=True)
class FromDeployments:
    """Computed from deployments, those before a window too. `read`: as of `FromRows`.

    `begun`: only from those whose commit has a beginning.
    """

    read: Callable[[Any, int], Measured]
    begun: bool = False


@dataclass(slots=True)
class Repeats:
    """One group. `ended`: runs, skipped ones aside; `green`: successes; of `repeats` of failed ones the rest.

    `charged`: repeats whose credits are known.
    """

    ended: int = 0
    green: int = 0
    repeats: int = 0
    green_on_retry: int = 0
    credits: int = 0
    charged: int = 0
    estimated: bool = False
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class FromRepeats:
    """Computed from sums of ended workflows and of those that repeat a failed one."""

    read: Callable[[Repeats], Measured]


@dataclass(frozen=True, slots=True)
class FromOutages:
    """Computed from sums of outages, with how many runs were judged where `judged` says that it counts.

    `by_run`: the same from runs, for what sums do not know: of triggers only runs of the same follow each other.
    """

    read: Callable[[Outages], Measured]
    by_run: FromRows
    judged: bool = False


@dataclass(frozen=True, slots=True)
class FromLags:
    """Not computed from facts: how far behind the present the group's projects are collected."""


@dataclass(frozen=True, slots=True)
class FromFormula:
    """Computed from other metrics, by name. `of`: takes their values by name; None where it has no value."""

    inputs: Mapping[str, MetricDef]
    of: Callable[[Mapping[str, float]], float | None]


@dataclass(frozen=True, slots=True)
class Each:
    """The metric of a single run or job, for series. `of`: None leaves it out. `statuses`: ends that qualify.

    `among`: what those of one workflow or job tell of each other is written into them first.
    """

    kind: Literal["workflow", "job"]
    of: Callable[[RunRow | JobRow], float | None]
    statuses: frozenset[str]
    among: Callable[[Sequence[RunRow | JobRow]], Sequence[RunRow | JobRow]] | None = None


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric. `unit`: of the value (1, s, {run}); a percentage is a ratio from 0 to 1, a duration seconds.

    `formula`, `inputs`, `counts`: for people; how it is computed, from which facts, and what qualifies. `proportion`:
    its measurements have hits. `circleci`: how it differs from the number of that name in CircleCI Insights.
    """

    id: str
    unit: str
    format: Format
    doc: str
    formula: str
    inputs: tuple[str, ...]
    counts: str
    family: Family
    dimensions: tuple[str, ...]
    compute: FromTally | FromRows | FromDeployments | FromRepeats | FromOutages | FromLags | FromFormula
    over: Over = "workflow"
    each: Each | None = None
    proportion: bool = False
    higher_is_worse: bool = True
    proxy: bool = False
    circleci: str = ""

    @property
    def families(self) -> frozenset[Family]:
        """Everything that must be complete: that of its inputs where it is a formula."""
        if isinstance(self.compute, FromFormula):
            return frozenset(family for metric in self.compute.inputs.values() for family in metric.families)
        return frozenset({self.family})

    @property
    def series_needs(self) -> tuple[str, ...]:
        """The labels without which it has no series; empty where it has none at all."""
        if self.each is None:
            return ()
        return ("project", "workflow", "job") if self.each.kind == "job" else ("project", "workflow")
