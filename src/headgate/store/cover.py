"""Which sums together are exactly the runs within some bounds. Pure.

Each bound is reached from the nearest edge of a bucket: what lies between is added or taken away. Invariant: what is
added less what is taken away is each fact within the bounds once, and none outside.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.core.times import DAY_MS, HOUR_MS

__all__ = [
    "DAY_HOURS",
    "KEPT_FACTS",
    "KEPT_HOURS",
    "QUARTER",
    "WIDE",
    "WIDE_HOUR",
    "Cover",
    "Kept",
    "Sign",
    "Source",
    "cover",
    "cut_cover",
]

DAY_HOURS = DAY_MS // HOUR_MS
Sign = Literal[1, -1]
# Milliseconds, half open.
_Edge = tuple[int, int, Sign]
# Counters: the first hour from which hourly sums are whole, and the end (ms) from which every fact is kept.
KEPT_HOURS = "kept:hours"
KEPT_FACTS = "kept:facts"
# Hours of a bucket; those of 1 and `DAY_HOURS` are always there, `WIDE` is a day in wide rows, `WIDE_HOUR` an hour.
Source = int
WIDE: Source = -DAY_HOURS
WIDE_HOUR: Source = -1
# A quarter of a day: where one is added up, a bound within a day is reached in fewer steps.
QUARTER: Source = DAY_HOURS // 4
# Stretches that one statement reads fact by fact; where more are missing between buckets, all are read so.
_MOST_FACTS = 60


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store still knows. `hours`: first whole hour; `facts_ms`: since when every fact is kept.

    `built`: hours of a longer bucket -> those that are added up; `WIDE`, `WIDE_HOUR`: of days and hours, wide rows.
    """

    hours: int
    facts_ms: int
    built: Mapping[Source, Container[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cover:
    """How one project's bounds are read. `buckets`: source and sign -> numbers; `facts`: milliseconds, half open."""

    buckets: tuple[tuple[Source, Sign, tuple[int, ...]], ...]
    facts: tuple[tuple[int, int, Sign], ...]


def cover(since_ms: int, until_ms: int, kept: Kept, *, longest: Source, wide: bool = False) -> Cover:
    """Where facts are gone, the bounds are widened to whole buckets.

    `longest`: hours of the longest bucket that may be read, 1 for what is asked by the hour. `wide`: jobs are not told
    apart.
    """
    since_ms, until_ms = _widened(since_ms, kept, up=False), _widened(until_ms, kept, up=True)
    lengths = {1, DAY_HOURS, *(hours for hours in kept.built if hours > 1)}
    found: dict[tuple[Source, Sign], list[int]] = {}
    facts: list[_Edge] = []
    for hours, number, sign in _pieces((since_ms, until_ms, 1), kept, lengths, longest, facts):
        source = -hours if wide and hours in (1, DAY_HOURS) and number in kept.built.get(-hours, ()) else hours
        found.setdefault((source, sign), []).append(number)
    return _cover(found, facts)


def cut_cover(since_ms: int, until_ms: int, built: Mapping[int, Container[int]], *, longest: Source) -> Cover:
    """As `cover`, where there are facts and some stretches alone. `built`: by hours."""
    found: dict[tuple[Source, Sign], list[int]] = {}
    facts: list[_Edge] = []
    for hours, number, sign in _pieces((since_ms, until_ms, 1), Kept(0, 0, built), built, longest, facts):
        found.setdefault((hours, sign), []).append(number)
    if len(facts) > _MOST_FACTS:
        return Cover((), ((since_ms, until_ms, 1),))
    return _cover(found, facts)


def _cover(found: Mapping[tuple[Source, Sign], list[int]], facts: list[_Edge]) -> Cover:
    return Cover(
        tuple((source, sign, tuple(numbers)) for (source, sign), numbers in sorted(found.items())), tuple(facts)
    )


def _widened(at_ms: int, kept: Kept, *, up: bool) -> int:
    """A bound that cuts a bucket whose facts are not all kept any more moves to the end of that bucket."""
    # Above, the hours from the begin of the day are needed; below, those from the bound on.
    first = at_ms // DAY_MS * DAY_HOURS if up else at_ms // HOUR_MS
    length = HOUR_MS if first >= kept.hours else DAY_MS
    begin = at_ms // length * length
    if begin == at_ms or begin >= kept.facts_ms:
        return at_ms
    return begin + length if up else begin


def _pieces(
    whole: _Edge, kept: Kept, lengths: Iterable[int], longest: Source, facts: list[_Edge]
) -> Iterator[tuple[int, int, Sign]]:
    """Buckets, the longest first: hours, number and sign. What none of them reaches is added to `facts`."""
    edges = [whole]
    for hours in sorted(lengths, reverse=True):
        if hours > longest:
            continue
        length, there, left = hours * HOUR_MS, kept.built.get(hours), edges
        edges = []
        for start, end, sign in left:
            first, last = _edge(start, length, there, kept, up=True), _edge(end, length, there, kept, up=False)
            if first >= last or abs(start - first) + abs(last - end) >= end - start:
                edges.append((start, end, sign))
                continue
            for number in range(first // length, last // length):
                if there is None or number in there:
                    yield hours, number, sign
                else:
                    edges.append((number * length, (number + 1) * length, sign))
            edges += [part for part in (_between(start, first, sign), _between(last, end, sign)) if part]
        edges = _joined(edges)
    facts += edges


def _joined(edges: list[_Edge]) -> list[_Edge]:
    """In order; those that follow one another are one."""
    found: list[_Edge] = []
    for start, end, sign in sorted(edges):
        if found and found[-1][1:] == (start, sign):
            found[-1] = (found[-1][0], end, sign)
        else:
            found.append((start, end, sign))
    return found


def _between(start: int, end: int, sign: Sign) -> _Edge | None:
    """What is missing between two times, or is too much where the first is the later one."""
    if start == end:
        return None
    return (start, end, sign) if start < end else (end, start, 1 if sign == -1 else -1)


def _edge(at_ms: int, length: int, there: Container[int] | None, kept: Kept, *, up: bool) -> int:
    """From where a bound is reached: the nearest edge of a bucket, or the one inside where the bucket is not there.

    `there`: numbers of those that are; None where all are, as long as they are kept.
    """
    below, above = at_ms // length * length, -(-at_ms // length) * length
    if at_ms // length in there if there is not None else at_ms // DAY_MS * DAY_HOURS >= kept.hours:
        return below if at_ms - below < above - at_ms else above
    if not up:
        return below
    return max(above, kept.hours * HOUR_MS) if length == HOUR_MS else above
