"""What becomes of flaky tests, and which tests become slower: decisions over commits made by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.insights.fakes import outcome

from headgate.core.turning import FEWEST_COMMITS
from headgate.insights.lifecycle import Commit, commits_of, life_of
from headgate.insights.slowing import slowing_of


def commits(text):
    """One for each letter, a second apart: `.` passed ten times, `x` once and failed once, `f` only failed."""
    kinds = {".": (10, 0), "x": (1, 1), "f": (0, 0)}
    return [Commit(1_000 * at, *kinds[letter]) for at, letter in enumerate(text, 1)]


LONG = "." * 21


@pytest.mark.parametrize(
    ("text", "since", "state", "began", "episodes"),
    [
        ("x..x.", 0, "new", 1, 1),
        ("x..x.", 3, "flaky", 1, 1),
        ("..x", 2, "new", 3, 1),
        ("x" + LONG, 0, "fixed", 2, 1),
        ("xx" + LONG, 30, "fixed", 3, 1),
        ("x" + LONG + "x", 5, "regressed", 23, 2),
        ("x" + LONG + "x", 25, "flaky", 23, 2),
        ("x" + LONG + "x" + LONG + LONG, 0, "fixed", 24, 2),
        ("xffff", 0, "new", 1, 1),
    ],
)
def test_a_life_is_told(text, since, state, began, episodes):
    """By when flakes began, and by passes that luck does not explain; a broken commit says nothing."""
    life = life_of(commits(text), since * 1_000)
    assert (state, began * 1_000, episodes) == (life.state, life.since_ms, life.episodes)


def test_a_test_that_never_flaked_has_no_life():
    """Nor has one without results."""
    assert life_of(commits("..f."), 0) is None
    assert life_of([], 0) is None


def test_a_test_that_often_flakes_is_fixed_sooner():
    """The rate at which it flaked decides how many passes are enough."""
    assert "new" == life_of([Commit(1, 1, 1), *(Commit(at, 1, 0) for at in range(2, 60))], 0).state
    often = [Commit(at, 1, 1) for at in range(60)]
    assert "fixed" == life_of([*often, *(Commit(at, 1, 0) for at in range(60, 80))], 0).state


def test_commits_come_by_their_end():
    """A flake is a failure beside a pass, at most as often."""
    found = commits_of([outcome("t", "b", 1, 3, last_ms=9), outcome("t", "a", 0, 2, last_ms=5)])
    assert [Commit(5, 0, 0), Commit(9, 1, 1)] == list(found)


@given(st.text(alphabet=".xf", max_size=60), st.integers(0, 70))
def test_a_life_is_one_of_four(text, since):
    """Its dates lie within its commits and in their order."""
    life = life_of(commits(text), since * 1_000)
    assert (life is None) == ("x" not in text)
    if life:
        assert 1_000 * (text.index("x") + 1) == life.first_ms <= life.last_ms == 1_000 * (text.rindex("x") + 1)
        assert life.first_ms <= life.since_ms <= 1_000 * len(text)
        assert (life.state == "fixed") == (life.since_ms > life.last_ms)


# -- slowing


def times(*seconds):
    """A commit for each."""
    return [outcome("t", str(at), 2, 0, last_ms=at, run_ms=round(2_000 * one)) for at, one in enumerate(seconds, 1)]


def test_a_test_that_became_slower_is_found():
    """With medians before and after, and since when."""
    found = slowing_of(times(*[1.0] * 12, *[1.5] * 9), 5)
    assert (1.0, 1.5, 13, 12, 9) == (
        found.before,
        found.after,
        found.since_ms,
        found.commits_before,
        found.commits_after,
    )


@pytest.mark.parametrize(
    ("seconds", "since"),
    [
        ([1.0] * 30, 0),
        ([1.0] * 12 + [1.2] * 12, 0),
        ([0.1] * 12 + [0.15] * 12, 0),
        ([1.0] * 20 + [2.0] * (FEWEST_COMMITS - 1), 0),
        ([1.0] * (FEWEST_COMMITS - 1) + [2.0] * 20, 0),
        ([1.0] * 12 + [2.0] * 12, 14),
        ([2.0] * 12 + [1.0] * 12, 0),
        ([1.0, 3.0] * 12, 0),
        ([1.0] * 23 + [60.0], 0),
        ([0.0] * 30, 0),
        ([], 0),
    ],
    ids=["steady", "a fifth", "50 ms", "too few after", "too few before", "before the window", "faster", "noise",
         "outlier", "unknown", "nothing"],
)  # fmt: skip
def test_what_is_no_slowing(seconds, since):
    """Small, short, seldom, long ago, better, or both all the time."""
    assert slowing_of(times(*seconds), since) is None


def test_noise_is_hardly_ever_slowing():
    """Of a thousand steady tests whose times scatter by half, five at most."""
    draw = random.Random(4)
    wrong = sum(
        slowing_of(times(*(draw.lognormvariate(0, 0.5) for _ in range(40))), 0) is not None for _ in range(1000)
    )
    assert wrong <= 5
