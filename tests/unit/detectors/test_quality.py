"""What is found on labelled and on real histories stays as good as it was published; `benchmarks detect` has it all."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.ci_series import FAMILIES, histories, made_up, resampled
from benchmarks.detect import Score, ours, tcpd_f1

DATA = Path(__file__).parents[2] / "data" / "regression"


def test_labelled_series_are_judged_as_people_did():
    """The measure of the Turing change point data set; saying nothing scores 0.659."""
    assert tcpd_f1(ours, DATA / "tcpd") >= 0.72
    assert tcpd_f1(lambda _: (), DATA / "tcpd") == pytest.approx(0.659, abs=0.001)


def test_changes_put_into_real_histories_are_found():
    """All sizes and tails together, by the recipe of the data."""
    score = Score(ours, resampled(histories(DATA / "gha-durations"), 7, 6))
    assert score.f1() >= 0.79
    assert score.recall("2.0") >= 0.95


def test_quiet_histories_stay_quiet():
    """Real ones without a change: at most 0.15 reports in a thousand runs."""
    score = Score(ours, resampled(histories(DATA / "gha-durations"), 8, 25, ("none",)))
    assert score.false_per_1000() <= 0.15


@pytest.mark.parametrize("family", FAMILIES)
def test_made_up_histories_of_every_kind_stay_quiet(family):
    """Outliers, modes, seasons, ties, drift: at most 2 reports in 8 series of 300 runs, doubling is found in most."""
    score = Score(ours, made_up(9, 8, (family,)))
    assert score.false["none"] <= 2
    assert score.recall("2.0") >= 0.75


def test_equal_seeds_give_equal_series():
    """Or nothing measured could be repeated."""
    one, again = (list(made_up(3, 1, ("week", "ties"))) for _ in range(2))
    assert one == again
    assert all(math.isfinite(value) and value > 0 for case in one for value in case.values)
