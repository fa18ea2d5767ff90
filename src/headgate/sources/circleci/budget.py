"""The request budget of one token on one host: a token bucket, and the pauses that the far side asks for.

Invariant: over any window of T seconds at most `burst + per_second * T` calls pass, whoever asks and however they are
canceled; the far side may lower that and hold everything for a while, never raise it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary, WeakValueDictionary

from headgate.core.clock import Clock
from headgate.sources.circleci.limits import RateHint

__all__ = ["MAX_PAUSE_SECONDS", "Budget", "Sleep", "shared_budget"]

Sleep = Callable[[float], Awaitable[None]]

# Longest pause one answer can impose; after it the far side is simply asked again.
MAX_PAUSE_SECONDS = 900.0
_EPSILON = 1e-9


class Budget:
    """Hands out calls in the order of asking. Used from one event loop.

    `per_second`, `burst`: until a user joins, whose settings hold from then on; of several users the lower ones.
    """

    def __init__(self, per_second: float, burst: int, *, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._users: WeakKeyDictionary[object, tuple[float, int]] = WeakKeyDictionary()
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._at = clock.monotonic()
        self._server_rate: float | None = None
        self._paused_until = 0.0
        self._pause_reason = "retry_after"
        self._lock = asyncio.Lock()
        self._patient_lock = asyncio.Lock()
        self._urgent = 0

    @property
    def rate(self) -> float:
        """Calls per second now: ours, or the server's where that is lower."""
        return min(self._per_second, self._server_rate or self._per_second)

    def left(self) -> float:
        """Calls that would pass at once; 0 during a pause."""
        self._refill()
        return 0.0 if self._paused_until > self._at else self._tokens

    def paused_seconds(self) -> float:
        """How long the far side still has us wait."""
        return max(0.0, self._paused_until - self._clock.monotonic())

    async def acquire(self, waited: Callable[[str, float], None], *, patient: bool = False) -> None:
        """Wait until one more call may go. `waited(reason, seconds)` is told of every wait.

        `patient`: history, which goes only while nobody else waits and half of the burst is left to them.
        """
        if patient:
            async with self._patient_lock:
                await self._take(waited, spare=self._burst / 2)
            return
        self._urgent += 1
        try:
            async with self._lock:  # first come, first served
                await self._take(waited, spare=0.0)
        finally:
            self._urgent -= 1

    async def _take(self, waited: Callable[[str, float], None], *, spare: float) -> None:
        while True:
            seconds, reason = self._wait(spare)
            if spare and self._urgent:
                seconds = max(seconds, 1.0 / self.rate)
            if seconds <= 0.0:
                self._tokens -= 1.0
                return
            before = self._clock.monotonic()
            try:
                await self._sleep(seconds)
            finally:
                waited(reason, max(0.0, self._clock.monotonic() - before))

    def pause(self, seconds: float, reason: str) -> None:
        """Let nothing pass for so long; a shorter pause never ends a longer one."""
        until = self._clock.monotonic() + min(max(seconds, 0.0), MAX_PAUSE_SECONDS)
        if until > self._paused_until:
            self._paused_until, self._pause_reason = until, reason

    def obey(self, hint: RateHint) -> None:
        """Take the limits of an answer: the lower rate rules, and nothing left means waiting for the reset."""
        if hint.per_second is not None:
            self._refill()
            self._server_rate = hint.per_second
        if hint.remaining is not None and hint.remaining <= 0 and hint.reset_seconds:
            self.pause(hint.reset_seconds, "rate_limit")

    def join(self, user: object, per_second: float, burst: int) -> None:
        """A user of the token with its own settings, until it leaves or is forgotten by everybody."""
        self._users[user] = (per_second, burst)
        self._refill()

    def leave(self, user: object) -> None:
        """The settings of the others rule; those of the last one stay. Safe twice."""
        self._users.pop(user, None)
        self._refill()

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens += (now - self._at) * self.rate
        self._at = now
        settings = list(self._users.values())
        if settings:
            self._per_second = min(per_second for per_second, _ in settings)
            self._burst = float(min(burst for _, burst in settings))
        self._tokens = min(self._burst, self._tokens)

    def _wait(self, spare: float) -> tuple[float, str]:
        self._refill()
        if self._paused_until - self._at > _EPSILON:
            return self._paused_until - self._at, self._pause_reason
        wanted = min(1.0 + spare, self._burst)
        if self._tokens < wanted - _EPSILON:
            return (wanted - self._tokens) / self.rate, "budget"
        return 0.0, "budget"


_SHARED: WeakValueDictionary[tuple[str, str, int], Budget] = WeakValueDictionary()


def shared_budget(token: str, host: str, per_second: float, burst: int, *, clock: Clock) -> Budget:
    """The one budget of this token and host in this process, to be joined. The token itself is not kept.

    `per_second`, `burst`: of a new one.
    """
    key = (hashlib.sha256(token.encode()).hexdigest(), host, id(clock))
    budget = _SHARED.get(key)
    if budget is None:
        budget = _SHARED[key] = Budget(per_second, burst, clock=clock)
    return budget
