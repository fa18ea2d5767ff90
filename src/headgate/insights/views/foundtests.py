"""Reads what came of every test in a window and the one before it, a test at a time.

Invariant: what is kept of a test does not grow with its commits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from headgate.core.runrows import TestOutcome
from headgate.core.times import format_ms
from headgate.insights.dimensions import test_name
from headgate.insights.failing import FailingTest
from headgate.insights.failing import count as count_failures
from headgate.insights.flaky import Evidence, FlakyTest
from headgate.insights.flaky import count as count_flakes
from headgate.insights.lifecycle import Life, State, commits_of, life_of
from headgate.insights.rows import outcomes_by_test
from headgate.insights.slow import SlowTest
from headgate.insights.slow import count as count_times
from headgate.insights.slowing import slowing_of
from headgate.insights.transitions import Transitions, transitions_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.suites import Suites
from headgate.insights.views.window import Window, read_step, slots

__all__ = ["FoundTests", "SlowingView", "read_tests"]

_Test = tuple[str, str]


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

    `moved`: of tests that failed in the window, or flaked.
    """

    suites: Suites
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
            count_flakes(self.flaky, outcome)
            count_failures(self.failing, outcome)
            count_times(self.slow, outcome)
            self.suites.add(outcome)
        every = [*before, *inside]
        flaked = any(one.passed and one.failed for one in every)
        life = life_of(commits_of(every), since_ms) if flaked else None
        if life is not None:
            self.lives[every[0].project, every[0].test_id] = life
            for outcome in every:
                count_flakes(self.both, outcome)
        if flaked or any(one.failed for one in inside):
            self.moved[every[0].project, every[0].test_id] = transitions_of(inside)
        if inside:
            self._slower(lens, every, since_ms)

    def _slower(self, lens: Lens, every: Sequence[TestOutcome], since_ms: int) -> None:
        found, one = slowing_of(every, since_ms), every[-1]
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


async def read_tests(
    lens: Lens, slugs: Sequence[str], window: Window, *, branch_class: int | None = None
) -> FoundTests:
    """Both windows, side by side; of commits of one class of branches, or of all."""
    found = FoundTests(Suites(slots(window, read_step(None, window))))
    earlier = _of_class(outcomes_by_test(lens.store, window.previous.bounds(slugs)), branch_class)
    before = await _next(earlier)
    async for inside in _of_class(outcomes_by_test(lens.store, window.bounds(slugs)), branch_class):
        own: Sequence[TestOutcome] = ()
        while before and _key(before) <= _key(inside):
            if _key(before) == _key(inside):
                own = before
            else:
                found.add(lens, before, (), window.since_ms)
            before = await _next(earlier)
        found.add(lens, own, inside, window.since_ms)
    while before:
        found.add(lens, before, (), window.since_ms)
        before = await _next(earlier)
    return found


async def _of_class(
    tests: AsyncIterator[Sequence[TestOutcome]], branch_class: int | None
) -> AsyncIterator[Sequence[TestOutcome]]:
    async for outcomes in tests:
        own = outcomes if branch_class is None else [one for one in outcomes if one.branch_class == branch_class]
        if own:
            yield own


async def _next(tests: AsyncIterator[Sequence[TestOutcome]]) -> Sequence[TestOutcome]:
    return await anext(tests, None) or ()  # a tuple as the default breaks `anext` of Python 3.11


def _key(outcomes: Sequence[TestOutcome]) -> _Test:
    return outcomes[0].project, outcomes[0].test_id
