"""The SQLite adapter's questions about tests over many commits; see `core.readport.ReadStore`.

Invariant: answers are those of results read one by one, whatever is added up. A commit with results in several
stretches (`store.testparts`) is put together from all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby

from headgate.core.runrows import TestCommit, TestOutcome, TestsOver, TestSum
from headgate.core.tally import Bounds
from headgate.core.turning import became_slower, may_turn
from headgate.store.live_queries import chosen_outcomes
from headgate.store.live_queries import test_id as _test_id
from headgate.store.notedtests import NotedTests
from headgate.store.schema import encode_key
from headgate.store.sql import Database
from headgate.store.testgather import Commit, Gatherer
from headgate.store.testpacks import Fault, Form, Piece, paces_of
from headgate.store.teststretches import Part, Stretches
from headgate.store.words import project_ids

__all__ = ["outcomes_of", "test_commits", "test_counts", "test_faults", "test_sums"]

_Test = bytes | str
_ALL = frozenset[_Test]()


def outcomes_of(db: Database, bounds: Bounds, tests: Collection[tuple[str, str]]) -> list[TestOutcome]:
    """A project at a time, of these tests alone: looking for what is remembered would read those of all."""
    wanted = _by_project(bounds, tests)
    words, gatherer = _Words(db), Gatherer(db)
    return [one for slug in sorted(wanted) for one in _outcomes(gatherer, words, slug, bounds[slug], wanted[slug])]


def test_counts(db: Database, bounds: Bounds, noted: NotedTests) -> dict[str, int]:
    """A project at a time."""
    found = dict[str, int]()
    for slug, read in _each(db, Stretches(db), bounds):
        n = noted.of(("counts", slug), _ALL, read, partial(_count, read[0]), bool)
        if n:
            found[slug] = n
    return found


def _count(own: Sequence[Part]) -> int:
    return len({form[0] for form in _forms(own)})


def test_faults(db: Database, bounds: Bounds, noted: NotedTests) -> list[TestOutcome]:
    """A project at a time."""
    stretches, words, found = Stretches(db, "faults"), _Words(db), list[TestOutcome]()
    for slug, read in _each(db, stretches, bounds):
        answer = partial(_faults_of, stretches.gatherer, words, slug, bounds[slug], read[0])
        found += noted.of(("faults", slug), _ALL, read, answer, len)
    return found


def _faults_of(
    gatherer: Gatherer, words: _Words, slug: str, window: tuple[int, int], own: Sequence[Part]
) -> list[TestOutcome]:
    return _faults(gatherer, words, slug, window, _Whole(own)) if own else []


class _Whole:
    """Stretches of one project. `forms`: of each test, one; `varied`: those with more, and with times of no machine.

    `several`: commits with results in several of them.
    """

    def __init__(self, own: Sequence[Part]) -> None:
        names = _forms(own)
        self.own = own
        self.forms = {form[0]: form for form in names}
        self.varied = {test for part in own for test in part.wide()}
        if len(names) > len(self.forms):
            self.varied |= {test for test, n in Counter(form[0] for form in names).items() if n > 1}
        self.several = _several(own)


def _faults(gatherer: Gatherer, words: _Words, slug: str, window: tuple[int, int], whole: _Whole) -> list[TestOutcome]:
    """Of one project; what one stretch cannot tell is read result by result."""
    faults = [fault for part in whole.own for fault in part.faults()]
    faults.sort(key=lambda one: (_first(one[0][0]), one[1]))
    again = {form[0] for form, commit, _ in faults if commit in whole.several or form[0] in whole.varied}
    found = [
        _outcome(slug, form[0], commit, words.of(form), seen) for form, commit, seen in faults if form[0] not in again
    ]
    if again:
        found += [one for one in _outcomes(gatherer, words, slug, window, again) if one.failed]
        found.sort(key=lambda one: (*_first(encode_key(one.test_id)), one.revision))
    return found


def test_sums(db: Database, bounds: Bounds, before: Bounds, branch_class: int | None, noted: NotedTests) -> TestsOver:
    """A project at a time."""
    columns = ("sums", "times") if branch_class is None else ("sums", "other", "main")
    stretches, words = Stretches(db, "faults", *columns), _Words(db)
    sums, varied, slower = list[TestSum](), set[tuple[str, str]](), set[tuple[str, str]]()
    faults, late = list[TestOutcome](), list[TestOutcome]()
    for slug, read in _each(db, stretches, bounds, before):
        windows = bounds.get(slug), before.get(slug)
        answer = partial(_sums_of, stretches.gatherer, words, slug, windows, read, branch_class=branch_class)
        told = noted.of(("sums", slug, branch_class), _ALL, read, answer, _rows)
        sums += told.sums
        faults += told.faults
        late += told.earlier
        varied.update(told.varied)
        slower.update(told.slower)
    return TestsOver(sums, faults, late, varied, slower)


def _rows(told: TestsOver) -> int:
    return sum(map(len, (told.sums, told.faults, told.earlier, told.varied, told.slower)))


def _sums_of(
    gatherer: Gatherer,
    words: _Words,
    slug: str,
    windows: Sequence[tuple[int, int] | None],
    read: Sequence[Sequence[Part]],
    *,
    branch_class: int | None,
) -> TestsOver:
    """Of one project, `read` in two windows."""
    mixed = len(project_ids(gatherer.db, slug)) > 1
    own, past = (_Over(_Whole(parts), branch_class, mixed=mixed) for parts in read)
    alike = [test for test in own.seen() if test not in past.whole.varied]
    sums = [own.read(slug, words, test) for test in alike]
    varied = {(slug, _test_id(test)) for test in own.whole.varied | past.whole.varied}
    slower = {(slug, _test_id(test)) for test in _slower(alike, own, past)}
    faults, late = (
        [one for one in every if branch_class in {None, one.branch_class}]
        for window, over in zip(windows, (own, past), strict=True)
        for every in (_faults(gatherer, words, slug, window, over.whole) if window and over.whole.own else (),)
    )
    return TestsOver(sums, faults, late, varied, slower)


def test_commits(
    db: Database, bounds: Bounds, tests: Collection[tuple[str, str]], noted: NotedTests
) -> list[TestCommit]:
    """A project at a time."""
    stretches, found = Stretches(db, "times", "body"), list[TestCommit]()
    wanted = _by_project(bounds, tests)
    for slug, read in _each(db, stretches, {slug: bounds[slug] for slug in wanted}):
        answer = partial(_commits_of, slug, read[0], wanted[slug])
        found += noted.of(("commits", slug), wanted[slug], read, answer, len)
    return found


def _commits_of(slug: str, own: Sequence[Part], tests: Collection[_Test]) -> list[TestCommit]:
    return [
        TestCommit(slug, test_id, *commits[revision])
        for test, commits in sorted(_commits(own, tests).items(), key=lambda one: _first(one[0]))
        for test_id in (_test_id(test),)
        for revision in sorted(commits)
    ]


def _by_project(bounds: Bounds, tests: Collection[tuple[str, str]]) -> Mapping[str, frozenset[_Test]]:
    found: dict[str, set[_Test]] = {}
    for slug, test in tests:
        if slug in bounds:
            found.setdefault(slug, set()).add(encode_key(test))
    return {slug: frozenset(own) for slug, own in found.items()}


def _each(db: Database, stretches: Stretches, *windows: Bounds) -> Iterator[tuple[str, Sequence[Sequence[Part]]]]:
    """Each slug of some window, in order, with its parts in each window."""
    numbered = {slug: project_ids(db, slug) for slug in sorted({slug for window in windows for slug in window})}
    spans = [{number: window[slug] for slug in window for number in numbered[slug]} for window in windows]
    read = stretches.each([number for own in numbered.values() for number in own], spans)
    for slug, own in numbered.items():
        told = [next(read) for _ in own]
        yield slug, [[part for parts in told for part in parts[place]] for place in range(len(windows))]


def _outcomes(
    gatherer: Gatherer,
    words: _Words,
    slug: str,
    window: tuple[int, int],
    tests: Collection[_Test],
) -> list[TestOutcome]:
    """Of some tests of one project, result by result."""
    db = gatherer.db
    numbered = project_ids(db, slug)
    if len(numbered) != 1:
        return chosen_outcomes(db, slug, window, tests)
    collected = gatherer.commits(numbered[0], *window, tests)
    if collected is None:
        return []
    revisions, found = list(collected.commits), list[TestOutcome]()
    for test in sorted(collected.tests, key=_first):
        forms = [words.of(form) for form in collected.names[test]]
        if len(forms) > 1:  # which name is whose was not kept
            found += chosen_outcomes(db, slug, window, [test])
            continue
        own = collected.tests[test]
        found += [
            _outcome(slug, test, revisions[place], forms[0], own[place])
            for place in sorted(own, key=revisions.__getitem__)
        ]
    return found


def _first(test: _Test) -> tuple[int, _Test]:
    """As the file sorts ids: texts before bytes."""
    return (0, test) if isinstance(test, str) else (1, test)


def _forms(own: Sequence[Part]) -> Collection[Form]:
    """Every name of every test."""
    kept = {id(forms): forms for part in own for forms in (part.forms(),)}
    return set(chain.from_iterable(kept.values()))


def _several(own: Sequence[Part]) -> Collection[str]:
    """Commits with results in several stretches."""
    counts = Counter(chain.from_iterable(part.commits for part in own))
    return {commit for commit, n in counts.items() if n > 1}


@dataclass(slots=True)
class _Sum:
    """One test. `commits`: how many, those in several stretches more than once; `codes`: of its paces."""

    commits: int = 0
    passed: int = 0
    failed: int = 0
    infra: int = 0
    run_ms: int = 0
    codes: list[bytes] = field(default_factory=list)


class _Over:
    """What came of the tests of one project in some stretches.

    `again`: tests with a commit in several stretches, or all where stretches are not one behind the other.
    """

    def __init__(self, whole: _Whole, branch_class: int | None, *, mixed: bool) -> None:
        self.whole = whole
        self._class = branch_class
        tests = (test for part in whole.own for test in part.tests_on(whole.several))
        self.again = set(whole.forms if mixed else tests if whole.several else ())
        self.sums = self._added()

    def _added(self) -> Mapping[_Test, _Sum]:
        found: dict[_Test, _Sum] = {}
        for tests, same in groupby(self.whole.own, key=lambda part: part.keys()):
            sums = [told for part in same if (told := part.sums(self._class)).commits]
            columns = [[*map(sum, zip(*(told[at] for told in sums), strict=True))] for at in range(3)]
            codes = map(b"".join, zip(*(told.codes for told in sums), strict=True))
            for test, commits, passed, run_ms, own in zip(tests, *columns, codes, strict=False):
                one = found.get(test)
                if one is None:
                    one = found[test] = _Sum()
                one.commits += commits
                one.passed += passed
                one.run_ms += run_ms
                one.codes.append(own)
            failures = chain.from_iterable(told.failures for told in sums)
            for place, failed, infra in zip(failures, failures, failures, strict=True):
                found[tests[place]].failed += failed
                found[tests[place]].infra += infra
        return found if self._class is None else {**found, **self._recounted()}

    def _recounted(self) -> Mapping[_Test, _Sum]:
        """Those of which a commit has several parts: of what class it is follows from all of them."""
        found: dict[_Test, _Sum] = {}
        for test, commits in _commits(self.whole.own, self.again).items():
            own = [piece for piece in commits.values() if piece[-1] == self._class]
            _, _, run_ms, passed, failed, infra, _ = zip(*own, strict=True) if own else ((),) * 7
            found[test] = _Sum(len(own), sum(passed), sum(failed), sum(infra), sum(run_ms))
        return found

    def seen(self) -> Sequence[_Test]:
        """Tests with a commit that go by one name, in order."""
        return [
            test for test in sorted(self.sums, key=_first) if self.sums[test].commits and test not in self.whole.varied
        ]

    def read(self, slug: str, words: _Words, test: _Test) -> TestSum:
        """One test."""
        one = self.sums[test]
        names = (slug, _test_id(test), *words.of(self.whole.forms[test]))
        return TestSum(*names, one.passed, one.failed, one.infra, one.run_ms)

    def paces(self, tests: Collection[_Test]) -> Mapping[_Test, Sequence[float]]:
        """Mean run times of the commits of some tests, in the order of their ends, milliseconds."""
        whole = {test for test in tests if test in self.again} if self._class is None else tests
        found: dict[_Test, list[float]] = {test: [] for test in tests} | _whole(self.whole.own, whole, self._class)
        if len(whole) < len(tests):
            for part in self.whole.own:
                told = part.times()
                for test, times, runs in zip(part.keys(), told.times, told.runs, strict=True):
                    if test in tests and test not in whole:
                        found[test] += paces_of(times, runs)
        return found


def _slower(tests: Iterable[_Test], inside: _Over, before: _Over) -> Iterator[_Test]:
    """Those that did, most of the others excluded by the codes of their paces."""
    again, near = before.again | inside.again, set[_Test]()
    for test in tests:
        past = before.sums.get(test)
        codes = b"".join(past.codes) if past else b""
        if test in again or may_turn(codes + b"".join(inside.sums[test].codes), len(codes)):
            near.add(test)
    earlier, own = (one.paces(near) if near else {} for one in (before, inside))
    return (test for test in near if became_slower(earlier[test], own[test]))


def _whole(own: Sequence[Part], tests: Collection[_Test], branch_class: int | None) -> dict[_Test, list[float]]:
    """Mean run times by commit, in the order of their ends; of all commits, or of those of a class of branches."""
    found: dict[_Test, list[float]] = {}
    for test, commits in _commits(own, tests).items():
        times = [
            (last_ms, run_ms / runs)
            for _, last_ms, run_ms, passed, failed, infra, own_class in commits.values()
            if run_ms and (runs := passed + failed + infra) and branch_class in {None, own_class}
        ]
        found[test] = [mean for _, mean in sorted(times)]
    return found


def _commits(own: Sequence[Part], tests: Collection[_Test]) -> Mapping[_Test, Mapping[str, Piece]]:
    """By test and revision, put together from all parts."""
    found: dict[_Test, dict[str, Piece]] = {}
    for part in own if tests else ():
        for test, pieces in part.pieces(tests):
            commits = found.setdefault(test, {})
            for piece in pieces:
                known = commits.get(piece[0])
                commits[piece[0]] = piece if known is None else _together(known, piece)
    return found


def _together(one: Piece, more: Piece) -> Piece:
    """Two parts of a commit."""
    sums = (mine + other for mine, other in zip(one[2:6], more[2:6], strict=True))
    run_ms, passed, failed, infra = sums
    return one[0], max(one[1], more[1]), run_ms, passed, failed, infra, max(one[6], more[6])


class _Words:
    """Texts of the numbers in forms, each read once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[int, str] = {0: ""}

    def of(self, form: Form) -> tuple[str, str, str, str]:
        """Name, suite, class and file."""
        _, name, suite, class_name, file = form
        return name, self._text(suite), self._text(class_name), self._text(file)

    def _text(self, number: int) -> str:
        if number not in self._known:
            self._known[number] = self._db.execute("SELECT text FROM dim WHERE id = ?", (number,)).get or ""
        return self._known[number]


def _outcome(
    slug: str, test: _Test, revision: str, words: tuple[str, str, str, str], seen: Fault | Commit
) -> TestOutcome:
    return TestOutcome(
        *(slug, _test_id(test), revision, *words, seen.passed, seen.failed, seen.infra, seen.jobs),
        *(seen.first_ms, seen.last_ms, seen.run_ms, seen.branch_class),
    )
