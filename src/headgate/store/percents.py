"""How many runs had each percent, as bytes.

One little-endian uint32 for each percent: percent * 2**24 + runs, so that the numbers sort by percent and add up to the
runs. Invariant: bytes one behind the other are those of both.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from headgate.core.detailrows import MOST_PERCENT, Busy, Percents
from headgate.store.sql import Database

__all__ = ["ONE_RUN", "PackedPercents", "added", "register"]

_SHIFT = 24
_RUNS = (1 << _SHIFT) - 1
# Of one run: four bytes for each percent from 0, so that SQL cuts them out.
ONE_RUN = struct.pack(f"<{MOST_PERCENT + 1}I", *((percent << _SHIFT) + 1 for percent in range(MOST_PERCENT + 1)))


class PackedPercents:
    """What bytes say, worked out when asked for: of most jobs of a long list nobody asks for all of it."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes | None) -> None:
        self._packed = packed or b""

    @property
    def runs(self) -> int:
        """Of how many runs they are."""
        low, middle, high = (sum(self._packed[place::4]) for place in range(3))
        return low + (middle << 8) + (high << 16)

    @property
    def highest(self) -> int | None:
        """None for none."""
        return max(self._packed[3::4], default=None)

    @property
    def p95(self) -> int | None:
        """Nearest rank; None for none."""
        above = self.runs // 20
        for number in sorted(_numbers(self._packed), reverse=True):
            above -= number & _RUNS
            if above < 0:
                return number >> _SHIFT
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedPercents | Percents) and _said(self) == _said(other)

    def __hash__(self) -> int:
        return hash(_said(self))

    def __repr__(self) -> str:
        return repr(_said(self))


def _said(one: Busy) -> Percents:
    return Percents(one.runs, one.p95, one.highest)


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
