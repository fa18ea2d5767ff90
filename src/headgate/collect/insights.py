"""Reads a source's own aggregates, each organisation and project once in a while, behind everything live.

Invariant: when a scope was read to its end is stored with the last of what it told, so a restart neither repeats nor
forgets one; a scope that fails is tried again later and stops no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from headgate.collect.loops import SourceLoop
from headgate.collect.state import forgiving
from headgate.core.feeds import InsightSource
from headgate.core.ports import Scope
from headgate.core.storeport import Store

__all__ = ["InsightReader", "last_reading_ms"]

_PREFIX = "insights/"
_TICK_SECONDS = 5.0
# A start has more urgent things to do: first walks, and what came while nobody was there.
_FIRST_SECONDS = 60.0
_AGAIN_SECONDS = 900.0
# Up to this part of the time between two readings they come early, so that projects do not stay in step for ever; never
# late, or a day would now and then have no reading.
_EARLY = 0.05
_log = structlog.get_logger("headgate.collect")


@dataclass(eq=False)
class InsightReader(SourceLoop[InsightSource]):
    """The loop of one source that has aggregates. `hurry`: somebody waits for it, so that it begins at once."""

    hurry: bool = field(default=False, kw_only=True)
    _read_ms: dict[str, int] = field(default_factory=dict, init=False)
    _early: dict[str, float] = field(default_factory=dict, init=False)
    _not_before: dict[str, float] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Read for ever, whatever is due."""
        await self.load()
        if not self.hurry:
            await self.sleep(_FIRST_SECONDS)
        while True:
            await self.once()
            await self.sleep(_TICK_SECONDS)

    async def load(self) -> None:
        """Recall when each scope was read last."""
        marks = await self._store.source_marks(self._polled.name, _PREFIX)
        self._read_ms = {key.removeprefix(_PREFIX): int(value) for key, value in marks.items()}

    async def once(self) -> None:
        """Read every scope that is due, one after the other."""
        for scope in self.due():
            if self._store.space_level() in ("pause", "refuse") or self._polled.refused:
                return
            done = False
            with forgiving(self._polled, "insights_failed"):
                await self._read(scope)
                done = True
            if not done:
                self._not_before[scope.key] = self._polled.clock.monotonic() + _AGAIN_SECONDS

    def due(self) -> list[Scope]:
        """Organisations and walked projects whose time has come, organisations first."""
        every = self._source.insights_every_ms
        if every is None or not self._polled.discovered:
            return []
        walked = [state.scope for state in self._polled.scopes.values() if state.walked]
        return [scope for scope in (*self._source.insight_orgs(), *walked) if self._is_due(scope.key, every)]

    def _is_due(self, key: str, every_ms: int) -> bool:
        clock = self._polled.clock
        if clock.monotonic() < self._not_before.get(key, 0.0):
            return False
        read_ms = self._read_ms.get(key)
        early = self._early.setdefault(key, clock.jitter() * _EARLY)
        # A clock that was set back must not keep us waiting for it.
        return read_ms is None or not 0 <= clock.now_ms() - read_ms < every_ms * (1 - early)

    async def _read(self, scope: Scope) -> None:
        began_ms, told = self._polled.clock.now_ms(), 0
        async for observations in self._source.insights(scope, since_ms=self._read_ms.get(scope.key)):
            told += len(observations)
            await self._intake.merge_answer(self._polled, observations)
        mark = {f"{_PREFIX}{scope.key}": str(began_ms).encode()}
        await self._intake.merge_answer(self._polled, (), marks=mark)
        self._read_ms[scope.key] = began_ms
        self._early.pop(scope.key, None)
        self._not_before.pop(scope.key, None)
        _log.debug("insights_read", source=self._polled.name, scope=scope.slug, aggregates=told)


async def last_reading_ms(store: Store, source: str) -> int | None:
    """When an organisation or project of a source was last read to its end, by our clock; None: never."""
    marks = await store.source_marks(source, _PREFIX)
    return max((int(value) for value in marks.values()), default=None)
