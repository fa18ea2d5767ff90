"""Takes webhooks: checks size, type and signature, keeps the raw bytes, answers once they are flushed.

A bare ASGI handler, because a burst arrives here. It never parses a body: what cannot be parsed is kept and set aside
later with its reason. Invariant: a 200 is sent only after `Store.accept` returned for exactly those bytes. Memory is
bounded: the bodies held at any time are counted, and a request beyond the bound is told to come back.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headgate.core.clock import Clock
from headgate.core.errors import StoreError, StoreFull
from headgate.core.metrics import HISTOGRAM_BOUNDS, Metrics
from headgate.core.ports import Delivery, Refusal, WebhookPolicy
from headgate.core.storeport import SpaceLevel
from headgate.web.asgi import Receive, Scope, Send, answer_json

__all__ = ["Intake", "Receiver", "ReceiverLimits"]

_PREFIX = "/webhooks/circleci"
_OK_HEADERS = ((b"content-type", b"application/json"),)
_RETRY_SOON = ((b"retry-after", b"5"),)
_DISCARD_BYTES = 256 * 1024
# One that has stopped writing is answered after this.
_DISCARD_SECONDS = 1.0


class Intake(Protocol):
    """The part of the store that a webhook needs."""

    async def accept(self, deliveries: Sequence[Delivery]) -> None:
        """Keep deliveries; returns after the flush."""
        ...

    def accept_wait_seconds(self) -> float:
        """How long a delivery handed over now would wait."""
        ...

    def space_level(self) -> SpaceLevel:
        """Rung of the quota ladder; on the last one nothing more is taken."""
        ...


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """Bounds against slow and numerous senders.

    `body_seconds`: time for a whole body to arrive. `held_bytes`: bodies in memory at once, over all requests.
    `requests`: requests at work at once. `queue_seconds`: a longer wait for the flush is answered 503; CircleCI gives
    10 s.
    """

    body_seconds: float = 10.0
    held_bytes: int = 64 * 1024 * 1024
    requests: int = 4096
    queue_seconds: float = 2.0


class _Refused(Exception):
    """Ends a request with an answer."""

    def __init__(self, refusal: Refusal, *, retry: bool = False, close: bool = False) -> None:
        self.refusal = refusal
        self.retry = retry
        self.close = close


def _refused(status: int, reason: str, detail: str, *, retry: bool = False, close: bool = False) -> _Refused:
    return _Refused(Refusal(status, reason, detail), retry=retry, close=close)


def _check(policy: WebhookPolicy, headers: Mapping[bytes, bytes], body: bytes) -> None:
    refusal = policy.refuse(headers, body)
    if refusal is not None:
        raise _Refused(refusal)


class _Gone(Exception):
    """The sender hung up before its body was whole; nobody reads an answer."""


class Receiver:
    """ASGI handler of `POST /webhooks/circleci/{source}`, and of `/webhooks/circleci` where there is one source.

    `policies`: source name -> policy; may be swapped with `configure` at any time. `on_accepted` is called on the event
    loop after each flushed group and must be cheap. Call `run` beside the server: it ends slow bodies and hands the
    counts over once a second.
    """

    def __init__(
        self,
        intake: Intake,
        clock: Clock,
        metrics: Metrics,
        on_accepted: Callable[[], None],
        limits: ReceiverLimits | None = None,
    ) -> None:
        self._intake = intake
        self._clock = clock
        self._metrics = metrics
        self._on_accepted = on_accepted
        self._limits = limits or ReceiverLimits()
        self._routes: dict[str, tuple[str, WebhookPolicy]] = {}
        self._counts: dict[tuple[str, int], int] = {}
        self._sorted = [0] * (len(HISTOGRAM_BOUNDS) + 1)
        self._seconds = 0.0
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._group: list[Delivery] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._flushes: set[asyncio.Task[None]] = set()
        self._held = 0
        self._active = 0
        self._serial = 0
        self._prefix = b'{"id":"%x-' % (clock.now_ms() & 0xFFFFFFFF)

    def configure(self, policies: Mapping[str, WebhookPolicy]) -> None:
        """Take webhooks for these sources from now on."""
        routes = {f"{_PREFIX}/{name}": (name, policy) for name, policy in policies.items()}
        if len(policies) == 1:
            only = next(iter(routes.values()))
            routes[_PREFIX] = only
            routes[_PREFIX + "/"] = only
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        began = self._clock.monotonic()
        self._active += 1
        source = ""
        held = 0
        try:
            source, policy = self._route(scope)
            headers = dict(scope["headers"])
            self._admit(headers, policy)
            body, held = await self._body(receive, policy.max_body_bytes)
            _check(policy, headers, body)
            delivery = Delivery(
                source,
                self._clock.now_ms(),
                policy.event_type(headers),
                headers.get(b"content-type", b"").decode("latin-1")[:100],
                body,
            )
            await self._keep(delivery)
        except _Refused as stop:
            await self._refuse(send, source, stop, began)
        except _Gone:
            self._count(source, 499)
        else:
            await self._accepted(send, source, began)
        finally:
            self._held -= held
            self._active -= 1

    def _route(self, scope: Scope) -> tuple[str, WebhookPolicy]:
        found = self._routes.get(scope["path"])
        if found is None:
            raise _refused(404, "unknown_source", "no source takes webhooks at this address")
        if scope["method"] != "POST":
            raise _refused(405, "method", "webhooks are sent with POST")
        return found

    def _admit(self, headers: Mapping[bytes, bytes], policy: WebhookPolicy) -> None:
        """What can be refused before the body is read."""
        content_type = headers.get(b"content-type", b"")
        # The policy looks closer; this spares the body of what cannot be a webhook.
        if content_type[:16].lower() != b"application/json":
            raise _refused(415, "content_type", "webhooks are application/json")
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise _refused(415, "content_encoding", "webhooks are sent without compression")
        length = headers.get(b"content-length")
        if length is not None:
            if not length.isdigit():
                raise _refused(400, "content_length", "Content-Length is not a number", close=True)
            if int(length) > policy.max_body_bytes:
                raise _refused(413, "too_large", "the body is larger than a webhook may be", close=True)
        if self._active > self._limits.requests or self._held > self._limits.held_bytes:
            raise _refused(429, "busy", "too many webhooks at once", retry=True)
        if self._intake.space_level() == "refuse":
            raise _refused(503, "store_full", "no space is left to keep webhooks", retry=True)
        if self._intake.accept_wait_seconds() > self._limits.queue_seconds:
            raise _refused(503, "store_slow", "the store is behind", retry=True)

    async def _body(self, receive: Receive, limit: int) -> tuple[bytes, int]:
        """The whole body and how many bytes are now counted as held. Late ones are cancelled by `run`."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request runs in a task")
        self._reading[task] = self._clock.monotonic() + self._limits.body_seconds
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body", False) or message["type"] != "http.request":
                body = await self._rest(receive, message, limit)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise _refused(408, "slow_body", "the body took too long to arrive", close=True) from None
        finally:
            del self._reading[task]
            self._late.discard(task)
        size = len(body)
        if size > limit:
            raise _refused(413, "too_large", "the body is larger than a webhook may be", close=True)
        if not size:
            raise _refused(400, "empty_body", "the request has no body")
        self._held += size
        return body, size

    async def _rest(self, receive: Receive, message: Mapping[str, Any], limit: int) -> bytes:
        """Read on until the end; parts are counted as held while they arrive."""
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise _Gone
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                self._held += len(part)
                if size > limit:
                    await self._discard(receive, message)
                    raise _refused(413, "too_large", "the body is larger than a webhook may be", close=True)
                if self._held > self._limits.held_bytes:
                    raise _refused(429, "busy", "too many webhooks at once", retry=True, close=True)
                if not message.get("more_body", False):
                    return b"".join(parts)
                message = await receive()
        finally:
            self._held -= size

    async def _discard(self, receive: Receive, message: Mapping[str, Any]) -> None:
        """Read on without keeping, a bounded amount: a sender that still writes would not see our answer."""
        left = _DISCARD_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while message.get("more_body", False) and left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))

    async def _keep(self, delivery: Delivery) -> None:
        """Hand a delivery to the store with all others of this turn of the event loop; returns after the flush."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if not self._group:
            loop.call_soon(self._flush)
        self._group.append(delivery)
        self._waiters.append(waiter)
        try:
            await waiter
        except StoreFull:
            raise _refused(503, "store_full", "no space is left to keep webhooks", retry=True) from None
        except StoreError:
            raise _refused(503, "store_failed", "the store cannot keep webhooks now", retry=True) from None

    def _flush(self) -> None:
        group, waiters = self._group, self._waiters
        self._group, self._waiters = [], []
        task = asyncio.get_running_loop().create_task(self._accept(group, waiters))
        self._flushes.add(task)
        task.add_done_callback(self._flushes.discard)

    async def _accept(self, group: list[Delivery], waiters: list[asyncio.Future[None]]) -> None:
        try:
            await self._intake.accept(group)
        except StoreError as exc:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(exc)
            return
        except BaseException:
            for waiter in waiters:
                waiter.cancel()
            raise
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._on_accepted()

    async def _accepted(self, send: Send, source: str, began: float) -> None:
        self._serial += 1
        body = self._prefix + b'%x"}' % self._serial
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": (*_OK_HEADERS, (b"content-length", b"%d" % len(body))),
            }
        )
        await send({"type": "http.response.body", "body": body})
        self._answered(source, 200, began)

    async def _refuse(self, send: Send, source: str, stop: _Refused, began: float) -> None:
        refusal = stop.refusal
        extra = _RETRY_SOON if stop.retry else ()
        if refusal.status == 405:
            extra = (*extra, (b"allow", b"POST"))
        if stop.close:
            extra = (*extra, (b"connection", b"close"))
        await answer_json(send, refusal.status, {"error": refusal.reason, "detail": refusal.detail}, extra)
        self._answered(source, refusal.status, began)

    def _answered(self, source: str, status: int, began: float) -> None:
        """Sorted here, because an entry of the client's histogram costs as much as a signature check."""
        seconds = self._clock.monotonic() - began
        self._sorted[bisect_left(HISTOGRAM_BOUNDS, seconds)] += 1
        self._seconds += seconds
        self._count(source, status)

    def _count(self, source: str, status: int) -> None:
        key = (source, status)
        self._counts[key] = self._counts.get(key, 0) + 1

    def hand_over_counts(self) -> None:
        """Move what was counted since the last call to the metrics."""
        counts, self._counts = self._counts, {}
        for (source, status), amount in counts.items():
            self._metrics.count("headgate_webhook_requests_total", amount, source=source or "-", status=str(status))
        self._metrics.observe_many("headgate_webhook_answer_seconds", self._sorted, self._seconds)
        self._sorted, self._seconds = [0] * len(self._sorted), 0.0

    async def run(self) -> None:
        """End bodies that are late and hand counts over, once a second, until cancelled."""
        try:
            while True:
                await asyncio.sleep(1.0)
                self.end_slow_bodies(self._clock.monotonic())
                self.hand_over_counts()
        finally:
            self.hand_over_counts()

    def end_slow_bodies(self, now: float) -> None:
        """Cancel every read whose deadline (monotonic seconds) has passed; it answers 408."""
        for task, deadline in self._reading.items():
            if deadline <= now and task not in self._late:
                self._late.add(task)
                task.cancel()
