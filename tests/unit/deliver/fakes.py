"""A store of plain lists, scripted sinks, and an event loop whose time passes only when nothing else is to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.core.errors import SinkUnavailable
from headgate.core.ports import HttpReply, HttpRequest, Limits, LogEntry, TransportOptions
from headgate.core.storeport import CursorView, OutboxRow, OutcomeCounts, Replay
from headgate.core.verdicts import SendResult

BASE_MS = 1_795_000_000_000


class _Selector(selectors.DefaultSelector):
    """Never waits: tells the loop how long it would have."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen: every task waits for another")
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeps take no time; `time` jumps to the next timer when nothing is ready."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class LoopClock:
    """A clock that follows the virtual loop. `draw`: the jitter always given."""

    def __init__(self, draw: float = 0.5) -> None:
        self.draw = draw

    def now_ms(self) -> int:
        return BASE_MS + round(asyncio.get_running_loop().time() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def jitter(self) -> float:
        return self.draw


def run_virtual(main: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end on a fresh virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def entry(seq: int, *, lane: str = "live", key: int | None = None, **more: Any) -> LogEntry:
    """A record that tells its number."""
    values: dict[str, Any] = {
        "kind": "job",
        "occurred_ms": BASE_MS,
        "project": "gh/acme/web",
        "body": b'{"n":%d}' % seq,
        **more,
    }
    return LogEntry(seq=seq, lane=lane, record_id=f"{lane}-{seq}", order_key=seq if key is None else key, **values)


class FakeStore:
    """The delivery part of the store port. Everything is committed at once; `before` may fail or cancel a unit."""

    def __init__(self, **lanes: Sequence[LogEntry]) -> None:
        self.log: dict[str, list[LogEntry]] = {"live": [], "backfill": [], **{k: list(v) for k, v in lanes.items()}}
        self.dead_queue: list[LogEntry] = list(self.log.pop("dead", []))
        self.replay_rows: list[LogEntry] = list(self.log.pop("replay", []))
        self.replay: Replay | None = None
        self.cursor: dict[tuple[str, str], tuple[int, tuple[int, ...]]] = {}
        self.states: dict[str, tuple[str, str]] = {}
        self.state_history: list[tuple[str, str, str]] = []
        self.dead: list[tuple[str, LogEntry, Any, int]] = []
        self.accepted: dict[str, int] = {}
        self.skips: dict[str, dict[str, int]] = {}
        self.commits: list[Any] = []
        self.problems: dict[str, str] = {}
        self.outbox: list[OutboxRow] = []
        self.outbox_log: list[tuple[str, int, str]] = []
        self.memory: dict[tuple[str, str], dict[str, str]] = {}
        self.before: Callable[[str, Any], None] = lambda unit, argument: None

    async def open_signals(self, specs, *, now_ms):
        self.before("open", specs)
        for spec in specs:
            if spec.key in self.problems:
                continue
            for lane, rows in self.log.items():
                start = 0 if spec.start == "retained" else (rows[-1].seq if rows else 0)
                self.cursor.setdefault((spec.key, lane), (start, ()))
            self.states.setdefault(spec.key, ("ok", ""))
        return {spec.key: self.problems[spec.key] for spec in specs if spec.key in self.problems}

    async def reset_signal(self, key, *, start):
        if (key, "live") not in self.cursor and key not in self.problems:
            raise KeyError(key)
        self.problems.pop(key, None)
        for lane in self.log:
            self.cursor.pop((key, lane), None)

    async def set_signal_state(self, key, state, reason):
        self.before("state", state)
        self.states[key] = (state, reason)
        self.state_history.append((key, state, reason))

    async def cursors(self):
        views = []
        for (key, lane), (acked, holes) in self.cursor.items():
            rows = self.log.get(lane, [])
            head = rows[-1].seq if rows else 0
            state, reason = self.states[key]
            views.append(CursorView(key, lane, acked, holes, head, 1, state, reason))
        return views

    async def outcome_counts(self):
        return {
            key: OutcomeCounts(count, sum(1 for one in self.dead if one[0] == key), self.skips.get(key, {}))
            for key, count in self.accepted.items()
        }

    async def replays(self):
        return [self.replay] if self.replay else []

    async def read_log(self, key, lane, after, *, limit, max_bytes):
        self.before("read", lane)
        await asyncio.sleep(0)
        rows = {"dead": self.dead_queue, "replay": self.replay_rows}.get(lane, self.log.get(lane, []))
        found, size = [], 0
        for row in rows:
            if row.seq > after:
                if found and (len(found) >= limit or size + len(row.body) > max_bytes):
                    break
                found.append(row)
                size += len(row.body)
        return found

    async def record_outcomes(self, outcomes):
        await asyncio.sleep(0)
        self.before("outcomes", outcomes)
        for one in outcomes:
            self._record(one)
        self.commits.append(list(outcomes))

    def _record(self, one):
        self.accepted[one.signal] = self.accepted.get(one.signal, 0) + one.accepted
        self.dead += [(one.signal, *row) for row in one.dead]
        skips = self.skips.setdefault(one.signal, {})
        for reason, count in one.skipped.items():
            skips[reason] = skips.get(reason, 0) + count
        if one.lane == "dead":
            gone = {*one.settled_dead, *(row[0].seq for row in one.dead)}
            self.dead_queue = [row for row in self.dead_queue if row.seq not in gone]
        elif one.lane == "replay":
            assert self.replay is not None
            self.replay = replace(self.replay, done=one.acked)
        else:
            assert one.acked >= self.cursor[one.signal, one.lane][0]
            self.cursor[one.signal, one.lane] = (one.acked, one.holes)

    async def outbox_due(self, *, now_ms, limit):
        return [row for row in self.outbox if row.due_ms <= now_ms][:limit]

    async def outbox_bind(self, row_id, *, limit):
        first = next((row for row in self.outbox if row.id == row_id), None)
        return [row for row in self.outbox if first and row.group == first.group and row.notifier == first.notifier][
            :limit
        ]

    async def notifier_memory(self, notifier, thread):
        return self.memory.get((notifier, thread), {})

    async def notifier_memories(self, notifier):
        return {thread: body for (name, thread), body in self.memory.items() if name == notifier and body}

    async def outbox_done(self, ids, *, memory=None, sent=True):
        if memory is not None:
            self.memory[memory[:2]] = memory[2]
        self.outbox_log += [("done" if sent else "unsent", one, "") for one in ids]
        self.outbox = [row for row in self.outbox if row.id not in ids]

    async def outbox_retry(self, ids, *, due_ms, error):
        self.outbox_log += [("retry", one, error) for one in ids]
        self.outbox = [
            replace(row, due_ms=due_ms, attempts=row.attempts + 1, last_error=error) if row.id in ids else row
            for row in self.outbox
        ]

    async def outbox_dead(self, ids, *, error, at_ms):
        self.outbox_log += [("dead", one, error) for one in ids]
        self.outbox = [row for row in self.outbox if row.id not in ids]


@dataclass
class ScriptedSignal:
    """A CallSignal that does what `script(batch, number of the call)` says and remembers what it accepted.

    The script returns a SendResult or None (all accepted), seconds to sleep first as (seconds, result), or raises.
    """

    name: str = "main"
    limits: Limits = field(default_factory=lambda: Limits(max_records=10))
    destination: str = "test"
    kinds: frozenset[str] | None = None
    script: Callable[[Sequence[LogEntry], int], Any] = lambda batch, call: None
    calls: list[list[str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    accepted: list[LogEntry] = field(default_factory=list)
    accepted_at: list[float] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    keys_in_flight: set[int] = field(default_factory=set)
    seconds: float = 0.01

    async def send(self, batch: Sequence[LogEntry]) -> SendResult:
        loop = asyncio.get_running_loop()
        self.calls.append([one.record_id for one in batch])
        call = len(self.calls)
        self.times.append(loop.time())
        keys = {one.order_key for one in batch}
        assert keys.isdisjoint(self.keys_in_flight), "two requests of one order key in flight"
        self.keys_in_flight |= keys
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.seconds)
            answer = self.script(batch, call)
            if isinstance(answer, tuple):
                await asyncio.sleep(answer[0])
                answer = answer[1]
            result = answer or SendResult()
            taken = [one for i, one in enumerate(batch) if i not in result.rejected and i not in result.retry]
            self.accepted += taken
            self.accepted_at += [loop.time()] * len(taken)
            return result
        finally:
            self.in_flight -= 1
            self.keys_in_flight -= keys

    @property
    def ids(self) -> list[str]:
        """Record ids accepted, in order."""
        return [one.record_id for one in self.accepted]


@dataclass
class HttpScripted:
    """An HttpSignal whose body is its records' bodies, one a line."""

    name: str = "main"
    limits: Limits = field(default_factory=lambda: Limits(max_records=10))
    destination: str = "http://test"
    kinds: frozenset[str] | None = None
    transport: TransportOptions = field(default_factory=TransportOptions)
    url: str = "http://127.0.0.1:9/secret?token=hunter2"
    gzip: bool = False
    read: Callable[[HttpReply, Sequence[LogEntry]], SendResult] = lambda reply, batch: SendResult()

    def encode(self, batch: Sequence[LogEntry]) -> HttpRequest:
        return HttpRequest("POST", self.url, (), b"\n".join(one.body for one in batch), gzip=self.gzip)

    def interpret(self, reply: HttpReply, batch: Sequence[LogEntry]) -> SendResult:
        return self.read(reply, batch)


class FakeTransport:
    """Answers by script: an HttpReply or an error to raise. Remembers the bytes sent."""

    def __init__(self, script: Callable[[Any, int], HttpReply]) -> None:
        self.script = script
        self.sent: list[Any] = []

    async def send(self, wire, options):
        self.sent.append(wire)
        await asyncio.sleep(0.01)
        return self.script(wire, len(self.sent))

    async def aclose(self):
        return None


class InlineExecutor(Executor):
    """Runs what it is given at once: the virtual clock has no threads."""

    def submit(self, fn, /, *args, **kwargs):
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001  # handed to whoever waits
            done.set_exception(exc)
        return done


class FakeSink:
    """Signals under one name."""

    def __init__(self, name: str, *signals: Any) -> None:
        self.name = name
        self._signals = signals
        self.closed = 0

    def signals(self):
        return self._signals

    async def check(self):
        return []

    async def aclose(self):
        self.closed += 1


class Figures:
    """Metrics kept as (name, sorted labels) -> value."""

    def __init__(self) -> None:
        self.values: dict[tuple[Any, ...], float] = {}

    def count(self, name, amount=1, **labels):
        key = (name, *sorted(labels.items()))
        self.values[key] = self.values.get(key, 0) + amount

    def set(self, name, value, **labels):
        self.values[(name, *sorted(labels.items()))] = value

    def observe(self, name, value, **labels):
        self.count(name, **labels)

    def get(self, name, **labels):
        return self.values.get((name, *sorted(labels.items())), 0)


def unavailable(text: str = "away", retry_after: float | None = None) -> SinkUnavailable:
    """For scripts."""
    return SinkUnavailable(text, retry_after=retry_after)
