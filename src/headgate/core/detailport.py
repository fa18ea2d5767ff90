"""Questions about the parts of many runs, a part of the reading half of the store port."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from headgate.core.deployed import Deployed
from headgate.core.detailrows import (
    USAGE_NAMES,
    AuditedDay,
    FailedJob,
    NodeSum,
    OutageSum,
    RepeatSum,
    RerunSum,
    TestRun,
    UsageLoad,
    UsageName,
    UsageSum,
)
from headgate.core.runrows import LiveChoice, LiveRow, RunChoice, TestCommit, TestOutcome, TestsOver
from headgate.core.tally import Bounds, Dimension

__all__ = ["ReadDetails"]


class ReadDetails(Protocol):
    """As `core.readport.ReadStore`. What ended within the bounds of its project; ordered by the names of the rows."""

    async def in_flight(
        self,
        limit: int,
        chosen: LiveChoice = LiveChoice(),  # noqa: B008  # frozen, takes everything
        *,
        newest: bool = False,
    ) -> Sequence[LiveRow]:
        """Workflows that have not ended and their jobs, oldest first by creation, or the newest first; `limit` at most.

        Without jobs that wait for others (`blocked`) and without what the source no longer has.
        """
        ...

    async def live_counts(
        self,
        run: RunChoice = RunChoice(),  # noqa: B008  # frozen, takes everything
    ) -> Mapping[tuple[str, str, str, str], int]:
        """(status, project, workflow, job) -> how many, of all of the same.

        Jobs where they are queued, else workflows, which have no job in their key.
        """
        ...

    async def deployment_ends(
        self, since_ms: int, until_ms: int, *, project: str | None = None, begun: bool = False
    ) -> Sequence[Deployed]:
        """Deployments that succeeded or failed within a time, oldest first, of one project (slug) or all.

        Each beside those before it in that time. `begun`: with lead times.
        """
        ...

    async def usage_sums(self, bounds: Bounds, by: Collection[UsageName] = USAGE_NAMES) -> Sequence[UsageSum]:
        """Rows of the usage export, summed by project and by these names of jobs and machines; others are empty.

        A row is in the window of its job's end; where the export tells none, of its start, else of its queueing, else
        of when it was read: so every row is in exactly one of windows that follow one another.
        """
        ...

    async def usage_days(self, bounds: Bounds) -> Mapping[str, Sequence[int]]:
        """Begins of the UTC days (milliseconds) that have any of the same rows, in order, by project (slug)."""
        ...

    async def usage_loads(self, bounds: Bounds) -> Sequence[UsageLoad]:
        """Processor and memory of the same rows, by job and machine."""
        ...

    async def failed_jobs(self, bounds: Bounds, *, limit: int, alone: bool = False) -> Sequence[FailedJob]:
        """The newest `limit` jobs that failed (failure, error, timeout) with what is known of why.

        Newest first by end and id. `alone`: without what their workflows and pipelines tell, which is read faster:
        `ref`, `revision`, `trigger` and `url` are empty.
        """
        ...

    async def test_runs(self, project: str, test_id: str, window: tuple[int, int], *, limit: int) -> Sequence[TestRun]:
        """The newest `limit` results of one test of a project (slug) within [since_ms, until_ms), newest first."""
        ...

    async def outcomes_of(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestOutcome]:
        """As `ReadStore.test_outcomes`, of a few tests, by project and test id, all at once."""
        ...

    async def test_commits(self, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestCommit]:
        """As `outcomes_of`, faster."""
        ...

    async def test_sums(self, bounds: Bounds, before: Bounds, *, branch_class: int | None = None) -> TestsOver:
        """What came of every test within the bounds, and in a time `before` them, as `outcomes_of` says of its commits.

        `branch_class`: of commits of that class alone.
        """
        ...

    async def test_faults(self, bounds: Bounds) -> Sequence[TestOutcome]:
        """As `outcomes_of` of every test, on the commits on which it failed, and not through the machine alone."""
        ...

    async def test_counts(self, bounds: Bounds) -> Mapping[str, int]:
        """Project -> how many tests have results within the bounds; one without any is absent."""
        ...

    async def node_sums(self, bounds: Bounds) -> Sequence[NodeSum]:
        """Jobs that ended within the bounds, with steps on more than one machine; of a job its last 6 hours count."""
        ...

    async def repeat_sums(self, bounds: Bounds, *, by: Collection[Dimension]) -> Sequence[RepeatSum]:
        """Workflows that ended within the bounds and repeat one that failed (failure, error, timeout).

        By project and, of `by`, by workflow, branch, branch_class and trigger; others of it are not looked at.
        """
        ...

    async def rerun_sums(self, bounds: Bounds) -> Sequence[RerunSum]:
        """Jobs of workflows that ended within the bounds and repeat one that failed (failure, error, timeout)."""
        ...

    async def outage_sums(self, bounds: Bounds, *, by: Collection[Dimension], least_ms: int) -> Sequence[OutageSum]:
        """Outages that ended within the bounds, and failures within them that ended a time of peace.

        By project and, of `by`, by workflow, branch and branch_class; others of it are not looked at. Runs of one
        workflow, branch and, where that is in `by`, branch_class follow each other. Those before the bounds count for
        as long as the bounds are, at least `least_ms`: an outage that is older begins there. Sums of nothing are left
        out.
        """
        ...

    async def audited_days(self, since_ms: int, until_ms: int) -> Sequence[AuditedDay]:
        """Days that begin within [since_ms, until_ms), whole UTC days, of every project; days without a run are absent.

        Not for every request: it reads all that audits have left.
        """
        ...
