"""Rollup contributions and sketches."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.rollup import bin_of, bin_value, contribution, quantile


@given(st.integers(1, 10**10))
def test_a_bin_stands_for_its_members_within_one_percent(value):
    """The promise of the sketch."""
    assert abs(bin_value(bin_of(value)) - value) <= 0.0100001 * value


@given(st.lists(st.integers(1, 10**8), min_size=1, max_size=200), st.floats(0.01, 1.0))
def test_quantiles_are_nearest_rank_within_one_percent(values, q):
    """Against the definition on the sorted values."""
    bins: dict[int, int] = {}
    for value in values:
        bins[bin_of(value)] = bins.get(bin_of(value), 0) + 1
    exact = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    found = quantile(bins, q)
    assert found is not None
    assert abs(found - exact) <= 0.0101 * exact


def test_an_empty_sketch_has_no_quantile():
    """No value, not zero."""
    assert quantile({}, 0.5) is None


def test_canceled_runs_count_but_their_durations_do_not():
    """A run that somebody stopped says nothing about how long the work takes."""
    got = contribution("job", {"status": "canceled", "started_at": 1, "stopped_at": 9}, terminal=True)
    assert got is not None
    assert (got.n, got.ok, got.failed, got.canceled, got.duration_ms, got.bins) == (1, 0, 0, 1, 0, ())


def test_what_has_not_ended_adds_nothing():
    """Nor does an approval whose wait is not known."""
    assert contribution("job", {"status": "running", "started_at": 1}, terminal=False) is None
    assert contribution("job", {"status": "success", "type": "approval", "stopped_at": 1}, terminal=True) is None


def test_an_approval_adds_its_wait_alone():
    """It is no run of its own."""
    values = {"status": "success", "type": "approval", "started_at": 1_000, "stopped_at": 9_000}
    got = contribution("job", values, terminal=True)
    assert got is not None
    assert (got.n, got.ok, got.held, got.hold_ms, got.bins) == (0, 0, 1, 8_000, (("hold", bin_of(8_000)),))
    assert sum(got.sums) == 8_001


def test_an_approval_that_nobody_gave_adds_nothing():
    """It was canceled with its workflow: how long it stood there is no wait for an answer."""
    values = {"status": "canceled", "type": "approval", "started_at": 1_000, "stopped_at": 9_000}
    assert contribution("job", values, terminal=True) is None


def test_failures_of_the_infrastructure_are_failures_and_counted_apart():
    """Skipped runs and reruns are, too."""
    error = contribution("workflow", {"status": "error", "stopped_at": 9, "rerun_of": "x"}, terminal=True)
    skipped = contribution("workflow", {"status": "not_run", "stopped_at": 9}, terminal=True)
    assert error is not None
    assert skipped is not None
    assert (error.n, error.failed, error.errors, error.skipped, error.reruns, error.timed) == (1, 1, 1, 0, 1, 0)
    assert (skipped.n, skipped.failed, skipped.skipped, skipped.reruns) == (1, 0, 1, 0)
