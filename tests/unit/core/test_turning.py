"""Where run times became longer for good; and that what is excluded by their codes is excluded for certain."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.turning import FEWEST_COMMITS, became_slower, may_turn, pace_codes, turn

_near = st.integers(1_000, 1_300)
_any = st.integers(0, 400) | _near | st.floats(0, 1 << 32)
_paces = st.lists(_near, min_size=FEWEST_COMMITS, max_size=80) | st.lists(_any, max_size=80)


@settings(deadline=None, max_examples=300)
@given(
    before=_paces,
    inside=_paces,
    factor=st.sampled_from([1, 1.24, 1.25, 1.26, 2, 3]),
    at=st.integers(FEWEST_COMMITS, 40),
    scale=st.sampled_from([1, 30, 1_100, 1_500]),
)
def test_codes_exclude_nothing_that_became_slower(
    before: list[float], inside: list[float], factor: float, at: int, scale: float
) -> None:
    """Whatever run times there are, of milliseconds or an hour, and wherever they become longer, by little or much."""
    paces = [scale * ms * (factor if place >= at else 1) for place, ms in enumerate([*before, *inside])]
    if became_slower(paces[: len(before)], paces[len(before) :]):
        assert may_turn(pace_codes(paces), len(before))


@pytest.mark.parametrize("first", [0, 30, 100])
@pytest.mark.parametrize("spread", [0.02, 0.1, 0.4, 1.0])
def test_codes_find_what_became_slower_at_random(spread: float, first: int) -> None:
    """Times around a middle, some of which become slower by about as much as is told."""
    seeded = random.Random(7)
    for _ in range(60):
        at, factor = seeded.randrange(120), seeded.choice([1.2, 1.25, 1.3, 1.6, 2.5])
        paces = [seeded.lognormvariate(6, spread) * (factor if place >= at else 1) for place in range(120)]
        if became_slower(paces[:first], paces[first:]):
            assert may_turn(pace_codes(paces), first)


@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
def test_codes_exclude_most_that_did_not(spread: float) -> None:
    """Times that scatter evenly need not be looked at one by one."""
    seeded = random.Random(7)
    series = [pace_codes([seeded.lognormvariate(6, spread) for _ in range(200)]) for _ in range(200)]
    assert sum(may_turn(codes, 100) for codes in series) < 20


@pytest.mark.parametrize(
    ("paces", "first", "may", "became"),
    [
        ([500.0] * 20 + [900.0] * 20, 0, True, True),
        ([500.0] * 20 + [900.0] * 20, 21, True, False),
        ([1_200_000.0] * 10 + [3_600_000.0] * 10, 0, True, True),
        ([500.0] * 40, 0, False, False),
        ([50.0] * 20 + [99.0] * 20, 0, False, False),
        ([500.0] * (FEWEST_COMMITS - 1) + [900.0] * 20, 0, True, False),
        ([500.0] * 20, 20, False, False),
        ([500.0] * 700 + [900.0] * 700, 600, True, True),
        ([500.0, 510.0] * 700, 600, False, False),
    ],
    ids=["slower", "before-the-window", "longest", "same", "short", "too-few", "no-window", "many", "many-same"],
)
def test_what_became_slower(paces: list[float], first: int, *, may: bool, became: bool) -> None:
    """By codes alone it may, where they cannot tell."""
    assert may == may_turn(pace_codes(paces), first)
    assert became == became_slower(paces[:first], paces[first:])


def test_a_turn_says_where_and_how_much() -> None:
    """Index and medians."""
    assert turn([0.5] * 20 + [0.9] * 12, 3) == (20, 0.5, 0.9)
    assert turn([0.5] * 20 + [0.9] * 12, 21) is None


@given(st.lists(st.floats(0, 1 << 32), min_size=1))
def test_codes_come_in_the_order_of_run_times(paces: list[float]) -> None:
    """A longer one never has a smaller code."""
    assert list(pace_codes(sorted(paces))) == sorted(pace_codes(paces))
