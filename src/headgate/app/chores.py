"""Files that are due by a rhythm: made on APScheduler, each by itself, caught up once after a stop, tried again.

Invariant: what was due is done once: the mark is written after the file is in its place. One that fails stops no other
one, and is tried again until the next one is due, which replaces it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from headgate.app.atomicfile import write_file
from headgate.app.rhythms import Rhythm
from headgate.app.shelf import Shelf
from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.clock import Clock
from headgate.core.errors import StoreError, StoreFailed
from headgate.core.metrics import Metrics
from headgate.core.times import format_ms
from headgate.insights.views.refusal import Refused
from headgate.web.operations import Json, Problem

__all__ = ["Chore", "Chores", "Made"]

ChoreKind = Literal["export", "report"]
_AGAIN = BackOff(base=60.0, cap=3600.0)
# APScheduler plans by the machine's wall clock, which may jump, and which another clock may run ahead of.
_LOOK_SECONDS = 5.0
_log = structlog.get_logger("headgate.files")


@dataclass(frozen=True, slots=True)
class Made:
    """A file that is about to be. `after`: what is to be done once it is in its place; `to`: who is sent it then."""

    path: Path
    chunks: AsyncIterator[bytes]
    after: Callable[[], Awaitable[None]] | None = None
    to: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Chore:
    """One kind of file. `make`: the file that was due at a time, milliseconds."""

    kind: ChoreKind
    name: str
    rhythm: Rhythm
    shelf: Shelf
    make: Callable[[int], Awaitable[Made]]


@dataclass(frozen=True, slots=True)
class _State:
    """How a chore is. `failures`: in a row."""

    last_at: int | None = None
    file: str | None = None
    bytes: int | None = None
    problem: str = ""
    failures: int = 0
    again_ms: int | None = None


@dataclass(slots=True)
class _Kept:
    """`looked_ms`: when it was looked at last, by our clock."""

    chore: Chore
    state: _State = field(default_factory=_State)
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    looked_ms: int = 0

    def fell_due(self, now_ms: int) -> bool:
        """Whether something fell due that nobody has looked at since."""
        times = (self.chore.rhythm.next(self.looked_ms), self.state.again_ms)
        return any(at_ms is not None and at_ms <= now_ms for at_ms in times)


class Chores:
    """Used from one event loop."""

    def __init__(self, chores: Sequence[Chore], clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._kept = self._keep(chores, {})
        self._renew = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._fatal: asyncio.Future[None] | None = None

    @staticmethod
    def _keep(chores: Sequence[Chore], old: Mapping[str, _Kept]) -> dict[str, _Kept]:
        ids = {f"{chore.kind}s.{chore.name}": chore for chore in chores}
        return {key: _Kept(chore, old[key].state) if key in old else _Kept(chore) for key, chore in ids.items()}

    def replace(self, chores: Sequence[Chore]) -> None:
        """Go on with these; each is looked at at once."""
        self._kept = self._keep(chores, self._kept)
        self._renew.set()

    async def run(self) -> None:
        """Make what is due until canceled. Raises StoreFailed."""
        while True:
            self._renew.clear()
            scheduler = AsyncIOScheduler(
                timezone=UTC, job_defaults={"coalesce": True, "max_instances": 2, "misfire_grace_time": None}
            )
            self._fatal = asyncio.get_running_loop().create_future()
            for key, kept in self._kept.items():
                scheduler.add_job(
                    self._turn, kept.chore.rhythm.trigger, args=(scheduler, kept), id=key, next_run_time=self._now()
                )
            scheduler.start()
            try:
                await self._watch(scheduler, self._fatal)
            finally:
                running = list(self._running)
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                scheduler.shutdown(wait=False)

    async def _watch(self, scheduler: AsyncIOScheduler, fatal: asyncio.Future[None]) -> None:
        """Return when there are other chores; meanwhile see to it that none is late by our clock."""
        renewed = asyncio.ensure_future(self._renew.wait())
        try:
            while True:
                waited: set[asyncio.Future[Any]] = {fatal, renewed}
                done, _ = await asyncio.wait(waited, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if fatal in done:
                    return fatal.result()
                if done:
                    return None
                for key, kept in self._kept.items():
                    if kept.fell_due(self._clock.now_ms()):
                        scheduler.add_job(self._turn, args=(scheduler, kept), id=f"{key} now", replace_existing=True)
        finally:
            renewed.cancel()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, tz=UTC)

    async def _turn(self, scheduler: AsyncIOScheduler, kept: _Kept) -> None:
        """One look of the scheduler; after a failure another one is planned."""
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            await self._look(kept)
        except asyncio.CancelledError:
            # Ours: the task ends here either way, and APScheduler would log it as an error.
            return
        except StoreFailed as error:
            if self._fatal is not None and not self._fatal.done():
                self._fatal.set_exception(error)
            return
        if kept.state.again_ms is not None and scheduler.running:
            again = datetime.fromtimestamp(kept.state.again_ms / 1000, tz=UTC)
            name = f"{kept.chore.kind}s.{kept.chore.name} again"
            scheduler.add_job(self._turn, DateTrigger(again), args=(scheduler, kept), id=name, replace_existing=True)

    async def look(self, key: str) -> None:
        """Make what is due of `exports.NAME` or `reports.NAME`, if anything is. Raises StoreFailed."""
        await self._look(self._kept[key])

    async def _look(self, kept: _Kept) -> None:
        if kept.busy.locked():
            return
        async with kept.busy:
            kept.looked_ms = self._clock.now_ms()
            try:
                await self._make(kept)
            except StoreFailed:
                raise
            except (OSError, Refused, StoreError, Problem) as error:
                self._failed(kept, error)
            except Exception as error:  # noqa: BLE001  # a fault of ours must not keep other files from being made
                _log.exception("file not made", kind=kept.chore.kind, name=kept.chore.name)
                self._failed(kept, error)

    async def _make(self, kept: _Kept) -> None:
        chore, now_ms = kept.chore, self._clock.now_ms()
        due_ms = chore.rhythm.last(now_ms)
        done_ms = await asyncio.to_thread(chore.shelf.done_ms)
        if due_ms is not None and (done_ms is None or done_ms < due_ms):
            await asyncio.to_thread(chore.shelf.prepare)
            made = await chore.make(due_ms)
            size = await write_file(made.path, made.chunks)
            if made.after is not None:
                await made.after()
            await chore.shelf.finish(due_ms)
            kept.state = replace(kept.state, last_at=due_ms, file=made.path.name, bytes=size)
            _log.info("file written", kind=chore.kind, name=chore.name, file=made.path.name, bytes=size)
            self._metrics.count("headgate_files_total", kind=chore.kind, file=chore.name, outcome="written")
        deleted = await asyncio.to_thread(chore.shelf.tidy, now_ms)
        if deleted:
            _log.info("files deleted", kind=chore.kind, name=chore.name, files=deleted)
        kept.state = replace(kept.state, last_at=kept.state.last_at or done_ms, problem="", failures=0, again_ms=None)
        self._metrics.set("headgate_file_failing", 0, kind=chore.kind, file=chore.name)

    def _failed(self, kept: _Kept, error: Exception) -> None:
        chore, failures = kept.chore, kept.state.failures + 1
        text = str(error) or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            text = f"{chore.shelf.folder}: {error.strerror}"
        wait = wait_seconds(_AGAIN, failures, self._clock.jitter())
        again_ms = self._clock.now_ms() + round(wait * 1000)
        if text != kept.state.problem:
            _log.error("file not written; tried again", kind=chore.kind, name=chore.name, problem=text)
        kept.state = replace(kept.state, problem=text, failures=failures, again_ms=again_ms)
        self._metrics.count("headgate_files_total", kind=chore.kind, file=chore.name, outcome="failed")
        self._metrics.set("headgate_file_failing", 1, kind=chore.kind, file=chore.name)

    # -- questions

    def status(self) -> Mapping[str, Json]:
        """`exports.NAME` and `reports.NAME` -> how it is: `last_at`, `file`, `bytes`, `next_at`, `problem`."""
        now_ms = self._clock.now_ms()
        return {key: _view(kept, now_ms) for key, kept in self._kept.items()}

    async def listed(self) -> list[Json]:
        """Each with what is kept of it: `kind`, `name`, `state`, `folder`, `files`, `bytes`, `keep`, as `status` else.

        `state`: waiting where none was made yet; failing while one cannot be.
        """
        found = []
        for kept in self._kept.values():
            chore, told = kept.chore, _view(kept, self._clock.now_ms())
            try:
                files = await asyncio.to_thread(chore.shelf.files)
            except OSError as error:
                files, told["problem"] = [], told["problem"] or f"{chore.shelf.folder}: {error.strerror or error}"
            last = max((one.until_ms for one in files), default=None)
            found.append(
                {
                    "kind": chore.kind,
                    "name": chore.name,
                    "state": "failing" if told["problem"] else "ok" if told["last_at"] or files else "waiting",
                    "last_at": told["last_at"] or _text(last),
                    "next_at": told["next_at"],
                    "problem": told["problem"],
                    "folder": str(chore.shelf.folder),
                    "files": len(files),
                    "bytes": sum(one.bytes for one in files),
                    "keep": chore.shelf.keep.text,
                }
            )
        return found

    def shelves(self, kind: ChoreKind) -> Mapping[str, Shelf]:
        """Where the files of each name are."""
        return {kept.chore.name: kept.chore.shelf for kept in self._kept.values() if kept.chore.kind == kind}


def _view(kept: _Kept, now_ms: int) -> Json:
    state = kept.state
    return {
        "last_at": _text(state.last_at),
        "file": state.file,
        "bytes": state.bytes,
        "next_at": _text(state.again_ms if state.problem else kept.chore.rhythm.next(now_ms)),
        "problem": state.problem or None,
    }


def _text(at_ms: int | None) -> str | None:
    return None if at_ms is None else format_ms(at_ms)
