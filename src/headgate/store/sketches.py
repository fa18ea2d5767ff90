"""A sketch as bytes: the bins of one measure in one row of a rollup, and the SQL functions that add them up.

One little-endian int32 for each bin: runs * 4096 + bin + 1. Invariant: sketches one behind the other are a sketch of
both, so `group_concat` merges them; written rows hold each bin once.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

from headgate.core.rollup import bin_of
from headgate.core.status import map_status
from headgate.store.sql import Database

__all__ = ["binned", "count", "pack", "register", "unpack"]

_SHIFT = 12
_MASK = (1 << _SHIFT) - 1
# More runs of one bin than this take a further number.
_MOST = 1 << 18
# Bytes of one that is read at once.
_SHORT = 1_024


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
    if packed is not None and len(packed) <= _SHORT and not len(packed) % 4:
        indices, counts = _read(packed)
        bins = dict(zip(indices, counts, strict=True))
        if len(bins) == len(indices) and 0 not in counts:  # else there are several with one bin
            return bins
    runs: defaultdict[int, int] = defaultdict(int)
    count(runs, packed, 1)
    return {place - 1: n for place, n in runs.items() if n}


def count(runs: defaultdict[int, int], packed: bytes | None, sign: Literal[1, -1]) -> None:
    """Add sketches one behind the other to the runs of each place, which is a bin + 1. ValueError as `unpack`."""
    if packed is None:
        return
    if len(packed) % 4:
        raise ValueError("not a sketch")
    numbers = struct.unpack(f"<{len(packed) // 4}i", packed)
    if sign == 1:
        for number in numbers:
            runs[number & _MASK] += number >> _SHIFT
    else:
        for number in numbers:
            runs[number & _MASK] -= number >> _SHIFT


def _read(packed: bytes) -> tuple[Sequence[int], Sequence[int]]:
    """The bin of each number, and its runs: all at once, as one number with a lane of 32 bits for each of them.

    With the highest bit of each lane added no lane borrows from the next, and without it they have a sign.
    """
    size = len(packed) // 4
    ones, lows, highs, halves, signs = _lanes(size)
    whole, form = int.from_bytes(packed, "little"), f"<{size}i"
    bins = (whole & lows) + signs - ones ^ signs
    runs = (whole >> _SHIFT & highs ^ halves) + signs - halves ^ signs
    return (
        struct.unpack(form, bins.to_bytes(len(packed), "little")),
        struct.unpack(form, runs.to_bytes(len(packed), "little")),
    )


@cache
def _lanes(size: int) -> tuple[int, ...]:
    """In each of so many lanes 1, every bit of a place, every one of runs, the highest of those, and of the lane."""
    half = 1 << 31 - _SHIFT
    masks = (1, _MASK, 2 * half - 1, half, 1 << 31)
    return tuple(int.from_bytes(struct.pack("<I", bits) * size, "little") for bits in masks)


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
    """Give a writing connection `add_bins(sketch, sketch)`, `pack_bins(bin, n)` and others."""
    db.create_scalar_function("add_bins", _add, 2, deterministic=True)
    db.create_scalar_function("bin_of", _bin_of, 1, deterministic=True)
    db.create_scalar_function("our_status", _our_status, 1, deterministic=True)
    db.create_aggregate_function("pack_bins", _Pack, 2)


def binned(spans_ms: str | None) -> Mapping[int, int]:
    """Bins of spans that stand one behind the other with commas, as `group_concat` writes them; none of None."""
    return Counter(map(bin_of, map(int, spans_ms.split(",")))) if spans_ms else {}


def _bin_of(*spans_ms: Any) -> int:
    return bin_of(spans_ms[0])


def _our_status(*words: Any) -> str:
    return map_status(words[0] or "")
