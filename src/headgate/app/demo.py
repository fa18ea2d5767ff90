"""`headgate demo`: a made-up organisation, a daemon and a pager on one machine; no token, no network.

The twin of CircleCI runs in a process of its own and the daemon here is the real one with a real configuration file, so
what is seen is what a user gets. Invariant: it talks to loopback only and ends whatever it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from headgate.app.demo_show import Show
from headgate.app.lifecycle import Daemon, run_on_loop
from headgate.app.remote import RemoteOperations, Unreachable
from headgate.app.settings import Configuration, load
from headgate.core.clock import Clock, SystemClock
from headgate.core.errors import ConfigError, HeadgateError
from headgate.core.times import format_ms
from headgate.plugins import load_plugins
from headgate.web.operations import Json

__all__ = ["DemoClock", "DemoOptions", "compare_with_truth", "run_demo"]

_HOST = "127.0.0.1"
# Time of the demo runs this fast, so that there is something to see: seconds for each real one.
_SPEED = 30
_RUNS_PER_DAY = 150
# A weekday, early afternoon in UTC, after another weekday: then the made-up people work, and did so yesterday.
_DAYS_AT_WORK = frozenset({1, 2, 3, 4})
_HOUR_AT_WORK = 13
_DAY_MS = 86_400_000
_REPORT_SECONDS = 5.0
# Webhooks and the questions after them are answered within this once the twin stands still.
_SETTLE_SECONDS = 25.0
_SETTLE_SPEED = 120
_TOKEN = "twin-token"  # noqa: S105  # the twin's, which everybody may know


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`exit_after`: seconds; None runs until it is stopped. `keep`: directory to leave everything in."""

    port: int = 8080
    seed: int = 1
    days: int = 2
    projects: int = 4
    exit_after: float | None = None
    keep: Path | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the demo; returns its exit code."""
    show = Show(sys.stdout)
    with contextlib.ExitStack() as stack:
        if options.keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-demo-")))
        else:
            directory = options.keep.absolute()
            directory.mkdir(parents=True, exist_ok=True)
        demo = _Demo(options, directory, show)
        return run_on_loop(demo.run)


def _free_port() -> int:
    """A port that is free now; the twin must know it before the daemon listens there."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def compare_with_truth(truth: list[Json], ended: Json) -> list[str]:
    """Differences between what the twin says happened and what the daemon counts; empty when they agree."""
    happened = Counter(line["kind"] for line in truth)
    counted = {kind: sum(words.values()) for kind, words in ended.items()}
    return [
        f"{kind}s: {counted.get(kind, 0)} counted, {happened[kind]} happened"
        for kind in ("workflow", "job")
        if counted.get(kind, 0) != happened[kind]
    ]


class DemoClock:
    """The time of the made-up organisation: real time with leaps, wall clock and timers alike."""

    def __init__(self, real: Clock) -> None:
        self._real = real
        self._leapt = 0.0
        self._began = real.monotonic()
        self._start_ms = _last_working_day_ms(real.now_ms())

    def now_ms(self) -> int:
        """What time it is there, milliseconds since the epoch."""
        return self._start_ms + round((self.monotonic() - self._began) * 1000)

    def monotonic(self) -> float:
        """Real seconds and those that were leapt over."""
        return self._real.monotonic() + self._leapt

    def jitter(self) -> float:
        """Draw a number from [0, 1)."""
        return self._real.jitter()

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._leapt += seconds


def _last_working_day_ms(now_ms: int) -> int:
    """The latest working afternoon before `now_ms`. Day 0 of the epoch was a Thursday, which is 3."""
    day = now_ms // _DAY_MS - 1
    while (day + 3) % 7 not in _DAYS_AT_WORK:
        day -= 1
    return day * _DAY_MS + _HOUR_AT_WORK * 3_600_000


class _Demo:
    """One run of the demo."""

    def __init__(self, options: DemoOptions, directory: Path, show: Show) -> None:
        self._options = options
        self._directory = directory
        self._show = show
        self._hook_port = _free_port()
        self._secret = secrets.token_hex(16)
        self._clock = DemoClock(SystemClock())
        self._started_ms = self._clock.now_ms()
        self._driving = True
        self._file = directory / "headgate.yaml"

    def _configuration(self) -> Configuration:
        return load(load_plugins(), file=self._file, environ={})

    async def run(self) -> int:
        """Twin, pager, daemon and report until one of them ends or it is told to stop."""
        self._show.begin(self._directory, self._options.days, self._options.projects)
        async with self._pager() as pager_port, self._twin() as twin_port:
            self._write_configuration(twin_port, pager_port, await self._organisations(twin_port))
            daemon = Daemon(self._configuration(), self._configuration, clock=self._clock)
            running = asyncio.create_task(daemon.run())
            helpers = [
                asyncio.create_task(self._drive(daemon, twin_port)),
                asyncio.create_task(self._report(daemon, twin_port)),
            ]
            if self._options.exit_after is not None:
                helpers.append(asyncio.create_task(self._end_after(self._options.exit_after, daemon, twin_port)))
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
        options = {
            "--port": 0,
            "--seed": self._options.seed,
            "--days": self._options.days,
            "--projects": self._options.projects,
            "--runs-per-day": _RUNS_PER_DAY,
            "--token": _TOKEN,
            "--now": format_ms(self._started_ms),
            "--webhook-url": f"http://{_HOST}:{self._hook_port}/webhooks/circleci",
            "--webhook-secret": self._secret,
        }
        words = [str(word) for pair in options.items() for word in pair]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headgate.testing.circleci", *words, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield await _twin_port(process)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                await process.wait()

    @contextlib.asynccontextmanager
    async def _pager(self) -> AsyncIterator[int]:
        """Somebody who is told of alerts: a webhook receiver that prints."""
        server = await asyncio.start_server(self._page, _HOST, 0)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                message = orjson.loads(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                await writer.drain()
            for alert in message["alerts"]:
                self._show.alert(alert["status"], alert["annotations"].get("summary", alert["labels"]["alertname"]))
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            self._show.line("the pager lost a connection; the notification is sent again")
        finally:
            writer.close()

    async def _organisations(self, twin_port: int) -> list[str]:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as twin:
            about = await twin.get(f"http://{_HOST}:{twin_port}/_twin")
        return list(about.json()["orgs"])

    def _write_configuration(self, twin_port: int, pager_port: int, orgs: list[str]) -> None:
        rules = self._directory / "rules.yaml"
        rules.write_text((resources.files("headgate.app") / "demo_rules.yaml").read_text("utf-8"))
        self._file.write_text(yaml.safe_dump(self._settings(twin_port, pager_port, orgs), sort_keys=False))

    def _settings(self, twin_port: int, pager_port: int, orgs: list[str]) -> dict[str, Any]:
        source = {
            "type": "circleci",
            "token": _TOKEN,
            "base_url": f"http://{_HOST}:{twin_port}",
            "orgs": orgs,
            "webhook": {"secrets": [self._secret]},
            "poll": {"every": "5s", "initial": f"{self._options.days + 1}d"},
            "enrich_wait": "15s",
            "budget": {"per_second": 1000, "burst": 1000},
        }
        return {
            "version": 1,
            "store": {"url": f"sqlite://{self._directory / 'headgate.db'}"},
            "http": {"listen": f"{_HOST}:{self._options.port}"},
            "webhooks": {"listen": f"{_HOST}:{self._hook_port}"},
            "sources": {"circleci": source},
            "sinks": {
                "records": {"type": "jsonl", "path": str(self._directory / "records.jsonl"), "start": "retained"}
            },
            "alerts": {
                "rules": ["rules.yaml"],
                "notifiers": {"pager": {"type": "webhook", "url": f"http://{_HOST}:{pager_port}/"}},
            },
            "log": {"level": "warning"},
        }

    # -- what happens

    async def _drive(self, daemon: Daemon, twin_port: int) -> None:
        """Let time pass once the history is collected, for the daemon first: nothing may come from its future."""
        await self._until_collected(daemon)
        twin_ms = self._started_ms
        async with httpx.AsyncClient(base_url=f"http://{_HOST}:{twin_port}", trust_env=False, timeout=60) as twin:
            while self._driving:
                self._clock.leap(_SPEED - 1)
                passed_ms = self._clock.now_ms() - twin_ms
                twin_ms += passed_ms
                await twin.post("/_twin/advance", json={"seconds": passed_ms / 1000})
                await asyncio.sleep(1.0)

    async def _until_collected(self, daemon: Daemon) -> None:
        await daemon.ready.wait()
        ask = RemoteOperations(daemon.urls[0], None)
        try:
            while self._driving:
                status = await ask.status()
                if status["sources"]["circleci"]["last_complete_walk"]:
                    self._show.line("The history is collected; time now runs 30 times as fast.")
                    return
                await asyncio.sleep(0.5)
        finally:
            await ask.aclose()

    async def _report(self, daemon: Daemon, twin_port: int) -> None:
        await daemon.ready.wait()
        self._show.ready(daemon.urls, f"http://{_HOST}:{twin_port}", self._file)
        ask = RemoteOperations(daemon.urls[0], None)
        try:
            while True:
                await asyncio.sleep(_REPORT_SECONDS)
                with contextlib.suppress(Unreachable, HeadgateError):
                    self._show.figures(await ask.overview())
        finally:
            await ask.aclose()

    async def _end_after(self, seconds: float, daemon: Daemon, twin_port: int) -> None:
        """Stop the twin's time, let what is on its way arrive, compare with the truth, stop the daemon."""
        await asyncio.sleep(seconds)
        self._driving = False
        differences: list[str] = []
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                differences = await self._differences(daemon, twin_port)
                while differences:
                    # The twin stands still, the daemon's timers do not: unfinished runs are soon asked about again, and
                    # within the hour what no webhook tells.
                    self._clock.leap(_SETTLE_SPEED)
                    await asyncio.sleep(0.5)
                    differences = await self._differences(daemon, twin_port)
        except TimeoutError:
            self._show.line("not everything had arrived yet", "yellow")
        self._show.truth(differences)
        daemon.stop()

    async def _differences(self, daemon: Daemon, twin_port: int) -> list[str]:
        ask = RemoteOperations(daemon.urls[0], None)
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=60) as twin:
                truth = await twin.get(f"http://{_HOST}:{twin_port}/_twin/truth")
            lines = [orjson.loads(line) for line in truth.content.splitlines()]
            return compare_with_truth(lines, (await ask.overview())["ended"])
        finally:
            await ask.aclose()


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
