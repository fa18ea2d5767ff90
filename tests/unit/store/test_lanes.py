"""Sketches in lanes: what they add up to, when there are any, and which bytes are none."""

from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.store.lanes import bins_of, concatenated, lay, register, summed
from headgate.store.sketches import pack, unpack
from headgate.store.sql import Database

# Bins of one sketch; those of the second kind are side by side, as long ones are.
_few = st.dictionaries(st.integers(-1, 2_184), st.integers(1, 600_000), max_size=6)
_many = st.builds(
    lambda first, runs: dict(enumerate(runs, first)),
    st.integers(-1, 1_900),
    st.lists(st.sampled_from([1, 2, 300, 65_535]), min_size=64, max_size=90),
)
_sketches = st.lists(_few | _many, max_size=5)


def _whole(sketches: list[dict[int, int]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for one in sketches:
        for index, n in one.items():
            found[index] = found.get(index, 0) + n
    return found


def _forms(sketches: list[dict[int, int]]) -> tuple[bytes | None, bytes | None, None]:
    packed = [lay(one) or b"" for one in sketches]
    single, laid = (b"".join(one for one in packed if bool(len(one) % 4) is form) for form in (False, True))
    return single or None, laid or None, None


@given(_sketches, _sketches)
def test_sketches_add_up_whatever_their_form(added: list[dict[int, int]], taken: list[dict[int, int]]) -> None:
    """The same counts as of the bins themselves, less what is taken away, and none that is 0."""
    less = _whole(taken)
    both = {index: _whole(added).get(index, 0) - less.get(index, 0) for index in _whole(added) | less}
    assert summed(_forms(added), _forms(taken)) == {index: n for index, n in both.items() if n}


@given(_few | _many)
@example(dict.fromkeys(range(-1, 2185), 65535))
def test_a_sketch_is_read_in_either_form(bins: dict[int, int]) -> None:
    """Bins are what they were, at both ends too."""
    assert bins_of(lay(bins)) == bins == unpack(pack(bins))


@pytest.mark.parametrize(
    ("bins", "laid"),
    [
        pytest.param(dict.fromkeys(range(64), 1), True, id="bins side by side"),
        pytest.param({4 * index: 1 for index in range(64)}, True, id="every fourth"),
        pytest.param(dict.fromkeys(range(63), 1), False, id="few bins"),
        pytest.param({5 * index: 1 for index in range(64)}, False, id="bins far apart"),
        pytest.param(dict.fromkeys(range(64), 65536), False, id="more runs than a lane has"),
        pytest.param({index: index - 5 for index in range(5, 70)}, False, id="a bin without runs"),
    ],
)
def test_well_filled_sketches_are_in_lanes(bins: dict[int, int], laid: bool) -> None:
    """Their length says so."""
    packed = lay(bins)
    assert packed is not None
    assert bool(len(packed) % 4) is laid
    assert bins_of(packed) == {index: n for index, n in bins.items() if n}


def test_nothing_is_no_sketch() -> None:
    """Neither of no bins, nor read of none."""
    assert lay({}) is None
    assert bins_of(None) == {}
    assert summed((None, None, None)) == {}


def test_single_spans_count_too() -> None:
    """Milliseconds, as `group_concat` writes them."""
    assert summed((pack({346: 2}), None, "1000,0"), (None, None, "1001")) == {346: 2, -1: 1}


@pytest.mark.parametrize("cut", [1, 3, 5, 7, 131])
def test_bytes_that_are_no_sketch_are_refused(cut: int) -> None:
    """So that a salvage leaves the row out."""
    packed = lay(dict.fromkeys(range(64), 1)) or b""
    with pytest.raises(ValueError, match="not a sketch"):
        bins_of(packed[:-cut])


def test_a_query_adds_up_both_forms() -> None:
    """Of rows in any order, those without a sketch too."""
    rows = [dict.fromkeys(range(70), 1), {5: 1}, dict.fromkeys(range(9, 90), 2), {}]
    with closing(Database(":memory:")) as db:
        register(db)
        db.execute("CREATE TABLE r (b BLOB)")
        db.executemany("INSERT INTO r VALUES (?)", [(lay(one),) for one in rows])
        single, laid = concatenated("b")
        packed = db.execute(f"SELECT long_sketch({single}, {laid}) FROM r").get  # noqa: S608  # names of this test
        assert bins_of(packed) == _whole(rows)
        packed = db.execute("SELECT sketch_of(group_concat(value)) FROM json_each('[-5, 0, 1000, null]')").get
        assert bins_of(packed) == {-1: 2, 346: 1}
        assert db.execute("SELECT sketch_of(NULL)").get is None
