"""How what came of the tests of a project in a stretch of time is kept: as bytes, in columns by what asks for them.

Invariant: stretches side by side are parts of the same commits: what adds up is added, and a commit with results in
several of them is put together again from `Stretch.pieces`.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from operator import truediv
from typing import Any, NamedTuple

import msgspec

__all__ = [
    "EMPTY",
    "Entry",
    "Fault",
    "Form",
    "Piece",
    "Stretch",
    "Sums",
    "Times",
    "narrow",
    "numbers",
    "paces_of",
    "pack",
    "packed",
    "unpack_commits",
    "unpack_entries",
    "unpack_faults",
    "unpack_hours",
    "unpack_sums",
    "unpack_tests",
    "unpack_times",
]

# A test id as the store keeps it, and its name, suite, class and file; words as numbers, 0 for none.
Form = tuple[bytes | str, str, int, int, int]
# Revision, end, run_ms, passed, failed, infra and class of branches.
Piece = tuple[str, int, int, int, int, int, int]


class Sums(NamedTuple):
    """Of each test, side by side: commits, passes and run time; `failures`: of those with any, place, of it, infra.

    `codes`: of the paces of its commits with a run time, in the order of their ends.
    """

    commits: Sequence[int]
    passed: Sequence[int]
    run_ms: Sequence[int]
    failures: Sequence[int]
    codes: Sequence[bytes]


class Times(NamedTuple):
    """Of each test those of its commits that have codes: milliseconds, four bytes each.

    `runs`, packed: results of each but for skipped ones; none: one each.
    """

    times: Sequence[bytes]
    runs: Sequence[bytes]


class Fault(NamedTuple):
    """What came of a test on a commit on which it failed, within the stretch; as `TestOutcome`."""

    form: int
    commit: int
    passed: int
    failed: int
    infra: int
    run_ms: int
    first_ms: int
    last_ms: int
    branch_class: int
    jobs: tuple[str, ...]


class Entry(NamedTuple):
    """The commits of one test. Numbers side by side, packed; those with a run time come as in `Times`.

    `ends`: since the begin of the stretch; `places` in its commits; `failures`: of those with any, their place here,
    failures, and those of the machine; `classes`: of branches, a byte each, or one for all; `rest`: of other commits
    what a `Piece` has, and the place behind it.
    """

    ends: bytes
    places: bytes
    failures: bytes
    classes: bytes
    rest: bytes

    def commits(self) -> Iterable[int]:
        """Places of all its commits."""
        return chain(numbers(self.places), numbers(self.rest)[6::7])

    def pieces(self, begin_ms: int, commits: Sequence[str], times: bytes, runs: bytes) -> Iterator[Piece]:
        """What came of the test on each commit."""
        ends, told, rest = numbers(self.ends), numbers(self.failures), numbers(self.rest)
        n = len(ends)
        passed, failed, infra = numbers(runs).tolist() or [1] * n, [0] * n, [0] * n
        for at, bad, broken in zip(told[::3], told[1::3], told[2::3], strict=True):
            failed[at], infra[at] = bad, broken
            passed[at] -= bad + broken
        classes = self.classes if len(self.classes) == n else self.classes * n
        revisions = map(commits.__getitem__, numbers(self.places))
        yield from zip(
            revisions, map(begin_ms.__add__, ends), joined(times), passed, failed, infra, classes, strict=True
        )
        for at in range(0, len(rest), 7):
            end, run_ms, good, bad, broken, branch_class, place = rest[at : at + 7]
            yield commits[place], begin_ms + end, run_ms, good, bad, broken, branch_class


class Stretch(NamedTuple):
    """One stretch as it is kept. `classes`: which classes of branches its commits have, as bits.

    `tests`: a form of each, in the order of all that follows; other forms of those tests; places of tests with times
    that no machine takes. `other`, `main`: sums of the commits of each class, where there are both. `body`: entries.
    """

    classes: int
    tests: bytes
    faults: bytes
    commits: bytes
    sums: bytes
    other: bytes
    main: bytes
    times: bytes
    body: bytes


EMPTY = Sums((), (), (), (), ())


def narrow(times: Sequence[int]) -> bytes | None:
    """Run times, milliseconds, as four bytes each; None where one is no run time."""
    try:
        return _little(array("I", times)).tobytes()
    except OverflowError:
        return None


def packed(values: Sequence[int]) -> bytes:
    """Numbers as bytes, little-endian, as narrow as all of them allow; the first byte says how wide they are."""
    for code in "HI":
        try:
            return code.encode() + _little(array(code, values)).tobytes()
        except OverflowError:
            continue
    return b"q" + _little(array("q", values)).tobytes()


def numbers(told: bytes) -> array[int]:
    """What `packed` was given; nothing for no bytes."""
    found = array(chr(told[0]) if told else "H")
    found.frombytes(told[1:])
    return _little(found)


def joined(times: bytes) -> array[int]:
    """What `narrow` was given."""
    found = array("I")
    found.frombytes(times)
    return _little(found)


def paces_of(times: bytes, runs: bytes) -> Iterable[float]:
    """Mean run times of commits, milliseconds."""
    return map(truediv, joined(times), numbers(runs)) if runs else map(float, joined(times))


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values


_sums = msgspec.msgpack.Decoder(tuple[list[int], list[int], list[int], list[int], list[bytes]])
_times = msgspec.msgpack.Decoder(tuple[list[bytes], list[bytes]])
_tests = msgspec.msgpack.Decoder(tuple[list[int], list[int], list[int]])
_faults = msgspec.msgpack.Decoder(list[tuple[int, int, int, int, int, int, int, int, int, tuple[str, ...]]])
_texts = msgspec.msgpack.Decoder(list[str])
_body = msgspec.msgpack.Decoder(list[msgspec.Raw])
_entry = msgspec.msgpack.Decoder(tuple[bytes, bytes, bytes, bytes, bytes])
_hours = msgspec.msgpack.Decoder(list[tuple[int, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]])


def pack(what: Any) -> bytes:
    """Rows or columns as bytes, for one of the functions that follow."""
    return msgspec.msgpack.encode(what)


def unpack_sums(told: bytes) -> Sums:
    """Those of a stretch."""
    return Sums._make(_sums.decode(told))


def unpack_times(told: bytes) -> Times:
    """Those of a stretch."""
    return Times._make(_times.decode(told))


def unpack_tests(told: bytes) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """See `Stretch.tests`."""
    return _tests.decode(told)


def unpack_faults(told: bytes) -> list[Fault]:
    """Those of a stretch."""
    return list(map(Fault._make, _faults.decode(told)))


def unpack_commits(told: bytes) -> Sequence[str]:
    """Revisions."""
    return _texts.decode(told)


def unpack_entries(told: bytes, places: Collection[int]) -> Iterator[tuple[int, Entry]]:
    """Some entries of a body, by their places in order."""
    for place, entry in enumerate(_body.decode(told)):
        if place in places:
            yield place, Entry._make(_entry.decode(entry))


def unpack_hours(told: bytes) -> Sequence[Stretch]:
    """The hours of a stretch."""
    return list(map(Stretch._make, _hours.decode(told)))
