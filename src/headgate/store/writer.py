"""The one thread that writes. It takes everything that waits, commits once, answers all.

Accepted deliveries go first, in a transaction of their own; other units run in slices, each under its own savepoint, so
that a bad one fails alone, and a slice ends where deliveries wait. There is no timer: an idle store commits at once, a
busy one groups by itself.
Invariant: a future is resolved only after the commit that holds its unit was flushed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import apsw

from headgate.core.clock import Clock
from headgate.core.errors import StoreBusy, StoreError, StoreFailed, StoreFull
from headgate.core.metrics import Metrics
from headgate.store.sql import Database

__all__ = ["Host", "Writer"]

T = TypeVar("T")
# A slice of units ends after this, or after the unit during which a delivery came. Long, because pages that several
# units touch (indexes by random ids above all) are written once for all units of a slice.
_SLICE_SECONDS = 0.150
# A group of so many deliveries is a burst: other units step back while it lasts, but for no longer than this.
_BURST_GROUP = 16
_BURST_YIELD_SECONDS = 1.0
_BURST_PAUSE_SECONDS = 0.004
# A burst is over when no such group came for so long.
_BURST_ENDS_SECONDS = 0.050
# Quiet for so long: copy the WAL into the database, look at the space.
_IDLE_SECONDS = 0.25
# Pages in the WAL at which the writer stops to copy them. Measured with 64 senders: at 1,000 pages 1 % of the answers
# take 12 ms or more, at 4,000 5.5 ms (fewer stops, and pages that were touched again and again are copied once), at
# 8,000 7 ms.
_CHECKPOINT_PAGES = 4_000
# While idle so few are left alone.
_IDLE_PAGES = 64
_FATAL = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.ProtocolError)
# Passes by itself: somebody else holds the file (an administrator's shell), or memory is short for a moment.
_LATER = (apsw.BusyError, apsw.LockedError, apsw.NoMemError)


class Host(Protocol):
    """What the writer asks of whoever owns the tables. Called on the writer's thread only."""

    def append(self, rows: list[tuple[Any, ...]]) -> None:
        """Insert accepted deliveries."""
        ...

    def forget(self) -> None:
        """Something was rolled back: nothing remembered about the file may be believed."""
        ...

    def make_room(self) -> None:
        """The device is full: give back what was held in reserve."""
        ...

    def damaged(self) -> None:
        """The file cannot be trusted: leave a note for the next start."""
        ...

    def maintain(self, *, idle: bool) -> None:
        """Outside any transaction, now and then."""
        ...


@dataclass(slots=True)
class _Job:
    name: str
    run: Callable[[], Any]
    future: asyncio.Future[Any]
    since: float
    size: int = 1
    result: Any = None
    error: BaseException | None = None


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _put_off(jobs: list[_Job], exc: apsw.Error) -> None:
    """None of them is tried one by one: each could wait for the lock as long as this one did."""
    for job in jobs:
        job.error = StoreBusy(f"the store cannot be written just now: {exc}")


class Writer:
    """Runs units one after the other on one connection.

    `run` and `accept` are called on the event loop; everything else happens on the thread.
    """

    def __init__(self, db: Database, host: Host, *, clock: Clock, metrics: Metrics) -> None:
        self._db = db
        self._host = host
        self._clock = clock
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self.failure: asyncio.Future[BaseException] = self._loop.create_future()
        self._lock = threading.Condition()
        self._accepts: deque[_Job] = deque()
        self._units: deque[_Job] = deque()
        self._sleeping = False
        self._stopping = False
        self._dead: BaseException | None = None
        self._burst = False
        self._burst_at = float("-inf")
        self._units_at = float("-inf")
        self._wal_pages = 0
        db.set_wal_hook(self._on_wal)
        self._thread = threading.Thread(target=self._work, name="headgate-store", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def run(self, name: str, unit: Callable[[], T]) -> T:
        """Run a unit in a transaction; returns its result after the flush. May run it twice if the first failed."""
        return await self._put(self._units, name, unit)  # type: ignore[no-any-return]  # the unit's own result

    async def accept(self, rows: list[tuple[Any, ...]]) -> None:
        """Append deliveries; returns after the flush."""
        await self._put(self._accepts, "accept", lambda: rows, len(rows))

    def accept_wait_seconds(self) -> float:
        """Age of the oldest delivery that is not flushed yet."""
        try:
            return max(0.0, self._clock.monotonic() - self._accepts[0].since)
        except IndexError:
            return 0.0

    async def stop(self) -> None:
        """Finish what is queued and end the thread."""
        with self._lock:
            self._stopping = True
            self._lock.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def in_burst(self) -> bool:
        """Whether many senders at once had deliveries stored just now."""
        return self._clock.monotonic() - self._burst_at < _BURST_ENDS_SECONDS

    def _put(self, queue: deque[_Job], name: str, unit: Callable[[], Any], size: int = 1) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        job = _Job(name, unit, future, self._clock.monotonic(), size)
        with self._lock:
            if self._dead is not None:
                raise StoreFailed(f"the store failed earlier: {self._dead}") from self._dead
            if self._stopping:
                raise StoreError("the store is closed")
            queue.append(job)
            if self._sleeping:
                self._lock.notify()
        return future

    # -- the thread

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as exc:  # noqa: BLE001  # whatever ends the thread must reach those who wait
            self._fail(exc)

    def _turn(self) -> bool:
        """One round: a group of deliveries, then a slice of units. False when there is nothing left and we stop."""
        with self._lock:
            idle = False
            while not (self._accepts or self._units or self._stopping or idle):
                self._sleeping = True
                idle = not self._lock.wait(_IDLE_SECONDS)
                self._sleeping = False
            if self._stopping and not (self._accepts or self._units):
                return False
            group = list(self._accepts)
        if group:
            self._burst = sum(job.size for job in group) >= _BURST_GROUP
            if self._burst:
                self._burst_at = self._clock.monotonic()
            self._commit_accepts(group)
        if self._units and not self._yields():
            self._commit_units()
        if self._dead is not None:
            return False
        self._tidy(idle=idle)
        return True

    def _yields(self) -> bool:
        """Whether units wait because more deliveries are on their way."""
        if not self._burst or self._stopping:
            return False
        with self._lock:
            if not self._accepts:
                self._sleeping = True
                self._lock.wait(_BURST_PAUSE_SECONDS)
                self._sleeping = False
            # Many units may have come together: each waits anew, so that they do not all break into the burst at once.
            since = max(self._units[0].since, self._units_at)
            if self._accepts and self._clock.monotonic() - since < _BURST_YIELD_SECONDS:
                return True
        self._burst = False
        return False

    def _commit_accepts(self, group: list[_Job]) -> None:
        started = self._clock.monotonic()
        try:
            self._transaction(lambda: self._host.append([row for job in group for row in job.run()]))
        except _FATAL as exc:
            self._fail(exc)
            return
        except _LATER as exc:
            _put_off(group, exc)
        except Exception:  # noqa: BLE001  # one of them is bad or the device is full: each for itself
            for job in group:
                self._alone(job, lambda job=job: self._host.append(job.run()))  # type: ignore[misc]  # bound at once
            if self._dead is not None:
                return
        self._answer(self._accepts, group, "accept", started)

    def _commit_units(self) -> None:
        started = self._clock.monotonic()
        done: list[_Job] = []
        try:
            self._transaction(lambda: self._slice(done, started))
        except _FATAL as exc:
            self._fail(exc)
            return
        except _LATER as exc:
            done = done or [self._units[0]]
            _put_off(done, exc)
        except Exception:  # noqa: BLE001  # full at the commit, or the first unit failed: each for itself
            done = done or [self._units[0]]
            for job in done:
                job.error = None
                self._alone(job, job.run)
            if self._dead is not None:
                return
        self._units_at = self._clock.monotonic()
        self._answer(self._units, done, "unit", started)

    def _slice(self, done: list[_Job], started: float) -> None:
        """Units under savepoints until the time is up. The first needs none: its failure takes back everything."""
        for job in list(self._units):
            if done:
                if self._clock.monotonic() - started > _SLICE_SECONDS or self._accepts:
                    return
                self._savepoint(job)
            else:
                job.result = job.run()
            done.append(job)

    def _savepoint(self, job: _Job) -> None:
        self._db.execute("SAVEPOINT unit")
        try:
            job.result = job.run()
        except (*_FATAL, *_LATER, apsw.FullError):
            raise
        except Exception as exc:  # noqa: BLE001  # handed to whoever waits for this unit
            job.error = exc
            self._db.execute("ROLLBACK TO unit")
            self._host.forget()
        self._db.execute("RELEASE unit")

    def _transaction(self, body: Callable[[], object]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            body()
            self._db.execute("COMMIT")
        except BaseException:  # raised on; whatever it was, nothing of the unit may stay
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._host.forget()
            raise

    def _alone(self, job: _Job, body: Callable[[], Any]) -> None:
        """One unit in a transaction of its own; its failure is its own."""
        if self._dead is not None:
            return
        for attempt in (1, 2):
            try:
                self._transaction(lambda: setattr(job, "result", body()))
            except _FATAL as exc:
                self._fail(exc)
            except apsw.FullError:
                if attempt == 1:
                    self._host.make_room()
                    continue
                job.error = StoreFull("no space left for the store; nothing of this unit was kept")
            except _LATER as exc:
                _put_off([job], exc)
            except Exception as exc:  # noqa: BLE001  # handed to whoever waits for this unit
                job.error = exc
            return

    def _answer(self, queue: deque[_Job], done: list[_Job], kind: str, started: float) -> None:
        with self._lock:
            for _ in done if self._dead is None else ():
                queue.popleft()
        seconds = self._clock.monotonic() - started
        self._metrics.observe("headgate_store_commit_seconds", seconds, unit=kind)
        self._metrics.count("headgate_store_commits_total", 1, unit=kind)
        self._wake(_resolve, done)

    def _wake(self, function: Callable[[Any], None], argument: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, argument)

    def _fail(self, exc: BaseException) -> None:
        """Final: everybody who waits gets StoreFailed, and so does everybody who comes later."""
        if self._dead is not None:
            return
        failure = StoreFailed(f"the store can no longer be trusted: {exc!r}")
        failure.__cause__ = exc
        with self._lock:
            self._dead = failure
            waiting = [*self._accepts, *self._units]
            self._accepts.clear()
            self._units.clear()
        if isinstance(exc, apsw.CorruptError | apsw.NotADBError):
            self._host.damaged()
        for job in waiting:
            job.error = StoreFailed(str(failure))
        self._wake(_resolve, waiting)
        self._wake(self._report, failure)

    def distrust(self, exc: BaseException) -> None:
        """Somebody read damage: fail as if the writer had. Safe from any thread."""
        self._fail(exc)

    def _report(self, failure: BaseException) -> None:
        if not self.failure.done():
            self.failure.set_result(failure)

    def _on_wal(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _tidy(self, *, idle: bool) -> None:
        limit = _IDLE_PAGES if idle else _CHECKPOINT_PAGES
        try:
            if self._wal_pages >= limit:
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._wal_pages = 0
            self._host.maintain(idle=idle)
        except apsw.BusyError:  # a reader holds the WAL; the next turn copies it
            return
        except apsw.FullError:
            self._host.make_room()
        except _FATAL as exc:
            self._fail(exc)
