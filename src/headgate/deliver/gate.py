"""Whether a signal may send now: back-off, breaker, retry budget, concurrency and hold in one place.

Invariant: while held or open at most one request (the probe) is in flight that was begun in that state. It does no
I/O; times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.core.backoff import BackOff, wait_seconds
from headgate.core.storeport import SignalState
from headgate.deliver.aimd import ConcurrencyLimit
from headgate.deliver.breaker import Breaker, RetryBudget

__all__ = ["NEVER", "Gate", "Hold"]

# Until something else happens: an answer, a wake.
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing is sent. `reason`: auth, config, rejects or internal. `text`: for people, without secrets."""

    reason: str
    text: str


class Gate:
    """Admission of one signal. The worker asks `wait`, calls `begin`, and reports how it ended."""

    __slots__ = (
        "_breaker",
        "_budget",
        "_failures",
        "_in_flight",
        "_limit",
        "_policy",
        "_probe_seconds",
        "_probing",
        "_ready_at",
        "hold",
        "trouble",
    )

    def __init__(self, concurrency: int, *, policy: BackOff | None = None, probe_seconds: float = 60.0) -> None:
        self._policy = policy or BackOff()
        self._probe_seconds = probe_seconds
        self._breaker = Breaker()
        self._budget = RetryBudget()
        self._limit = ConcurrencyLimit(concurrency)
        self._failures = 0
        self._in_flight = 0
        self._ready_at = 0.0
        self._probing = False
        self.hold: Hold | None = None
        # What went wrong last, for people; empty while all is well.
        self.trouble = ""

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        return self._limit.limit

    @property
    def state(self) -> SignalState:
        """The word for `status` and the store."""
        if self.hold is not None:
            return "held"
        if self._breaker.state != "closed":
            return "open"
        return "retrying" if self._failures else "ok"

    @property
    def reason(self) -> str:
        """Why the state is not ok."""
        if self.hold is not None:
            return f"{self.hold.reason}: {self.hold.text}"
        return self.trouble

    def wait(self, now: float, *, retry: bool) -> float:
        """Seconds until one more request may go: 0 at once, NEVER before an answer."""
        if self.hold is not None:
            return NEVER if self._probing else max(0.0, self._ready_at - now)
        if self._in_flight >= self._limit.limit:
            return NEVER
        broken = self._breaker.wait_seconds(now)
        if broken is None:
            return NEVER
        wait = max(broken, self._ready_at - now, 0.0)
        # After a failure the next request is a retry in all but name, whatever it carries.
        return max(wait, self._budget.wait_seconds(now)) if retry or self._failures else wait

    def begin(self, now: float, *, retry: bool) -> bool:
        """A request goes out. True when it is the probe of a hold."""
        self._in_flight += 1
        if self.hold is not None:
            self._probing = True
            return True
        self._breaker.sent()
        if retry or self._failures:
            self._budget.spend(now)
        self._limit.sent(self._in_flight)
        return False

    def succeeded(self, now: float, seconds: float, *, probe: bool) -> None:
        """The far side answered and meant it (also when it rejected records)."""
        self._end(probe=probe)
        self._limit.answered(now, seconds, overloaded=False)
        self._breaker.succeeded(now)
        self._budget.succeeded()
        self._failures = 0
        if self.hold is None:
            self.trouble = ""

    def failed(
        self,
        now: float,
        seconds: float,
        text: str,
        *,
        draw: float,
        retry_after: float | None = None,
        overloaded: bool = False,
        probe: bool = False,
    ) -> bool:
        """The far side did not take the request. True when this opened the breaker."""
        self._end(probe=probe)
        self.trouble = text
        if self.hold is not None:
            self._ready_at = now + self._probe_seconds if probe else self._ready_at
            return False
        self._limit.answered(now, seconds, overloaded=overloaded)
        self._failures += 1
        wait = wait_seconds(self._policy, self._failures, draw, retry_after=retry_after)
        self._ready_at = max(self._ready_at, now + wait)
        return self._breaker.failed(now, wait)

    def refuse(self, now: float, hold: Hold, *, probe: bool = False) -> bool:
        """Hold everything and probe later. True when it was not held before."""
        self._end(probe=probe)
        new = self.hold is None
        self.hold = hold
        self._ready_at = now + self._probe_seconds
        self._breaker.abandoned()
        return new

    def resume(self, now: float) -> None:
        """The probe went well: send again."""
        self.hold = None
        self._ready_at = now
        self._failures = 0
        self.trouble = ""

    def pause(self, now: float, seconds: float) -> None:
        """The far side asked for time without refusing a request."""
        self._ready_at = max(self._ready_at, now + seconds)

    def hold_at_start(self, now: float, hold: Hold) -> None:
        """A restart of a held signal: stay held, but probe at once."""
        self.hold = hold
        self._ready_at = now

    def abandoned(self, *, probe: bool) -> None:
        """A request ended without an answer because it was canceled."""
        self._end(probe=probe)
        self._breaker.abandoned()

    def _end(self, *, probe: bool) -> None:
        self._in_flight -= 1
        if probe:
            self._probing = False
