"""Clocks and randomness: the only place that asks the machine for either.

Everything else takes a `Clock` and is therefore testable without waiting.
"""

from __future__ import annotations

import random
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Tells the time and draws jitter.

    `now_ms` may jump (NTP, suspended machines) and is for times that people see or that are stored;
    `monotonic` never goes back and is for timers.
    """

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never decreasing."""
        ...

    def jitter(self) -> float:
        """Draw a number from [0, 1), for full-jitter back-off."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never decreasing."""
        return time.monotonic()

    def jitter(self) -> float:
        """Draw a number from [0, 1)."""
        return random.random()


class ManualClock:
    """A clock that moves only when told; `jitter` always answers the given number."""

    __slots__ = ("_jitter", "_monotonic", "_now_ms")

    def __init__(self, now_ms: int = 1_795_000_000_000, *, jitter: float = 1.0) -> None:
        self._now_ms = now_ms
        self._monotonic = 0.0
        self._jitter = jitter

    def now_ms(self) -> int:
        """The time last set, milliseconds since the epoch."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def jitter(self) -> float:
        """The fixed draw."""
        return self._jitter

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now_ms += round(seconds * 1000)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall clock alone, as NTP or an operator does; may be negative."""
        self._now_ms += round(seconds * 1000)
