"""The delivery engine: one supervised worker per sink signal, one writer of outcomes.

Invariant: workers share no lock and no connection limit; what one sink does, or its code, reaches no other. Only a
store that can no longer be trusted ends `run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import structlog

from headgate.core.clock import Clock
from headgate.core.errors import StoreBusy, StoreError, StoreFull
from headgate.core.metrics import Metrics
from headgate.core.ports import CallSignal, HttpSignal, Lane, Sink
from headgate.core.shaping import Shaper
from headgate.core.storeport import CursorView, Replay, SignalSpec, SignalState, Store
from headgate.deliver.outcomes import OutcomeWriter
from headgate.deliver.settle import DeliveryEvent
from headgate.deliver.status import SignalStatus, tell_figures
from headgate.deliver.transport import HttpTransport, Transport
from headgate.deliver.worker import EngineOptions, SignalWorker, Tools

__all__ = ["DeliveryEngine", "Overflow", "Start"]

_log = structlog.get_logger(__name__)

Start = Literal["now", "retained"] | int
Overflow = Literal["keep", "drop_oldest"]

# A worker that failed by an error of ours starts again after this, doubled each time up to the last. Seconds.
_RESTART_SECONDS = 1.0
_RESTART_MOST_SECONDS = 60.0
# Threads for encoding and compressing: more would only fight for the interpreter's lock.
_THREADS = 2


@dataclass(slots=True, eq=False)
class _Running:
    """A supervised signal."""

    sink: str
    signal: HttpSignal | CallSignal
    worker: SignalWorker | None = None
    task: asyncio.Task[None] | None = None
    stopping: bool = False
    wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key(self) -> str:
        return f"{self.sink}.{self.signal.name}"


def _ignore(_event: DeliveryEvent) -> None:
    """Take no notice of events."""


class DeliveryEngine:
    """Delivers the log to sinks. Used from one event loop; `run` once.

    `starts`: sink -> where a signal that is new begins (default now). `overflows`: sink -> what the store may do with
    records past retention that it has not got (default keep). `shapers`: sink -> what it gets of each record (default:
    all of it, as it is). `on_event`: told of opened breakers, holds and
    resumptions; must not block or raise.
    """

    def __init__(
        self,
        store: Store,
        sinks: Mapping[str, Sink],
        *,
        clock: Clock,
        metrics: Metrics,
        starts: Mapping[str, Start] | None = None,
        overflows: Mapping[str, Overflow] | None = None,
        shapers: Mapping[str, Shaper] | None = None,
        transport: Transport | None = None,
        options: EngineOptions | None = None,
        on_event: Callable[[DeliveryEvent], None] = _ignore,
        executor: Executor | None = None,
    ) -> None:
        self._store, self._clock, self._metrics = store, clock, metrics
        self._sinks = dict(sinks)
        self._starts = dict(starts or {})
        self._overflows = dict(overflows or {})
        self._shapers = dict(shapers or {})
        self._options = options or EngineOptions()
        self._own_executor = ThreadPoolExecutor(_THREADS, "headgate-encode") if executor is None else None
        self._writer = OutcomeWriter(store, clock, delay_seconds=self._options.outcome_seconds, on_unblocked=self.wake)
        self._transport = transport or HttpTransport()
        self._tools = Tools(
            store=store,
            writer=self._writer,
            transport=self._transport,
            clock=clock,
            metrics=metrics,
            options=self._options,
            executor=executor or self._own_executor,
            on_event=on_event,
        )
        self._running: dict[str, _Running] = {}
        self._signals: dict[str, tuple[str, HttpSignal | CallSignal]] = {}
        self._problems: dict[str, str] = {}
        self._unusable: set[str] = set()
        self._opened = False
        self._look = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._stopped = asyncio.Event()
        self._changing = asyncio.Lock()

    # -- life

    async def run(self) -> None:
        """Deliver until `stop`. Raises StoreFailed (in an exception group) when the store can no longer be trusted."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                writing, polling = group.create_task(self._writer.run()), group.create_task(self._poll())
                async with self._changing:
                    await self._open()
                await self._stop.wait()
                async with self._changing:
                    await self._end(list(self._running.values()))
                polling.cancel()
                await self._writer.halt(writing)
                await self._writer.flush()
        finally:
            self._group = None
            await self._close()
            self._stopped.set()

    async def stop(self) -> None:
        """End within the bound of the options plus one flush: requests in flight may end, outcomes are stored."""
        self._stop.set()
        if self._group is not None:
            await self._stopped.wait()

    async def _close(self) -> None:
        for sink in self._sinks.values():
            await _close_sink(sink)
        await self._transport.aclose()
        if self._own_executor is not None:
            self._own_executor.shutdown(wait=False, cancel_futures=True)

    async def apply(
        self,
        sinks: Mapping[str, Sink],
        starts: Mapping[str, Start] | None = None,
        overflows: Mapping[str, Overflow] | None = None,
        shapers: Mapping[str, Shaper] | None = None,
    ) -> None:
        """Go on with these sinks.

        One that is the same object as before is not touched; the others start from their cursors; removed and replaced
        ones end and are closed. Raises what the store raises; nothing was changed then.
        """
        async with self._changing:
            before = self._sinks, self._starts, self._overflows
            self._sinks, self._starts, self._overflows = dict(sinks), dict(starts or {}), dict(overflows or {})
            if self._group is None:
                self._shapers = dict(shapers or {})
                return
            try:
                # First while all goes on as before, so that a store that cannot write now costs no worker.
                await self._store.open_signals(self._specs(), now_ms=self._clock.now_ms())
            except BaseException:
                self._sinks, self._starts, self._overflows = before
                self._specs()
                raise
            gone = [name for name, sink in before[0].items() if self._sinks.get(name) is not sink]
            await self._end([one for one in self._running.values() if one.sink in gone])
            self._shapers = dict(shapers or {})
            for name in gone:
                await _close_sink(before[0][name])
            await self._open()

    async def reset(self, key: str, *, start: Start) -> None:
        """Forget a signal's cursor and destination and begin anew. Raises KeyError for one the store does not know."""
        async with self._changing:
            await self._end([one for one in self._running.values() if one.key == key])
            try:
                await self._store.reset_signal(key, start=start)
            finally:
                await self._open()

    def wake(self) -> None:
        """Something was appended to the log, or requeued."""
        for one in self._running.values():
            if one.worker is not None:
                one.worker.wake()

    def look(self) -> None:
        """Something was opened for replay."""
        self._look.set()

    # -- signals

    async def _open(self) -> None:
        """Start a worker for every configured signal that has none."""
        self._opened = False
        specs = self._specs()
        self._problems = dict(await self._store.open_signals(specs, now_ms=self._clock.now_ms()))
        for key, problem in self._problems.items():
            _log.error("signal refused", signal=key, problem=problem)
            await self._store.set_signal_state(key, "held", f"config: {problem}")
        group = self._group
        for key, (name, signal) in self._signals.items():
            if key in self._problems or key in self._running or group is None:
                continue
            one = _Running(name, signal)
            self._running[key] = one
            one.task = group.create_task(self._supervise(one), name=f"supervise {key}")
        self._opened = True

    def _specs(self) -> list[SignalSpec]:
        """Every configured signal as the store knows it; keeps what they are for the workers."""
        self._signals, self._unusable = {}, set()
        specs: list[SignalSpec] = []
        for name, sink in self._sinks.items():
            for spec, signal in self._expand(name, sink):
                specs.append(spec)
                self._signals[spec.key] = (name, signal)
        return specs

    def _expand(self, name: str, sink: Sink) -> list[tuple[SignalSpec, HttpSignal | CallSignal]]:
        """The signals of one sink; none, loudly, when its code fails."""
        start, overflow = self._starts.get(name, "now"), self._overflows.get(name, "keep")
        try:
            return [(SignalSpec(name, one.name, one.destination, start, overflow), one) for one in sink.signals()]
        except Exception as exc:  # noqa: BLE001  # a sink's code; the others go on
            self._unusable.add(name)
            _log.error("sink cannot be used", sink=name, error=type(exc).__name__)
            return []

    async def _end(self, many: list[_Running]) -> None:
        """Stop these together, store what they settled, forget them."""
        for one in many:
            one.stopping = True
            one.wanted.set()
            if one.worker is not None:
                one.worker.stop()
        tasks = [one.task for one in many if one.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._options.stop_seconds + 1.0)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        if many:
            await self._writer.flush()
        for one in many:
            self._running.pop(one.key, None)

    async def _supervise(self, one: _Running) -> None:
        """Run a worker; after an error of ours start a new one from the stored cursor."""
        wait = _RESTART_SECONDS
        while not one.stopping:
            began = self._clock.monotonic()
            try:
                await self._run_worker(one)
            except Exception as exc:  # a worker's bug must not end the others
                failed = _store_error(exc)
                if failed is not None:
                    raise failed from exc
                _log.error("delivery worker failed, starts again", signal=one.key, exc_info=exc)
            if one.stopping:
                return
            if self._clock.monotonic() - began > 10 * _RESTART_MOST_SECONDS:
                wait = _RESTART_SECONDS
            await _wait_for(one.wanted, wait)
            wait = min(2 * wait, _RESTART_MOST_SECONDS)

    async def _run_worker(self, one: _Running) -> None:
        if not await self._writer.flush():
            return
        views = {view.lane: view for view in await self._store.cursors() if view.signal == one.key}
        worker = SignalWorker(one.sink, one.signal, views, self._tools, self._shapers.get(one.sink))
        await self._tell_replays({one.key: worker})
        one.worker = worker
        if not one.stopping:
            await worker.run()

    # -- figures

    async def _poll(self) -> None:
        """Keep the gauges, find replays that another process opened, open what a full store kept from being opened."""
        while True:
            await _wait_for(self._look, self._options.poll_seconds)
            self._look.clear()
            if not self._opened:
                async with self._changing:
                    await self._open()
            workers = {key: one.worker for key, one in self._running.items() if one.worker is not None}
            await self._tell_replays(workers)
            for sink, signals in (await self.snapshot()).items():
                for name, status in signals.items():
                    tell_figures(self._metrics, sink, name, status)

    async def _tell_replays(self, workers: Mapping[str, SignalWorker]) -> None:
        open_now: dict[str, Replay] = {
            replay.signal: replay for replay in await self._store.replays() if replay.done < replay.total
        }
        for key, worker in workers.items():
            worker.replaying(open_now.get(key))

    async def drained(self) -> bool:
        """Whether every configured signal has got everything in every lane. Stores outcomes first."""
        if self._unusable or not await self._writer.flush():
            return False
        if any(one.worker is not None and one.worker.busy for one in self._running.values()):
            return False
        wanted = set(self._signals)
        seen: set[str] = set()
        for view in await self._store.cursors():
            if view.signal in wanted:
                seen.add(view.signal)
                if view.waiting:
                    return False
        replaying = {replay.signal for replay in await self._store.replays() if replay.done < replay.total}
        return seen == wanted and not replaying & wanted

    async def snapshot(self) -> dict[str, dict[str, SignalStatus]]:
        """Sink -> signal -> figures, from committed state and the workers' own."""
        lanes: dict[str, dict[Lane, CursorView]] = {}
        for view in await self._store.cursors():
            lanes.setdefault(view.signal, {})[view.lane] = view
        counts = await self._store.outcome_counts()
        now_ms = self._clock.now_ms()
        made: dict[str, dict[str, SignalStatus]] = {}
        for key, (name, signal) in self._signals.items():
            views, count = lanes.get(key, {}), counts.get(key)
            live = views.get("live")
            state, reason = self._state(key, live)
            worker = self._worker(key)
            made.setdefault(name, {})[signal.name] = SignalStatus(
                state=state,
                reason=reason,
                cursor=live.acked if live else 0,
                lag_seconds=await self._lag(key, live, now_ms),
                waiting=sum(view.waiting for view in views.values()),
                dead=count.dead if count else 0,
                skipped=dict(count.skipped) if count else {},
                accepted=count.accepted if count else 0,
                next_try_ms=worker.next_try_ms() if worker else None,
                ahead_until_ms=worker.ahead_until_ms() if worker else None,
            )
        return made

    def _state(self, key: str, live: CursorView | None) -> tuple[SignalState, str]:
        if key in self._problems:
            return "held", self._problems[key]
        worker = self._worker(key)
        if worker is not None:
            return worker.state
        return (live.state, live.reason) if live else ("ok", "")

    def _worker(self, key: str) -> SignalWorker | None:
        one = self._running.get(key)
        return one.worker if one is not None else None

    async def _lag(self, key: str, live: CursorView | None, now_ms: int) -> float:
        """Seconds. Of a signal without a worker, as one that is refused, by the first record after its cursor."""
        worker, oldest = self._worker(key), None
        if worker is not None:
            oldest = worker.oldest_ms()
        elif live is not None and live.waiting:
            rows = await self._store.read_log(key, "live", live.acked, limit=1, max_bytes=1)
            oldest = rows[0].occurred_ms if rows else None
        return 0.0 if oldest is None else max(0.0, (now_ms - oldest) / 1000)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _close_sink(sink: Sink) -> None:
    try:
        async with asyncio.timeout(1.0):
            await sink.aclose()
    except Exception as exc:  # noqa: BLE001  # a sink's code; the process goes on without it
        _log.warning("sink did not close", sink=sink.name, error=type(exc).__name__)


def _store_error(exc: BaseException) -> StoreError | None:
    """The error that ends the process, wherever it is in a group."""
    if isinstance(exc, StoreError) and not isinstance(exc, StoreFull | StoreBusy):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        return next((found for inner in exc.exceptions if (found := _store_error(inner)) is not None), None)
    return None
