"""Which stretches that are added up, and which rows together, are the bounds of each project.

Invariant: every moment within the bounds is in exactly one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from headgate.core.tally import Bounds
from headgate.core.times import DAY_MS
from headgate.store.sql import Database

__all__ = ["LONG", "Notes", "Part", "Rest", "parts"]

# Days of a longer stretch, which begins with one whose number it divides.
LONG = 8
# Stretches that some projects want, both as JSON, and how long each is.
Part = tuple[str, str, int]
# Projects, since, until.
Rest = tuple[Sequence[int], int, int]
# How long, and the first of its units.
_Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Notes:
    """What is noted as whole. `rows`: SQL of first unit and project, for a length ? and first units ? as JSON.

    `ends`: SQL of the first and last unit of the shortest length. `lengths`: in units, the longest first; each divides
    the one before, and its stretches begin with a unit whose number it divides. `projects`: SQL of number and slug of
    those that have anything, noted or not.
    """

    rows: str
    ends: str
    unit_ms: int = DAY_MS
    lengths: Sequence[int] = (LONG, 1)
    projects: str = "SELECT id, slug FROM dim_project"


def parts(db: Database, bounds: Bounds, notes: Notes) -> tuple[list[Part], list[Rest]]:
    """Stretches that are added up with the projects that want them; and what is read row by row."""
    wanted: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for number, slug in db.execute(notes.projects):
        if slug in bounds:
            wanted[bounds[slug]].append(number)
    oldest, newest = db.execute(notes.ends).fetchone()
    stretches: list[Part] = []
    rest: list[Rest] = []
    for (since_ms, until_ms), projects in wanted.items():
        begin, end = -(-since_ms // notes.unit_ms), until_ms // notes.unit_ms
        alike: defaultdict[tuple[_Stretch, ...], list[int]] = defaultdict(list)
        inside = () if oldest is None else _longest(max(begin, oldest), min(end, newest + 1), notes.lengths)
        for number, chosen in _noted(db, notes, inside, projects).items():
            alike[tuple(sorted(chosen, key=_first))].append(number)
        for same, numbers in alike.items():
            firsts = {length: [first for units, first in same if units == length] for length in notes.lengths}
            stretches += [(_json(of), _json(numbers), length) for length, of in firsts.items() if of]
            rest += [(numbers, *span) for span in _between(since_ms, until_ms, same, notes.unit_ms)]
    return stretches, rest


def _longest(at: int, until: int, lengths: Sequence[int]) -> Iterator[_Stretch]:
    """The longest stretches that make up these units, in order."""
    while at < until:
        length = next(one for one in lengths if at % one == 0 and at + one <= until)
        yield length, at
        at += length


def _noted(
    db: Database, notes: Notes, wanted: Iterable[_Stretch], projects: Collection[int]
) -> dict[int, list[_Stretch]]:
    """Project -> which of the stretches are noted; of one that is not, the shorter ones in it that are."""
    chosen: dict[int, list[_Stretch]] = {number: [] for number in projects}
    asked: dict[_Stretch, Collection[int]] = dict.fromkeys(wanted, frozenset(projects))
    for length, shorter in zip(notes.lengths, (*notes.lengths[1:], None), strict=True):
        firsts = {first: numbers for (units, first), numbers in asked.items() if units == length}
        there: defaultdict[int, set[int]] = defaultdict(set)
        for first, number in db.execute(notes.rows, (length, _json(list(firsts)))):
            there[first].add(number)
        for first, numbers in firsts.items():
            whole = there[first].intersection(numbers)
            for number in whole:
                chosen[number].append((length, first))
            if shorter and len(whole) < len(numbers):
                missing = frozenset(numbers) - whole
                asked |= {(shorter, at): missing for at in range(first, first + length, shorter)}
    return chosen


def _first(stretch: _Stretch) -> int:
    return stretch[1]


def _json(numbers: Collection[int]) -> str:
    return msgspec.json.encode(numbers).decode()


def _between(since_ms: int, until_ms: int, stretches: Iterable[_Stretch], unit_ms: int) -> Iterator[tuple[int, int]]:
    """What is left of a time without these stretches, which are in order."""
    at = since_ms
    for units, first in stretches:
        if at < first * unit_ms:
            yield at, first * unit_ms
        at = (first + units) * unit_ms
    if at < until_ms:
        yield at, until_ms
