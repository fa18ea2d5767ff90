"""The ladder of the space quota: a pure function with hysteresis, and what it is measured against."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headgate.core.storeport import SpaceLevel

__all__ = ["LEVELS", "Quota", "next_level", "room_kept", "share_used"]

# Share of the quota in use at which a rung begins.
LEVELS: tuple[tuple[SpaceLevel, float], ...] = (
    ("ok", 0.0),
    ("warn", 0.70),
    ("trim", 0.80),
    ("pause", 0.85),
    ("refuse", 0.95),
)
# A rung is left only when the use has fallen this far below where it begins, so that it does not flap.
_HYSTERESIS = 0.02


@dataclass(frozen=True, slots=True)
class Quota:
    """`max_bytes`: of database, WAL and reserve; None: what the disk has. `ballast_bytes`: given back when full."""

    max_bytes: int | None = None
    ballast_bytes: int = 32 * 1024 * 1024


def share_used(quota: Quota, used: int, disk_free: int) -> float:
    """How much of the quota is in use: 0 to 1 and more. Without `max_bytes`, of what this disk could give us."""
    limit = used + disk_free if quota.max_bytes is None else min(quota.max_bytes, used + disk_free)
    return used / limit if limit > 0 else 1.0


def room_kept(used: int) -> int:
    """Bytes that must stay free for a store that uses so many to stay below the rung `pause`."""
    pause = dict(LEVELS)["pause"]
    return math.ceil(used * (1 - pause) / pause)


def next_level(current: SpaceLevel, share: float) -> SpaceLevel:
    """The rung in force after a measurement: up at once, down only past the hysteresis."""
    names = [name for name, _ in LEVELS]
    reached = max(position for position, (_, begins) in enumerate(LEVELS) if share >= begins)
    held = max(position for position, (_, begins) in enumerate(LEVELS) if share >= begins - _HYSTERESIS)
    now = names.index(current)
    return names[reached] if reached >= now else names[min(now, held)]
