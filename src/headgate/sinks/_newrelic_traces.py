"""Which spans New Relic still takes: those that began within 20 minutes, and those of a trace seen within 20 minutes.

A span is dated by its start, so what ran for long is too old when it ends, unless another span of its trace was taken
meanwhile. Invariant: a span counts as seen once New Relic has answered for it, never before; memory is bounded, and
what was forgotten is unseen. Source: docs.newrelic.com "Trace API: general requirements and limits", read
November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from headgate.core.clock import Clock
from headgate.core.ports import LogEntry
from headgate.core.record import decode_record
from headgate.sinks._newrelic_records import span_place

__all__ = ["FreshTraces"]

# Of 16 bytes each, some megabytes in all; more than a minute of the fastest delivery.
_MOST = 50_000


class FreshTraces:
    """The traces that New Relic has seen lately. Used from one event loop."""

    def __init__(self, clock: Clock, max_age_ms: int) -> None:
        self._clock = clock
        self._max_age_ms = max_age_ms
        # In the order in which they were seen last.
        self._seen_ms: dict[bytes, int] = {}

    def seen(self, batch: Sequence[LogEntry]) -> None:
        """New Relic has taken these spans."""
        now_ms = self._clock.now_ms()
        for entry in batch:
            _, trace = _place(entry)
            self._seen_ms.pop(trace, None)
            self._seen_ms[trace] = now_ms
        while len(self._seen_ms) > _MOST:
            del self._seen_ms[next(iter(self._seen_ms))]

    def judge(self, batch: Sequence[LogEntry], now_ms: int) -> Mapping[int, Literal["too_old", "later"]]:
        """The spans of a batch that are too old, or will be taken once others of their trace in it are."""
        oldest_ms = now_ms - self._max_age_ms
        places = [_place(entry) for entry in batch]
        stale = {
            index: trace
            for index, (start_ms, trace) in enumerate(places)
            if start_ms < oldest_ms and self._seen_ms.get(trace, oldest_ms - 1) < oldest_ms
        }
        going: set[tuple[bytes, int]] = set()
        if stale:
            going = {(trace, batch[index].order_key) for index, (_, trace) in enumerate(places) if index not in stale}
        return {
            index: "later" if (trace, batch[index].order_key) in going else "too_old" for index, trace in stale.items()
        }


def _place(entry: LogEntry) -> tuple[int, bytes]:
    """When a span began, and its trace."""
    return span_place(decode_record(entry.body), entry.occurred_ms)
