"""The SQLite adapter of the store port: ties the writer, the readers and the units of work together.

Invariant: only the writer's thread touches the writing connection after `open`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import apsw
import structlog

from headgate.core.audits import Kept, ListedKind
from headgate.core.clock import Clock
from headgate.core.errors import StoreError, StoreFailed
from headgate.core.metrics import Metrics
from headgate.core.ports import Delivery, JobRef, Lane, LogEntry, RunRef
from headgate.core.release import ReleasePolicy
from headgate.core.storeport import (
    InboxRow,
    MergeResult,
    MergeWork,
    Outcomes,
    Replay,
    SignalSpec,
    SignalState,
    SpaceLevel,
    StoreFigures,
)
from headgate.core.trail import TrailEntry
from headgate.store import (
    commits,
    cuts,
    daysums,
    delivery,
    inbox,
    kept,
    outages,
    queries,
    replays,
    setaside,
    spans,
    testparts,
    trail,
    trim,
    unasked,
    usagedays,
)
from headgate.store.alertunits import AlertUnits
from headgate.store.due import release_due_unit
from headgate.store.facts import Facts
from headgate.store.files import Files, copy_out
from headgate.store.merging import merge_unit
from headgate.store.notedsums import NotedSums
from headgate.store.notedtests import NotedTests
from headgate.store.questions import Questions
from headgate.store.quota import Quota
from headgate.store.readers import Readers
from headgate.store.salvage import damage_of, open_sound
from headgate.store.schema import set_up
from headgate.store.session import Session
from headgate.store.sql import Database
from headgate.store.tables import Tables
from headgate.store.trim import Slice
from headgate.store.writer import Writer

__all__ = ["SqliteStore"]

T = TypeVar("T")
_log = structlog.get_logger("headgate.store")


class SqliteStore(AlertUnits, Questions):
    """One file, one writer thread, a few readers. See the port for what each method promises.

    `repair`: whether `open` makes a new store, or salvages a damaged one; without, it raises StoreError and changes
    nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock,
        metrics: Metrics,
        quota: Quota | None = None,
        vfs: str | None = None,
        repair: bool = True,
    ) -> None:
        self._repair = repair
        self._path = Path(path)
        self._clock = clock
        self._metrics = metrics
        self._quota = quota or Quota()
        self._vfs = vfs
        self._files = Files(self._path, self._quota.ballast_bytes)
        self._db: Database | None = None
        self._tables: Tables | None = None
        self._writer: Writer | None = None
        self._readers: Readers | None = None

    # -- life

    async def open(self) -> None:
        """Open, lock, migrate, salvage if damaged. Raises StoreLocked, StoreError."""
        if self._writer is not None:
            raise StoreError("the store is open already")
        await asyncio.to_thread(self._open)
        if self._db is None or self._tables is None:
            raise StoreError("the store was closed while it opened")
        self._writer = Writer(self._db, self._tables, clock=self._clock, metrics=self._metrics)
        self._writer.start()

    def _open(self) -> None:
        self._files.lock()
        try:
            self._refuse_damage()
            self._db = open_sound(self._files, self._vfs, self._clock.now_ms())
            self._tables = Tables(self._db, self._files, self._quota, self._clock, self._metrics)
            self._tables.measure()
            self._readers = Readers(self._reader)
            self._noted_sums, self._noted_tests = NotedSums(), NotedTests()
        except (apsw.Error, OSError) as exc:
            self._files.unlock()
            raise StoreError(f"the store {self._path} cannot be used: {exc}: check the disk and its rights") from exc
        except BaseException:
            self._files.unlock()
            raise

    def _refuse_damage(self) -> None:
        damage = None if self._repair else damage_of(self._files, self._vfs)
        if damage is not None:
            raise StoreError(
                f"the store {self._path} is damaged: {damage}. Nothing was changed: `headgate run` sets the file aside,"
                " keeps what can be read and collects the rest again"
            )

    def _reader(self) -> Database:
        db = Database(str(self._path), flags=apsw.SQLITE_OPEN_READONLY, vfs=self._vfs)
        set_up(db, writer=False)
        return db

    async def close(self) -> None:
        """Finish what was queued, checkpoint, mark the shutdown clean. Safe twice."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()
        await asyncio.to_thread(self._close, clean=writer is not None and not writer.failure.done())

    def _close(self, *, clean: bool) -> None:
        if self._readers is not None:
            self._readers.close()
            self._readers = None
        db, self._db = self._db, None
        if db is not None:
            try:
                if clean:
                    db.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
                    db.execute("PRAGMA optimize")
                    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                else:
                    # What was not flushed must not be copied into the database: the next start reads what is true.
                    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
                db.close(force=True)
            except apsw.Error as error:  # nobody is left to tell; the next start checks the file
                _log.warning("store_not_closed", path=str(self._path), error=repr(error))
                self._files.mark_suspect()
        self._files.unlock()

    async def failed(self) -> BaseException:
        """Wait until the store can no longer be trusted; returns why."""
        return await asyncio.shield(self._live().failure)

    async def ping(self) -> None:
        """One empty round trip through the writer."""
        await self._live().run("ping", lambda: None)

    def _live(self) -> Writer:
        if self._writer is None:
            raise StoreError("the store is not open")
        return self._writer

    async def _unit(self, name: str, unit: Callable[[Session, Facts], T]) -> T:
        tables = self._tables
        if tables is None:
            raise StoreError("the store is not open")
        return await self._live().run(name, lambda: unit(tables.session.load(), tables.facts))

    async def _ask(self, question: Callable[[Database], T]) -> T:
        if self._readers is None:
            raise StoreError("the store is not open")
        try:
            return await self._readers.ask(question)
        except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as exc:
            self._live().distrust(exc)
            raise StoreFailed(f"the store can no longer be trusted: {exc!r}") from exc

    # -- intake

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        await self._live().accept([inbox.row_of(delivery) for delivery in deliveries])

    def accept_wait_seconds(self) -> float:
        return self._writer.accept_wait_seconds() if self._writer else 0.0

    def in_burst(self) -> bool:
        return self._writer.in_burst() if self._writer else False

    def space_level(self) -> SpaceLevel:
        return self._tables.level if self._tables else "ok"

    async def inbox(self, limit: int) -> Sequence[InboxRow]:
        return await self._ask(lambda db: inbox.waiting(db, limit))

    async def park_inbox(self, ids: Sequence[int], *, now_ms: int) -> int:
        return await self._unit("inbox", lambda session, _: setaside.park(session, ids, now_ms))

    async def requeue_inbox(self, ids: Sequence[int]) -> int:
        return await self._unit("inbox", lambda session, _: setaside.requeue(session, ids))

    async def purge_inbox(self, ids: Sequence[int]) -> int:
        now_ms = self._clock.now_ms()
        return await self._unit("inbox", lambda session, _: setaside.purge(session, ids, now_ms))

    async def merge_and_release(self, work: MergeWork) -> MergeResult:
        return await self._unit("merge", lambda session, facts: merge_unit(session, facts, work))

    async def release_due(
        self, policy: ReleasePolicy, source: str, *, now_ms: int, live_after_ms: int, limit: int = 500
    ) -> MergeResult:
        return await self._unit(
            "release",
            lambda session, facts: release_due_unit(
                session, facts, policy, source, now_ms=now_ms, live_after_ms=live_after_ms, limit=limit
            ),
        )

    async def unfinished(
        self, source: str, *, ended_since_ms: int, empty_since_ms: int, limit: int
    ) -> Sequence[RunRef]:
        return await self._ask(lambda db: queries.unfinished(db, source, ended_since_ms, empty_since_ms, limit))

    async def unended(self, source: str, *, before: tuple[int, str], limit: int) -> Sequence[RunRef]:
        return await self._ask(lambda db: queries.unended(db, source, before, limit))

    async def unasked(self, source: str, *, since_ms: int, limit: int) -> Sequence[RunRef]:
        return await self._ask(lambda db: unasked.unasked(db, source, self._clock.now_ms(), since_ms, limit))

    async def kept(self, kind: ListedKind, keys: Sequence[str]) -> Mapping[str, Kept]:
        return await self._ask(lambda db: kept.kept(db, kind, keys))

    async def jobs_of(self, runs: Sequence[str]) -> Mapping[str, Kept]:
        return await self._ask(lambda db: kept.jobs_of(db, runs))

    async def wanting_enrichment(self, source: str, *, due_by_ms: int, limit: int) -> Sequence[JobRef]:
        return await self._ask(lambda db: queries.wanting_enrichment(db, source, due_by_ms, limit))

    # -- delivery

    async def open_signals(self, specs: Sequence[SignalSpec], *, now_ms: int) -> Mapping[str, str]:
        return await self._unit("signals", lambda session, _: delivery.open_signals(session, specs, now_ms))

    async def reset_signal(self, key: str, *, start: Literal["now", "retained"] | int) -> None:
        now_ms = self._clock.now_ms()

        def reset(session: Session, _: Facts) -> None:
            delivery.reset_signal(session, key, start, now_ms)
            replays.give_up(session, key)

        await self._unit("signals", reset)

    async def set_signal_state(self, key: str, state: SignalState, reason: str) -> None:
        await self._unit("signals", lambda session, _: delivery.set_signal_state(session, key, state, reason))

    async def read_log(self, key: str, lane: Lane, after: int, *, limit: int, max_bytes: int) -> Sequence[LogEntry]:
        if lane == "dead":
            return await self._ask(lambda db: delivery.read_dead(db, key, after, limit, max_bytes))
        if lane == "replay":
            return await self._ask(lambda db: replays.read_replay(db, key, after, limit, max_bytes))
        return await self._ask(lambda db: delivery.read_log(db, lane, after, limit, max_bytes))

    async def record_outcomes(self, outcomes: Sequence[Outcomes]) -> None:
        await self._unit("outcomes", lambda session, _: delivery.record_outcomes(session, outcomes))

    async def requeue_dead(self, ids: Sequence[int]) -> int:
        return await self._unit("dead", lambda session, _: delivery.requeue_dead(session, ids))

    async def purge_dead(self, ids: Sequence[int]) -> int:
        now_ms = self._clock.now_ms()
        return await self._unit("dead", lambda session, _: delivery.purge_dead(session, ids, now_ms=now_ms))

    async def open_replay(self, key: str, *, since_ms: int, until_ms: int) -> Replay:
        return await self._unit("replay", lambda session, _: replays.open_replay(session, key, since_ms, until_ms))

    # -- questions

    async def figures(self) -> StoreFigures:
        size, level = await asyncio.to_thread(self._files.size), self.space_level()
        return await self._ask(lambda db: queries.figures(db, size, level))

    # -- housekeeping

    async def append_trail(self, entries: Sequence[TrailEntry]) -> None:
        await self._unit("trail", lambda session, _: trail.append(session, entries))

    async def trim(self, retention: Mapping[str, int], *, now_ms: int) -> Mapping[str, int]:
        """Delete what is past retention, each slice a unit. Raises KeyError for an unknown part, deleting nothing."""
        parts = {name: trim.PARTS[name] for name in retention}
        deleted: dict[str, int] = {}
        for name, part in parts.items():
            before_ms = now_ms - retention[name]
            deleted[name] = await self._slices(lambda s, part=part, at=before_ms: part(s, at, now_ms))  # type: ignore[misc]  # bound at once
        await self._slices(lambda session: trim.trim_hourly(session, now_ms))
        if self.space_level() in ("ok", "warn"):
            # Tests first: theirs are few, and of a long history spans, on which the sums of days rest, take longest.
            await self._slices(lambda session: testparts.add_up(session, now_ms))
            await self._slices(lambda session: spans.add_up(session, now_ms))
            await self._slices(lambda session: cuts.add_up(session, now_ms))
            await self._slices(lambda session: usagedays.add_up(session, now_ms))
            await self._slices(commits.note)
            await self._slices(lambda session: outages.add_up(session, now_ms))
            for what in daysums.EVERYTHING:
                await self._slices(lambda session, what=what: daysums.add_up(session, now_ms, what))  # type: ignore[misc]  # bound at once
        await self._unit("optimize", lambda session, _: session.db.execute("PRAGMA optimize").fetchall())
        return deleted

    async def _slices(self, part: Callable[[Session], Slice]) -> int:
        total, more = 0, True
        while more:
            n, more = await self._unit("trim", lambda session, facts: trim.one_slice(session, facts, part))
            total += n
        return total

    async def backup(self, path: str) -> None:
        """A consistent copy at `path` while running. Raises StoreFull without room, StoreError if it cannot be written.

        It ends soon after whoever waits is cancelled or the store is closed; nothing of it stays then.
        """
        now_ms, cancelled = self._clock.now_ms(), threading.Event()
        try:
            await asyncio.to_thread(self._backup, Path(path), now_ms, lambda: cancelled.is_set() or not self._writer)
        finally:
            cancelled.set()

    def _backup(self, target: Path, now_ms: int, ended: Callable[[], bool]) -> None:
        try:
            source = self._reader()
            try:
                reserve = self._files.room_beside(target.parent)
                copy_out(source, target, now_ms, reserve_bytes=reserve, ended=ended)
            finally:
                source.close()
        except (OSError, apsw.Error) as exc:
            raise StoreError(f"the backup {target} cannot be written: {exc}") from exc
