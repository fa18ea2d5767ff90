"""What came of the tests of a project in a stretch of time, from its results. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from headgate.core.turning import pace_codes
from headgate.store.schema import IN_KEYS, keys_json
from headgate.store.sql import Database
from headgate.store.testpacks import Entry, Fault, Form, Piece, Stretch, Sums, Times, narrow, pack, packed
from headgate.store.words import statuses_sql, word

__all__ = ["Collected", "Commit", "Gatherer", "stretch_of"]

_NONE = ("", 0, "", 0)
_ROWS = """
SELECT t.test_id, t.job_id, t._host, t.stopped_at, coalesce(t.result, 0), coalesce(t.run_ms, 0), coalesce(t.name, ''),
  coalesce(t.suite, 0), coalesce(t.class_name, 0), coalesce(t.file, 0)
FROM test_result t INDEXED BY test_result_end WHERE t._project = ? AND t.stopped_at >= ? AND t.stopped_at < ?
  AND t.test_id > ''
"""
_ANY = """
SELECT 1 FROM test_result t INDEXED BY test_result_end
WHERE t._project = ? AND t.stopped_at >= ? AND t.stopped_at < ? LIMIT 1
"""
_JOB = """
SELECT coalesce(w.revision, pl.revision, ''), coalesce({broken}, 0), coalesce(n.text, ''), j._class FROM job j
LEFT JOIN workflow w ON w._key = j.workflow_id AND w._host = j._host
LEFT JOIN pipeline pl ON pl._key = coalesce(j.pipeline_id, w.pipeline_id) AND pl._host = j._host
LEFT JOIN dim n ON n.id = j.name
WHERE j._key = ? AND j._host = ?
"""


@dataclass(slots=True)
class Commit:
    """Results of one test on one commit, as `TestOutcome`. `names`: of its jobs, empty for one that is not known."""

    first_ms: int
    passed: int = 0
    failed: int = 0
    infra: int = 0
    run_ms: int = 0
    last_ms: int = 0
    branch_class: int = 0
    names: set[str] = field(default_factory=set)

    @property
    def runs(self) -> int:
        """Results but for skipped ones."""
        return self.passed + self.failed + self.infra

    @property
    def timed(self) -> bool:
        """Whether it has a mean run time."""
        return bool(self.run_ms and (self.passed or self.failed or self.infra))

    @property
    def jobs(self) -> tuple[str, ...]:
        """In order."""
        return tuple(sorted(self.names - {""}))


@dataclass(slots=True)
class Collected:
    """Results by test and commit. `commits`: revision -> its place, the key of `tests`; `names`: of each test.

    `jobs`: keys of those with results.
    """

    commits: dict[str, int] = field(default_factory=dict)
    names: dict[bytes | str, set[Form]] = field(default_factory=dict)
    tests: dict[bytes | str, dict[int, Commit]] = field(default_factory=dict)
    jobs: list[bytes | str] = field(default_factory=list)

    @property
    def mark(self) -> bytes | None:
        """See `Part`; which of several names is whose is not told."""
        return pack(self) if all(len(forms) == 1 for forms in self.names.values()) else None

    def keys(self) -> Sequence[bytes | str]:
        """See `Part`."""
        return list(self.tests)

    def forms(self) -> Collection[Form]:
        """See `Part`."""
        return set(chain.from_iterable(self.names.values()))

    def wide(self) -> Iterable[bytes | str]:
        """See `Part`."""
        longest = (1 << 32) - 1
        return (test for test, own in self.tests.items() if any(one.run_ms > longest for one in own.values()))

    def sums(self, branch_class: int | None) -> Sums:
        """See `Part`."""
        commits, passed, run_ms = list[int](), list[int](), list[int]()
        failures, codes = list[int](), list[bytes]()
        for place, own in enumerate(self.tests.values()):
            seen = [one for one in own.values() if branch_class is None or one.branch_class == branch_class]
            failed, infra = sum([one.failed for one in seen]), sum([one.infra for one in seen])
            commits.append(len(seen))
            passed.append(sum([one.passed for one in seen]))
            run_ms.append(sum([one.run_ms for one in seen]))
            failures += (place, failed, infra) if failed or infra else ()
            codes.append(pace_codes([ms / n for _, ms, n in _timed(seen)]))
        return Sums(commits, passed, run_ms, failures, codes)

    def times(self) -> Times:
        """See `Part`."""
        times, runs = list[bytes](), list[bytes]()
        for own in self.tests.values():
            timed = _timed(own.values())
            narrowed, counts = narrow([ms for _, ms, _ in timed]), [n for _, _, n in timed]
            times.append(narrowed or b"")
            runs.append(packed(counts) if narrowed and max(counts) > 1 else b"")
        return Times(times, runs)

    def faults(self) -> Iterator[tuple[Form, str, Commit]]:
        """See `Part`."""
        revisions = list(self.commits)
        for test, own in self.tests.items():
            for place, seen in own.items():
                if seen.failed:
                    yield next(iter(self.names[test])), revisions[place], seen

    def tests_on(self, commits: Collection[str]) -> Iterator[bytes | str]:
        """See `Part`."""
        places = {self.commits[commit] for commit in commits if commit in self.commits}
        return (test for test, own in self.tests.items() if not places.isdisjoint(own))

    def pieces(self, tests: Collection[bytes | str]) -> Iterator[tuple[bytes | str, Iterable[Piece]]]:
        """See `Part`."""
        revisions = list(self.commits)
        for test in tests:
            own = self.tests.get(test, {})
            yield (
                test,
                [
                    (revisions[at], one.last_ms, one.run_ms, one.passed, one.failed, one.infra, one.branch_class)
                    for at, one in own.items()
                ],
            )


def _timed(commits: Iterable[Commit]) -> Sequence[tuple[int, int, int]]:
    """Of those with a run time the end, run time and results, by ends and paces."""
    found = [(one.last_ms, one.run_ms / n, one.run_ms, n) for one in commits if one.timed for n in (one.runs,)]
    found.sort()
    return [(end, ms, n) for end, _, ms, n in found]


class Gatherer:
    """Reads results for one question; what they mean is looked up once."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._passes, self._fails = word(db, "pass"), word(db, "fail")
        self._asked = _JOB.format(broken=statuses_sql(db, "j.status", ("error",)))

    def any(self, project: int, since_ms: int, until_ms: int) -> bool:
        """Whether a project has results in [since_ms, until_ms)."""
        return self.db.execute(_ANY, (project, since_ms, until_ms)).fetchone() is not None

    def commits(
        self, project: int, since_ms: int, until_ms: int, tests: Collection[bytes | str] = ()
    ) -> Collected | None:
        """Results of a project in [since_ms, until_ms), of some tests or of all; None where there are none."""
        chosen, bound = (f"AND t.test_id {IN_KEYS}", (keys_json(tests),)) if tests else ("", ())
        rows = self.db.execute(_ROWS + chosen, (project, since_ms, until_ms, *bound))
        first = rows.fetchone()
        return self._collect(chain((first,), rows)) if first else None

    def _collect(self, rows: Iterable[tuple[Any, ...]]) -> Collected:
        jobs: dict[tuple[bytes | str | None, int], tuple[str, int, str, int]] = {}
        found = Collected()
        places, forms, tests = found.commits, found.names, found.tests
        passes, fails = self._passes, self._fails
        for test, job, host, at, result, ms, *words in rows:
            told = jobs.get((job, host))
            if told is None:
                told = jobs[job, host] = self.db.execute(self._asked, (job, host)).fetchone() or _NONE
            place = places.setdefault(told[0], len(places))
            own = tests.get(test)
            if own is None:
                own, forms[test] = tests.setdefault(test, {}), set()
            forms[test].add((test, *words))
            seen = own.get(place)
            if seen is None:
                seen = own[place] = Commit(at)
            if result == passes:
                seen.passed += 1
            elif result == fails:
                seen.failed += not told[1]
                seen.infra += told[1]
            seen.run_ms += ms
            seen.last_ms = at
            seen.branch_class |= told[3]
            seen.names.add(told[2])
        found.jobs += [job for job, _ in jobs if job is not None]
        return found


def stretch_of(found: Collected, begin_ms: int, number: Callable[[Form], int]) -> Stretch:
    """What is kept of a stretch. `number`: of a form."""
    places, tests = {test: place for place, test in enumerate(found.tests)}, found.tests.values()
    first = [number(next(iter(found.names[test]))) for test in found.tests]
    others = [one for form in found.forms() if (one := number(form)) != first[places[form[0]]]]
    faults = [
        Fault(
            number(form),
            found.commits[commit],
            *(seen.passed, seen.failed, seen.infra, seen.run_ms, seen.first_ms, seen.last_ms),
            seen.branch_class,
            seen.jobs,
        )
        for form, commit, seen in found.faults()
    ]
    classes = {one.branch_class for own in tests for one in own.values()}
    other, main = (pack(found.sums(one)) if len(classes) > 1 else b"" for one in (0, 1))
    times = found.times()
    return Stretch(
        sum(1 << one for one in classes),
        pack((first, others, [places[test] for test in found.wide()])),
        pack(faults),
        pack(list(found.commits)),
        pack(found.sums(None)),
        other,
        main,
        pack(times),
        pack([_entry(own, begin_ms, whole=bool(one)) for own, one in zip(tests, times.times, strict=True)]),
    )


def _entry(own: Mapping[int, Commit], begin_ms: int, *, whole: bool) -> Entry:
    """`whole`: its times are kept."""
    narrowed = {place for place, one in own.items() if one.timed} if whole else set()
    timed = sorted((own[place].last_ms, own[place].run_ms / own[place].runs, place) for place in narrowed)
    seen = [own[place] for _, _, place in timed]
    failures = [
        number for at, one in enumerate(seen) if one.failed or one.infra for number in (at, one.failed, one.infra)
    ]
    rest = [
        number
        for place, one in own.items()
        if place not in narrowed
        for number in (one.last_ms - begin_ms, one.run_ms, one.passed, one.failed, one.infra, one.branch_class, place)
    ]
    classes = bytes([one.branch_class for one in seen])
    return Entry(
        packed([one.last_ms - begin_ms for one in seen]),
        packed([place for _, _, place in timed]),
        packed(failures) if failures else b"",
        classes[:1] if len(set(classes)) == 1 else classes,
        packed(rest) if rest else b"",
    )
