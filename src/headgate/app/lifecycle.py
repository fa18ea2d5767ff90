"""One daemon from start to stop: store, listeners, engines, signals, supervisor, reload.

Start order: store, plugins, sockets, engines, servers, and only then the ready line. Stop order: listeners first, then
collection and delivery, the store last. Invariant: the ready line is true when it is printed, and a stop ends within
5 s whatever a far side does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

import orjson
import structlog

from headgate import __version__
from headgate.app.alertdesk import acknowledging
from headgate.app.chores import Chore, Chores
from headgate.app.compose import Plant, build_plant, make_store, make_store_directory, signals_of
from headgate.app.duefiles import due_files
from headgate.app.engines import Engines
from headgate.app.gauges import keep_gauges
from headgate.app.listeners import certificate_of
from headgate.app.logs import Redactor, secrets_of, set_up_logging
from headgate.app.measuring import catalogue_of, classes_of, owners_of
from headgate.app.notify import Notify
from headgate.app.operations import StoreOperations
from headgate.app.reload import Reloader
from headgate.app.running import Running
from headgate.app.runtimefile import Running as RunningFile
from headgate.app.runtimefile import forget_running, write_running
from headgate.app.serving import Serving
from headgate.app.settings import Configuration
from headgate.app.supervise import keep_running
from headgate.app.telemetry import Telemetry
from headgate.app.trimming import keep_trimmed
from headgate.core.clock import Clock, SystemClock
from headgate.core.errors import StoreFailed
from headgate.core.storeport import Store
from headgate.web.operations import Json, Problem

__all__ = ["Daemon", "RunOptions", "run_on_loop"]

_log = structlog.get_logger(__name__)
# Everything must be over 5 s after TERM; the rest is for the interpreter to end.
_STOP_SECONDS = 3.4
_GAPS = 100
_CLOSE_SECONDS = 1.0
_IDLE_POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. `until_idle`: stop once everything is delivered; `timeout_seconds` bounds that."""

    until_idle: bool = False
    timeout_seconds: float | None = None


class Daemon:
    """Everything that `headgate run` runs. `reread`: reads the configuration again for a reload; raises ConfigError."""

    def __init__(
        self,
        configuration: Configuration,
        reread: Callable[[], Configuration],
        options: RunOptions | None = None,
        *,
        clock: Clock | None = None,
        announce: TextIO | None = None,
    ) -> None:
        self._configuration = configuration
        self._reread = reread
        self._options = options or RunOptions()
        self._clock = clock or SystemClock()
        self._announce = announce or sys.stderr
        self._store_path = configuration.settings.store.path  # of this start, whatever a reload says
        self._redactor = Redactor()
        self._telemetry = Telemetry()
        self._notify = Notify(self._clock)
        self._stop = asyncio.Event()
        self._code = 0
        self._chores = Chores((), self._clock, self._telemetry)
        self._due: Callable[[], Sequence[Chore]] = tuple
        self._reloader: Reloader | None = None
        self._serving: Serving | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._hung_up = False
        self.ready = asyncio.Event()
        self.urls: tuple[str, str] = ("", "")

    async def run(self) -> int:
        """Run until told to stop; returns the exit code. Raises ConfigError and StoreError before the ready line."""
        self._learn_secrets(self._configuration)
        log = self._configuration.settings.log
        set_up_logging(level=log.level, form=log.format, redactor=self._redactor)
        plant = build_plant(self._configuration, self._clock, self._telemetry)
        store = make_store(self._configuration.settings, self._clock, self._telemetry)
        make_store_directory(self._store_path)
        try:
            opened_ms = self._clock.now_ms()
            await store.open()
            await _tell_damage(store, opened_ms)
            with self._signals():
                await self._live(store, plant)
        finally:
            await self._end(store, plant)
        return self._code

    def _learn_secrets(self, configuration: Configuration) -> None:
        for parts in (configuration.sources, configuration.sinks, configuration.notifiers):
            for part in parts.values():
                self._redactor.learn(secrets_of([part.config, part.records]))
        self._redactor.learn(secrets_of(configuration.settings.http.access))

    async def _live(self, store: Store, plant: Plant) -> None:
        engines = Engines(
            self._configuration, store, plant, self._clock, self._telemetry, hurry=self._options.until_idle
        )
        running = Running(
            sources=lambda: dict(engines.plant.sources),
            app_urls=engines.app_urls,
            idle=lambda: self._configuration.idle,
            signals=lambda: signals_of(engines.plant.sinks),
            records=lambda: self._configuration.records(),  # noqa: PLW0108  # a reload replaces the configuration
            signal_hints=engines.signal_hints,
            lags=engines.lags,
            wake=engines.look_again,
            reset=engines.reset_signal,
            reload=self._reload,
            polled=lambda: self._configuration.polled(),  # noqa: PLW0108  # a reload replaces the configuration
            wake_backfills=engines.wake_backfills,
            wake_audits=engines.wake_audits,
            call_rates=engines.call_rates,
            turn=engines.alerts_turn,
            catalogue=lambda: catalogue_of(self._configuration.settings.kpis),
            owners=lambda: owners_of(self._configuration.settings.owners),
            classes=lambda: classes_of(self._configuration.settings.resource_classes),
            budgets=engines.budgets,
            behind_ms=engines.behind_ms,
            configuration=lambda: self._configuration,
            files=self._chores.status,
            kept_files=self._chores.listed,
            shelves=lambda: self._chores.shelves("report"),
            acknowledging=lambda: acknowledging(engines.plant.notifiers),
            wake_outbox=engines.wake_outbox,
            rule_texts=lambda: engines.rule_texts,
        )
        operations = StoreOperations(store, self._clock, running)
        self._due = lambda: due_files(self._configuration, store, operations, self._clock)
        self._chores.replace(() if self._options.until_idle else self._due())
        with Serving(
            self._configuration,
            operations,
            store,
            self._telemetry,
            clock=self._clock,
            on_webhooks=engines.on_webhooks,
            sinks=lambda: engines.plant.sinks,
            lens=operations.lens,
        ) as serving:
            self._reloader = Reloader(
                self._configuration, self._reread, engines, serving, metrics=self._telemetry, on_new=self._learn_secrets
            )
            self._redactor.learn([serving.command_token])
            self._serving = serving
            self.urls = (serving.http_url, serving.webhooks_url)
            serving.take_webhooks(plant.sources)
            tasks = [
                asyncio.create_task(self._kept(name, part), name=name)
                for name, part in (
                    *serving.parts(),
                    *engines.parts(),
                    ("files", self._chores.run),
                    ("gauges", lambda: keep_gauges(store, engines, self._telemetry)),
                    ("trim", lambda: self._trim(store, engines)),
                    ("store watch", lambda: self._watch_store(store)),
                    ("watchdog", lambda: self._feed_watchdog(store)),
                )
            ]
            try:
                await serving.until_started()
                self._say_ready(serving)
                await self._until_stopped(engines)
            finally:
                self._notify.stopping()
                await self._stop_parts(serving, engines, tasks)
                await engines.aclose()

    async def _kept(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await keep_running(name, part, self._clock)
        except StoreFailed as exc:
            self._fail(exc)

    # -- the start

    def _say_ready(self, serving: Serving) -> None:
        settings = self._configuration.settings
        self._tell_commands(serving)
        line = {
            "event": "ready",
            "http": serving.http_url,
            "webhooks": serving.webhooks_url,
            "store": settings.store.url,
            "version": __version__,
        }
        _tell_idle(self._configuration)
        self._announce.write(orjson.dumps(line).decode() + "\n")
        self._announce.flush()
        self.ready.set()
        self._notify.ready(f"serving {serving.http_url}, webhooks {serving.webhooks_url}")

    def _tell_commands(self, serving: Serving) -> None:
        """Say beside the store where this process is, and what opens its API."""
        secure = serving.http_url.startswith("https:")
        certificate = certificate_of(self._configuration.settings.http, self._configuration.base) if secure else ""
        told = RunningFile(os.getpid(), serving.http_url, serving.webhooks_url, serving.command_token, certificate)
        write_running(self._store_path, told)

    # -- while it runs

    async def _until_stopped(self, engines: Engines) -> None:
        if not self._options.until_idle:
            await self._stop.wait()
            return
        idle = asyncio.create_task(self._idle(engines))
        stop = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait(
                {idle, stop}, timeout=self._options.timeout_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (idle, stop):
                task.cancel()
            await asyncio.gather(idle, stop, return_exceptions=True)
        if idle in done:
            idle.result()
        if not done:
            _log.error("not idle before the time-out", waiting=await engines.waiting())
            self._code = 1

    async def _idle(self, engines: Engines) -> None:
        """Return when sources are caught up, the inbox is empty and every signal has all."""
        while await engines.waiting():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(_IDLE_POLL_SECONDS)

    async def _trim(self, store: Store, engines: Engines) -> None:
        await keep_trimmed(
            store,
            lambda tight: self._configuration.settings.store.retention.by_part(tight=tight),
            engines.history_read,
            clock=self._clock,
        )

    async def _watch_store(self, store: Store) -> None:
        self._fail(await store.failed())

    def _fail(self, reason: BaseException) -> None:
        _log.critical("the store cannot be trusted any more; stopping", reason=str(reason))
        self._code = 3
        self._stop.set()

    async def _feed_watchdog(self, store: Store) -> None:
        """Tell the supervisor after each round trip through the writer; a stuck writer lets us be restarted."""
        every = self._notify.watchdog_seconds
        if every is None:
            return
        while True:
            await store.ping()
            self._notify.watchdog()
            await asyncio.sleep(every / 3)

    # -- signals

    def stop(self) -> None:
        """Stop in order, as the first TERM does."""
        self._stop.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: self._terminate,
            signal.SIGINT: self._terminate,
            signal.SIGHUP: self._hang_up,
        }
        try:
            for number, handler in handlers.items():
                loop.add_signal_handler(number, handler)
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _terminate(self) -> None:
        """The first signal stops in order; a second one ends at once: the store needs no goodbye."""
        if self._stop.is_set():
            os._exit(self._code)
        _log.info("stopping")
        self._stop.set()

    def _hang_up(self) -> None:
        """Reload beside everything else; one at a time, the task is kept so that it is not collected."""
        self._hung_up = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload_on_signals())

    async def _reload_on_signals(self) -> None:
        """Until none came during the last one: the file may have changed after that had read it."""
        while self._hung_up:
            self._hung_up = False
            await self._reload_on_signal()

    async def _reload_on_signal(self) -> None:
        """Nobody waits for the answer to a signal, so what goes wrong is told here."""
        try:
            if self._serving is not None:
                await self._serving.note("reload", "HUP")
            await self._reload()
        except Exception as exc:  # noqa: BLE001  # told in the log; the daemon goes on
            _log.error("reload failed; the configuration in force stays", error=str(exc), exc_info=exc)

    async def _reload(self) -> Json:
        if self._reloader is None:
            raise Problem("busy", "still starting; try again")
        self._notify.reloading()
        try:
            outcome = await self._reloader.reload()
        finally:
            self._notify.ready("reloaded")
        self._configuration = self._reloader.configuration
        if not self._options.until_idle:
            self._chores.replace(self._due())
        if self._serving is not None:
            self._tell_commands(self._serving)
        _tell_idle(self._configuration)
        return outcome

    # -- the stop

    async def _stop_parts(self, serving: Serving, engines: Engines, tasks: list[asyncio.Task[None]]) -> None:
        """Listeners, then engines; whatever is not over in time is left to the next start, which loses nothing."""
        serving.stop()
        forget_running(self._store_path)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.wait([task for task in tasks if task.get_name().startswith("server")])
                await engines.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except TimeoutError:
            _log.warning("not everything ended in time; what was in flight is sent again at the next start")
            for task in tasks:
                task.cancel()

    async def _end(self, store: Store, plant: Plant) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await plant.aclose()
                await store.close()
        except TimeoutError:
            _log.warning("the store did not close in time; the next start reads back what is true")
        if self._reloading is not None:
            self._reloading.cancel()


async def _tell_damage(store: Store, since_ms: int) -> None:
    """Say what a store that was damaged has lost; it is open and used all the same."""
    for gap in await store.gaps(_GAPS):
        if gap.at_ms >= since_ms and gap.reason.startswith("damaged"):
            _log.error("store was damaged", what=gap.reason, sink=gap.sink, lost=gap.count)


def _tell_idle(configuration: Configuration) -> None:
    for name, fix in configuration.idle.items():
        _log.warning("source polls nothing", source=name, fix=fix)


def run_on_loop(work: Callable[[], Coroutine[object, object, int]]) -> int:
    """Run on uvloop where there is one; returns what the work returns."""
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work())
