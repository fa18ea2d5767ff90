"""The twin's own clock, the only place here that looks at the machine's.

Invariant: the twin's time never goes back. Frozen, it moves when it is advanced; live, it runs with real
time multiplied by a speed.
"""

import time

from headgate.testing.circleci.times import HOUR, SECOND

monotonic = time.monotonic  # real seconds, for limits and latencies


def real_now_ms() -> int:
    """Give the machine's time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def last_full_hour_ms() -> int:
    """Give the machine's time, floored to the hour."""
    return real_now_ms() // HOUR * HOUR


class TwinClock:
    """Says what time it is in the twin, in milliseconds since the epoch."""

    def __init__(self, start_ms: int, speed: float = 0.0) -> None:
        """Start at a moment; speed 0 freezes, 60 makes a minute of each second."""
        self.start_ms = start_ms
        self._offset = 0
        self._speed = speed
        self._origin = monotonic()

    def now_ms(self) -> int:
        """Give the present moment."""
        running = int((monotonic() - self._origin) * self._speed * SECOND) if self._speed else 0
        return self.start_ms + self._offset + running

    def advance(self, ms: int) -> int:
        """Move forward by `ms` (not negative) and give the present moment."""
        self._offset += max(ms, 0)
        return self.now_ms()

    def real_seconds_until(self, at_ms: int) -> float | None:
        """Give the real seconds until a moment; None when the clock is frozen and it is still to come."""
        left = at_ms - self.now_ms()
        if left <= 0:
            return 0.0
        return left / SECOND / self._speed if self._speed else None
