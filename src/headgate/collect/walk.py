"""Walks one scope once: page by page into the store, the cursor with the last page.

Invariant: an interrupted, failed or capped walk leaves `high` and `complete_ms` where they were; the next one begins at
the newest page again, and merging makes that harmless.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import structlog

from headgate.collect.intake import Intake
from headgate.collect.pacing import page_cursor, walk_seconds, walk_since_ms
from headgate.collect.state import Polled, ScopeState, forgiving
from headgate.core.ports import WalkPage
from headgate.core.storeport import SourceCursor

__all__ = ["try_walk", "walk_scope"]

_log = structlog.get_logger("headgate.collect")


async def walk_scope(polled: Polled, state: ScopeState, intake: Intake) -> bool:
    """Walk to the end and say whether it was reached. Raises SourceError and StoreError."""
    key = state.scope.key
    cursor = polled.cursors.get(key) or SourceCursor(polled.name, key)
    started = polled.source.now_ms()
    since = walk_since_ms(
        cursor, started, initial_ms=polled.settings.initial_ms, retention_ms=polled.settings.retention_ms
    )
    high: int | None = None
    pages = observations = 0
    below = not state.told(polled.clock.monotonic())
    async with _closing(polled.source.walk(state.scope, after=cursor.high, since_ms=since, below=below)) as walk:
        async for page in walk:
            pages += 1
            observations += len(page.observations)
            high = max((mark for mark in (high, page.high) if mark is not None), default=None)
            moved = page_cursor(cursor, high, last=page.last, capped=page.capped, started_ms=started)
            await intake.merge_answer(polled, page.observations, cursor=moved)
            polled.answered(key)
            if page.last and moved is not None:
                polled.cursors[key] = moved
                now = polled.clock.monotonic()
                if observations or not state.walked:
                    state.active_at = now
                state.walked, state.walked_at = True, now
                _log.debug(
                    "walk_complete",
                    source=polled.name,
                    project=state.scope.slug,
                    pages=pages,
                    observations=observations,
                    high=moved.high,
                )
                return True
    _log.warning("walk_incomplete", source=polled.name, project=state.scope.slug, pages=pages)
    return False


def _is_due(polled: Polled, state: ScopeState) -> bool:
    """Whether to walk now: the scheduler comes by every interval, a little earlier or later."""
    now, every = polled.clock.monotonic(), polled.settings.poll_every_ms / 1000
    pace = walk_seconds(every, now - state.active_at, told=state.told(now))
    waited = not state.walked or pace <= every or now - state.walked_at >= pace - every / 2
    return waited and now >= state.not_before


async def try_walk(polled: Polled, state: ScopeState, intake: Intake) -> None:
    """Walk unless the source or scope is held; trouble is remembered and said once. Raises StoreFailed alone."""
    if not _is_due(polled, state) or not polled.may_call():
        return
    with forgiving(polled, "walk_failed", state.scope.key):
        await walk_scope(polled, state, intake)


@asynccontextmanager
async def _closing(pages: AsyncIterator[WalkPage]) -> AsyncIterator[AsyncIterator[WalkPage]]:
    """End a walk that is left early; an iterator that is no generator has nothing to end."""
    try:
        yield pages
    finally:
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()
