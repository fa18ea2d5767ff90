"""`headgate demo`: a made-up organisation, a daemon and a pager on one machine; no token, no network.

The twin of CircleCI runs in a process of its own and the daemon here is the real one with a real configuration file, so
what is seen is what a user gets: yesterday is walked, then the past is backfilled as by `headgate backfill` while time
goes on. Invariant: it talks to loopback only and ends whatever it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import orjson

from headgate.app.demo_clock import FAST, DemoClock, last_working_day_ms, speed
from headgate.app.demo_receivers import Receivers
from headgate.app.demo_settings import HOST, Place, twin_options, write_files
from headgate.app.demo_show import Show
from headgate.app.demo_truth import counted, differences, truth_of
from headgate.app.lifecycle import Daemon, run_on_loop
from headgate.app.remote import RemoteOperations, Unreachable
from headgate.app.settings import Configuration, load
from headgate.core.clock import SystemClock
from headgate.core.errors import ConfigError, HeadgateError
from headgate.core.times import DAY_MS
from headgate.plugins import load_plugins
from headgate.web.operations import Json, Order

__all__ = ["DemoOptions", "run_demo"]

_REPORT_SECONDS = 5.0
_LOOK_SECONDS = 0.5
# History is waited for so long, and then webhooks and the questions after them, once the twin stands still.
_HISTORY_SECONDS = 300.0
_SETTLE_SECONDS = 30.0
_SETTLE_SPEED = 120


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`exit_after`: seconds; None runs until it is stopped. `keep`: directory to leave everything in.

    `now_ms`: the made-up present; None: the last working afternoon. The same seed and present make the same pictures.
    """

    port: int = 8080
    seed: int = 1
    days: int = 90
    projects: int = 12
    exit_after: float | None = None
    keep: Path | None = None
    now_ms: int | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns its exit code. Raises ConfigError where an earlier one was kept."""
    show = Show(sys.stdout)
    with contextlib.ExitStack() as stack:
        if options.keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-demo-")))
        else:
            directory = _kept(options.keep.absolute())
        return run_on_loop(_Demo(options, directory, show).run)


def _kept(directory: Path) -> Path:
    """A directory to leave everything in. Raises ConfigError where there is a demo: its time would begin anew."""
    place = Place(directory, 0, 0, 0, 0, "")
    if place.store.exists() or place.file.exists():
        raise ConfigError(
            f"--keep {directory}: an earlier demo was kept here, and another one would begin in its past; name another "
            f"folder, or look at the kept one with `headgate run --config {place.file}`"
        )
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _free_port() -> int:
    """A port that is free now; the twin must know it before the daemon listens there."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class _Demo:
    """One run of the demo."""

    def __init__(self, options: DemoOptions, directory: Path, show: Show) -> None:
        self._options = options
        self._directory = directory
        self._show = show
        self._hook_port = _free_port()
        self._secret = secrets.token_hex(16)
        real = SystemClock()
        self._started_ms = options.now_ms if options.now_ms is not None else last_working_day_ms(real.now_ms())
        self._clock = DemoClock(real, self._started_ms)
        self._stand_still = asyncio.Event()
        self._collected = asyncio.Event()
        self._collected_ms: int | None = None

    async def run(self) -> int:
        """Twin, pager, daemon and report until one of them ends or it is told to stop."""
        self._show.begin(self._directory, self._options.days, self._options.projects)
        receivers = Receivers(HOST, self._rung, self._lost)
        async with receivers.served() as told_port, self._twin() as twin_port:
            place = Place(self._directory, self._options.port, self._hook_port, twin_port, told_port, self._secret)
            twin = f"http://{HOST}:{twin_port}"
            about = await _about(twin)
            write_files(place, about["orgs"], about["projects"])
            sum_up = partial(write_files, place, about["orgs"], about["projects"], collected=True)
            daemon = Daemon(_configuration(place.file), lambda: _configuration(place.file), clock=self._clock)
            running = asyncio.create_task(daemon.run())
            helpers = [asyncio.create_task(self._watch(daemon, twin, place.file, sum_up))]
            try:
                return await running
            finally:
                for helper in helpers:
                    helper.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                self._show.end(self._directory if self._options.keep else None)

    # -- the parts

    @contextlib.asynccontextmanager
    async def _twin(self) -> AsyncIterator[int]:
        """A process of its own, so that neither slows the other's event loop."""
        words = twin_options(
            seed=self._options.seed,
            days=self._options.days,
            projects=self._options.projects,
            now_ms=self._started_ms,
            hook_port=self._hook_port,
            secret=self._secret,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate.testing.circleci", *words, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield await _twin_port(process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await process.wait()

    def _rung(self, state: str, summary: str) -> None:
        if not self._stand_still.is_set():
            self._show.alert(state, summary)

    def _lost(self) -> None:
        self._show.line("a receiver lost a connection; what it was told is sent again")

    # -- what happens

    async def _watch(self, daemon: Daemon, twin: str, file: Path, sum_up: Callable[[], None]) -> None:
        """Everything that happens while the daemon runs; what goes wrong here ends the demo."""
        await daemon.ready.wait()
        self._show.ready(daemon.urls, twin, file)
        ask = RemoteOperations(daemon.urls[0], None)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._go_on(ask, twin, sum_up))
                reporting = tasks.create_task(self._report(ask))
                if self._options.exit_after is not None:
                    await asyncio.sleep(self._options.exit_after)
                    await self._compare(ask, twin)
                    reporting.cancel()
                    daemon.stop()
        except BaseExceptionGroup:
            daemon.stop()
            raise
        finally:
            await ask.aclose()

    async def _go_on(self, ask: RemoteOperations, twin: str, sum_up: Callable[[], None]) -> None:
        """Order the past as soon as the present is known, and let time pass meanwhile."""
        while not (await ask.status())["sources"]["circleci"]["last_complete_walk"]:  # noqa: ASYNC110  # the API has no event
            await asyncio.sleep(_LOOK_SECONDS)
        since_ms = self._started_ms - self._options.days * DAY_MS
        await ask.backfill(Order(since_ms=since_ms, until_ms=self._started_ms))
        self._show.line(f"The last day is collected; time now runs {FAST} times as fast for some minutes.")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._history(ask, sum_up))
            tasks.create_task(self._drive(twin))

    async def _drive(self, twin: str) -> None:
        """Let time pass, for the daemon first: nothing may come from its future."""
        twin_ms = self._started_ms
        async with httpx.AsyncClient(base_url=twin, trust_env=False, timeout=60) as client:
            while not self._stand_still.is_set():
                self._clock.leap(speed(self._collected_ms, self._clock.now_ms()) - 1)
                passed_ms = self._clock.now_ms() - twin_ms
                twin_ms += passed_ms
                await client.post("/_twin/advance", json={"seconds": passed_ms / 1000})
                await asyncio.sleep(1.0)

    async def _history(self, ask: RemoteOperations, sum_up: Callable[[], None]) -> None:
        """Wait until the past is there; only then is there something to sum up in reports and exports."""
        while any(order["state"] != "done" for order in await ask.backfills()):  # noqa: ASYNC110  # as above
            await asyncio.sleep(_LOOK_SECONDS)
        self._collected_ms = self._clock.now_ms()
        sum_up()
        await ask.reload()
        self._collected.set()
        self._show.collected(self._options.days, await ask.overview())

    async def _report(self, ask: RemoteOperations) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            with contextlib.suppress(Unreachable, HeadgateError):
                self._show.figures(await ask.overview())

    async def _compare(self, ask: RemoteOperations, twin: str) -> None:
        """Wait for history, stop the twin's time, let what is on its way arrive, compare with the truth."""
        found = ["nothing was compared: history is not collected yet"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HISTORY_SECONDS):
                await self._collected.wait()
            self._stand_still.set()
            truth = await truth_of(twin)
            async with asyncio.timeout(_SETTLE_SECONDS):
                while found := differences(truth, await counted(ask, self._clock.now_ms())):
                    # The twin stands still, the daemon's timers do not: unfinished runs are soon asked about again, and
                    # within the hour what no webhook tells.
                    self._clock.leap(_SETTLE_SPEED)
                    await asyncio.sleep(_LOOK_SECONDS)
        self._show.truth(found)


def _configuration(file: Path) -> Configuration:
    return load(load_plugins(), file=file, environ={})


async def _about(twin: str) -> Json:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return (await client.get(f"{twin}/_twin")).json()  # type: ignore[no-any-return]  # the twin's shape


async def _twin_port(process: asyncio.subprocess.Process) -> int:
    """The port of the twin's ready line. Raises ConfigError with its words when it does not start."""
    said: list[str] = []
    if process.stderr is not None:
        async for line in process.stderr:
            text = line.decode("utf-8", "replace").strip()
            said.append(text)
            if text.startswith('{"event":"ready"'):
                return int(orjson.loads(text)["port"])
    raise ConfigError(f"the twin of CircleCI did not start: {' '.join(said)[-500:]}")
