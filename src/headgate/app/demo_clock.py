"""The time of the demo's made-up organisation: real time with leaps.

Invariant: wall clock and timers leap alike, so whoever compares the two sees no jump.
"""

from __future__ import annotations

from headgate.core.clock import Clock
from headgate.core.times import DAY_MS, HOUR_MS

__all__ = ["FAST", "DemoClock", "last_working_day_ms", "speed"]

# A weekday, early afternoon in UTC, after another weekday: then the made-up people work, and did so yesterday.
_DAYS_AT_WORK = frozenset({1, 2, 3, 4})
_HOUR_AT_WORK = 13
# Seconds of the demo for each real one: at first many, so that alerts are confirmed and runs arrive while one watches;
# then so few that what the tour shows is still so after an hour of reading, before the troubles of the day are over.
FAST, _CALM = 60, 3
_FAST_MS = 2 * HOUR_MS


class DemoClock:
    """A clock that begins at `start_ms` and can be made to leap forward."""

    def __init__(self, real: Clock, start_ms: int) -> None:
        self._real = real
        self._leapt = 0.0
        self._began = real.monotonic()
        self._start_ms = start_ms

    def now_ms(self) -> int:
        """What time it is there, milliseconds since the epoch."""
        return self._start_ms + round((self.monotonic() - self._began) * 1000)

    def monotonic(self) -> float:
        """Real seconds and those that were leapt over."""
        return self._real.monotonic() + self._leapt

    def jitter(self) -> float:
        """Draw a number from [0, 1)."""
        return self._real.jitter()

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._leapt += seconds


def speed(collected_ms: int | None, now_ms: int) -> int:
    """Seconds of the demo for a real one. `collected_ms`: since when all history is there, None before."""
    return FAST if collected_ms is None or now_ms < collected_ms + _FAST_MS else _CALM


def last_working_day_ms(now_ms: int) -> int:
    """The latest working afternoon before `now_ms`. Day 0 of the epoch was a Thursday, which is 3."""
    day = now_ms // DAY_MS - 1
    while (day + 3) % 7 not in _DAYS_AT_WORK:
        day -= 1
    return day * DAY_MS + _HOUR_AT_WORK * HOUR_MS
