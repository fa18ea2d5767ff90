"""A well-filled sketch as bytes: the runs of each bin in a lane of its own, so that many are added up as one number.

Two little-endian uint16: the place of the first lane, which is even, and how many there are, which is odd; then as many
uint16, each the runs of one bin. Place 0 is bin -1. Invariant: its length tells it from bins one by one
(`store.sketches`), which are a multiple of four bytes; several one behind the other are a sketch of all.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from headgate.store.sketches import binned, count, pack, unpack
from headgate.store.sql import Database

__all__ = ["Forms", "bins_of", "concatenated", "joined", "lay", "register", "summed"]

# Several one behind the other: sketches with bins one by one, those in lanes, and spans (ms) with commas between them.
Forms = tuple[bytes | None, bytes | None, str | None]
# Fewer bins, or more lanes for each of them, are faster one by one, or take too much room; measured.
_LEAST_BINS, _MOST_LANES = 64, 4
_HEAD = struct.Struct("<HH")
_LANE_BITS = 16
_MOST_RUNS = (1 << _LANE_BITS) - 1
# More lanes than there can be, as a duration of 64 bits has bin 2,184; and every second one of them.
_PLACES = 4_096
_EVEN = int.from_bytes(b"\xff\xff\0\0" * (_PLACES // 2), "little")
# The highest bit of each lane of 32 bits.
_SIGNS = int.from_bytes(b"\0\0\0\x80" * (_PLACES // 2), "little")


def lay(bins: Mapping[int, int]) -> bytes | None:
    """Bins (bin -> runs) in lanes where that pays, else one by one; None for none."""
    if len(bins) >= _LEAST_BINS and min(bins.values()) > 0 and max(bins.values()) <= _MOST_RUNS:
        first = (min(bins) + 1) & ~1
        lanes = (max(bins) + 2 - first) | 1
        if lanes <= _MOST_LANES * len(bins):
            return _HEAD.pack(first, lanes) + struct.pack(f"<{lanes}H", *_runs(bins, first, lanes))
    return pack(bins)


def _runs(bins: Mapping[int, int], first: int, lanes: int) -> Iterator[int]:
    return (bins.get(place - 1, 0) for place in range(first, first + lanes))


def concatenated(name: str, condition: str = "1") -> tuple[str, str]:
    """Of a grouping query: the sketches of each group one behind the other, with bins one by one, then in lanes."""
    one, other = (
        f"CAST(group_concat({name}, '') FILTER (WHERE {condition} AND length({name}) % 4 {form}) AS BLOB)"
        for form in ("= 0", "> 0")
    )
    return one, other


def joined(forms: Forms, sketch: bytes | None) -> Forms:
    """With one more sketch, in either form."""
    single, laid, spans_ms = forms
    if sketch is None:
        return forms
    if len(sketch) % 4:
        return single, (laid or b"") + sketch, spans_ms
    return (single or b"") + sketch, laid, spans_ms


def bins_of(packed: bytes | None) -> dict[int, int]:
    """Bins of one sketch in either form; none is 0. ValueError for bytes that are none."""
    return summed((None, packed, None)) if packed and len(packed) % 4 else unpack(packed)


def register(db: Database) -> None:
    """Give a writing connection `long_sketch(sketches, sketches in lanes)` and `sketch_of(spans, with commas)`."""
    db.create_scalar_function("long_sketch", _long, 2, deterministic=True)
    db.create_scalar_function("sketch_of", _sketch_of, 1, deterministic=True)


def _long(*sketches: Any) -> bytes | None:
    return lay(summed((*sketches, None)))


def _sketch_of(*lists: Any) -> bytes | None:
    return lay(binned(lists[0]))


def summed(added: Forms, taken: Forms = (None, None, None)) -> dict[int, int]:
    """Bins of what is added, less those of what is taken away; none is 0. ValueError for bytes that are no sketch."""
    first, laid = _places(added[1], taken[1])
    if not any((added[0], added[2], taken[0], taken[2])):
        return {index: n for index, n in enumerate(laid, first - 1) if n}
    runs: defaultdict[int, int] = defaultdict(int, enumerate(laid, first))
    _count(runs, added, 1)
    _count(runs, taken, -1)
    return {place - 1: n for place, n in runs.items() if n}


def _count(runs: defaultdict[int, int], forms: Forms, sign: Literal[1, -1]) -> None:
    """All but those in lanes."""
    single, _, spans_ms = forms
    count(runs, single, sign)
    for index, n in binned(spans_ms).items():
        runs[index + 1] += sign * n


def _places(added: bytes | None, taken: bytes | None) -> tuple[int, Sequence[int]]:
    """The first place, and runs of each from there, of sketches in lanes that are added less those that are taken away.

    With the highest bit of each lane added no lane borrows from the next, and without it they have a sign.
    """
    if added is None and taken is None:
        return 0, ()
    *totals, first = _totals(added)
    *others, other = _totals(taken)
    size = -(-max(one.bit_length() for one in (*totals, *others)) // 32)
    signs = _SIGNS & ((1 << 32 * size) - 1)
    runs = [0] * (2 * size)
    runs[::2], runs[1::2] = (
        struct.unpack(f"<{size}i", (one + signs - less ^ signs).to_bytes(4 * size, "little"))
        for one, less in zip(totals, others, strict=True)
    )
    lowest = min(first, other)
    return lowest, runs[lowest:]


def _totals(laid: bytes | None) -> tuple[int, int, int]:
    """Sketches one behind the other as two sums, of every second lane each, in lanes of 32 bits; and the first place.

    No store has two billion runs of a bin. ValueError for bytes that are none.
    """
    even = odd = at = 0
    if laid is None:
        return even, odd, _PLACES
    lowest = whole = len(laid)
    while at < whole:
        first, lanes = _HEAD.unpack_from(laid, at) if whole - at > _HEAD.size else (0, whole)
        begin, at = at + _HEAD.size, at + _HEAD.size + 2 * lanes
        number = int.from_bytes(laid[begin:at], "little") << _LANE_BITS * first
        even += number & _EVEN
        odd += number >> _LANE_BITS & _EVEN
        lowest = min(lowest, first)
    if at != whole:
        raise ValueError("not a sketch")
    return even, odd, lowest
