"""Bounds are covered by buckets and facts: each moment within once, none outside."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.times import DAY_MS, HOUR_MS
from headgate.store.cover import WIDE, WIDE_HOUR, Cover, Kept, cover, cut_cover
from headgate.testing.store_data import NOW

_DAY = NOW // DAY_MS * DAY_MS
_HOURS = DAY_MS // HOUR_MS


_KEPT = {"all": Kept(0, 0), "no hours": Kept(1 << 40, 0), "some hours": Kept(_DAY // HOUR_MS - 30, 0)}
_SPANS = {
    WIDE: range(1 << 20),
    WIDE_HOUR: range(0, 1 << 30, 2),
    96: range(0, 1 << 20, 2),
    384: range(0, 1 << 20, 3),
    6: range(1, 1 << 20),
}


@given(
    bounds=st.tuples(*[st.integers(_DAY - 70 * DAY_MS, _DAY + 2 * DAY_MS)] * 2),
    kept=st.sampled_from(sorted(_KEPT)),
    longest=st.sampled_from([1, 24, 384]),
    wide=st.booleans(),
    newest=st.none() | st.integers(_DAY // HOUR_MS // 6 - 280, _DAY // HOUR_MS // 6 + 8),
)
@settings(max_examples=300)
def test_what_is_added_less_what_is_taken_is_the_time_within_the_bounds(
    bounds: tuple[int, int], kept: str, longest: int, wide: bool, newest: int | None
) -> None:
    """Each moment within counts once, none outside; no bucket is longer than was allowed, or not there."""
    since_ms, until_ms = sorted(bounds)
    spans = _SPANS | ({} if newest is None else {6: range(1, newest)})
    known = replace(_KEPT[kept], built=spans)
    found = cover(since_ms, until_ms, known, longest=longest, wide=wide)
    changes: Counter[int] = Counter()
    for source, sign, numbers in found.buckets:
        length = abs(source) * HOUR_MS
        assert abs(source) <= longest
        assert wide or source not in (WIDE, WIDE_HOUR)
        for number in numbers:
            assert source in (1, 24) or number in spans[source]
            assert abs(source) != 1 or number >= known.hours
            assert not wide or source != 1 or number not in spans[WIDE_HOUR]
            changes[number * length] += sign
            changes[(number + 1) * length] -= sign
    for start, end, sign in found.facts:
        changes[start] += sign
        changes[end] -= sign
    expected = {since_ms: 1, until_ms: -1} if since_ms < until_ms else {}
    assert expected == {at: n for at, n in changes.items() if n}


@pytest.mark.parametrize(
    ("bounds", "kept", "expected"),
    [
        pytest.param(
            (_DAY - 2 * DAY_MS, _DAY),
            Kept(0, 0),
            Cover(((24, 1, (_DAY // DAY_MS - 2, _DAY // DAY_MS - 1)),), ()),
            id="whole days",
        ),
        pytest.param(
            (_DAY + 5, _DAY + 3 * HOUR_MS - 7),
            Kept(0, 0),
            Cover(
                ((1, 1, tuple(_DAY // HOUR_MS + n for n in range(3))),),
                ((_DAY, _DAY + 5, -1), (_DAY + 3 * HOUR_MS - 7, _DAY + 3 * HOUR_MS, -1)),
            ),
            id="hours less what is too much",
        ),
        pytest.param(
            (_DAY + 5, _DAY + 3 * HOUR_MS + 7),
            Kept(_DAY // HOUR_MS + _HOURS, 0),
            Cover((), ((_DAY + 5, _DAY + 3 * HOUR_MS + 7, 1),)),
            id="facts where hours are no longer kept",
        ),
        pytest.param(
            (_DAY + 5, _DAY + 3 * HOUR_MS + 7),
            Kept(0, _DAY + DAY_MS),
            Cover(((1, 1, tuple(_DAY // HOUR_MS + n for n in range(4))),), ()),
            id="whole hours where facts are gone",
        ),
        pytest.param(
            (_DAY + 5, _DAY + 3 * HOUR_MS + 7),
            Kept(_DAY // HOUR_MS + _HOURS, _DAY + DAY_MS),
            Cover(((24, 1, (_DAY // DAY_MS,)),), ()),
            id="the whole day where both are gone",
        ),
        pytest.param(
            (_DAY, _DAY + 11 * HOUR_MS),
            Kept(_DAY // HOUR_MS + 8, _DAY - DAY_MS),
            Cover(((1, 1, tuple(_DAY // HOUR_MS + n for n in range(8, 11))),), ((_DAY, _DAY + 8 * HOUR_MS, 1),)),
            id="facts up to the first kept hour",
        ),
    ],
)
def test_bounds_are_read_from_what_is_kept(bounds: tuple[int, int], kept: Kept, expected: Cover) -> None:
    """Buckets where they are whole, facts for the rest, wider bounds where those are gone."""
    assert expected == cover(*bounds, kept, longest=384)


def test_quarters_are_read_up_to_the_newest_that_is_added_up() -> None:
    """The one that goes on is made of hours; it does not make hours of those before it."""
    quarter = _DAY // HOUR_MS // 6
    known = Kept(0, 0, {6: range(quarter + 1)})
    found = cover(_DAY - DAY_MS, _DAY + 11 * HOUR_MS, known, longest=384)
    hours = tuple(range(_DAY // HOUR_MS + 6, _DAY // HOUR_MS + 11))
    assert found == Cover(((1, 1, hours), (6, 1, (quarter,)), (24, 1, (_DAY // DAY_MS - 1,))), ())


_THERE = st.sets(st.integers(-2, 20))


@given(
    bounds=st.tuples(*[st.integers(_DAY - 6 * DAY_MS, _DAY + 6 * DAY_MS)] * 2),
    missing=st.tuples(_THERE, _THERE, _THERE),
    shortest=st.sampled_from([6, 24]),
    longest=st.sampled_from([24, 384]),
)
@settings(max_examples=300)
def test_cuts_and_facts_are_the_time_within_the_bounds(
    bounds: tuple[int, int], missing: tuple[set[int], ...], shortest: int, longest: int
) -> None:
    """Each moment within counts once, whichever stretches are missing; none is read that is."""
    since_ms, until_ms = sorted(bounds)
    lengths = [hours for hours in (6, 24, 96) if hours >= shortest]
    begin = (_DAY - 6 * DAY_MS) // HOUR_MS
    built = {
        hours: set(range(begin // hours - 2, begin // hours + 60)) - {begin // hours + n for n in gone}
        for hours, gone in zip(lengths, missing, strict=False)
    }
    found = cut_cover(since_ms, until_ms, built, longest=longest)
    changes: Counter[int] = Counter()
    for hours, sign, numbers in found.buckets:
        assert hours <= longest
        for number in numbers:
            assert number in built[hours]
            changes[number * hours * HOUR_MS] += sign
            changes[(number + 1) * hours * HOUR_MS] -= sign
    for start, end, sign in found.facts:
        changes[start] += sign
        changes[end] -= sign
    expected = {since_ms: 1, until_ms: -1} if since_ms < until_ms else {}
    assert expected == {at: n for at, n in changes.items() if n}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        pytest.param(
            (_DAY - 5 * HOUR_MS, _DAY + 35 * HOUR_MS),
            Cover(
                ((6, 1, (4 * _DAY // DAY_MS + 4, 4 * _DAY // DAY_MS + 5)), (24, 1, (_DAY // DAY_MS,))),
                ((_DAY - 5 * HOUR_MS, _DAY, 1), (_DAY + 35 * HOUR_MS, _DAY + 36 * HOUR_MS, -1)),
            ),
            id="what is too much is taken away where it is there",
        ),
        pytest.param(
            (_DAY + HOUR_MS, _DAY + 2 * HOUR_MS),
            Cover((), ((_DAY + HOUR_MS, _DAY + 2 * HOUR_MS, 1),)),
            id="a short one",
        ),
        pytest.param(
            (_DAY - 9 * DAY_MS, _DAY),
            Cover((), ((_DAY - 9 * DAY_MS, _DAY, 1),)),
            id="one stretch of facts where nothing is there",
        ),
    ],
)
def test_cuts_are_read_to_the_nearest_edge(bounds: tuple[int, int], expected: Cover) -> None:
    """Never from one that is not there."""
    quarters = range(4 * _DAY // DAY_MS, 4 * _DAY // DAY_MS + 100)
    assert expected == cut_cover(*bounds, {6: quarters, 24: range(_DAY // DAY_MS, 1 << 20), 96: ()}, longest=384)


def test_many_holes_are_one_stretch_of_facts() -> None:
    """A statement has so many parts at most."""
    quarters = range(0, 1 << 20, 2)
    bounds = (_DAY - 90 * DAY_MS, _DAY)
    assert Cover((), ((*bounds, 1),)) == cut_cover(*bounds, {6: quarters}, longest=384)
