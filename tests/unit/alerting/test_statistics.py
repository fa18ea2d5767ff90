"""Tests that rule chance out: exact against slow references, and how often they err."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.alerting.statistics import beyond_spread, binomial_tail, rank_tail, wilson
from headgate.insights.outlook import spread


def slow_tail(hits: int, n: int, p: Fraction, *, lower: bool) -> Fraction:
    """The tail in exact fractions."""
    chosen = range(hits + 1) if lower else range(hits, n + 1)
    return sum((math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in chosen), Fraction(0))


@given(st.integers(1, 60), st.data(), st.booleans())
def test_the_binomial_tail_is_exact(n, data, lower):
    """Equal to sums of fractions, at every edge."""
    hits = data.draw(st.integers(0, n))
    p = Fraction(data.draw(st.integers(0, 100)), 100)
    assert binomial_tail(hits, n, float(p), lower=lower) == pytest.approx(float(slow_tail(hits, n, p, lower=lower)))


def test_the_binomial_tail_bears_large_samples():
    """A hundred thousand runs neither overflow nor lose the answer."""
    assert binomial_tail(50_000, 100_000, 0.5, lower=True) == pytest.approx(0.50126, abs=1e-4)
    assert binomial_tail(10, 100_000, 0.9, lower=True) == 0.0


@pytest.mark.parametrize("rate", [0.98, 0.95, 0.9, 0.8])
def test_twenty_runs_without_a_change_err_in_less_than_one_of_200(rate):
    """The chance that a drop of ten points with p = 0.005 is seen where nothing changed, summed over all outcomes."""
    wrong = sum(
        math.comb(20, hits) * rate**hits * (1 - rate) ** (20 - hits)
        for hits in range(21)
        if rate - hits / 20 >= 0.1 and binomial_tail(hits, 20, rate, lower=True) <= 0.005
    )
    assert wrong <= 0.005


def test_wilsons_interval_is_the_published_one():
    """0.95 two-sided for 8 of 10: 0.490 to 0.943 (Newcombe 1998, method 3)."""
    low, high = wilson(8, 10, 0.025)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))


def test_ranks_count_the_value_itself():
    """Beyond six others is one in seven."""
    assert rank_tail(1, [2, 3, 4, 5, 6, 7], lower=True) == pytest.approx(1 / 7)
    assert rank_tail(4, [2, 3, 4, 5], lower=False) == pytest.approx(3 / 5)


def test_the_spread_bears_an_outlier():
    """One wild day does not widen what is usual."""
    assert spread([10, 10, 11, 9, 1000]) == pytest.approx(1.4826)
    assert beyond_spread(20, [10, 10, 11, 9, 1000])
    assert not beyond_spread(12, [10, 10, 11, 9, 1000])
