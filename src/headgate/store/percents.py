"""How many runs had each percent, as bytes.

One little-endian uint32 for each percent: percent * 2**24 + runs, so that the numbers sort by percent and add up to the
runs. Invariant: bytes one behind the other are those of both.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from headgate.core.detailrows import MOST_PERCENT, Percents
from headgate.store.sql import Database

__all__ = ["ONE_RUN", "added", "percents_of", "register"]

_SHIFT = 24
_RUNS = (1 << _SHIFT) - 1
# Of one run: four bytes for each percent from 0, so that SQL cuts them out.
ONE_RUN = struct.pack(f"<{MOST_PERCENT + 1}I", *((percent << _SHIFT) + 1 for percent in range(MOST_PERCENT + 1)))


def percents_of(packed: bytes, most: int) -> Percents:
    """What they say. `most`: that many runs at most, or more."""
    ordered = sorted(_numbers(packed))
    runs = sum(ordered) & _RUNS if most <= _RUNS else sum(number & _RUNS for number in ordered)
    above = runs - -(-runs * 95 // 100)
    for number in reversed(ordered):
        above -= number & _RUNS
        if above < 0:
            return Percents(runs, number >> _SHIFT, ordered[-1] >> _SHIFT)
    return Percents()


def added(packed: bytes) -> bytes | None:
    """The same with each percent once, or more often where it has more runs than a number takes; None for none."""
    runs: Counter[int] = Counter()
    for number, times in Counter(_numbers(packed)).items():
        runs[number >> _SHIFT] += (number & _RUNS) * times
    numbers = []
    for percent, left in sorted(runs.items()):
        whole, rest = divmod(left, _RUNS)
        numbers += [(percent << _SHIFT) + n for n in (*[_RUNS] * whole, rest) if n]
    return struct.pack(f"<{len(numbers)}I", *numbers) if numbers else None


def register(db: Database) -> None:
    """Give a writing connection `one_of_percents(percents)`."""
    db.create_scalar_function("one_of_percents", _added, 1, deterministic=True)


def _added(*columns: Any) -> bytes | None:
    return added(columns[0] or b"")


def _numbers(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 4}I", packed)
