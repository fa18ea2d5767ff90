"""Percents of runs as bytes."""

from __future__ import annotations

from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.detailrows import MOST_PERCENT, Percents
from headgate.store.percents import ONE_RUN, PackedPercents, added, register
from headgate.store.sql import Database

_percents = st.lists(st.integers(0, MOST_PERCENT), max_size=40)


def _one(percent: int) -> bytes:
    return ONE_RUN[percent * 4 : percent * 4 + 4]


@given(st.lists(_percents, max_size=4))
def test_what_stands_one_behind_the_other_is_that_of_both(parts: list[list[int]]) -> None:
    """Run by run, or added up before."""
    whole = Counter(percent for part in parts for percent in part)
    single = b"".join(_one(percent) for part in parts for percent in part)
    packed = b"".join(added(b"".join(map(_one, part))) or b"" for part in parts)
    assert Percents.of(whole) == PackedPercents(single) == PackedPercents(packed)
    assert hash(Percents.of(whole)) == hash(PackedPercents(packed))
    assert (added(single) or b"") == (added(packed) or b"")
    assert len(added(single) or b"") == 4 * len(whole)


@pytest.mark.parametrize("runs", [2**24 - 1, 2**24, 3 * 2**24])
def test_more_runs_than_a_number_takes_take_several(runs: int) -> None:
    """None of them is lost."""
    packed = _one(7)
    doubled = 1
    while doubled * 2 <= runs:
        packed, doubled = added(packed + packed) or b"", doubled * 2
    packed += b"".join(
        [added(_one(7) * 1_000) or b""] * ((runs - doubled) // 1_000) + [_one(7) * ((runs - doubled) % 1_000)]
    )
    assert Percents(runs + 1, 7, 255) == PackedPercents((added(packed) or b"") + _one(255))


def test_they_differ_from_others() -> None:
    """As from what is none of them; and show what they say."""
    found = PackedPercents(_one(7) * 20)
    assert (True, False, False) == (found == Percents(20, 7, 7), found == Percents(20, 7, 8), found == 20)
    assert repr(Percents(20, 7, 7)) == repr(found)
    assert Percents() == PackedPercents(None)


def test_sql_adds_them_up() -> None:
    """None of none."""
    with closing(Database(":memory:")) as db:
        register(db)
        assert db.execute("SELECT one_of_percents(?)", (_one(3) * 5,)).get == added(_one(3) * 5)
        assert db.execute("SELECT one_of_percents(NULL)").get is None
