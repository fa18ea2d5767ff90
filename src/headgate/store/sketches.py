"""A sketch as bytes: the bins of one measure in one row of a rollup, and the SQL functions that add them up.

One little-endian int32 for each bin: runs * 4096 + bin + 1. Invariant: sketches one behind the other are a sketch of
both, so `group_concat` merges them; written rows hold each bin once.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.core.rollup import bin_of
from headgate.core.status import map_status
from headgate.store.sql import Database

__all__ = ["concat", "pack", "register", "unpack"]

_SHIFT = 12
_MASK = (1 << _SHIFT) - 1
# More runs of one bin than this take a further number.
_MOST = 1 << 18


def pack(bins: Mapping[int, int]) -> bytes | None:
    """Bins (bin -> runs, negative to take back) as bytes; None for none."""
    numbers: list[int] = []
    for index, n in sorted(bins.items()):
        left = n
        while left:
            part = max(-_MOST, min(left, _MOST))
            numbers.append((part << _SHIFT) + index + 1)
            left -= part
    return struct.pack(f"<{len(numbers)}i", *numbers) if numbers else None


def unpack(packed: bytes | None) -> dict[int, int]:
    """Bins of one sketch, or of several one behind the other; none is 0. ValueError for bytes that are none."""
    bins: dict[int, int] = {}
    if packed:
        if len(packed) % 4:
            raise ValueError("not a sketch")
        # Most numbers are met many times: counting them first is one pass in C.
        for number, times in Counter(struct.unpack(f"<{len(packed) // 4}i", packed)).items():
            index = (number & _MASK) - 1
            bins[index] = bins.get(index, 0) + (number >> _SHIFT) * times
    return {index: n for index, n in bins.items() if n} if 0 in bins.values() else bins


def _add(*sketches: Any) -> bytes | None:
    """The second added to the first; it is short, so its bins are looked up one by one."""
    old, new = sketches
    if old is None or new is None:
        return old or new  # type: ignore[no-any-return]  # columns of bytes
    numbers = list(struct.unpack(f"<{len(old) // 4}i", old))
    places = [number & _MASK for number in numbers]
    for number in struct.unpack(f"<{len(new) // 4}i", new):
        index = number & _MASK
        if index not in places:
            numbers.append(number)
            places.append(index)
            continue
        place = places.index(index)
        numbers[place] += number - index
        if not -_MOST <= numbers[place] >> _SHIFT <= _MOST:
            return pack(unpack(old + new))
    if min(numbers) <= _MASK:  # one was taken back
        numbers = [number for number in numbers if number >> _SHIFT]
    return struct.pack(f"<{len(numbers)}i", *numbers) if numbers else None


class _Pack:
    """The aggregate `pack_bins(bin, n)`."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}

    def step(self, *row: Any) -> None:
        """Add one row."""
        index, n = row
        self._bins[index] = self._bins.get(index, 0) + n

    def final(self) -> bytes | None:
        """The sketch of all rows."""
        return pack(self._bins)


def register(db: Database) -> None:
    """Give a writing connection `add_bins(sketch, sketch)`, `pack_bins(bin, n)`, `one_sketch(sketches)` and others."""
    db.create_scalar_function("add_bins", _add, 2, deterministic=True)
    db.create_scalar_function("one_sketch", _one, 1, deterministic=True)
    db.create_scalar_function("bin_of", _bin_of, 1, deterministic=True)
    db.create_scalar_function("our_status", _our_status, 1, deterministic=True)
    db.create_aggregate_function("pack_bins", _Pack, 2)


def _one(*sketches: Any) -> bytes | None:
    """Several one behind the other, with each bin once."""
    return pack(unpack(sketches[0]))


def _bin_of(*spans_ms: Any) -> int:
    return bin_of(spans_ms[0])


def _our_status(*words: Any) -> str:
    return map_status(words[0] or "")


def concat(names: Iterable[str]) -> str:
    """Columns of a grouping query: the sketches of each group, one behind the other."""
    return "".join(f", CAST(group_concat({name}, '') AS BLOB)" for name in names)
