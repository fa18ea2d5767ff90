"""Halving and what dead letters keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.verdicts import Reject
from headgate.deliver.bisect import ANSWER_BYTES, bounded, halve


@given(st.lists(st.integers(), min_size=2))
def test_halves_are_the_whole(entries):
    """Both halves are non-empty and together the batch, in order."""
    first, second = halve(entries)
    assert [*first, *second] == entries
    assert 0 <= len(first) - len(second) <= 1


def test_one_cannot_be_halved():
    """A single record is rejected, not split."""
    with pytest.raises(ValueError, match="single"):
        halve([1])


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_an_answer_is_cut_to_2_kb(letter):
    """Cut on a letter, never inside one."""
    cut = bounded(Reject("refused", 400, letter * 3000))
    assert ANSWER_BYTES - 4 < len(cut.answer.encode()) <= ANSWER_BYTES
    assert set(cut.answer) == {letter}


def test_a_short_answer_is_kept_as_it_is():
    """Nothing is copied without need."""
    reject = Reject("refused", 400, "no")
    assert bounded(reject) is reject
