"""The change point detector: what it finds, what it leaves alone, and what never matters to it."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headgate.core.clock import ManualClock
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext, Detector
from headgate.detectors._ranks import divide, standard_ranks
from headgate.detectors._shares import settled
from headgate.detectors.change_point import ChangePoint, ChangePointConfig
from headgate.plugins import build_plugin, load_plugins

CONTEXT = BuildContext(ManualClock(), NullMetrics(), "headgate/0")
durations = st.lists(st.integers(1, 400).map(float), min_size=0, max_size=120)


def made(**options):
    return ChangePoint("change_point", ChangePointConfig(**options), CONTEXT)


def noise(seed, count, level=300.0, sigma=0.08):
    rng = Random(seed)
    return [level * math.exp(rng.gauss(0, sigma)) for _ in range(count)]


def slow_third(values, seed):
    rng = Random(seed)
    return [value * 2 if rng.random() < 0.3 else value for value in values]


SLOWER = noise(1, 120) + noise(2, 80, 390.0)
TAILED = noise(3, 120) + slow_third(noise(4, 80), 5)


def test_a_lasting_change_is_found_with_its_medians():
    """A level that moved by 30 % is placed to within a few runs."""
    (change,) = made().changes(SLOWER)
    assert abs(change.index - 120) <= 3
    assert change.kind == "level"
    assert change.before == pytest.approx(300, rel=0.05)
    assert change.after == pytest.approx(390, rel=0.05)


def test_slow_runs_alone_are_a_change_of_the_tail():
    """The median stays, a third of the runs takes twice as long: p90 is what moved."""
    (change,) = made().changes(TAILED)
    assert abs(change.index - 120) <= 10
    assert change.kind == "tail"
    assert change.after > 1.5 * change.before


def test_a_change_and_its_end_are_two():
    """Up and down again, each found."""
    found = made().changes(noise(1, 80) + noise(2, 60, 450.0) + noise(3, 80))
    assert [80, 140] == pytest.approx([change.index for change in found], abs=3)
    assert [True, False] == [change.after > change.before for change in found]


@pytest.mark.parametrize(
    "values",
    [[], [5.0] * 200, noise(1, 15), noise(1, 7) + noise(2, 8, 900.0), [0.0] * 100],
    ids=["empty", "constant", "short", "too short to judge", "zero"],
)
def test_nothing_to_judge_is_no_change(values):
    """Constant and very short series are quiet in both ways."""
    assert [] == list(made().changes(values))
    assert made().newest(values) is None


def test_outliers_are_no_change():
    """Runs that took a thousand times as long change neither level nor tail."""
    rng = Random(9)
    values = [value * 1000 if rng.random() < 0.01 else value for value in noise(8, 300)]
    assert [] == list(made().changes(values))


def test_from_zero_to_something_is_a_change():
    """Relative to nothing, anything is large."""
    (change,) = made().changes([0.0] * 60 + [float(1 + at % 5) for at in range(60)])
    assert (60, 0.0) == (change.index, change.before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused(bad):
    """Whoever reads runs leaves those without a value out; nothing is guessed here."""
    for ask in (made().changes, made().newest):
        with pytest.raises(ValueError, match="not finite"):
            ask([*noise(1, 50), bad])


@pytest.mark.parametrize(("direction", "count"), [("up", 1), ("down", 0), ("both", 1)])
def test_only_the_wanted_direction_counts(direction, count):
    """A rise is none for who asks for falls."""
    assert count == len(made(direction=direction).changes(SLOWER))
    assert bool(count) == (made(direction=direction).newest(SLOWER[:150]) is not None)


def test_what_has_recovered_does_not_fire():
    """The newest change is a fall, so an earlier rise is over for who asks for rises."""
    values = noise(1, 150) + noise(2, 25, 450.0) + noise(3, 15)
    assert made(direction="up").newest(values) is None
    newest = made(direction="down").newest(values)
    assert newest is not None
    assert abs(newest.index - 175) <= 3


def test_a_change_below_the_least_one_is_none():
    """`min_change` is held against the medians."""
    assert [] == list(made(min_change="40%").changes(SLOWER))
    assert 1 == len(made(min_change=0.2).changes(SLOWER))


def test_only_a_recent_change_fires_and_it_is_told_by_its_place_in_all_values():
    """60 runs later it is history; the index counts from the oldest value given, not from the window."""
    older = noise(7, 300) + SLOWER
    newest = made().newest(older[:450])
    assert newest is not None
    assert abs(newest.index - 420) <= 3
    assert made().newest(older[:490]) is None
    assert abs(made(recent=100).newest(older[:490]).index - 420) <= 3


def test_a_large_change_is_told_within_the_shortest_part():
    """Twice as slow is known after eight runs at the latest, and not after the first few."""
    values = noise(1, 150, sigma=0.03) + noise(2, 20, 600.0, 0.03)
    first = next(at for at in range(150, 170) if made().newest(values[: at + 1]) is not None)
    assert 4 <= first - 150 + 1 <= 8


def test_sensitivity_orders_what_is_found():
    """What low finds, normal finds; what normal finds, high finds."""
    weak = noise(1, 100, sigma=0.3) + noise(2, 60, 420.0, 0.3)
    counts = [len(made(sensitivity=one).changes(weak)) for one in ("low", "normal", "high")]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@settings(max_examples=60, deadline=None)
@given(durations, st.sampled_from([0.125, 8.0, 1024.0]))
def test_the_unit_does_not_matter(values, factor):
    """Seconds or milliseconds: the same places, before and after scaled."""
    plain = made().changes(values)
    scaled = made().changes([value * factor for value in values])
    assert [(c.index, c.kind, c.before * factor, c.after * factor) for c in plain] == [
        (c.index, c.kind, c.before, c.after) for c in scaled
    ]


@settings(max_examples=60, deadline=None)
@given(durations, st.sampled_from([math.log, math.sqrt, lambda value: value**3]))
def test_ranks_see_order_alone(values, transform):
    """Any rising transform of the values leaves the division and its places as they are."""
    other = [transform(value) for value in values]
    ranks, again = standard_ranks(values), standard_ranks(other)
    assert ranks == again
    if ranks is not None and len(values) >= 16:
        places = divide(ranks, 4.0)
        assert settled(values, places) == settled(other, places)


@settings(max_examples=40, deadline=None)
@given(durations)
def test_the_same_values_give_the_same_answer(values):
    """Nothing is kept between calls, and the input stays as it was."""
    one, kept = made(), list(values)
    assert list(one.changes(values)) == list(one.changes(values)) == list(made().changes(tuple(values)))
    assert one.newest(values) == one.newest(values)
    assert kept == values


@settings(max_examples=60, deadline=None)
@given(durations)
def test_places_are_apart_and_inside(values):
    """Indexes rise, and each lies within the series."""
    found = [change.index for change in made(sensitivity="high", min_change=0).changes(values)]
    assert found == sorted(set(found))
    assert all(8 <= index <= len(values) - 8 for index in found)


@pytest.mark.parametrize(
    "options",
    [
        {"sensitivity": "extreme"},
        {"direction": "sideways"},
        {"runs": 10},
        {"min_change": "-5%"},
        {"min_change": "many%"},
        {"window": 3},
    ],
    ids=str,
)
def test_wrong_options_are_refused(options):
    """Each by the model, before anything is judged."""
    with pytest.raises(ValidationError):
        ChangePointConfig(**options)


def test_it_is_found_as_a_plugin():
    """The registry builds it with its defaults."""
    plugin = load_plugins().find("detector", "change_point")
    built = build_plugin(plugin, "slow", plugin.config(), CONTEXT)
    assert isinstance(built, Detector)
    assert "slow" == built.name
