"""When the store deletes what is past retention and adds up what came.

Soon after a start, or after history was read, then ever more seldom, at last every ten minutes: until it is added up,
answers over long windows are worked out from single facts, which takes longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from headgate.collect.intake import Sleep
from headgate.core.clock import Clock
from headgate.core.storeport import Store

__all__ = ["Pace", "keep_trimmed"]

# So often it is looked whether space is short or history was read.
_LOOK_SECONDS = 30.0
_MOST_SECONDS = 600.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Pace:
    """Which looks are followed by a trimming. Pure. `pause`: seconds until the next one; `read`: history so far."""

    pause: float = _LOOK_SECONDS
    waited: float = 0.0
    read: int = 0

    def due(self, read: int, *, reading: bool, tight: bool) -> bool:
        """Whether to trim at this look. `read`: requests for history that were done; `tight`: space is short.

        `reading`: one is under way; what it brings would have most of it added up again, so that comes after it.
        """
        self.waited += _LOOK_SECONDS
        news = read != self.read
        soon = not reading and (news or self.waited >= self.pause)
        if not soon and not tight and self.waited < _MOST_SECONDS:
            return False
        self.pause = _LOOK_SECONDS if news else min(2 * self.pause, _MOST_SECONDS)
        self.waited, self.read = 0.0, read
        return True


async def keep_trimmed(
    store: Store,
    retention: Callable[[bool], Mapping[str, int]],
    history_read: Callable[[], tuple[int, bool]],
    *,
    clock: Clock,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Trim until canceled. `retention`: milliseconds by part, for when space is short or not. Raises StoreError."""
    pace = Pace()
    while True:
        await sleep(_LOOK_SECONDS)
        tight = store.space_level() not in ("ok", "warn")
        read, reading = history_read()
        if pace.due(read, reading=reading, tight=tight):
            deleted = await store.trim(retention(tight), now_ms=clock.now_ms())
            if any(deleted.values()):
                _log.info("trimmed", level=store.space_level(), **deleted)
