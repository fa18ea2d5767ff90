"""Drives one signal: reads its lanes after their cursors, sends batches, keeps its state in the store.

Invariant: a record leaves the worker's hands only by an outcome in the store. Nothing here waits for another signal,
and memory is bounded by bytes read per lane. Lanes go live, backfill, dead, replay; a lower lane gets what slots are
left.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import structlog

from headgate.core.backoff import BackOff
from headgate.core.clock import Clock
from headgate.core.errors import StoreBusy, StoreFull
from headgate.core.judging import Judging
from headgate.core.metrics import Metrics
from headgate.core.ports import CallSignal, HttpSignal, Lane, LogEntry
from headgate.core.shaping import Shaped, Shaper
from headgate.core.storeport import CursorView, Outcomes, Replay, SignalState, Store
from headgate.deliver.calling import Caller
from headgate.deliver.gate import NEVER, Gate, Hold
from headgate.deliver.lane import LaneQueue
from headgate.deliver.outcomes import OutcomeWriter
from headgate.deliver.parts import Part, Parts, make_part
from headgate.deliver.settle import DeliveryEvent, Settlement
from headgate.deliver.status import tell_state
from headgate.deliver.transport import Transport

__all__ = ["EngineOptions", "SignalWorker", "Tools"]

_log = structlog.get_logger(__name__)

# A read fetches at most this many entries: one turn of the event loop handles them all, in about a millisecond.
_READ_ENTRIES = 2000
# Looked at in one go where most of it is passed over; then what was found is sent first.
_LOOK_ENTRIES = 10 * _READ_ENTRIES
# Shaping this many takes about a millisecond.
_INLINE_ENTRIES = 50
# No timer is shorter: what is due within it may as well be a little late.
_TICK_SECONDS = 0.001
# Between two writes of the same signal's state, unless it became worse. Seconds.
_STATE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Knobs of the engine. `lane_bytes`: stored bytes read ahead per lane and signal.

    `linger_seconds`: a batch that is not full waits this long after the one before it. `look_seconds`: look for new
    records without being woken; `poll_seconds`: also for requeued and replayed ones, and keep the gauges.
    `probe_seconds`, `probe_records`: of a held signal. `outcome_seconds`: outcomes wait at most this long.
    `stop_seconds`: what requests in flight get to end. `back_off`: its cap is also the longest that a breaker
    stays open, unless the far side asks for more: so long may a far side be well again and get nothing.
    """

    lane_bytes: int = 6_000_000
    linger_seconds: float = 0.05
    look_seconds: float = 0.5
    poll_seconds: float = 5.0
    probe_seconds: float = 60.0
    probe_records: int = 10
    outcome_seconds: float = 0.2
    stop_seconds: float = 3.0
    back_off: BackOff = field(default_factory=lambda: BackOff(cap=60.0))


@dataclass(frozen=True, slots=True)
class Tools:
    """What all workers share."""

    store: Store
    writer: OutcomeWriter
    transport: Transport
    clock: Clock
    metrics: Metrics
    options: EngineOptions
    executor: Executor | None
    on_event: Callable[[DeliveryEvent], None]


class SignalWorker:
    """One signal of one sink."""

    def __init__(
        self,
        sink: str,
        signal: HttpSignal | CallSignal,
        views: Mapping[Lane, CursorView],
        tools: Tools,
        shaper: Shaper | None = None,
    ) -> None:
        self.sink, self.signal, self._shaper = sink, signal, shaper
        self.key = f"{sink}.{signal.name}"
        self._tools = tools
        options = tools.options
        self.gate = Gate(signal.limits.concurrency, policy=options.back_off, probe_seconds=options.probe_seconds)
        self._parts = Parts()
        self._settlement = Settlement(
            sink,
            signal.name,
            gate=self.gate,
            parts=self._parts,
            clock=tools.clock,
            metrics=tools.metrics,
            policy=options.back_off,
            on_event=tools.on_event,
        )
        self._caller = Caller(signal, tools.transport, tools.clock, tools.executor)
        self._lanes: dict[Lane, LaneQueue] = {}
        self._open_lanes(views)
        self._wake = asyncio.Event()
        self._stopping = False
        self._error: Exception | None = None
        self._last_sent = -NEVER
        self._probe_turn = 0
        self._looked_at = tools.clock.monotonic()
        self._published: tuple[str, str] | None = None
        self._published_at = -NEVER

    def _open_lanes(self, views: Mapping[Lane, CursorView]) -> None:
        for lane in ("live", "backfill"):
            view = views.get(lane)
            self._lanes[lane] = self._open(lane, view.acked if view else 0, view.holes if view else ())
        self._lanes["dead"] = self._open("dead", 0)
        live = views.get("live")
        if live is not None and live.state == "held":
            reason, _, text = live.reason.partition(": ")
            self.gate.hold_at_start(self._tools.clock.monotonic(), Hold(reason, text))

    def _open(self, lane: Lane, acked: int, holes: Sequence[int] = (), replay: Replay | None = None) -> LaneQueue:
        judge = self.signal if isinstance(self.signal, Judging) else None
        return LaneQueue(self.key, lane, acked, holes, replay=replay, judge=judge)

    # -- told from outside

    def wake(self) -> None:
        """There may be something new in the log."""
        for lane in self._lanes.values():
            lane.stale = True
        self._wake.set()

    def replaying(self, replay: Replay | None) -> None:
        """Tell which replay is open. A new one starts after what it has done; the end of one is found out here."""
        lane = self._lanes.get("replay")
        if lane is not None and (replay is None or lane.replay_id != replay.id) and not lane.busy and not lane.dirty:
            del self._lanes["replay"]
            lane = None
        if replay is not None and lane is None and replay.done < replay.total:
            self._lanes["replay"] = self._open("replay", replay.done, replay=replay)
            self._wake.set()

    def stop(self) -> None:
        """Begin nothing new; `run` ends when what is in flight has ended or time is up."""
        self._stopping = True
        self._wake.set()

    def take_outcomes(self, at_ms: int) -> Sequence[Outcomes]:
        """What is settled and was not taken before."""
        return [made for lane in self._lanes.values() if (made := lane.take(at_ms)) is not None]

    def outcomes_stored(self) -> None:
        """Everything taken is in the store."""
        for lane in self._lanes.values():
            lane.stored()

    def outcomes_refused(self, error: Exception) -> None:
        """End `run` with this error: the cursor must be read again."""
        self._error = error
        self._wake.set()

    @property
    def busy(self) -> bool:
        """Something was read, in whatever lane, and is not settled or not stored."""
        return any(lane.busy or lane.dirty for lane in self._lanes.values())

    def oldest_ms(self) -> int | None:
        """When the oldest live record not yet settled occurred, as far as read; None when there is none."""
        lane = self._lanes["live"]
        times = [lane.queue[0].occurred_ms] if lane.queue else []
        times += [part.entries[0].occurred_ms for part in self._parts.flying if part.lane is lane]
        times += [part.entries[0].occurred_ms for part in self._parts.later if part.lane is lane]
        return min(times, default=None)

    @property
    def state(self) -> tuple[SignalState, str]:
        """State and reason, as the store will show them."""
        return self.gate.state, self.gate.reason

    def next_try_ms(self) -> int | None:
        """When the next request may go after a failure; None when all is well, or before an answer."""
        if self.gate.state == "ok":
            return None
        wait = self.gate.wait(self._tools.clock.monotonic(), retry=True)
        return None if wait == NEVER else self._tools.clock.now_ms() + round(wait * 1000)

    def ahead_until_ms(self) -> int | None:
        """Until when nothing goes because the next record of each lane is dated ahead; None when that is not so."""
        if self.gate.state != "ok" or self._parts.flying:
            return None
        now_ms = self._tools.clock.now_ms()
        times = [lane.next_ms for lane in self._lanes.values() if lane.next_ms is not None and lane.next_ms > now_ms]
        return min(times, default=None)

    # -- the loop

    async def run(self) -> None:
        """Deliver until stopped. Raises what the store raises, or what it said of our outcomes."""
        async with asyncio.TaskGroup() as group:
            tasks: set[asyncio.Task[None]] = set()
            try:
                while not self._stopping:
                    self._wake.clear()
                    wait = await self._turn(group, tasks)
                    if self._error is not None:
                        raise self._error
                    await self._publish()
                    await self._pause(wait)
                if tasks:
                    await asyncio.wait(tasks, timeout=self._tools.options.stop_seconds)
            finally:
                for task in tasks:
                    task.cancel()
        await self._publish(last=True)

    async def _pause(self, seconds: float) -> None:
        if self._stopping or self._wake.is_set() or seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(max(seconds, _TICK_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            self._look()

    def _look(self) -> None:
        """Nobody woke us: there may be something new all the same (another process writes the log, too)."""
        now = self._tools.clock.monotonic()
        self._lanes["live"].stale = self._lanes["backfill"].stale = True
        if now - self._looked_at >= self._tools.options.poll_seconds:
            self._looked_at = now
            self.wake()

    async def _turn(self, group: asyncio.TaskGroup, tasks: set[asyncio.Task[None]]) -> float:
        """Send what may be sent now; seconds until there may be more to do."""
        wait = self._tools.options.look_seconds
        for lane in self._in_order():
            await self._fill(lane)
            if self._tools.writer.blocked:
                break
            wait = min(wait, await self._dispatch(lane, group, tasks))
            slot = self.gate.wait(self._tools.clock.monotonic(), retry=False)
            if slot > 0:
                # Nothing of a lower lane could go either; an answer wakes us.
                wait = min(wait, slot)
                break
        return max(wait, 0.0)

    def _in_order(self) -> Sequence[LaneQueue]:
        order: tuple[Lane, ...] = ("live", "backfill", "dead", "replay")
        return [self._lanes[name] for name in order if name in self._lanes]

    async def _fill(self, lane: LaneQueue) -> None:
        options, limits = self._tools.options, self.signal.limits
        budget = max(options.lane_bytes, limits.max_bytes)
        end = lane.window.read_to + _LOOK_ENTRIES
        while lane.wants(budget) and len(lane.queue) < max(_READ_ENTRIES, limits.max_records):
            lane.stale = False
            lane.rewind()
            entries = await self._tools.store.read_log(
                self.key,
                lane.lane,
                lane.window.read_to,
                limit=min(_READ_ENTRIES, lane.room),
                max_bytes=max(1, budget - lane.bytes),
            )
            if not entries:
                if lane.ended():
                    self._tools.writer.mark(self)
                return
            lane.stale = True
            shaped = await self._shape(entries)
            self._settlement.records("rejected", lane.read(shaped, entries[-1].seq, limits, self.signal.kinds))
            if lane.dirty:
                self._tools.writer.mark(self)
            if self._stopping or lane.window.read_to >= end:
                self._wake.set()
                return

    async def _shape(self, entries: Sequence[LogEntry]) -> Shaped:
        """What the sink gets of a read, as it gets it. Many are shaped in a thread, so that webhooks do not wait."""
        shaper, executor = self._shaper, self._tools.executor
        if shaper is None:
            return Shaped(entries)
        if executor is None or len(entries) <= _INLINE_ENTRIES:
            shaped = shaper.shape(entries, self.signal.kinds)
        else:
            work = partial(shaper.shape, entries, self.signal.kinds)
            shaped = await asyncio.get_running_loop().run_in_executor(executor, work)
        for by, count in Counter(by for _, by in shaped.filtered).items():
            self._settlement.filtered(by, count)
        return shaped

    async def _dispatch(self, lane: LaneQueue, group: asyncio.TaskGroup, tasks: set[asyncio.Task[None]]) -> float:
        """Send from one lane while slots last; seconds until more of it may go."""
        while not self._stopping:
            now = self._tools.clock.monotonic()
            part, own_wait = self._parts.ready(lane, now)
            wait = own_wait
            if part is not None:
                retry_wait = self.gate.wait(now, retry=part.attempts > 0)
                if retry_wait > 0:
                    part, wait = None, min(wait, retry_wait)
            if part is not None and lane.outlived(part.entries, self.signal.limits, self._tools.clock.now_ms()):
                for old in self._parts.give_up():  # all are cut anew, so that order keys stay in order
                    old.lane.put_back(old.entries)
                continue
            if part is None:
                part, new_wait = self._next(lane, now)
                wait = min(wait, new_wait)
            if part is None:
                return wait
            self._send(part, now, group, tasks)
            # Encoding happens in the new task: let the event loop serve others between two of them.
            await asyncio.sleep(0)
            await self._fill(lane)
        return NEVER

    def _next(self, lane: LaneQueue, now: float) -> tuple[Part | None, float]:
        """A new batch from the queue, or how long to wait for one."""
        wait = self.gate.wait(now, retry=False)
        if not lane.queue:
            return None, NEVER
        if wait > 0:
            return None, wait
        limits, options = self.signal.limits, self._tools.options
        full = len(lane.queue) >= limits.max_records
        full = full or lane.queue_bytes * self._settlement.ratio.value >= limits.max_bytes
        linger = self._last_sent + options.linger_seconds - now
        if linger > 0 and not full:
            return None, linger
        now_ms = self._tools.clock.now_ms()
        if self.gate.hold is None:
            made = lane.cut(limits, now_ms=now_ms, busy=self._parts.busy, ratio=self._settlement.ratio)
        elif self.gate.hold.reason in {"rejects", "internal"}:
            self._probe_turn += 1
            made = lane.pick(limits, now_ms=now_ms, busy=self._parts.busy, turn=self._probe_turn)
        else:
            probe = options.probe_records
            made = lane.cut(
                limits, now_ms=now_ms, busy=self._parts.busy, ratio=self._settlement.ratio, max_records=probe
            )
        if made.too_old:
            self._settlement.skipped("too_old", len(made.too_old))
            self._tools.writer.mark(self)
        if made.batch:
            return make_part(made.batch, lane), 0.0
        if made.too_old and lane.queue:
            return None, 0.0
        return None, NEVER if made.next_ms is None else max(0.001, (made.next_ms - now_ms) / 1000)

    def _send(self, part: Part, now: float, group: asyncio.TaskGroup, tasks: set[asyncio.Task[None]]) -> None:
        part.probe = self.gate.begin(now, retry=part.attempts > 0)
        self._parts.start(part)
        self._last_sent = now
        task = group.create_task(self._attempt(part), name=f"deliver {self.key}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _attempt(self, part: Part) -> None:
        answer = await self._caller.attempt(part.entries, part.wire)
        self._settlement.settle(part, answer)
        self._tools.writer.mark(self)
        self._wake.set()

    # -- state

    async def _publish(self, *, last: bool = False) -> None:
        """Write a changed state to the store and the metrics; at most once a second unless it is held or open."""
        state, reason = self.gate.state, self.gate.reason
        if self._published == (state, reason):
            return
        now = self._tools.clock.monotonic()
        grave = state in {"held", "open"} and (self._published is None or self._published[0] != state)
        if not (grave or last) and now < self._published_at + _STATE_SECONDS:
            return
        tell_state(self._tools.metrics, self.sink, self.signal.name, state)
        self._published_at = now
        try:
            await self._tools.store.set_signal_state(self.key, state, reason)
        except (StoreFull, StoreBusy):
            _log.warning("the state of a signal could not be stored", signal=self.key, state=state)
            return
        self._published = (state, reason)
