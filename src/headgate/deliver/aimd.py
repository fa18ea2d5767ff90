"""How many requests a signal may have in flight: additive increase, multiplicative decrease on a slower far side.

Invariant: 1 <= limit <= cap. Decisions are taken once per round trip, from the requests that were answered in it.
Idea: Vector, "Adaptive Request Concurrency" (Rust source `adaptive_concurrency/controller.rs`, read 2026-11).
"""

from __future__ import annotations

from math import sqrt

__all__ = ["ConcurrencyLimit"]

START = 2
CAP = 16
# Weight of the newest round trip in the running mean.
_WEIGHT = 0.4
_DEVIATIONS = 2.5
_SHRINK = 0.9
# Differences below this are the scheduler's, not the far side's. Seconds.
_NOISE_SECONDS = 0.002


class ConcurrencyLimit:
    """The limit and what it was learnt from. All times in monotonic seconds."""

    __slots__ = ("_cap", "_count", "_full", "_mean", "_overloaded", "_round_ends", "_total", "_value", "_variance")

    def __init__(self, cap: int = CAP) -> None:
        self._cap = max(1, min(CAP, cap))
        self._value = float(min(START, self._cap))
        self._mean: float | None = None
        self._variance = 0.0
        self._round_ends = 0.0
        self._total, self._count = 0.0, 0
        self._full = self._overloaded = False

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._value))

    def sent(self, in_flight: int) -> None:
        """A request went out; `in_flight` counts it."""
        if in_flight >= self.limit:
            self._full = True

    def answered(self, now: float, seconds: float, *, overloaded: bool) -> None:
        """An answer came after `seconds`. `overloaded`: 429, 503 or time-out; its round trip says nothing."""
        if overloaded:
            self._overloaded = True
        else:
            self._total += seconds
            self._count += 1
        if now >= self._round_ends or (overloaded and self._mean is None):
            self._decide(now)

    def _decide(self, now: float) -> None:
        current = self._total / self._count if self._count else None
        if self._overloaded or self._slower(current):
            self._value = max(1.0, self._value * _SHRINK)
        elif self._full and current is not None and (self._mean is None or current <= self._mean + _NOISE_SECONDS):
            self._value = min(float(self._cap), int(self._value) + 1.0)
        if current is not None:
            self._learn(current)
        self._total, self._count = 0.0, 0
        self._full = self._overloaded = False
        self._round_ends = now + (self._mean or 0.0)

    def _slower(self, current: float | None) -> bool:
        if current is None or self._mean is None:
            return False
        return current > self._mean + max(_NOISE_SECONDS, _DEVIATIONS * sqrt(self._variance))

    def _learn(self, current: float) -> None:
        if self._mean is None:
            self._mean = current
            return
        difference = current - self._mean
        step = _WEIGHT * difference
        self._mean += step
        self._variance = (1.0 - _WEIGHT) * (self._variance + difference * step)
