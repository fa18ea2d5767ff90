"""Sketches as bytes and the SQL functions over them."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.store.sketches import binned, pack, register, unpack
from headgate.store.sql import Database

_bins = st.dictionaries(st.integers(-1, 2_000), st.integers(-3, 600_000).filter(bool), max_size=6)


@given(_bins, _bins)
def test_sketches_add_up(one: dict[int, int], two: dict[int, int]) -> None:
    """One behind the other, or one added to the other: the same counts, and none that is 0."""
    both = {index: n for index in one | two if (n := one.get(index, 0) + two.get(index, 0))}
    assert unpack((pack(one) or b"") + (pack(two) or b"")) == both
    with closing(Database(":memory:")) as db:
        register(db)
        added = db.execute("SELECT add_bins(?, ?)", (pack(one), pack(two))).get
        assert (unpack(added), added is None) == (both, not both)


def test_spans_become_a_sketch() -> None:
    """As `group_concat` writes them; none of none."""
    assert binned("-5,0,1000,1001") == {-1: 2, 346: 2}
    assert binned(None) == {}


def test_rows_become_a_sketch() -> None:
    """The aggregate of the migration."""
    with closing(Database(":memory:")) as db:
        register(db)
        packed = db.execute("SELECT pack_bins(value, 2) FROM json_each('[-1, 7, 7]')").get
        assert unpack(packed) == {-1: 2, 7: 4}
        assert db.execute("SELECT pack_bins(1, 1) WHERE 0").get is None


def test_bytes_that_are_no_sketch_are_refused() -> None:
    """So that a salvage leaves the row out."""
    with pytest.raises(ValueError, match="not a sketch"):
        unpack(b"abc")
