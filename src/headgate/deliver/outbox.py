"""Delivers notifications from the outbox through notifiers, those of a group in one message.

Invariant: a notification leaves the outbox when its notifier accepted it, when it is no longer wanted, or dead with its
reason; those of one notifier and group go in the order in which they were written. What is bound into one message stays
together on every attempt. A slow or broken notifier delays no other, and a message that its code cannot send, or
that some of its people have not got, delays none but those of the same group or alert.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec
import structlog

from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.clock import Clock
from headgate.core.errors import BatchRejected, PartlyTaken, SinkError, SinkRefused, SinkUnavailable, StoreError
from headgate.core.messages import (
    CallNotifier,
    Digest,
    Message,
    Notification,
    Notifier,
    Refreshing,
    content_of,
)
from headgate.core.metrics import Metrics
from headgate.core.ports import HttpReply, HttpRequest
from headgate.core.storeport import OutboxRow, Store
from headgate.deliver.channel import Channel, notification_of
from headgate.deliver.transport import Transport, prepare

__all__ = ["OutboxOptions", "OutboxWorker"]

_log = structlog.get_logger(__name__)

_BATCH = 100  # notifications of one message


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """When to try again and when to give up.

    `dead_after_seconds`: since the notification was written. `refused_seconds`: between tries of a notifier that
    refuses us, and before a message that waits by itself is tried again, then twice as long each time. `page`: rows
    read at once beyond those at hand.
    """

    dead_after_seconds: float = 86_400.0
    refused_seconds: float = 60.0
    poll_seconds: float = 5.0
    page: int = 200
    back_off: BackOff = field(default_factory=BackOff)


class OutboxWorker:
    """One task per notifier that has something to send.

    `wanted`: asked before each attempt; False ends a notification without sending (its alert has moved on).
    `on_dead`: told of each notification that is given up; must not raise. `is_open`: whether an alert is open still.
    """

    def __init__(
        self,
        store: Store,
        notifiers: Mapping[str, Notifier | CallNotifier],
        *,
        transport: Transport,
        clock: Clock,
        metrics: Metrics,
        options: OutboxOptions | None = None,
        wanted: Callable[[Notification, int], bool] = lambda _notification, _now_ms: True,
        on_dead: Callable[[OutboxRow, str], None] = lambda _row, _error: None,
        is_open: Callable[[str], bool] = lambda _fingerprint: True,
    ) -> None:
        self._store, self._notifiers = store, dict(notifiers)
        self._transport, self._clock, self._metrics = transport, clock, metrics
        self._options = options or OutboxOptions()
        self._wanted, self._on_dead, self._is_open = wanted, on_dead, is_open
        self._channels: dict[str, Channel] = {}
        self._refresh_at: dict[str, float] = {}  # monotonic seconds
        self._at_hand: set[int] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Something was written to the outbox."""
        self._wake.set()

    def apply(self, notifiers: Mapping[str, Notifier | CallNotifier]) -> None:
        """Go on with these notifiers; back-off of those that changed is forgotten."""
        for name, channel in self._channels.items():
            if notifiers.get(name) is not self._notifiers.get(name):
                channel.forget()
        self._notifiers = dict(notifiers)
        self._refresh_at.clear()
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing new; `run` ends when what is in flight has ended, at latest after the requests' time-outs."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until stopped. Raises StoreFailed (in an exception group)."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._wake.clear()
                await self._fetch()
                wait = min(self._start(group), self._refresh_due(group))
                await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _fetch(self) -> None:
        """Take due rows to hand. Those at hand are still due, so the page grows by their number: none is starved."""
        limit = self._options.page + len(self._at_hand)
        for row in await self._store.outbox_due(now_ms=self._clock.now_ms(), limit=limit):
            if row.id not in self._at_hand:
                self._at_hand.add(row.id)
                channel = self._channels.setdefault(row.notifier, Channel())
                channel.add(row, self._notifiers.get(row.notifier))

    def _start(self, group: asyncio.TaskGroup) -> float:
        """Start a task for each channel that may send; seconds until another may."""
        now = self._clock.monotonic()
        wait = self._options.poll_seconds
        for name, channel in self._channels.items():
            if not channel.rows or channel.task is not None:
                continue
            if (ready_at := channel.next_at()) > now:
                wait = min(wait, ready_at - now)
                continue
            channel.task = group.create_task(self._drive(name, channel), name=f"notify {name}")
        return wait

    async def _drive(self, name: str, channel: Channel) -> None:
        """Send the rows of one channel until they are gone or wait."""
        try:
            while channel.rows and not self._stopping and channel.next_at() <= self._clock.monotonic():
                first = channel.next()
                rows = await self._together(name, channel, first)
                if rows and not await self._deliver(name, channel, first, rows):
                    continue
                ids = {first.id, *(row.id for row in rows)}
                channel.settled(first, ids)
                self._at_hand -= ids
        finally:
            channel.task = None
            self._wake.set()

    async def _together(self, name: str, channel: Channel, row: OutboxRow) -> Sequence[OutboxRow]:
        """The rows of one message; empty when they were sent with an earlier one."""
        notifier = self._notifiers.get(name)
        if not row.group or notifier is None or not notifier.grouped:
            return [row, *self._end_of(row, channel)]
        return await self._store.outbox_bind(row.id, limit=_BATCH)

    def _end_of(self, row: OutboxRow, channel: Channel) -> Sequence[OutboxRow]:
        """What follows of an alert whose beginning nobody wants to hear any more, up to its end: that goes with it."""
        said = notification_of(row)
        if said is None or not said.opens or self._wanted(said, self._clock.now_ms()):
            return ()
        found: list[OutboxRow] = []
        for later in channel.after(row):
            one = notification_of(later)
            if one is not None and one.fingerprint == said.fingerprint:
                found.append(later)
                if one.state == "resolved":
                    return found
        return ()

    async def _deliver(self, name: str, channel: Channel, first: OutboxRow, rows: Sequence[OutboxRow]) -> bool:
        """Try the message of one row once. False when it or the whole channel must wait, else it is settled."""
        try:
            outcome = await self._send(name, rows)
        except PartlyTaken as exc:
            return await self._aside(channel, first, rows, str(exc))
        except SinkUnavailable as exc:
            channel.failures += 1
            wait = wait_seconds(
                self._options.back_off, channel.failures, self._clock.jitter(), retry_after=exc.retry_after
            )
            return await self._later(channel, rows, str(exc), wait)
        except SinkRefused as exc:
            return await self._later(channel, rows, str(exc), self._options.refused_seconds)
        except (BatchRejected, msgspec.DecodeError) as exc:
            await self._give_up(rows, str(exc))
            return True
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001  # a notifier's bug must not harm the others
            return await self._aside(channel, first, rows, f"the notifier's code failed: {type(exc).__name__}")
        if channel.told:
            _log.info("notifier takes notifications again", notifier=name)
        channel.failures, channel.told = 0, ""
        self._count(name, outcome, len(rows))
        return True

    async def _send(self, name: str, rows: Sequence[OutboxRow]) -> str:
        """Send one message and let its rows leave the outbox: accepted, partly, or unwanted and not sent."""
        now_ms = self._clock.now_ms()
        message = self._message(rows, now_ms)
        memory: Mapping[str, str] | None = None
        thread, outcome = _thread(rows[0], message), "accepted" if message is not None else "unwanted"
        if message is not None:
            notifier = self._notifiers.get(name)
            if notifier is None:
                raise SinkRefused("no notifier of this name is configured", reason="config", fix=f"add {name} or wait")
            message = replace(message, memory=await self._store.notifier_memory(name, thread))
            try:
                memory = await self._tell(notifier, message, now_ms)
            except PartlyTaken as exc:
                if exc.again:
                    raise
                memory, outcome = exc.memory, "partly"
                _log.warning("notification was not taken by all", notifier=name, key=message.key, error=str(exc))
        remember = None if memory is None else (name, thread, memory)
        await self._store.outbox_done([row.id for row in rows], memory=remember, sent=message is not None)
        return outcome

    async def _tell(self, notifier: Notifier | CallNotifier, message: Message, now_ms: int) -> Mapping[str, str] | None:
        http = partial(self._exchange, notifier)
        if isinstance(notifier, CallNotifier):
            return await notifier.send(message, now_ms=now_ms, http=http)
        return notifier.interpret(await http(notifier.encode(message, now_ms=now_ms)), message)

    async def _exchange(self, notifier: Notifier | CallNotifier, request: HttpRequest) -> HttpReply:
        return await self._transport.send(prepare(request), notifier.transport)

    # -- channels that must be told again

    def _refresh_due(self, group: asyncio.TaskGroup) -> float:
        """Start what is due; seconds until the next is."""
        now = self._clock.monotonic()
        wait = self._options.poll_seconds
        for name, notifier in self._notifiers.items():
            if not isinstance(notifier, Refreshing):
                continue
            due = self._refresh_at.setdefault(name, now)
            if due <= now:
                self._refresh_at[name] = due = now + notifier.refresh_seconds
                group.create_task(self._refresh(name, notifier), name=f"refresh {name}")
            wait = min(wait, due - now)
        return wait

    async def _refresh(self, name: str, notifier: Refreshing) -> None:
        """Tell everything again. A failure is no more than logged: the next time is near."""
        try:
            memories = await self._store.notifier_memories(name)
            if not memories:
                return
            gone = await notifier.refresh(
                memories,
                now_ms=self._clock.now_ms(),
                open_alerts=self._is_open,
                http=partial(self._exchange, self._notifiers[name]),
            )
            for thread in gone:
                await self._store.outbox_done([], memory=(name, thread, {}))
        except StoreError:
            raise
        except SinkError as exc:
            _log.warning("notifier could not be told again", notifier=name, error=str(exc))
        except Exception as exc:  # noqa: BLE001  # a notifier's bug must not harm the others
            _log.error("the notifier's code failed", notifier=name, error=type(exc).__name__)

    def _message(self, rows: Sequence[OutboxRow], now_ms: int) -> Message | None:
        """What the rows say now: of each alert the last, as far as it is wanted.

        An alert that begins and ends within them is not told: its end would be news of nothing.
        """
        last: dict[str, Notification] = {}
        begun: dict[str, bool] = {}
        for row in rows:
            content = content_of(row.payload)
            if isinstance(content, Digest):
                return Message(content.key, (), digest=content)
            begun.setdefault(content.fingerprint, content.opens)
            last.pop(content.fingerprint, None)
            last[content.fingerprint] = content
        told = tuple(
            one
            for one in last.values()
            if self._wanted(one, now_ms) and not (begun[one.fingerprint] and one.state == "resolved")
        )
        if not told:
            return None
        keys = [row.key for row in rows]
        key = keys[0] if len(keys) == 1 else hashlib.sha256("\n".join(keys).encode()).hexdigest()
        return Message(key, told, _group_labels(rows[0].group))

    async def _later(self, channel: Channel, rows: Sequence[OutboxRow], error: str, wait: float) -> bool:
        """Wait with the whole channel. True when what is too old was given up instead."""
        if channel.told != error:
            channel.told = error
            _log.warning("notification waits", notifier=rows[0].notifier, error=error)
        if await self._put_off(rows, error, due_ms=self._clock.now_ms() + round(wait * 1000)):
            channel.ready_at = self._clock.monotonic() + wait
            return False
        return True

    async def _aside(self, channel: Channel, first: OutboxRow, rows: Sequence[OutboxRow], error: str) -> bool:
        """Wait with this message alone; others of the channel pass it. True when it was too old and is given up.

        It stays due as it was: what follows of its group or alert must not be read before it after a restart.
        """
        aside = channel.set_aside(first, self._clock.monotonic(), self._options.refused_seconds)
        if aside.told != error:
            aside.told = error
            _log.warning("notification waits", notifier=first.notifier, key=first.key, error=error)
        return not await self._put_off(rows, error, due_ms=rows[0].due_ms)

    async def _put_off(self, rows: Sequence[OutboxRow], error: str, *, due_ms: int) -> bool:
        """Store the next attempt. False when what is too old was given up."""
        if self._clock.now_ms() - rows[0].created_ms >= self._options.dead_after_seconds * 1000:
            await self._give_up(rows, error)
            return False
        await self._store.outbox_retry([row.id for row in rows], due_ms=due_ms, error=error)
        self._count(rows[0].notifier, "retried")
        return True

    async def _give_up(self, rows: Sequence[OutboxRow], error: str) -> None:
        await self._store.outbox_dead([row.id for row in rows], error=error, at_ms=self._clock.now_ms())
        for row in rows:
            self._count(row.notifier, "dead")
            _log.error("notification given up", notifier=row.notifier, key=row.key, error=error)
            self._on_dead(row, error)

    def _count(self, notifier: str, outcome: str, n: int = 1) -> None:
        self._metrics.count("headgate_notifications_total", n, notifier=notifier, outcome=outcome)


def _thread(row: OutboxRow, message: Message | None) -> str:
    """What a notifier's memory is about: a group, or one alert."""
    if row.group or message is None:
        return row.group
    return message.notifications[0].fingerprint if message.notifications else message.key


def _group_labels(group: str) -> dict[str, str]:
    """The labels that a group's name is made of (`alerting.routes`)."""
    return msgspec.json.decode(group, type=dict[str, str]) if group else {}
