"""What one fact adds to the hourly and daily rollups. Pure: contribution(new) - contribution(old) keeps sums exact.

Durations go into sketches: logarithmic bins within 1 % of the value, mergeable by adding counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

from headgate.core.facts import Value
from headgate.core.render import approval_wait_ms, duration_ms, queue_ms
from headgate.core.status import FAILED, map_status

__all__ = [
    "GAMMA",
    "MEASURES",
    "SUMS",
    "Contribution",
    "Measure",
    "RollupKind",
    "bin_of",
    "bin_value",
    "contribution",
    "quantile",
]

# Two values in one bin differ by at most this factor, so the middle of a bin is within 1 % of any of them.
GAMMA = 1.01 / 0.99
_LOG_GAMMA = math.log(GAMMA)

RollupKind = Literal["workflow", "job"]
# Spans that are kept as sketches: execution of successful and of failed ones, wait for a machine, wait of an approval.
Measure = Literal["duration_ok", "duration_failed", "queue", "hold"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
# The sums of a contribution, in the order of the columns that keep them.
SUMS = (
    "n",
    "ok",
    "failed",
    "errors",
    "canceled",
    "skipped",
    "reruns",
    "credits",
    "estimated",
    "duration_ok_ms",
    "timed_ok",
    "duration_ms",
    "timed",
    "queue_ms",
    "queued",
    "hold_ms",
    "held",
)


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one ended workflow or job adds to the bucket of its end. All zero is never built: see `contribution`.

    `at_ms`: its end. `n`: 1, but 0 for an approval. `failed`: failure, error and timeout; `errors`: those that ended
    as error, which is infrastructure. `reruns`: a workflow that repeats one, or a job that repeats a job.
    `estimated`: those of the credits that are no bill. `duration_ms`: of `timed` successful and failed ones;
    `duration_ok_ms`: of the `timed_ok` successful. `queue_ms`: of `queued` ones whose wait is known. `hold_ms`: of
    `held` approvals. `bins`: (measure, bin) that gain one each.
    """

    at_ms: int
    n: int = 0
    ok: int = 0
    failed: int = 0
    errors: int = 0
    canceled: int = 0
    skipped: int = 0
    reruns: int = 0
    credits: int = 0
    estimated: int = 0
    duration_ok_ms: int = 0
    timed_ok: int = 0
    duration_ms: int = 0
    timed: int = 0
    queue_ms: int = 0
    queued: int = 0
    hold_ms: int = 0
    held: int = 0
    bins: tuple[tuple[Measure, int], ...] = ()

    @property
    def sums(self) -> tuple[int, ...]:
        """The sums, in the order of `SUMS`."""
        return _sums_of(self)


_sums_of: Callable[[Contribution], tuple[int, ...]] = attrgetter(*SUMS)


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
    above = total - max(1, math.ceil(q * total))
    for index in sorted(bins, reverse=True):
        above -= bins[index]
        if above < 0:
            break
    return bin_value(index)


def contribution(kind: RollupKind, values: Mapping[str, Value], *, terminal: bool) -> Contribution | None:
    """What the fact adds; None while it has not ended, has no end time, or is an approval that nobody gave.

    Canceled and skipped runs are counted but their durations are not (they would drag percentiles down).
    """
    stopped = values.get("stopped_at")
    if not terminal or not isinstance(stopped, int):
        return None
    status = map_status(str(values.get("status", "")))
    if kind == "job" and values.get("type") == "approval":
        # One that nobody answered was canceled with its workflow, or still waits: how long says nothing of answers.
        hold = approval_wait_ms(values) if status == "success" else None
        return None if hold is None else Contribution(stopped, hold_ms=hold, held=1, bins=(("hold", bin_of(hold)),))
    ok, failed = status == "success", status in FAILED
    duration = duration_ms(kind, values) if ok or failed else None
    queue = queue_ms(values) if kind == "job" else None
    bins: list[tuple[Measure, int]] = []
    if duration is not None:
        bins.append(("duration_ok" if ok else "duration_failed", bin_of(duration)))
    if queue is not None:
        bins.append(("queue", bin_of(queue)))
    told = values.get("credits")
    used = told if isinstance(told, int) else 0
    return Contribution(
        at_ms=stopped,
        n=1,
        ok=int(ok),
        failed=int(failed),
        errors=int(status == "error"),
        canceled=int(status == "canceled"),
        skipped=int(status == "skipped"),
        reruns=int("rerun_of" in values),
        credits=used,
        estimated=used if values.get("credits_estimated") else 0,
        duration_ok_ms=duration or 0 if ok else 0,
        timed_ok=int(ok and duration is not None),
        duration_ms=duration or 0,
        timed=int(duration is not None),
        queue_ms=queue or 0,
        queued=int(queue is not None),
        bins=tuple(bins),
    )
