"""Flaky and slow tests: the score, what counts as evidence, rankings."""

import random

import pytest
from tests.unit.insights.fakes import API, WEB, Rows, outcome

from headgate.insights.catalogue import CATALOGUE
from headgate.insights.flaky import FLAKY_RATE, FLAKY_SCORE, Evidence, count, probability_above, rank_flaky
from headgate.insights.metric import Measured
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader
from headgate.insights.transitions import transitions_of

BOUNDS = {WEB: (0, 10), API: (0, 10)}


def evidence(*commits: tuple[int, int], **more) -> Evidence:
    """Evidence of (passed, failed) by commit."""
    found = Evidence(WEB, "t", "t")
    for number, (passed, failed) in enumerate(commits):
        found.add(outcome("t", f"r{number}", passed, failed, **more))
    return found


@pytest.mark.parametrize(
    ("commits", "flaky"),
    [
        ([(1, 1)], False),
        ([(1, 1), (1, 1)], True),
        ([(1, 1)] + [(1, 0)] * 500, False),
        ([(1, 1)] * 6 + [(1, 0)] * 500, True),
        ([(0, 30)], False),
        ([(1, 30)], False),
        ([(1, 0)] * 1000, False),
        ([(0, 1), (1, 0)] * 20, False),
    ],
    ids=["once", "twice", "rare", "often", "broken", "mended", "healthy", "by-commit"],
)
def test_a_test_is_flaky_by_what_it_did_on_one_commit(commits, flaky):
    """One coincidence is too little, failures on other commits are faults of those, mending is no flake."""
    assert (evidence(*commits).score >= FLAKY_SCORE) is flaky


@pytest.mark.parametrize(
    ("commits", "changes", "pairs"),
    [
        ([], 0, 0),
        ([(1, 0)], 0, 0),
        ([(1, 0), (1, 0), (1, 0)], 0, 2),
        ([(1, 0), (0, 1), (0, 1), (1, 0)], 2, 3),
        ([(1, 0), (0, 1), (1, 0), (0, 1)], 3, 3),
        ([(1, 0), (1, 1), (1, 1), (1, 0)], 2, 3),
        ([(1, 0), (0, 0), (1, 0)], 0, 1),
    ],
    ids=["none", "one", "healthy", "broken and mended", "comes and goes", "on the same commit", "skipped"],
)
def test_a_transition_is_another_end_than_on_the_commit_before(commits, changes, pairs):
    """In the order of their ends, whatever the order in which they are given; what is broken changes once or twice."""
    outcomes = [outcome("t", f"r{at}", *one, last_ms=at) for at, one in enumerate(commits)]
    found = transitions_of(outcomes[::-1])
    assert (changes, pairs) == (found.changes, found.pairs)
    assert (changes / pairs if pairs else None) == found.rate


def test_transitions_are_of_one_class_of_branches():
    """A feature branch on which it fails says nothing of the default branch."""
    outcomes = [outcome("t", f"r{at}", at % 2, 1 - at % 2, last_ms=at, branch_class=at % 2) for at in range(8)]
    found = transitions_of(outcomes)
    assert (0, 6) == (found.changes, found.pairs)


def test_infrastructure_says_nothing_of_a_test():
    """Failures of jobs that ended as error change neither score nor rate."""
    assert evidence((1, 0), (2, 0), infra=9).score == 0.0
    assert evidence((2, 1), infra=9).rate == evidence((2, 1)).rate


def test_more_flakes_score_higher_and_more_passes_lower():
    """The score goes the way people expect."""
    scores = [evidence(*([(1, 1)] * flakes), *([(1, 0)] * 50)).score for flakes in range(5)]
    assert scores == sorted(scores)
    passes = [evidence((1, 1), *([(1, 0)] * count)).score for count in (0, 50, 500)]
    assert passes == sorted(passes, reverse=True)


@pytest.mark.parametrize(("a", "b"), [(0.5, 99.5), (1.5, 100.5), (5.5, 600), (60, 90), (500, 9000), (1, 1)])
def test_the_posterior_is_that_of_a_beta_distribution(a, b):
    """Against the share of random draws."""
    draw = random.Random(3)
    share = sum(draw.betavariate(a, b) > FLAKY_RATE for _ in range(20_000)) / 20_000
    assert probability_above(FLAKY_RATE, a, b) == pytest.approx(share, abs=0.015)


ROWS = [
    *(outcome("cheap", f"r{n}", 1, 1, jobs=("lint",)) for n in range(9)),
    *(outcome("dear", f"r{n}", 2, 1, jobs=("e2e", "lint")) for n in range(4)),
    outcome("sound", "r0", 50, 0, run_ms=600_000),
    outcome("other", "r0", 1, 0, project=API, run_ms=15_000),
]


async def measure(name, by=()):
    """Groups of a metric."""
    return await Reader(Rows(*ROWS), owners=Owners()).measure(CATALOGUE[name], by=by, where=(), bounds=BOUNDS)


async def test_flaky_tests_are_counted_and_scored():
    """By project the number of them, by test the score."""
    found = await measure("flaky_tests", ("project",))
    assert found == {(("project", API),): Measured(0.0, 1), (("project", WEB),): Measured(2.0, 3)}
    scores = await measure("flaky_score", ("test",))
    assert {labels[0][1]: one.value >= FLAKY_SCORE for labels, one in scores.items()} == {
        "Cart.cheap": True,
        "Cart.dear": True,
        "Cart.sound": False,
        "Cart.other": False,
    }


async def test_faults_are_read_once_of_each_window(monkeypatch):
    """By whoever counts flaky tests, in whatever groups, and by whoever lists them."""
    store, asked = Rows(*ROWS), []
    read = store.test_faults

    async def spy(bounds):
        asked.append(dict(bounds))
        return await read(bounds)

    monkeypatch.setattr(store, "test_faults", spy)
    reader, web = Reader(store, owners=Owners()), {WEB: (0, 10)}
    for by in ((), ("project",)):
        assert await reader.measure(CATALOGUE["flaky_tests"], by=by, where=(), bounds=BOUNDS)
    assert await reader.faults.read(BOUNDS) == await read(BOUNDS)
    assert await reader.faults.read(web) == await read(web)
    assert asked == [BOUNDS, web]


def test_flaky_tests_are_ranked_by_what_they_cost():
    """A flake costs a mean run of its job; in several jobs each has a part of it."""
    seen: dict[tuple[str, str], Evidence] = {}
    for one in ROWS:
        count(seen, one)
    found = rank_flaky(seen.values(), {(WEB, "e2e"): 100.0, (WEB, "lint"): 1.0})
    assert [(one.name, one.flakes, one.credits) for one in found] == [("Cart.dear", 4, 202.0), ("Cart.cheap", 9, 9.0)]


async def test_tests_are_slow_by_the_mean_of_their_results():
    """However many there are; the mean over tests is that of all their results."""
    assert await measure("slow_tests") == {(): Measured(2.0, 4)}
    assert await measure("test_duration", ("project",)) == {
        (("project", API),): Measured(15.0, 1),
        (("project", WEB),): Measured(pytest.approx((600 + 9 * 0.2 + 4 * 0.3) / 80), 80),
    }
