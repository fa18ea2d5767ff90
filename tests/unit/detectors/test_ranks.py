"""Ranks and the cheapest division, held against doing it the slow way."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.detectors._ranks import MIN_PART, divide, quantile, standard_ranks

few_values = st.lists(st.integers(0, 6).map(float), min_size=16, max_size=48)


def slow_division(ranks: list[float], penalty: float) -> float:
    """The least cost of any division, by trying all."""

    def part(a: int, b: int) -> float:
        middle = sum(ranks[a:b]) / (b - a)
        return sum((rank - middle) ** 2 for rank in ranks[a:b])

    @cache
    def least(end: int) -> float:
        if end == 0:
            return -penalty
        begins = [0, *range(MIN_PART, end - MIN_PART + 1)]
        return min(
            (least(a) + part(a, end) + penalty for a in begins if end - a >= MIN_PART),
            default=math.inf,
        )

    return least(len(ranks))


def cost_of(ranks: list[float], places: list[int], penalty: float) -> float:
    bounds = [0, *places, len(ranks)]
    total = penalty * len(places)
    for a, b in pairwise(bounds):
        middle = sum(ranks[a:b]) / (b - a)
        total += sum((rank - middle) ** 2 for rank in ranks[a:b])
    return total


@settings(max_examples=60, deadline=None)
@given(few_values, st.floats(0.5, 20))
def test_no_division_is_cheaper(values, penalty):
    """What is passed over early never was the best."""
    ranks = standard_ranks(values)
    if ranks is None:
        return
    places = divide(ranks, penalty)
    assert slow_division(ranks, penalty) == pytest.approx(cost_of(ranks, places, penalty), abs=1e-6)
    bounds = [0, *places, len(values)]
    assert all(b - a >= MIN_PART for a, b in pairwise(bounds))


def test_a_long_series_with_many_changes_is_divided_at_each():
    """Pruning keeps every level of a staircase."""
    rng = Random(1)
    values = [100 * (1 + level % 3) + rng.random() for level in range(20) for _ in range(40)]
    ranks = standard_ranks(values)
    assert ranks is not None
    assert divide(ranks, 10.0) == pytest.approx(list(range(40, 800, 40)), abs=2)


def test_ranks_share_ties_and_have_unit_variance():
    """Equal values have equal ranks around nought."""
    ranks = standard_ranks([5.0, 1.0, 5.0, 9.0])
    assert ranks is not None
    assert ranks[0] == ranks[2]
    assert sum(ranks) == pytest.approx(0)
    assert sum(rank * rank for rank in ranks) == pytest.approx(4)


@pytest.mark.parametrize("values", [[], [3.0], [3.0] * 50], ids=["none", "one", "equal"])
def test_nothing_to_rank(values):
    """A series without any difference has no ranks."""
    assert standard_ranks(values) is None


@pytest.mark.parametrize(("q", "wanted"), [(0.0, 1.0), (0.5, 2.0), (0.51, 3.0), (0.9, 4.0), (1.0, 4.0)])
def test_a_quantile_is_a_value_that_occurred(q, wanted):
    """Nearest rank, also at both ends."""
    assert wanted == quantile([3.0, 1.0, 4.0, 2.0], q)
