"""Which entries of a lane are settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.deliver.window import Window


@pytest.mark.parametrize(
    ("settled", "acked", "holes"),
    [
        pytest.param([], 0, (), id="nothing settled"),
        pytest.param([1], 1, (), id="first"),
        pytest.param([2, 3], 0, (2, 3), id="out of order leaves holes"),
        pytest.param([2, 3, 1], 3, (), id="the missing one closes them"),
        pytest.param([5, 4, 1, 2, 3], 5, (), id="backwards"),
        pytest.param([1, 3, 5], 2 - 1, (3, 5), id="alternating"),
    ],
)
def test_cursor_and_holes(settled, acked, holes):
    """The cursor stops before the first unsettled entry; what lies beyond is a hole."""
    window = Window(0)
    window.admit([1, 2, 3, 4, 5], 5)
    for seq in settled:
        window.settle([seq])
    assert (acked, holes) == (window.acked, window.holes())


def test_numbers_that_are_not_in_the_log_count_as_settled():
    """Trimmed or passed over entries do not hold the cursor back."""
    window = Window(3)
    window.admit([10, 20], 25)
    assert window.acked == 9
    window.settle([10])
    assert window.acked == 19
    window.settle([20])
    assert (window.acked, window.holes()) == (25, ())


@pytest.mark.parametrize(
    ("pending", "read_to"), [([3], 3), ([6, 9], 8), ([], 4)], ids=["seen before", "beyond the read", "backwards"]
)
def test_a_read_that_goes_backwards_is_refused(pending, read_to):
    """The window is not changed by a read that cannot be right."""
    window = Window(0)
    window.admit([4, 5], 5)
    with pytest.raises(ValueError, match="out of order"):
        window.admit(pending, read_to)
    assert (window.acked, window.read_to, window.pending_count) == (3, 5, 2)


def test_settling_an_unknown_entry_changes_nothing():
    """A double outcome is an error of ours, found at once."""
    window = Window(0)
    window.admit([1, 2], 2)
    with pytest.raises(KeyError):
        window.settle([1, 7])
    assert (window.acked, window.pending_count) == (0, 2)


@given(st.data())
def test_window_agrees_with_a_plain_model(data):
    """Whatever the order, the cursor is just before the lowest unsettled entry and the holes are the rest."""
    window, everything, unsettled, settled, top = Window(0), [], set(), set(), 0
    for _ in range(data.draw(st.integers(1, 8))):
        if unsettled and data.draw(st.booleans()):
            some = data.draw(st.sets(st.sampled_from(sorted(unsettled)), min_size=1))
            window.settle(some)
            unsettled -= some
            settled |= some
        else:
            fresh = sorted(data.draw(st.sets(st.integers(top + 1, top + 12), max_size=8)))
            top = data.draw(st.integers(max([top, *fresh]), top + 15))
            window.admit(fresh, top)
            everything += fresh
            unsettled |= set(fresh)
        acked = min(unsettled) - 1 if unsettled else top
        assert acked == window.acked
        assert tuple(sorted(seq for seq in settled if seq > acked)) == window.holes()
