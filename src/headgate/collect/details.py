"""Asks about each job once it has ended: follows the log of released jobs, keeps what is still to be asked, asks.

Invariant: the position in the log moves in the transaction that keeps what has to be asked because of it, and a
question is forgotten in the transaction of its answer's last part; so a process that dies loses no question and, since
an answer may be told twice, doubles no fact. No question is asked for ever.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog

from headgate.collect.loops import SourceLoop
from headgate.collect.pacing import GONE_AFTER_MS, detail_given_up, detail_pause_seconds
from headgate.collect.state import forgiving
from headgate.core.details import DetailSource, EndedJob
from headgate.core.errors import NotFound, SourceError, SourceRefused, SourceUnavailable, StoreError
from headgate.core.merge import Observation
from headgate.core.ports import Lane, LogEntry
from headgate.core.record import Record, decode_record
from headgate.core.times import parse_ms

__all__ = ["Details", "ended_job"]

_LANES: tuple[Lane, ...] = ("live", "backfill")
# Questions of a lane that are kept at once; the log keeps the others until there is room.
_ROOM: Mapping[Lane, int] = {"live": 5000, "backfill": 1000}
_AT_ONCE = 2  # jobs asked about at once: polling must not wait for us
_PAGE = 500  # entries of the log read at once
_PAGE_BYTES = 4_194_304
# A page without any job that matters is not worth a transaction; after so many entries it is.
_UNSAVED = 20_000
_TICK_SECONDS = 2.0
_log = structlog.get_logger("headgate.collect")


class _Todo(msgspec.Struct):
    """A job with the questions that are still to be asked about it, as the store keeps it.

    `attempts`: of the first question. `first_ms`: when it was first asked, 0 before; by our clock, milliseconds.
    """

    lane: Lane
    job: EndedJob
    wants: list[str]
    attempts: int = 0
    first_ms: int = 0

    @property
    def mark(self) -> str:
        """The key it is kept under."""
        return f"details/todo/{self.job.job_id}"


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Todo)


def ended_job(entry: LogEntry, host: str) -> EndedJob | None:
    """The job that a log entry is about; None for any other record and for jobs of another host."""
    if entry.kind != "job":
        return None
    record = decode_record(entry.body)
    job_id = _text(record, "cicd.pipeline.task.run.id")
    if record.tenant != host or not record.project or not job_id:
        return None
    number = record.attributes.get("circleci.job.number")
    return EndedJob(
        project_slug=record.project,
        job_id=job_id,
        number=number if isinstance(number, int) else None,
        name=_text(record, "cicd.pipeline.task.name"),
        status=_text(record, "headgate.status"),
        ref_name=_text(record, "vcs.ref.head.name"),
        revision=_text(record, "vcs.ref.head.revision"),
        workflow_id=_text(record, "cicd.pipeline.run.id"),
        started_ms=parse_ms(record.attributes.get("circleci.started_at")),
        stopped_ms=parse_ms(record.attributes.get("circleci.stopped_at")),
        url=_text(record, "cicd.pipeline.task.run.url.full"),
    )


def _text(record: Record, name: str) -> str:
    value = record.attributes.get(name)
    return value if isinstance(value, str) else ""


@dataclass(eq=False)
class Details(SourceLoop[DetailSource]):
    """The loops of one source: one reads the log, a few ask."""

    # Lane -> highest seq looked at; None before the first look, and where no position was kept.
    _seen: dict[Lane, int] | None = field(default=None, init=False)
    _saved: dict[Lane, int] = field(default_factory=dict, init=False)
    _todo: dict[str, _Todo] = field(default_factory=dict, init=False)
    _not_before: dict[str, float] = field(default_factory=dict, init=False)
    _asking: set[str] = field(default_factory=set, init=False)
    # What can be asked about, by `_rank`; what was put off comes back here when it is due.
    _ready: list[tuple[bool, int, str]] = field(default_factory=list, init=False)

    async def run(self) -> None:
        """Follow and ask for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="details-log")
            for _ in range(_AT_ONCE):
                tasks.create_task(self._work(), name="details")

    def waiting(self, log_head: Mapping[str, int]) -> str:
        """What is still to be done, in words; empty when every job in the log was asked about."""
        if self._seen is None or any(self._seen[lane] < log_head.get(lane, 0) for lane in _LANES):
            return "ended jobs are not looked at for details yet"
        return f"{len(self._todo)} jobs wait for their details" if self._todo else ""

    # -- following the log

    async def _follow(self) -> None:
        while True:
            with forgiving(self._polled, "details_log_failed"):
                await self.look()
            await self.sleep(_TICK_SECONDS)

    async def look(self) -> None:
        """Read the log of both lanes up to its end, or until there is no more room."""
        if self._seen is None:
            self._seen = await self._load()
        for lane in _LANES:
            while self._room(lane) and await self._read(lane, self._seen):
                """One more page."""

    async def _load(self) -> dict[Lane, int]:
        marks = await self._store.source_marks(self._polled.name, "details/")
        self._todo, self._ready = {}, []
        for key, value in marks.items():
            if key.startswith("details/todo/"):
                self._take(_decoder.decode(value))
        self._saved = {lane: int(marks[_at(lane)]) for lane in _LANES if _at(lane) in marks}
        return {lane: self._saved.get(lane, 0) for lane in _LANES}

    def _room(self, lane: Lane) -> bool:
        return sum(todo.lane == lane for todo in self._todo.values()) < _ROOM[lane]

    async def _read(self, lane: Lane, seen: dict[Lane, int]) -> bool:
        """Look at one page; whether there may be more."""
        after = seen[lane]
        entries = await self._store.read_log("", lane, after, limit=_PAGE, max_bytes=_PAGE_BYTES)
        if not entries:
            return False
        if lane in self._saved and entries[0].seq > after + 1:
            self._passed_over(lane, entries[0].seq - after - 1)
        todos, observations = self._sift(lane, entries)
        reached = entries[-1].seq
        if todos or observations or reached - self._saved.get(lane, 0) >= _UNSAVED:
            marks: dict[str, bytes | None] = {todo.mark: _encoder.encode(todo) for todo in todos}
            marks[_at(lane)] = b"%d" % reached
            await self._intake.merge_answer(self._polled, observations, marks=marks)
            self._saved[lane] = reached
            for todo in todos:
                self._take(todo)
        seen[lane] = reached
        return True

    def _sift(self, lane: Lane, entries: Sequence[LogEntry]) -> tuple[list[_Todo], list[Observation]]:
        todos: list[_Todo] = []
        observations: list[Observation] = []
        for entry in entries:
            job = ended_job(entry, self._polled.source.host)
            if job is None:
                continue
            observations += self._source.deployments(job)
            wants = list(self._source.wants(job))
            if wants:
                todos.append(_Todo(lane, job, wants))
        return todos, observations

    def _passed_over(self, lane: Lane, count: int) -> None:
        """Retention took entries that we had not looked at: this was off, or the daemon, for longer than it lasts."""
        self._count("log_trimmed", count)
        _log.warning("details_log_trimmed", source=self._polled.name, lane=lane, entries=count)

    # -- asking

    async def _work(self) -> None:
        while True:
            if not await self.once():
                await self.sleep(_TICK_SECONDS)

    async def once(self) -> bool:
        """Ask about one job; False where none is due, or nothing may be asked now."""
        paused = self._store.space_level() in ("pause", "refuse")
        todo = None if paused or self._polled.refused else self._next()
        if todo is None:
            return False
        self._asking.add(todo.mark)
        try:
            with forgiving(self._polled, "details_failed"):
                await self._ask_all(todo)
        finally:
            self._asking.discard(todo.mark)
        return True

    def _next(self) -> _Todo | None:
        """The newest job of lane live that is due, else the newest of lane backfill."""
        now = self._polled.clock.monotonic()
        due = [mark for mark, at in self._not_before.items() if at <= now and mark not in self._asking]
        for mark in due:
            del self._not_before[mark]
            heapq.heappush(self._ready, _rank(self._todo[mark]))
        while self._ready:
            mark = heapq.heappop(self._ready)[-1]
            if mark in self._todo and mark not in self._asking and mark not in self._not_before:
                return self._todo[mark]
        return None

    def _take(self, todo: _Todo) -> None:
        self._todo[todo.mark] = todo
        heapq.heappush(self._ready, _rank(todo))

    async def _ask_all(self, todo: _Todo) -> None:
        # Put off first: whatever happens below, it is not tried again at once.
        self._put_off(todo)
        while todo.wants:
            todo.first_ms = todo.first_ms or self._polled.clock.now_ms()
            todo.attempts += 1
            reason = await self._ask(todo)
            if reason is not None and not self._give_up(todo, reason):
                await self._keep(todo)
                return
            if reason is not None:
                await self._settle(todo, ())

    async def _ask(self, todo: _Todo) -> str | None:
        """Merge the answer to the first question and settle it; why it could not be had, else None."""
        want = todo.wants[0]
        last: Sequence[Observation] = ()
        try:
            async for part in self._source.details(todo.job, want):
                if last:
                    await self._intake.merge_answer(self._polled, last)
                last = part
        except NotFound:
            return "not_found"
        except SourceRefused as error:
            self._polled.failed(error, "details_refused")
            return "waiting" if self._polled.refused else error.reason
        except SourceUnavailable as error:
            self._polled.failed(error, "details_unavailable")
            return "unavailable"
        except (SourceError, StoreError):
            raise
        except Exception:  # noqa: BLE001  # logged and counted; one answer that breaks our code must not come for ever
            _log.exception("details_break", source=self._polled.name, job=todo.job.job_id, want=want)
            return "internal"
        self._polled.answered()
        await self._settle(todo, last)
        return None

    def _give_up(self, todo: _Todo, reason: str) -> bool:
        """Whether this question will not be asked again; counted and said."""
        if reason == "waiting":
            todo.attempts -= 1
            return False
        job, now_ms = todo.job, self._polled.clock.now_ms()
        young = job.stopped_ms is not None and self._polled.source.now_ms() - job.stopped_ms < GONE_AFTER_MS
        waited_ms = now_ms - todo.first_ms
        if not detail_given_up(reason, todo.attempts, waited_ms, young=young):
            return False
        self._count(f"{todo.wants[0]}_{reason}", 1)
        _log.info("details_missing", source=self._polled.name, project=job.project_slug, job=job.number, reason=reason)
        return True

    async def _settle(self, todo: _Todo, last: Sequence[Observation]) -> None:
        """The first question is done with: forget it together with the last part of its answer."""
        rest = todo.wants[1:]
        value = _encoder.encode(_Todo(todo.lane, todo.job, rest)) if rest else None
        await self._intake.merge_answer(self._polled, last, marks={todo.mark: value})
        todo.wants, todo.attempts, todo.first_ms = rest, 0, 0
        if not rest:
            del self._todo[todo.mark]
            self._not_before.pop(todo.mark, None)

    async def _keep(self, todo: _Todo) -> None:
        """Remember how often it was tried, so that a restart does not begin to count anew."""
        self._put_off(todo)
        await self._intake.merge(self._polled, (), marks={todo.mark: _encoder.encode(todo)})

    def _put_off(self, todo: _Todo) -> None:
        self._not_before[todo.mark] = self._polled.clock.monotonic() + detail_pause_seconds(todo.attempts)

    def _count(self, reason: str, amount: int) -> None:
        self._polled.metrics.count(
            "headgate_source_missing_detail_total", amount, source=self._polled.name, reason=reason
        )


def _rank(todo: _Todo) -> tuple[bool, int, str]:
    """What is asked about first: lane live before lane backfill, the newest first."""
    return todo.lane != "live", -(todo.job.stopped_ms or 0), todo.mark


def _at(lane: Lane) -> str:
    return f"details/at/{lane}"
