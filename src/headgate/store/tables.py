"""What the writer's thread of the SQLite store owns: the session, the facts, and the space that is left."""

from __future__ import annotations

from typing import Any

from headgate.core.clock import Clock
from headgate.core.metrics import Metrics
from headgate.core.storeport import SpaceLevel
from headgate.store import inbox
from headgate.store.facts import Facts
from headgate.store.files import Files
from headgate.store.quota import LEVELS, Quota, next_level, share_used
from headgate.store.session import Session
from headgate.store.sql import Database

__all__ = ["Tables"]

# How often the writer looks at the space, in seconds.
_MEASURE_SECONDS = 2.0


class Tables:
    """What the writer's thread owns: the session, the facts, the space that is left. Implements `writer.Host`."""

    def __init__(self, db: Database, files: Files, quota: Quota, clock: Clock, metrics: Metrics) -> None:
        self.session = Session(db)
        self.facts = Facts(self.session)
        self.level: SpaceLevel = "ok"
        self.size = 0
        self._files = files
        self._quota = quota
        self._clock = clock
        self._metrics = metrics
        self._measured = float("-inf")

    def append(self, rows: list[tuple[Any, ...]]) -> None:
        inbox.append(self.session, rows)

    def forget(self) -> None:
        self.session.forget()
        self.facts.forget()

    def make_room(self) -> None:
        self._files.drop_ballast()
        self.level = "refuse"
        self._measured = self._clock.monotonic()

    def damaged(self) -> None:
        self._files.mark_suspect()

    def maintain(self, *, idle: bool) -> None:
        now = self._clock.monotonic()
        if now - self._measured < _MEASURE_SECONDS:
            return
        self._measured = now
        self.measure()
        if idle and self.level == "ok":
            self._files.fill_ballast()

    def measure(self) -> None:
        """Look at the space and move on the ladder."""
        self.size = self._files.size()
        free_pages = self.session.db.pragma("freelist_count") * self.session.db.pragma("page_size")
        used = max(0, self.size - free_pages)
        self.level = next_level(self.level, share_used(self._quota, used, self._files.disk_free()))
        self._metrics.set("headgate_store_bytes", self.size)
        for sink, reason in self.session.lost:
            self._metrics.count("headgate_store_gaps_total", 1, sink=sink, reason=reason)
        self.session.lost.clear()
        for level, _ in LEVELS:
            self._metrics.set("headgate_store_level", float(level == self.level), level=level)
