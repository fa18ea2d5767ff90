"""What a store tells about single runs and their parts: rows for metrics, rules and pages.

Times in milliseconds since the epoch, spans in milliseconds. `project` is the slug as it is today, `status` our word,
`branch_class` 1 for the project's default branch, else 0; a text that is not known is empty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

__all__ = [
    "DeploymentRow",
    "JobRow",
    "LiveChoice",
    "LiveRow",
    "ProjectRow",
    "RunChoice",
    "RunDetail",
    "RunJob",
    "RunRow",
    "RunStep",
    "StepFailures",
    "TestCommit",
    "TestOutcome",
    "TestSum",
    "TestsOver",
]


class RunRow(msgspec.Struct, frozen=True, gc=False):
    """One ended workflow; a struct, which is made fastest, since there are many.

    `duration_ms`: creation to end, None where unknown.
    `hold_ms`: sum of the waits of its approvals, None while the list of its jobs was not read, which alone tells of
    approvals, or one of them has no known end. `attempt`: 2 for the first rerun. `rerun_of`: the workflow that it
    repeats. `trigger`: CircleCI's word. `credits`: None where unknown; `credits_estimated`: they are no bill.
    `source`: the source that told of it first.
    """

    workflow_id: str
    project: str
    workflow: str
    ref: str
    branch_class: int
    status: str
    stopped_ms: int
    duration_ms: int | None
    revision: str
    pipeline_number: int | None
    url: str
    created_ms: int | None = None
    hold_ms: int | None = None
    credits: int | None = None
    attempt: int = 1
    rerun_of: str = ""
    trigger: str = ""
    credits_estimated: bool = False
    source: str = ""


@dataclass(frozen=True, slots=True)
class RunChoice:
    """Which ended workflows a question is about; what is empty or None takes all. `status`: our word."""

    branch: str = ""
    branch_class: int | None = None
    trigger: str = ""
    status: str = ""

    def takes(self, run: RunRow | JobRow | LiveRow) -> bool:
        """Whether it takes one, or a job of one, or what has not ended."""
        return (
            self.branch in ("", run.ref)
            and self.branch_class in (None, run.branch_class)
            and self.trigger in ("", run.trigger)
            and self.status in ("", run.status)
        )


class JobRow(msgspec.Struct, frozen=True, gc=False):
    """One ended job, approvals included; a struct, as a run is. `workflow_id`: empty where unknown.

    `duration_ms`, `queue_ms`: None where unknown, as of an approval. `type`: `build`, `approval` or empty. `number`:
    in its project. `revision`, `ref`, `trigger`: of its workflow, else of its pipeline.
    """

    job_id: str
    workflow_id: str
    project: str
    workflow: str
    job: str
    ref: str
    branch_class: int
    status: str
    type: str
    resource_class: str
    executor: str
    parallelism: int | None
    started_ms: int | None
    stopped_ms: int
    duration_ms: int | None
    queue_ms: int | None
    credits: int | None
    revision: str
    number: int | None
    url: str
    trigger: str


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One workflow or job that has not ended. `id`: the provider's. `job`: empty for a workflow.

    `theirs`: CircleCI's word for `status`. `since_ms`: when that state began, as far as known: a job runs since its
    start and waits since it was queued; a workflow is on hold since the first of its open approvals was, and runs since
    the last of its approvals was given.
    """

    kind: Literal["workflow", "job"]
    id: str
    project: str
    workflow: str
    job: str
    ref: str
    branch_class: int
    status: str
    theirs: str
    since_ms: int
    created_ms: int
    url: str
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class LiveChoice:
    """Which of what has not ended a question is about; what is empty or None takes all.

    `statuses`: our words; `places`: (project, workflow, job), without a job for a workflow; `run`: no status in it.
    """

    kind: Literal["workflow", "job", ""] = ""
    statuses: Collection[str] = ()
    places: Collection[tuple[str, str, str]] | None = None
    run: RunChoice = RunChoice()

    def takes(self, row: LiveRow) -> bool:
        """Whether it takes one."""
        return (
            self.kind in ("", row.kind)
            and (not self.statuses or row.status in self.statuses)
            and (self.places is None or (row.project, row.workflow, row.job) in self.places)
            and self.run.takes(row)
        )


class TestOutcome(NamedTuple):
    """What came of one test on one commit. `jobs`: names of the jobs that ran it, sorted.

    `infra`: failures in jobs that ended as `error`; `failed` has the others. `first_ms`, `last_ms`: ends of the first
    and last of those jobs. `run_ms`: sum of known run times. `branch_class`: 1 where one of the jobs was of the default
    branch.
    """

    project: str
    test_id: str
    revision: str
    name: str
    suite: str
    class_name: str
    file: str
    passed: int
    failed: int
    infra: int
    jobs: tuple[str, ...]
    first_ms: int
    last_ms: int
    run_ms: int
    branch_class: int = 0


class TestCommit(NamedTuple):
    """A part of `TestOutcome` that is read faster."""

    project: str
    test_id: str
    revision: str
    last_ms: int
    run_ms: int
    passed: int
    failed: int
    infra: int
    branch_class: int


class TestSum(NamedTuple):
    """What came of one test on all of its commits, or on those of one class of branches, under its one name."""

    project: str
    test_id: str
    name: str
    suite: str
    class_name: str
    file: str
    passed: int
    failed: int
    infra: int
    run_ms: int


@dataclass(frozen=True, slots=True)
class TestsOver:
    """What came of tests in a window. Tests are told by project and id, rows come in their order.

    `varied`: tests whose results, there or in the time before, do not agree on a name, suite, class or file: ask for
    their outcomes; they are neither in `sums` nor in `slower`. `faults`, `earlier`: commits of the window and of the
    time before on which a test failed, and not through the machine alone. `slower`: see `core.turning.became_slower`,
    which is given the mean run time of a result of each commit that has one, in the order of their ends, those that
    ended at once by the mean.
    """

    sums: Sequence[TestSum]
    faults: Sequence[TestOutcome]
    earlier: Sequence[TestOutcome]
    varied: Collection[tuple[str, str]]
    slower: Collection[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class StepFailures:
    """How often one step failed (failure, error, timeout). `last_ms`: end of the newest."""

    project: str
    workflow: str
    job: str
    step: str
    n: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """One ended deployment. `status`: `succeeded` or `failed`, as the source says. `origin`: rule, marker or call."""

    deployment_id: str
    project: str
    name: str
    environment: str
    status: str
    revision: str
    version: str
    started_ms: int | None
    stopped_ms: int
    workflow_id: str
    job_id: str
    origin: str
    url: str


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """One project of which anything is known. `default_branch`: empty where it is not known."""

    project: str
    org: str
    default_branch: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """One job of a run, whether it has ended or not. `requires`: ids of the jobs that had to end first."""

    job_id: str
    job: str
    type: str
    status: str
    created_ms: int | None
    queued_ms: int | None
    started_ms: int | None
    stopped_ms: int | None
    requires: tuple[str, ...]
    resource_class: str
    executor: str
    parallelism: int | None
    credits: int | None
    number: int | None


@dataclass(frozen=True, slots=True)
class RunStep:
    """One step of a job that has ended. `node`: which of the parallel machines, from 0."""

    job_id: str
    index: int | None
    node: int
    step: str
    status: str
    started_ms: int | None
    stopped_ms: int
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One workflow, whether it has ended or not, with its jobs by creation and start, and the steps of those by start.

    `author`: login of who caused it; `subject`: first line of the commit message.
    """

    workflow_id: str
    project: str
    workflow: str
    ref: str
    branch_class: int
    status: str
    created_ms: int | None
    stopped_ms: int | None
    revision: str
    pipeline_number: int | None
    url: str
    credits: int | None
    credits_estimated: bool
    attempt: int
    rerun_of: str
    trigger: str
    author: str
    subject: str
    jobs: tuple[RunJob, ...]
    steps: tuple[RunStep, ...]
