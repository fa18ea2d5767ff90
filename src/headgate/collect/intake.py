"""The one way into the store for everything that was observed: merged in pieces, counted, and its consequences told.

Invariant: a cursor or mark is stored with the last piece of its page, after all others; a piece is small enough not
to hold up a webhook's answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from headgate.collect.pacing import LIVE_WINDOW_MS
from headgate.collect.state import Polled
from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.core.merge import Observation
from headgate.core.metrics import Metrics
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import MergeResult, MergeWork, SourceCursor, Store

__all__ = ["PIECE", "Intake", "Sleep", "live_after_ms", "nobody"]

Sleep = Callable[[float], Awaitable[None]]

PIECE = 200  # observations of one transaction: about 10 ms of the writer
# While webhooks arrive in a burst our work stands back, for it would take the interpreter from their answers; after
# standing back so long it goes on for a while all the same, so that a flood does not stop it for ever.
_LOOK_SECONDS = 0.02
_STAND_BACK_SECONDS = 5.0
_GO_ON_SECONDS = 1.0
_log = structlog.get_logger("headgate.collect")


def nobody() -> None:
    """Nobody waits for records."""


class Intake:
    """Merges into the store. `due`: source -> when its next release is due; `changed` is set when that moves.

    `wanted` is set when facts wait for enrichment. `on_released` is called after records came into the log; it must be
    cheap.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        metrics: Metrics,
        on_released: Callable[[], None] = nobody,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.due: dict[str, int | None] = {}
        self.changed = asyncio.Event()
        self.wanted = asyncio.Event()
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._on_released = on_released
        self._sleep = sleep
        self._go_on_until = 0.0

    async def merge(
        self,
        polled: Polled,
        observations: Sequence[Observation],
        *,
        inbox_done: Sequence[int] = (),
        inbox_dead: Sequence[tuple[int, str]] = (),
        cursor: SourceCursor | None = None,
        gone: Sequence[str] = (),
        marks: Mapping[str, bytes | None] | None = None,
        policy: ReleasePolicy | None = None,
    ) -> None:
        """Merge everything; `policy`: another than the source's.

        Raises what the store raises; pieces merged until then stay, which is harmless.
        """
        starts = range(0, max(1, len(observations)), PIECE)
        for start in starts:
            final = start == starts[-1]
            await self.stand_back()
            result = await self._store.merge_and_release(
                MergeWork(
                    source=polled.name,
                    observations=observations[start : start + PIECE],
                    policy=policy or polled.settings.policy,
                    now_ms=self._clock.now_ms(),
                    live_after_ms=live_after_ms(polled),
                    inbox_done=inbox_done if final else (),
                    inbox_dead=inbox_dead if final else (),
                    cursor=cursor if final else None,
                    gone=gone if final else (),
                    marks=marks or {} if final else {},
                    app_url=polled.settings.app_url,
                )
            )
            self._count(polled.name, observations[start : start + PIECE])
            self.take(polled.name, result)

    async def merge_answer(
        self,
        polled: Polled,
        observations: Sequence[Observation],
        *,
        cursor: SourceCursor | None = None,
        gone: Sequence[str] = (),
        marks: Mapping[str, bytes | None] | None = None,
        policy: ReleasePolicy | None = None,
    ) -> None:
        """Merge what the far side answered; an observation that breaks our own code is left out, said and counted.

        Without that, one such value would stop its scope for ever: the same page would be asked for again and again.
        """
        try:
            await self.merge(polled, observations, cursor=cursor, gone=gone, marks=marks, policy=policy)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  # logged; the observation at fault is found and left out
            _log.exception("merge_failed", source=polled.name, observations=len(observations))
            for one in observations:
                await self._merge_alone(polled, one, policy)
            await self.merge(polled, (), cursor=cursor, gone=gone, marks=marks, policy=policy)

    async def _merge_alone(self, polled: Polled, observation: Observation, policy: ReleasePolicy | None) -> None:
        try:
            await self.merge(polled, (observation,), policy=policy)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001  # logged and counted; this observation alone is left out
            _log.exception("observation_breaks_merge", source=polled.name, kind=observation.kind, key=observation.key)
            self._metrics.count("headgate_source_missing_detail_total", 1, source=polled.name, reason="internal")

    def take(self, source: str, result: MergeResult) -> None:
        """Count what a unit of work did and wake who must act on it."""
        for (kind, lane), count in result.released.items():
            self._metrics.count("headgate_records_released_total", count, kind=kind, lane=lane)
        for kind, key, error in result.withheld:
            fix = "report this as a bug; the record leaves when something new is learnt of it"
            _log.error("record_withheld", source=source, kind=kind, key=key, error=error, fix=fix)
            self._metrics.count("headgate_records_withheld_total", 1, source=source, kind=kind)
        if result.released or result.amended:
            self._on_released()
        if result.unchanged:
            self._metrics.count("headgate_observations_unchanged_total", result.unchanged, source=source)
        if result.wants_enrichment:
            self.wanted.set()
        if result.next_due_ms is not None:
            self.release_at(source, result.next_due_ms)

    def release_at(self, source: str, due_ms: int) -> None:
        """Something of a source has to be released then; an earlier due time stands."""
        old = self.due.get(source)
        if old is None or due_ms < old:
            self.due[source] = due_ms
            self.changed.set()

    async def stand_back(self) -> None:
        """Let a burst of webhooks be stored first."""
        if not self._store.in_burst() or self._clock.monotonic() < self._go_on_until:
            return
        until = self._clock.monotonic() + _STAND_BACK_SECONDS
        while self._store.in_burst():
            if self._clock.monotonic() >= until:
                self._go_on_until = self._clock.monotonic() + _GO_ON_SECONDS
                return
            await self._sleep(_LOOK_SECONDS)

    def _count(self, source: str, observations: Sequence[Observation]) -> None:
        counts: dict[str, int] = {}
        for observation in observations:
            counts[observation.kind] = counts.get(observation.kind, 0) + 1
        for kind, count in counts.items():
            self._metrics.count("headgate_observations_total", count, source=source, kind=kind)


def live_after_ms(polled: Polled) -> int:
    """What ends after this goes to lane live."""
    return polled.source.now_ms() - LIVE_WINDOW_MS
