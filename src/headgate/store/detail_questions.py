"""The SQLite adapter's questions about the parts of many runs; see `core.detailport.ReadDetails`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from headgate.core.detailrows import AuditedDay, FailedJob, NodeSum, RepeatSum, RerunSum, TestRun, UsageLoad, UsageSum
from headgate.core.tally import Bounds, Dimension
from headgate.store import audited, failure_queries, repeat_queries, usage_queries
from headgate.store.sql import Database

__all__ = ["DetailQuestions"]

T = TypeVar("T")


class DetailQuestions(ABC):
    """Each question is one short read transaction on a reader's thread."""

    @abstractmethod
    async def _ask(self, question: Callable[[Database], T]) -> T:
        """The answer of `question`, asked inside a read transaction. Raises StoreError where nobody can answer."""

    async def usage_sums(self, bounds: Bounds) -> Sequence[UsageSum]:
        return await self._ask(lambda db: usage_queries.usage_sums(db, bounds))

    async def usage_loads(self, bounds: Bounds) -> Sequence[UsageLoad]:
        return await self._ask(lambda db: usage_queries.usage_loads(db, bounds))

    async def failed_jobs(
        self, bounds: Bounds, *, before: tuple[int, str] | None = None, limit: int
    ) -> Sequence[FailedJob]:
        return await self._ask(lambda db: failure_queries.failed_jobs(db, bounds, before, limit))

    async def test_runs(self, project: str, test_id: str, window: tuple[int, int], *, limit: int) -> Sequence[TestRun]:
        return await self._ask(lambda db: failure_queries.test_runs(db, project, test_id, window, limit))

    async def node_sums(self, bounds: Bounds) -> Sequence[NodeSum]:
        return await self._ask(lambda db: usage_queries.node_sums(db, bounds))

    async def repeat_sums(self, bounds: Bounds, *, by: Collection[Dimension]) -> Sequence[RepeatSum]:
        return await self._ask(lambda db: repeat_queries.repeat_sums(db, bounds, by))

    async def rerun_sums(self, bounds: Bounds) -> Sequence[RerunSum]:
        return await self._ask(lambda db: repeat_queries.rerun_sums(db, bounds))

    async def audited_days(self, since_ms: int, until_ms: int) -> Sequence[AuditedDay]:
        return await self._ask(lambda db: audited.audited_days(db, since_ms, until_ms))
