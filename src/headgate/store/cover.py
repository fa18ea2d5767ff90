"""Which sums together are exactly the runs within some bounds. Pure.

Each bound is reached from the nearest edge of a bucket: what lies between is added or taken away. Invariant: what is
added less what is taken away is each fact within the bounds once, and none outside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.core.times import DAY_MS, HOUR_MS

__all__ = ["DAY_HOURS", "KEPT_FACTS", "KEPT_HOURS", "QUARTER", "WIDE", "Cover", "Kept", "Sign", "Source", "cover"]

DAY_HOURS = DAY_MS // HOUR_MS
Sign = Literal[1, -1]
# Counters: the first hour from which hourly sums are whole, and the end (ms) from which every fact is kept.
KEPT_HOURS = "kept:hours"
KEPT_FACTS = "kept:facts"
# Hours of a bucket; those of 1 and `DAY_HOURS` are always there, `WIDE` is a day in wide rows.
Source = int
WIDE: Source = -DAY_HOURS
# A quarter of a day: where one is added up, a bound within a day is reached in fewer steps.
QUARTER: Source = DAY_HOURS // 4


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store still knows. `hours`: first whole hour; `facts_ms`: since when every fact is kept.

    `built`: hours of a longer bucket -> those that are added up; `WIDE`: days of which all jobs are.
    """

    hours: int
    facts_ms: int
    built: Mapping[Source, Collection[int]] = field(default_factory=dict)


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
    found: dict[tuple[Source, Sign], list[int]] = {}
    facts: list[tuple[int, int, Sign]] = []
    for source, first, last, sign in _pieces(since_ms, until_ms, kept, longest):
        if source == 0:
            facts.append((first, last, sign))
        elif source == DAY_HOURS:
            for name, number in _stretches(first, last, kept, longest=longest, wide=wide):
                found.setdefault((name, sign), []).append(number)
        else:
            found.setdefault((source, sign), []).extend(range(first, last))
    buckets = tuple((source, sign, tuple(numbers)) for (source, sign), numbers in sorted(found.items()))
    return Cover(buckets, tuple(sorted(facts)))


def _widened(at_ms: int, kept: Kept, *, up: bool) -> int:
    """A bound that cuts a bucket whose facts are not all kept any more moves to the end of that bucket."""
    # Above, the hours from the begin of the day are needed; below, those from the bound on.
    first = at_ms // DAY_MS * DAY_HOURS if up else at_ms // HOUR_MS
    length = HOUR_MS if first >= kept.hours else DAY_MS
    begin = at_ms // length * length
    if begin == at_ms or begin >= kept.facts_ms:
        return at_ms
    return begin + length if up else begin


def _pieces(since_ms: int, until_ms: int, kept: Kept, longest: Source) -> Iterator[tuple[Source, int, int, Sign]]:
    """Days, hours and facts (source 0, milliseconds) with their signs; half open."""
    edges: list[tuple[int, int, Sign]] = [(since_ms, until_ms, 1)]
    for hours in (DAY_HOURS, QUARTER, 1):
        if hours > longest:
            continue
        length, left = hours * HOUR_MS, edges
        edges = []
        for start, end, sign in left:
            first, last = _edge(start, length, kept, up=True), _edge(end, length, kept, up=False)
            if hours == QUARTER:  # the newest may not be added up yet
                while first < last and last // length - 1 not in kept.built.get(hours, ()):
                    last -= length
            there = hours != QUARTER or all(
                n in kept.built.get(hours, ()) for n in range(first // length, last // length)
            )
            if first >= last or not there or abs(start - first) + abs(last - end) >= end - start:
                edges.append((start, end, sign))
                continue
            yield hours, first // length, last // length, sign
            edges += [part for part in (_between(start, first, sign), _between(last, end, sign)) if part]
    for start, end, sign in edges:
        yield 0, start, end, sign


def _between(start: int, end: int, sign: Sign) -> tuple[int, int, Sign] | None:
    """What is missing between two times, or is too much where the first is the later one."""
    if start == end:
        return None
    return (start, end, sign) if start < end else (end, start, 1 if sign == -1 else -1)


def _edge(at_ms: int, length: int, kept: Kept, *, up: bool) -> int:
    """The begin of a bucket from which a bound is reached: the nearest, or the one inside where hours are not whole."""
    below, above = at_ms // length * length, -(-at_ms // length) * length
    whole = at_ms // DAY_MS * DAY_HOURS >= kept.hours
    if whole:
        return below if at_ms - below < above - at_ms else above
    if not up:
        return below
    return max(above, kept.hours * HOUR_MS) if length == HOUR_MS else above


def _stretches(first: int, last: int, kept: Kept, *, longest: int, wide: bool) -> Iterator[tuple[Source, int]]:
    """Days, several of them in one where that is added up."""
    days = kept.built.get(WIDE, ()) if wide else ()
    lengths = [hours for hours in sorted(kept.built, reverse=True) if DAY_HOURS < hours <= longest]
    at = first
    while at < last:
        for hours in lengths:
            n = hours // DAY_HOURS
            if at % n == 0 and at + n <= last and at // n in kept.built[hours]:
                yield hours, at // n
                at += n
                break
        else:
            yield (WIDE if at in days else DAY_HOURS), at
            at += 1
