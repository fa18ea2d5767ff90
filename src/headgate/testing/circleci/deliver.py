"""Sends webhooks for what finishes, a bounded number at a time, and remembers each answer.

An event goes once through the webhook faults: it may be lost, doubled, delayed, shuffled or followed by a
forged copy. A delivery that is not answered with 2xx is tried again a few times. Invariant: every event
that was due is in `deliveries`, lost ones too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from headgate.testing.circleci import webhooks
from headgate.testing.circleci.clock import monotonic
from headgate.testing.circleci.faults import Faults
from headgate.testing.circleci.hooks_v2 import Target, Webhooks
from headgate.testing.circleci.model import Job, Workflow
from headgate.testing.circleci.sender import Sender
from headgate.testing.circleci.times import HOUR, SECOND, rfc3339_ms
from headgate.testing.circleci.world import World

_STEP_MS = HOUR  # an advance of the clock goes in steps, so that a burst is never larger than an hour's
_LOOK_SECONDS = 0.25  # real seconds between two looks at a running clock, at most
_LATE_SECONDS = 120.0
_WINDOW = 8


@dataclass(slots=True)
class Delivery:
    """One webhook on its way or done; `fault` says what was done to it on purpose."""

    kind: str
    id: str
    provider_id: str
    body: bytes
    target: Target
    fault: str | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    delivered: bool = False

    def told(self) -> dict[str, Any]:
        """Describe the delivery for `/_twin/deliveries`."""
        return {
            "id": self.id,
            "type": self.kind,
            "provider_id": self.provider_id,
            "webhook": self.target.webhook["id"] if self.target.webhook else None,
            "fault": self.fault,
            "delivered": self.delivered,
            "attempts": self.attempts,
        }


class Dispatcher:
    """Delivers the events of a world to its webhook URL and to the webhooks that were made through the API."""

    def __init__(self, world: World, faults: Faults, targets: Webhooks) -> None:
        self._world, self._faults, self._targets = world, faults, targets
        self._options = world.options
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._postponed: list[tuple[int, int, Delivery]] = []
        self._held_back: list[Delivery] = []
        self._tie = count()
        self._advancing = asyncio.Lock()
        self._shuffle = Random(f"{self._options.seed}/shuffle")
        self.deliveries: list[Delivery] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the senders (and with a live clock the pump) going."""
        if self._targets.main:
            Sender(self._targets.main.url)  # a URL that cannot be used is told at the start
        tasks = [asyncio.create_task(self._work()) for _ in range(self._options.webhooks_in_flight)]
        if self._options.live:
            tasks.append(asyncio.create_task(self._pump()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def advance(self, seconds: float, timeout_seconds: float) -> dict[str, Any]:
        """Move the clock, send what became due, and wait for it, at most `timeout_seconds` of real time."""
        async with self._advancing:
            before = len(self.deliveries)
            left, deadline = int(seconds * SECOND), monotonic() + timeout_seconds
            while left > 0:
                step = min(left, _STEP_MS) if self._targets else left
                left -= step
                self._enqueue_due(self._world.clock.advance(step))
                await self._settle(deadline - monotonic())
            return {
                "now": rfc3339_ms(self._world.now()),
                "sent": len(self.deliveries) - before,
                "waiting": self._queue.qsize() + len(self._postponed),
            }

    async def emit(self, body: bytes, kind: str, *, signed: bool = True) -> dict[str, Any]:
        """Send a body as it is, once. Raises ValueError if there is no webhook URL."""
        target = self._targets.main
        if target is None:
            raise ValueError("the twin was started without --webhook-url")
        sender = Sender(target.url)
        delivery = Delivery(kind, "", "", body, target, fault=None if signed else "webhook_forged")
        try:
            await self._attempt(sender, delivery)
        finally:
            sender.close()
        return delivery.attempts[0]

    async def _settle(self, seconds: float) -> None:
        """Wait until nothing is queued or on its way, but not longer than `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._queue.join()

    async def _pump(self) -> None:
        """Follow the running clock."""
        while True:
            async with self._advancing:
                self._enqueue_due(self._world.now())
            due = self._world.next_event_ms()
            wait = self._world.clock.real_seconds_until(due) if due is not None else None
            await asyncio.sleep(min(_LOOK_SECONDS, _LOOK_SECONDS if wait is None else max(wait, 0.001)))

    def _enqueue_due(self, until: int) -> None:
        """Put everything due by now on the queue, as the faults will have it."""
        for due, done in self._world.take_events(until):
            for target in self._targets.of(done):
                self._meet_faults(due, done, target)
        while self._postponed and self._postponed[0][0] <= until:
            self._queue.put_nowait(heappop(self._postponed)[2])
        self._release_held_back()

    def _meet_faults(self, due: int, done: Job | Workflow, target: Target) -> None:
        kind, provider_id = webhooks.kind_of(done), self._world.id_of(done)
        body = webhooks.body(self._world, done, target.webhook)
        own_id = webhooks.delivery_id(self._world, provider_id, target.webhook)
        delivery = Delivery(kind, own_id, provider_id, body, target)
        self.deliveries.append(delivery)
        strike = self._faults.strike
        if strike("webhook_lost"):
            delivery.fault = "webhook_lost"
            return
        if strike("webhook_forged"):
            self._extra(delivery, "webhook_forged")
        if strike("webhook_doubled"):
            self._extra(delivery, "webhook_doubled")
        late = strike("webhook_late")
        shuffled = None if late else strike("webhook_reordered")
        if late:
            delivery.fault = late.name
            after = int(float(late.options.get("seconds", _LATE_SECONDS)) * SECOND)
            heappush(self._postponed, (due + after, next(self._tie), delivery))
        elif shuffled:
            delivery.fault = shuffled.name
            self._held_back.append(delivery)
            if len(self._held_back) >= int(shuffled.options.get("window", _WINDOW)):
                self._release_held_back()
        else:
            self._queue.put_nowait(delivery)

    def _extra(self, original: Delivery, fault: str) -> None:
        copy = replace(original, fault=fault, attempts=[])
        self.deliveries.append(copy)
        self._queue.put_nowait(copy)

    def _release_held_back(self) -> None:
        self._shuffle.shuffle(self._held_back)
        for delivery in self._held_back:
            self._queue.put_nowait(delivery)
        self._held_back = []

    async def _work(self) -> None:
        """Send one delivery after the other, over one connection to each URL."""
        senders: dict[tuple[str, bool], Sender] = {}
        try:
            while True:
                delivery = await self._queue.get()
                url, verify = at = delivery.target.url, delivery.target.verify_tls
                try:
                    if at not in senders:
                        senders[at] = Sender(url, verify_tls=verify)
                    await self._deliver(senders[at], delivery)
                finally:
                    self._queue.task_done()
        finally:
            for sender in senders.values():
                sender.close()

    async def _deliver(self, sender: Sender, delivery: Delivery) -> None:
        pause = self._options.webhook_pause_seconds
        for attempt in range(self._options.webhook_tries):
            if attempt:
                await asyncio.sleep(pause)
                pause *= 2
            if await self._attempt(sender, delivery):
                delivery.delivered = True
                break
            if delivery.fault == "webhook_forged":
                break
        delivery.body = b""

    async def _attempt(self, sender: Sender, delivery: Delivery) -> bool:
        """Post once and note the answer; say whether it was 2xx."""
        secret = delivery.target.secret
        if delivery.fault == "webhook_forged":
            secret = f"not-{secret}"
        headers = webhooks.headers(delivery.kind, delivery.body, secret)
        at, status, error = monotonic(), None, None
        try:
            status = await sender.post(delivery.body, headers, self._options.webhook_timeout_seconds)
        except (OSError, EOFError, ValueError) as exc:  # TimeoutError is an OSError
            error = f"{type(exc).__name__}: {exc}"
        latency = round((monotonic() - at) * 1000, 3)
        delivery.attempts.append({"status": status, "latency_ms": latency, "error": error})
        return status is not None and 200 <= status < 300
