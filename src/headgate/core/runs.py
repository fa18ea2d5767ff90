"""Reading many ended workflows a page at a time, from a store or whatever answers like one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from headgate.core.storeport import RunRow

__all__ = ["RUN_PAGE", "RunHistory", "run_pages"]

RUN_PAGE = 1000  # runs of one question: a few milliseconds of a reader, and about a megabyte


class RunHistory(Protocol):
    """The one question."""

    async def runs_between(
        self, since_ms: int, until_ms: int, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[RunRow]:
        """As the store's."""
        ...


async def run_pages(store: RunHistory, since_ms: int, until_ms: int) -> AsyncIterator[Sequence[RunRow]]:
    """Every ended workflow of a time range, oldest first, in pages that are never empty."""
    after: tuple[int, str] | None = None
    while True:
        page = await store.runs_between(since_ms, until_ms, after=after, limit=RUN_PAGE)
        if page:
            yield page
        if len(page) < RUN_PAGE:
            return
        after = (page[-1].stopped_ms, page[-1].workflow_id)
