"""Turns kept deliveries into facts, oldest first.

Invariant: every delivery is settled, done or dead with its reason, in the transaction that merges what it said. A
delivery that breaks our own code is dead too (`internal`); it is never tried for ever and takes no other with it.
One of a source that is not configured waits apart, in nobody's way, and comes back when its source does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from headgate.collect.intake import PIECE, Intake
from headgate.collect.state import Polled
from headgate.core.clock import Clock
from headgate.core.errors import StoreError, StoreFailed, Unparsable
from headgate.core.merge import Observation
from headgate.core.metrics import Metrics
from headgate.core.ports import Source
from headgate.core.storeport import NO_SOURCE, InboxRow, Store

__all__ = ["InboxMerger"]

_LIMIT = 1000  # deliveries of one read; about 1.5 MB
_ROW_AT_MOST = 4  # observations that one delivery usually gives at most
_RETURN = 200  # deliveries that come back to the inbox in one transaction
_IDLE_SECONDS = 5.0  # another process may have stored deliveries without waking us
_FULL_SECONDS = 5.0  # a store without space is asked again this much later
_log = structlog.get_logger("headgate.collect")


@dataclass(slots=True)
class _Share:
    """What some deliveries of one source said. `latest`: by what it is about, each said once."""

    latest: dict[tuple[object, ...], Observation] = field(default_factory=dict)
    rows: list[tuple[InboxRow, list[Observation]]] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)

    @property
    def observations(self) -> list[Observation]:
        """What is to be merged."""
        return list(self.latest.values())

    def add(self, row: InboxRow, observations: list[Observation]) -> None:
        """Take one delivery. Each job's delivery repeats what it knows of its workflow and pipeline.

        Of equal sayings the merge keeps the last seen, so that one alone need be merged.
        """
        self.rows.append((row, observations))
        for new in observations:
            at = (new.kind, new.key, new.source, new.terminal, new.enriches)
            old = self.latest.get(at)
            if old is None or (old.fields == new.fields and old.project == new.project):
                if old is None or new.observed_ms >= old.observed_ms:
                    self.latest[at] = new
            else:
                self.latest[*at, row.id] = new


class InboxMerger:
    """The loop behind the receiver. `wake` when something was stored."""

    def __init__(
        self, store: Store, intake: Intake, sources: Mapping[str, Polled], clock: Clock, metrics: Metrics
    ) -> None:
        self.idle = False
        self._store = store
        self._intake = intake
        self._sources = sources
        self._clock = clock
        self._metrics = metrics
        self._returned = False
        self._missed: set[str] = set()
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """There may be something in the inbox."""
        self.idle = False
        self._awake.set()

    async def run(self) -> None:
        """Merge for ever."""
        while True:
            self._awake.clear()
            try:
                merged = await self.once()
            except StoreFailed:
                raise
            except StoreError as error:
                _log.warning("inbox_waits_for_store", error=str(error))
                await self._doze(_FULL_SECONDS)
                continue
            if merged == 0:
                self.idle = not self._awake.is_set()
                await self._doze(_IDLE_SECONDS)

    async def once(self) -> int:
        """Merge one read of the inbox; returns how many deliveries were settled."""
        await self._intake.stand_back()
        if not self._returned:
            await self._bring_back()
            self._returned = True
        rows = await self._store.inbox(_LIMIT)
        known: dict[str, list[InboxRow]] = {}
        for row in rows:
            known.setdefault(row.delivery.source, []).append(row)
        return sum([await self._settle(name, group) for name, group in known.items()])

    async def _doze(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            return

    async def _settle(self, name: str, rows: Sequence[InboxRow]) -> int:
        polled = self._sources.get(name)
        if polled is None:
            return await self._orphans(name, rows)
        shares = await asyncio.to_thread(_normalize, polled.source, rows)
        # All at once, in order: the writer commits together what waits together, and writes a page once for all.
        ends = await asyncio.gather(*(self._merge(polled, share) for share in shares), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        return len(rows)

    async def _merge(self, polled: Polled, share: _Share) -> None:
        done = [row.id for row, _ in share.rows]
        try:
            await self._intake.merge(polled, share.observations, inbox_done=done, inbox_dead=share.dead)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  # logged; the delivery at fault is found and set aside
            _log.exception("merge_failed", source=polled.name, deliveries=len(done))
            await self._merge_one_by_one(polled, share)
        else:
            polled.told_by_webhooks(share.observations)
            self._count_dead(polled.name, share.dead)

    async def _merge_one_by_one(self, polled: Polled, share: _Share) -> None:
        """Find the delivery that broke the merge; all others go in."""
        await self._intake.merge(polled, (), inbox_dead=share.dead)
        self._count_dead(polled.name, share.dead)
        for row, observations in share.rows:
            try:
                await self._intake.merge(polled, observations, inbox_done=[row.id])
            except StoreError:
                raise
            except Exception:  # noqa: BLE001  # logged; this delivery alone is set aside
                _log.exception("delivery_breaks_merge", source=polled.name, inbox_id=row.id)
                await self._intake.merge(polled, (), inbox_dead=[(row.id, "internal")])
                self._count_dead(polled.name, [(row.id, "internal")])

    async def _orphans(self, name: str, rows: Sequence[InboxRow]) -> int:
        """Deliveries of a source that is not configured wait apart, so that they block nobody."""
        parked = await self._store.park_inbox([row.id for row in rows], now_ms=self._clock.now_ms())
        if name not in self._missed:
            self._missed.add(name)
            fix = "configure the source again to merge them, or `headgate deadletters purge --webhooks`"
            _log.warning("deliveries_wait_for_source", source=name, deliveries=parked, fix=fix)
        return len(rows)

    async def _bring_back(self) -> None:
        """What waited for a source that is configured again waits in the inbox again."""
        parked = (await self._store.figures()).inbox_parked
        for name in sorted(parked.keys() & self._sources.keys()):
            ids = await self._store.inbox_dead_ids(source=name, reason=NO_SOURCE, limit=parked[name])
            for start in range(0, len(ids), _RETURN):
                await self._store.requeue_inbox(ids[start : start + _RETURN])
            _log.info("source_is_back", source=name, deliveries=len(ids))

    def _count_dead(self, source: str, dead: Sequence[tuple[int, str]]) -> None:
        for inbox_id, reason in dead:
            _log.warning("delivery_dead", source=source, inbox_id=inbox_id, reason=reason)
            self._metrics.count("headgate_inbox_dead_total", source=source, reason=reason)


def _normalize(source: Source, rows: Sequence[InboxRow]) -> list[_Share]:
    """What the rows say, in pieces of about PIECE observations. Runs in a worker thread."""
    shares = [_Share()]
    for row in rows:
        if len(shares[-1].latest) > PIECE - _ROW_AT_MOST:
            shares.append(_Share())
        share = shares[-1]
        try:
            observations = list(source.normalize(row.delivery))
        except Unparsable as error:
            share.dead.append((row.id, error.reason))
        except Exception:  # noqa: BLE001  # logged; a bug in our reading costs one delivery, not the loop
            _log.exception("normalize_failed", source=source.name, inbox_id=row.id, fix="report this as a bug")
            share.dead.append((row.id, "internal"))
        else:
            share.add(row, observations)
    return shares
