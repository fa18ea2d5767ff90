"""The SQLite adapter's questions about the parts of many runs; see `core.detailport.ReadDetails`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

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
from headgate.core.runrows import LiveChoice, LiveRow, RunChoice
from headgate.core.tally import Bounds, Dimension
from headgate.store import audited, failure_queries, live_queries, outage_queries, repeat_queries, usage_queries
from headgate.store.sql import Database

__all__ = ["DetailQuestions"]

T = TypeVar("T")


class DetailQuestions(ABC):
    """Each question is one short read transaction on a reader's thread."""

    @abstractmethod
    async def _ask(self, question: Callable[[Database], T]) -> T:
        """The answer of `question`, asked inside a read transaction. Raises StoreError where nobody can answer."""

    async def in_flight(
        self,
        limit: int,
        chosen: LiveChoice = LiveChoice(),  # noqa: B008  # frozen, takes everything
        *,
        newest: bool = False,
    ) -> Sequence[LiveRow]:
        return await self._ask(lambda db: live_queries.in_flight(db, limit, chosen, newest=newest))

    async def live_counts(
        self,
        run: RunChoice = RunChoice(),  # noqa: B008  # frozen, takes everything
    ) -> Mapping[tuple[str, str, str, str], int]:
        return await self._ask(lambda db: live_queries.live_counts(db, run))

    async def usage_sums(self, bounds: Bounds, by: Collection[UsageName] = USAGE_NAMES) -> Sequence[UsageSum]:
        return await self._ask(lambda db: usage_queries.usage_sums(db, bounds, by))

    async def usage_days(self, bounds: Bounds) -> Mapping[str, Sequence[int]]:
        return await self._ask(lambda db: usage_queries.usage_days(db, bounds))

    async def usage_loads(self, bounds: Bounds) -> Sequence[UsageLoad]:
        return await self._ask(lambda db: usage_queries.usage_loads(db, bounds))

    async def failed_jobs(self, bounds: Bounds, *, limit: int, alone: bool = False) -> Sequence[FailedJob]:
        return await self._ask(lambda db: failure_queries.failed_jobs(db, bounds, limit, alone=alone))

    async def test_runs(self, project: str, test_id: str, window: tuple[int, int], *, limit: int) -> Sequence[TestRun]:
        return await self._ask(lambda db: failure_queries.test_runs(db, project, test_id, window, limit))

    async def node_sums(self, bounds: Bounds) -> Sequence[NodeSum]:
        return await self._ask(lambda db: usage_queries.node_sums(db, bounds))

    async def repeat_sums(self, bounds: Bounds, *, by: Collection[Dimension]) -> Sequence[RepeatSum]:
        return await self._ask(lambda db: repeat_queries.repeat_sums(db, bounds, by))

    async def rerun_sums(self, bounds: Bounds) -> Sequence[RerunSum]:
        return await self._ask(lambda db: repeat_queries.rerun_sums(db, bounds))

    async def outage_sums(self, bounds: Bounds, *, by: Collection[Dimension], least_ms: int) -> Sequence[OutageSum]:
        return await self._ask(lambda db: outage_queries.outage_sums(db, bounds, by, least_ms))

    async def audited_days(self, since_ms: int, until_ms: int) -> Sequence[AuditedDay]:
        return await self._ask(lambda db: audited.audited_days(db, since_ms, until_ms))
