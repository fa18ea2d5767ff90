"""Reads what came of every test in a window and the one before it: by its sums, and only some commit by commit.

Invariant: what is found is what reading every commit of every test would find.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain

from headgate.core.runrows import TestCommit, TestOutcome, TestsOver, TestSum
from headgate.core.tally import Bounds
from headgate.core.times import format_ms
from headgate.insights.dimensions import test_name
from headgate.insights.failing import FailingTest
from headgate.insights.failing import count as count_failures
from headgate.insights.flaky import Evidence, FlakyTest
from headgate.insights.flaky import count as count_flakes
from headgate.insights.lifecycle import Life, State, commits_of, life_of
from headgate.insights.rows import Faults
from headgate.insights.slow import SlowTest
from headgate.insights.slow import count as count_times
from headgate.insights.slowing import slowing_of
from headgate.insights.transitions import Transitions, transitions_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.suites import Suites
from headgate.insights.views.window import Window, read_step, slots

__all__ = ["FoundTests", "SlowingView", "read_failures", "read_moved", "read_tests"]

_Test = tuple[str, str]
# What the store tells of their tests is in memory at once.
_PROJECTS = 100


@dataclass(frozen=True, slots=True)
class SlowingView:
    """`before`, `after`: medians of a run, seconds; `since`: end of the first slower commit."""

    project: str
    test_id: str
    name: str
    file: str
    team: str
    before: float
    after: float
    ratio: float
    since: str
    commits_before: int
    commits_after: int


@dataclass(slots=True)
class FoundTests:
    """By project and test: evidence of the window; `both`, `lives`: of tests that flaked in it or in the one before.

    `moved`: of tests that failed in the window, or flaked, as far as they were read commit by commit. Of a test that
    was not, `flaky` has nothing, since it has no flake, and `failing` its faults alone. `branch_class`: of which alone
    commits are; None: of all.
    """

    suites: Suites
    branch_class: int | None = None
    flaky: dict[_Test, Evidence] = field(default_factory=dict)
    failing: dict[_Test, FailingTest] = field(default_factory=dict)
    slow: dict[_Test, SlowTest] = field(default_factory=dict)
    both: dict[_Test, Evidence] = field(default_factory=dict)
    lives: dict[_Test, Life] = field(default_factory=dict)
    slowing: list[SlowingView] = field(default_factory=list)
    moved: dict[_Test, Transitions] = field(default_factory=dict)

    def state_of(self, test: FlakyTest) -> State:
        """What became of a test that flaked."""
        return self.lives[test.project, test.test_id].state

    def add(self, lens: Lens, before: Sequence[TestOutcome], inside: Sequence[TestOutcome], since_ms: int) -> None:
        """Everything about one test."""
        for outcome in inside:
            count_times(self.slow, outcome)
            self.suites.add(outcome)
        self.add_failures(before, inside, since_ms)
        if inside:
            self.add_slower(lens, inside[-1], [*before, *inside], since_ms)

    def add_failures(self, before: Sequence[TestOutcome], inside: Sequence[TestOutcome], since_ms: int) -> None:
        """One test, without how long it takes."""
        for outcome in inside:
            count_flakes(self.flaky, outcome)
            count_failures(self.failing, outcome)
        every = [*before, *inside]
        flaked = any(one.passed and one.failed for one in every)
        life = life_of(commits_of(every), since_ms) if flaked else None
        if life is not None:
            self.lives[every[0].project, every[0].test_id] = life
            for outcome in every:
                count_flakes(self.both, outcome)
        if flaked or any(one.failed for one in inside):
            self.moved[every[0].project, every[0].test_id] = transitions_of(inside)

    def add_slower(
        self, lens: Lens, one: TestOutcome | TestSum, every: Sequence[TestOutcome | TestCommit], since_ms: int
    ) -> None:
        """Whether a test became slower. `one`: says what it is called."""
        found = slowing_of(every, since_ms)
        if found is not None:
            self.slowing.append(
                SlowingView(
                    project=one.project,
                    test_id=one.test_id,
                    name=test_name(one.class_name, one.name),
                    file=one.file,
                    team=lens.owners.team(one.project, "", ""),
                    before=found.before,
                    after=found.after,
                    ratio=found.after / found.before,
                    since=format_ms(found.since_ms),
                    commits_before=found.commits_before,
                    commits_after=found.commits_after,
                )
            )

    def add_sum(self, one: TestSum) -> None:
        """How long a test took that goes by one name."""
        name = test_name(one.class_name, one.name)
        runs = one.passed + one.failed + one.infra
        self.slow[one.project, one.test_id] = SlowTest(one.project, one.test_id, name, one.file, runs, one.run_ms)
        self.suites.add_sum(one)


async def read_tests(
    lens: Lens, slugs: Sequence[str], window: Window, *, branch_class: int | None = None
) -> FoundTests:
    """Both windows; of commits of one class of branches, or of all.

    Most tests are known by their sums: those that flaked, changed names or became slower are read commit by commit.
    """
    found = FoundTests(Suites(slots(window, read_step(None, window))), branch_class)
    ordered = sorted(slugs)
    for first in range(0, len(ordered), _PROJECTS):
        await _add_tests(found, lens, ordered[first : first + _PROJECTS], window)
    tests = found.suites.unread()
    found.suites.detail(await _own_commits(found, lens, window.bounds(slugs), tests))
    return found


async def _add_tests(found: FoundTests, lens: Lens, slugs: Sequence[str], window: Window) -> None:
    bounds, before = window.bounds(slugs), window.previous.bounds(slugs)
    over = await lens.store.test_sums(bounds, before, branch_class=found.branch_class)
    for one in over.sums:
        found.add_sum(one)
    await _add_failures(found, over, lens, slugs, window)
    for earlier, inside in await _commits_of(found, lens, slugs, window, over.varied):
        found.add(lens, earlier, inside, window.since_ms)
    slower = {test: list[TestCommit]() for test in sorted(over.slower)}
    for bounds_of in (before, bounds):
        for commit in await _own_commits(found, lens, bounds_of, slower):
            slower[commit.project, commit.test_id].append(commit)
    sums = {test: one for one in over.sums if (test := (one.project, one.test_id)) in slower}
    for test, every in slower.items():
        found.add_slower(lens, sums[test], every, window.since_ms)


async def read_failures(lens: Lens, every: Faults, slugs: Sequence[str], window: Window) -> FoundTests:
    """Those of `read_tests` that flaked or failed, without how long they take."""
    found = FoundTests(Suites(()))
    faults = await every.read(window.bounds(slugs))
    earlier = await every.read(window.previous.bounds(slugs))
    await _add_failures(found, TestsOver((), faults, earlier, (), ()), lens, slugs, window)
    return found


async def read_moved(lens: Lens, found: FoundTests, tests: Collection[_Test], window: Window) -> None:
    """How often some failing tests changed, and what else came of them than faults, unless it was read."""
    unread = {test for test in tests if test not in found.moved}
    bounds = window.bounds(sorted({project for project, _ in unread}))
    own: dict[_Test, list[TestCommit]] = {}
    for one in await _own_commits(found, lens, bounds, unread):
        own.setdefault((one.project, one.test_id), []).append(one)
    for test, commits in own.items():
        found.moved[test] = transitions_of(commits)
        failing = found.failing[test]
        failing.passed, failing.infra = sum(one.passed for one in commits), sum(one.infra for one in commits)


async def _own_commits(found: FoundTests, lens: Lens, bounds: Bounds, tests: Collection[_Test]) -> Sequence[TestCommit]:
    """Of some tests, those of the class of branches."""
    commits = await lens.store.test_commits(bounds, tests) if tests else ()
    return commits if found.branch_class is None else [one for one in commits if one.branch_class == found.branch_class]


async def _add_failures(found: FoundTests, over: TestsOver, lens: Lens, slugs: Sequence[str], window: Window) -> None:
    """Tests that failed, but for those that vary, which are read whole."""
    flaked = {(one.project, one.test_id) for one in chain(over.earlier, over.faults) if one.passed}.difference(
        over.varied
    )
    for earlier, own in await _commits_of(found, lens, slugs, window, flaked):
        found.add_failures(earlier, own, window.since_ms)
    read = flaked.union(over.varied)
    for one in over.faults:
        if (one.project, one.test_id) not in read:
            count_failures(found.failing, one)


async def _commits_of(
    found: FoundTests, lens: Lens, slugs: Sequence[str], window: Window, tests: Collection[_Test]
) -> Sequence[tuple[Sequence[TestOutcome], Sequence[TestOutcome]]]:
    """Of each test what came of it before the window and in it, by commit; by project and test id."""
    read: dict[_Test, tuple[list[TestOutcome], list[TestOutcome]]] = {}
    for place, one in enumerate((window.previous, window)) if tests else ():
        for outcome in await lens.store.outcomes_of(one.bounds(slugs), tests):
            if found.branch_class in (None, outcome.branch_class):
                read.setdefault((outcome.project, outcome.test_id), ([], []))[place].append(outcome)
    return [read[test] for test in sorted(read)]
