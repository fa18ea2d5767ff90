"""What a store tells about the parts of many runs: bills, loads, failures, results of one test, parallel machines.

Words and units as in `core.runrows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self, get_args

import msgspec

from headgate.core.runrows import JobRow

__all__ = [
    "CREDIT_KINDS",
    "MOST_FAILED_TESTS",
    "MOST_PERCENT",
    "USAGE_NAMES",
    "AuditedDay",
    "Busy",
    "FailedJob",
    "FailedStep",
    "FailedTest",
    "NodeSum",
    "OutageSum",
    "Percents",
    "RepeatSum",
    "RerunSum",
    "TestRun",
    "UsageLoad",
    "UsageName",
    "UsageSum",
]

# What credits are charged for: fields `<kind>_credits` of a usage row, in the order of the export's columns.
CREDIT_KINDS = ("compute", "dlc", "user", "storage", "network", "lease", "lease_overage", "ipranges")
# What rows of the usage export are told apart by within a project.
UsageName = Literal["workflow", "job", "resource_class", "executor", "operating_system"]
USAGE_NAMES: tuple[UsageName, ...] = get_args(UsageName)
# Figures of loads are percents of a machine; what exceeds this counts as this.
MOST_PERCENT = 255
# Of a job with many failed tests the first ones by name tell enough.
MOST_FAILED_TESTS = 5


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What rows of the usage export say of one job on one kind of machine.

    `credits`: by kind, only those that are not 0; `total`: of the rows' totals, which is what is billed. `seconds`:
    billed run time.
    """

    project: str
    workflow: str
    job: str
    resource_class: str
    executor: str
    operating_system: str
    runs: int
    seconds: int
    credits: Mapping[str, int]
    total: int


class Busy(Protocol):
    """How busy runs kept something, in percents, rounded up, 0 to `MOST_PERCENT`. `runs`: of how many that is known.

    `p95`: of them, nearest rank; `highest`: None, as `p95`, where nothing is known. Each may be worked out when it is
    asked for. Equal to what says the same.
    """

    @property
    def runs(self) -> int: ...
    @property
    def p95(self) -> int | None: ...
    @property
    def highest(self) -> int | None: ...


class Percents(NamedTuple):
    """The three of `Busy`."""

    runs: int = 0
    p95: int | None = None
    highest: int | None = None

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Self:
        """From percent -> runs."""
        left = -(-sum(counts.values()) * 95 // 100)
        for percent in sorted(counts):
            left -= counts[percent]
            if left <= 0:
                return cls(sum(counts.values()), percent, max(counts))
        return cls()


class UsageLoad(msgspec.Struct, frozen=True, gc=False):
    """How busy one job kept one kind of machine. `runs`: rows, with figures or without; `compute`: their credits."""

    project: str
    workflow: str
    job: str
    resource_class: str
    executor: str
    operating_system: str
    runs: int
    compute: int
    ram_max: Busy
    cpu_median: Busy
    cpu_max: Busy


class FailedStep(msgspec.Struct, frozen=True, gc=False):
    """A step that failed. `tail`: end of its output, empty unless the source keeps it."""

    step: str
    index: int | None
    node: int
    status: str
    exit_code: int | None
    tail: str


class FailedTest(msgspec.Struct, frozen=True, gc=False):
    """A test that failed in a job. `message`: its failure text, empty where unknown."""

    test_id: str
    name: str
    class_name: str
    message: str


class FailedJob(msgspec.Struct, frozen=True, gc=False):
    """One job that ended as failure, error or timeout.

    `steps`: those that failed, by index and machine. `tests`: the first `MOST_FAILED_TESTS` by name; `tests_failed`:
    how many there are. `notes`: what CircleCI itself said of the job.
    """

    row: JobRow
    steps: tuple[FailedStep, ...]
    tests: tuple[FailedTest, ...]
    tests_failed: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestRun:
    """One result of one test. `result`: pass, fail or skip; `infra`: its job ended as error.

    `ref`, `revision`: of the workflow, else of its pipeline. `branch_class`: 1 for the default branch.
    """

    test_id: str
    name: str
    suite: str
    class_name: str
    file: str
    result: str
    infra: bool
    run_ms: int | None
    message: str
    node: int | None
    stopped_ms: int
    job_id: str
    job: str
    workflow_id: str
    workflow: str
    ref: str
    revision: str
    number: int | None
    branch_class: int = 0


@dataclass(frozen=True, slots=True)
class NodeSum:
    """How evenly a job's work was spread over its parallel machines.

    `runs`: with steps of more than one machine; `nodes`: the most of them; `slowest_ms`, `mean_ms`: sums over runs of
    the time of the slowest machine and of the mean of all.
    """

    project: str
    workflow: str
    job: str
    runs: int
    nodes: int
    slowest_ms: int
    mean_ms: int


@dataclass(frozen=True, slots=True)
class OutageSum:
    """Workflows that went from red to green and back, by project and what else was asked for; other names are empty.

    `recoveries`: outages that ended in the window, `red_ms` long together; `relapses`: failures of the window that
    followed on a recovery, `green_ms` after it together.
    """

    project: str
    workflow: str
    ref: str
    branch_class: int
    recoveries: int
    red_ms: int
    relapses: int
    green_ms: int

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What it is a sum of."""
        return self.project, self.workflow, self.ref, self.branch_class


@dataclass(frozen=True, slots=True)
class RepeatSum:
    """Ended workflows that repeat one that failed, by project and what else was asked for; other names are empty.

    `runs`: of any end, `green`: successful ones, `charged`: those whose credits are known; `duration_ms`: from creation
    to end; `estimated`: some of the credits are no bill.
    """

    project: str
    workflow: str
    ref: str
    branch_class: int
    trigger: str
    runs: int
    green: int
    credits: int
    charged: int
    estimated: bool
    duration_ms: int


@dataclass(frozen=True, slots=True)
class RerunSum:
    """Jobs that ran in repeats of failed workflows; those that a repeat took over are not in it."""

    project: str
    workflow: str
    job: str
    jobs: int
    credits: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class AuditedDay:
    """What audits found of a project's UTC day, hours together. `day_ms`: its begin. Figures as `audit` facts."""

    project: str
    day_ms: int
    expected: int
    present: int
    repaired: int
    unrepairable: int
    unannounced: int
