"""Pipelines, workflows and jobs as they will have been, and what they look like at any moment.

Every time is milliseconds since the epoch; 0 means that it never comes. The classes are mutable because a
job gets its number when the history reaches the moment it is queued; nothing else changes after creation.
Invariant: status is never stored as of a moment, it follows from the times.
"""

from dataclasses import dataclass, field
from typing import Literal

from headgate.testing.circleci.cast import Project
from headgate.testing.circleci.plan import CREDITS_PER_MINUTE, JobSpec, WorkflowSpec

Trigger = Literal["push", "api", "schedule"]

FAILED = frozenset({"failed", "infrastructure_fail", "timedout"})
FLAKY_TESTS = 5  # tests of each job that fail now and then for no reason of the commit's: the first ones


@dataclass(slots=True, eq=False)
class Pipeline:
    """A pipeline; `index` is its position in the project's list and its number minus one."""

    project: Project
    index: int
    created: int
    trigger: Trigger
    branch: str | None
    tag: str | None
    actor: int  # position among the people
    errored: bool = False
    bare_tag: bool = False  # its webhooks say `"branch": null` and no tag, as some real ones do
    workflows: list["Workflow"] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The number CircleCI shows."""
        return self.index + 1


@dataclass(slots=True, eq=False)
class Workflow:
    """A workflow run; `stopped` is 0 while somebody has yet to approve."""

    pipeline: Pipeline
    index: int
    spec: WorkflowSpec
    created: int
    actor: int
    rerun_of: "Workflow | None" = None
    stopped: int = 0
    status: str = "running"  # the final one
    jobs: tuple["Job", ...] = ()
    attempt: int = 1

    def status_at(self, now: int) -> str:
        """Say the status at a moment not before `created`."""
        if self.stopped and now >= self.stopped:
            return self.status
        states = {job.status_at(now) for job in self.jobs}
        if states & FAILED:
            return "failing"
        if not states & {"running", "queued"} and "on_hold" in states:
            return "on_hold"
        return "running"

    def done_at(self, now: int) -> bool:
        """Say whether the workflow has ended."""
        return 0 < self.stopped <= now

    @property
    def credits(self) -> int:
        """Give what the run cost; jobs that a rerun took over were paid for once."""
        return sum(job.credits for job in self.jobs if job.workflow is self)


@dataclass(slots=True, eq=False)
class Job:
    """A job run; `queued` is when it entered the usage queue (or, for an approval, went on hold).

    `workflow` is where it ran: a rerun from failed lists the jobs that had succeeded as they are.
    """

    workflow: Workflow
    position: int
    spec: JobSpec
    queued: int = 0
    started: int = 0
    stopped: int = 0
    status: str = "blocked"  # the final one
    flaky: bool = False  # its failure is a flaky test's fault
    blamed: int = -1  # position of the test that failed it, -1: drawn from its results' random source
    number: int = 0  # 0: never queued, or not yet
    previous: int = 0  # number of the build before on this branch, 0 if there is none

    @property
    def approval(self) -> bool:
        """Say whether this is a person's decision and not a build."""
        return self.spec.type == "approval"

    @property
    def ran(self) -> bool:
        """Say whether it is a build that ran, which is when a webhook is sent for it."""
        return not self.approval and self.started > 0 and self.stopped > 0

    def status_at(self, now: int) -> str:
        """Say the status at a moment, in the words of v2."""
        if self.stopped:
            if now >= self.stopped:
                return self.status
        elif self.workflow.done_at(now):
            return self.status
        if self.started and now >= self.started:
            return "on_hold" if self.approval else "running"
        return "queued" if self.queued and now >= self.queued else "blocked"

    def finished_ms(self, now: int) -> int:
        """Give the moment since which the status is final, or 0 if that is still to come."""
        end = self.stopped or self.workflow.stopped
        return end if 0 < end <= now else 0

    @property
    def credits(self) -> int:
        """Give what the job cost, rounded up to whole credits; 0 for what never ran."""
        if not self.ran:
            return 0
        rate = CREDITS_PER_MINUTE[self.spec.resource_class] * self.spec.parallelism
        return -(-(self.stopped - self.started) * rate // 60_000)
