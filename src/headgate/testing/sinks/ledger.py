"""What a fake vendor was sent and what it kept.

Invariant: one row per record the real vendor would now hold; a repeat that the vendor folds is counted,
never kept twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

KEPT_REQUESTS = 1_000  # enough for any test, small enough for a day of soak
KEPT_BODY_BYTES = 16_384  # of each request's body in the request list

ClockMs = Callable[[], int]
"""Returns the present as milliseconds since the epoch, UTC."""


class Keep(Enum):
    """How much of a stored record stays in memory."""

    ALL = "all"  # id and native form
    IDS = "ids"  # id only; repeats are still found
    NONE = "none"  # counts only; repeats are not found


@dataclass(frozen=True, slots=True)
class Row:
    """One stored record.

    `n` counts from 1 in the order of arrival, `request` is the `n` of its request in the request list,
    `native` the vendor's own form (empty when only ids are kept).
    """

    record_id: str | None
    n: int
    at_ms: int
    request: int
    native: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the line of `/_fake/stored`."""
        return {
            "record_id": self.record_id,
            "n": self.n,
            "at_ms": self.at_ms,
            "request": self.request,
            "native": self.native,
        }


@dataclass(slots=True)
class Stats:
    """Counts since the start or the last clearing; `bytes` are request bodies as sent."""

    records: int = 0
    requests: int = 0
    duplicates: int = 0
    bytes: int = 0


class Ledger:
    """Rows by the key under which the vendor tells records apart, and the latest requests."""

    def __init__(self, clock_ms: ClockMs, keep: Keep = Keep.ALL) -> None:
        self.keep = keep
        self.clock_ms = clock_ms
        self.stats = Stats()
        self._rows: dict[Hashable, Row] = {}
        self._requests: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)

    def add(self, key: Hashable, record_id: str | None, native: dict[str, Any]) -> bool:
        """Keep a record under `key`; False and one more duplicate when the key is taken."""
        if self.keep is not Keep.NONE:
            if key in self._rows:
                self.stats.duplicates += 1
                return False
            self._rows[key] = self._row(record_id, native)
        self.stats.records += 1
        return True

    def count(self, records: int) -> None:
        """Count records that nothing is kept of."""
        self.stats.records += records

    def replace(self, key: Hashable, record_id: str | None, native: dict[str, Any]) -> bool:
        """Keep a record in place of the one under `key`, with its `n`; return whether there was none."""
        old = self._rows.get(key)
        row = self._row(record_id, native)
        if self.keep is not Keep.NONE:
            self._rows[key] = replace(row, n=old.n) if old else row
        if old is None:
            self.stats.records += 1
        return old is None

    def remove(self, key: Hashable) -> bool:
        """Forget the record under `key`; return whether there was one."""
        return self._rows.pop(key, None) is not None

    def get(self, key: Hashable) -> Row | None:
        """Return the row under `key`, if any."""
        return self._rows.get(key)

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the order in which their keys first came."""
        yield from self._rows.values()

    def requests(self) -> list[dict[str, Any]]:
        """Return the latest requests, oldest first."""
        return list(self._requests)

    def begin_request(self, body_bytes: int) -> int:
        """Count one request and return its number, from 1."""
        self.stats.requests += 1
        self.stats.bytes += body_bytes
        return self.stats.requests

    def note_request(self, entry: dict[str, Any]) -> None:
        """Add one answered request to the list, unless nothing is kept."""
        if self.keep is not Keep.NONE:
            self._requests.append(entry)

    def clear(self) -> None:
        """Forget rows, requests and counts."""
        self._rows.clear()
        self._requests.clear()
        self.stats = Stats()

    def _row(self, record_id: str | None, native: dict[str, Any]) -> Row:
        kept = native if self.keep is Keep.ALL else {}
        return Row(record_id, self.stats.records + 1, self.clock_ms(), self.stats.requests, kept)
