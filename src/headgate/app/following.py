"""The log as one who looks on reads it: its newest records, then whatever follows, with nothing left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headgate.core.ports import Lane, LogEntry
from headgate.core.storeport import Store

__all__ = ["page_of_log"]

_LANES: Final[tuple[Lane, ...]] = ("live", "backfill")
_BYTES = 1 << 24  # of one lane in a page


async def page_of_log(store: Store, after: Mapping[str, int], limit: int) -> tuple[list[LogEntry], dict[str, int]]:
    """Records, and lane -> number after which the next page goes on.

    Without `after` the newest of both lanes in the order of appending; else those that follow it, lane by lane, from
    the oldest on. A lane that `after` does not name begins at its end.
    """
    # The ends before the records: what is appended between the two is in the next page.
    reached = {**(await store.figures()).log_head, **after}
    entries = [] if after else list(await store.tail({}, limit))
    for lane in _LANES if after else ():
        left = limit - len(entries)
        entries += await store.read_log("", lane, reached[lane], limit=left, max_bytes=_BYTES)
    for entry in entries:
        reached[entry.lane] = max(reached[entry.lane], entry.seq)
    return entries, reached
