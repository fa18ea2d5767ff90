"""Questions about the parts of many runs, a part of the reading half of the store port."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from headgate.core.detailrows import AuditedDay, FailedJob, NodeSum, RepeatSum, RerunSum, TestRun, UsageLoad, UsageSum
from headgate.core.tally import Bounds, Dimension

__all__ = ["ReadDetails"]


class ReadDetails(Protocol):
    """As `core.readport.ReadStore`. What ended within the bounds of its project; ordered by the names of the rows."""

    async def usage_sums(self, bounds: Bounds) -> Sequence[UsageSum]:
        """Rows of the usage export, summed by job and machine.

        A row is in the window of its job's end; where the export tells none, of its start, else of its queueing, else
        of when it was read: so every row is in exactly one of windows that follow one another.
        """
        ...

    async def usage_loads(self, bounds: Bounds) -> Sequence[UsageLoad]:
        """Processor and memory of the same rows; what has no figures is left out."""
        ...

    async def failed_jobs(
        self, bounds: Bounds, *, before: tuple[int, str] | None = None, limit: int
    ) -> Sequence[FailedJob]:
        """Jobs that failed (failure, error, timeout) with what is known of why, newest first by end and id.

        `before`: end and id of the last one of the page before.
        """
        ...

    async def test_runs(self, project: str, test_id: str, window: tuple[int, int], *, limit: int) -> Sequence[TestRun]:
        """The newest `limit` results of one test of a project (slug) within [since_ms, until_ms), newest first."""
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

    async def audited_days(self, since_ms: int, until_ms: int) -> Sequence[AuditedDay]:
        """Days that begin within [since_ms, until_ms), whole UTC days, of every project; days without a run are absent.

        Not for every request: it reads all that audits have left.
        """
        ...
