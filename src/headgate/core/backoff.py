"""How long to wait before the next attempt. Pure: the draw comes in."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BackOff", "wait_seconds"]


@dataclass(frozen=True, slots=True)
class BackOff:
    """Exponential with full jitter. `base`: upper bound of the first wait; `cap`: of any. Seconds."""

    base: float = 0.5
    cap: float = 300.0


def wait_seconds(policy: BackOff, attempt: int, draw: float, *, retry_after: float | None = None) -> float:
    """Seconds before attempt number `attempt` + 1 (attempts count from 1). `draw` from [0, 1).

    What the far side asks for is a lower bound; a little of our jitter is added so that its clients do not return
    together.
    """
    ceiling = min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 60))
    if retry_after is None:
        return draw * ceiling
    return retry_after + draw * min(ceiling, max(1.0, retry_after * 0.1))
