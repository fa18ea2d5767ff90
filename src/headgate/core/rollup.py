"""What one fact adds to the hourly and daily rollups. Pure: contribution(new) - contribution(old) keeps sums exact.

Durations go into sketches: logarithmic bins within 1 % of the value, mergeable by adding counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from headgate.core.facts import Value
from headgate.core.render import duration_ms, queue_ms
from headgate.core.status import Status, map_status

__all__ = ["GAMMA", "Contribution", "Measure", "bin_of", "bin_value", "contribution", "quantile"]

# Two values in one bin differ by at most this factor, so the middle of a bin is within 1 % of any of them.
GAMMA = 1.01 / 0.99
_LOG_GAMMA = math.log(GAMMA)

Measure = Literal["duration_ok", "duration_failed", "queue"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one ended workflow or job adds to the bucket of its end. All zero is never built: see `contribution`.

    `at_ms`: its end. `duration_ms`, `queue_ms`: sums, 0 where unknown. `bins`: (measure, bin) that gain one each.
    """

    at_ms: int
    n: int
    ok: int
    failed: int
    canceled: int
    credits: int
    duration_ms: int
    queue_ms: int
    bins: tuple[tuple[Measure, int], ...]


def bin_of(value_ms: int) -> int:
    """The bin of a duration; 0 and below share bin -1."""
    if value_ms <= 0:
        return -1
    return math.ceil(math.log(value_ms) / _LOG_GAMMA)


def bin_value(index: int) -> float:
    """The duration in milliseconds that stands for a bin, within 1 % of every member."""
    if index < 0:
        return 0.0
    return float(2 * GAMMA**index / (GAMMA + 1))


def quantile(bins: Mapping[int, int], q: float) -> float | None:
    """The q-quantile (nearest rank) of a sketch, milliseconds; None when it is empty."""
    total = sum(bins.values())
    if total <= 0:
        return None
    rank = max(1, math.ceil(q * total))
    seen = 0
    for index in sorted(bins):
        seen += bins[index]
        if seen >= rank:
            return bin_value(index)
    return bin_value(max(bins))


_FAILED: tuple[Status, ...] = ("failure", "error", "timeout")


def contribution(
    kind: Literal["workflow", "job"], values: Mapping[str, Value], *, terminal: bool
) -> Contribution | None:
    """What the fact adds; None while it has not ended, has no end time, or is an approval.

    Canceled and skipped runs are counted but their durations are not (they would drag percentiles down).
    """
    stopped = values.get("stopped_at")
    if not terminal or not isinstance(stopped, int) or values.get("type") == "approval":
        return None
    status = map_status(str(values.get("status", "")))
    ok, failed = status == "success", status in _FAILED
    duration = duration_ms(kind, values) if ok or failed else None
    queue = queue_ms(values) if kind == "job" else None
    bins: list[tuple[Measure, int]] = []
    if duration is not None:
        bins.append(("duration_ok" if ok else "duration_failed", bin_of(duration)))
    if queue is not None:
        bins.append(("queue", bin_of(queue)))
    credits_used = values.get("credits")
    return Contribution(
        at_ms=stopped,
        n=1,
        ok=int(ok),
        failed=int(failed),
        canceled=int(status == "canceled"),
        credits=credits_used if isinstance(credits_used, int) else 0,
        duration_ms=duration or 0,
        queue_ms=queue or 0,
        bins=tuple(bins),
    )
