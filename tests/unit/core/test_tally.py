"""Tallies add up in any order."""

import math

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.rollup import MEASURES, SUMS, contribution
from headgate.core.tally import DIMENSIONS, ROLLED, Tally, class_name

_runs = st.lists(
    st.tuples(
        st.sampled_from(["success", "failed", "errored", "not_run"]), st.integers(0, 9_999), st.integers(0, 99_999)
    ),
    max_size=30,
)


def _tally(runs: list[tuple[str, int, int]]) -> Tally:
    tally = Tally()
    for status, queued, ran in runs:
        times = {"queued_at": 5, "started_at": 5 + queued, "stopped_at": 5 + queued + ran}
        part = contribution("job", {"status": status, "credits": 2} | times, terminal=True)
        assert part is not None
        tally.count(part, frozenset(MEASURES))
    return tally


@given(_runs, _runs)
def test_a_tally_of_both_is_the_sum(one: list[tuple[str, int, int]], two: list[tuple[str, int, int]]) -> None:
    """Whatever was counted first."""
    forth, back = _tally(one), _tally(two)
    forth.add(_tally(two))
    back.add(_tally(one))
    assert forth == back == _tally(one + two)


def test_only_bins_that_were_asked_for_are_counted() -> None:
    """A quantile of another measure is no value; one that was asked for is in seconds."""
    part = contribution("job", {"status": "success", "started_at": 0, "stopped_at": 60_000}, terminal=True)
    assert part is not None
    tally = Tally()
    tally.count(part, frozenset({"duration_ok"}))
    assert math.isclose(60, tally.quantile("duration_ok", 0.95) or 0, rel_tol=0.0101)
    tally = Tally()
    tally.count(part, frozenset())
    assert (tally.n, tally.bins, tally.quantile("duration_ok", 0.95)) == (1, {}, None)


def test_names() -> None:
    """Sums are fields of a tally; classes have names; some dimensions are kept by rollups."""
    assert set(SUMS) == {*Tally.__dataclass_fields__} - {"bins"}
    assert (class_name(1), class_name(0)) == ("@default", "@other")
    assert ROLLED < DIMENSIONS
