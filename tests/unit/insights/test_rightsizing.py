"""Which size of machine a job needs: decisions one by one, and that no advice can do harm."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.detailrows import Percents
from headgate.insights.resourceclasses import CLASSES, ResourceClass, ResourceClasses
from headgate.insights.rightsizing import FEWEST_RUNS, HEADROOM, Load, advise

KNOWN = ResourceClasses()
LARGE = KNOWN.find("docker", "large")
FAMILY = KNOWN.family(LARGE)


def load(ram, median=10, peak=20, runs=FEWEST_RUNS):
    """Equal runs."""
    return Load(*(Percents(runs, percent, percent) for percent in (ram, median, peak)))


@pytest.mark.parametrize(
    ("seen", "verdict", "to", "risk", "saving"),
    [
        (load(20), "smaller", "small", "low", 0.75),  # 1.6 GB of 8 with a fifth more is 1.92
        (load(21), "smaller", "medium", "low", 0.5),
        (load(20, 26), "smaller", "medium", "low", 0.5),  # 1.04 processors
        (load(20, 25, 26), "smaller", "small", "medium", 0.75),
        (load(63), "fits", None, None, None),
        (load(89), "fits", None, None, None),
        (load(90), "larger", "xlarge", None, -1.0),
        (load(50, 95), "larger", "xlarge", None, -1.0),
        (load(20, runs=FEWEST_RUNS - 1), "too_few_runs", None, None, None),
        (Load(Percents(), Percents(), Percents()), "no_figures", None, None, None),
        (Load(Percents(99, 20, 20), Percents(), Percents()), "fits", None, None, None),
    ],
    ids=[
        "small", "memory decides", "processors decide", "peaks are a risk", "it fits", "nearly full", "full", "busy",
        "too few", "nothing", "no processors",
    ],
)  # fmt: skip
def test_a_size_is_advised(seen, verdict, to, risk, saving):
    """By memory with a fifth to spare, by processors, on runs enough."""
    advice = advise(seen, LARGE, FAMILY)
    assert (verdict, to, risk) == (advice.verdict, advice.to.name if advice.to else None, advice.risk)
    assert saving == advice.saving
    assert advice.reason


def test_an_unknown_class_says_so():
    """And how to make it known."""
    advice = advise(load(1), None, ())
    assert ("unknown_class", True) == (advice.verdict, "resource_classes" in advice.reason)


def test_there_is_nothing_above_the_largest():
    """What is used up there stays so."""
    top = FAMILY[-1]
    advice = advise(load(99), top, FAMILY)
    assert ("fits", "Its memory is used up, and no larger class is known.") == (advice.verdict, advice.reason)


def test_a_class_without_a_price_saves_nobody_knows_what():
    """Size decides then."""
    has = KNOWN.find("machine", "windows.xlarge")
    advice = advise(load(5), has, KNOWN.family(has))
    assert ("smaller", "windows.medium", None) == (advice.verdict, advice.to.name, advice.saving)


def test_a_setting_wins_over_the_table():
    """And adds classes of one's own, which replace one another within their family."""
    mine = ResourceClass("large", "docker", "docker", 4, 64, 1)
    runner = ResourceClass("acme/big", "machine", "runners", 8, 32, 0)
    known = ResourceClasses([mine, runner])
    assert (64, runner) == (known.find("docker", "large").ram_gb, known.find("machine", "acme/big"))
    assert ([runner], None) == (known.family(runner), known.find("docker", "acme/big"))


def test_classes_are_listed_once_and_grow():
    """A name means one size on one executor; within a family prices and memory grow together."""
    assert len(CLASSES) == len({(one.executor, one.name) for one in CLASSES})
    for one in CLASSES:
        family = KNOWN.family(one)
        priced = [other.credits for other in family if other.credits is not None]
        assert sorted(priced) == priced
        assert sorted(other.cpus for other in family) == [other.cpus for other in family]


_COUNTS = st.dictionaries(st.integers(0, 100), st.integers(1, 60), max_size=8)


@given(_COUNTS, _COUNTS, _COUNTS, st.sampled_from(CLASSES), st.integers(1, 60))
def test_no_advice_takes_memory_that_was_used(ram, median, peak, has, fewest):
    """The class that is advised has the highest use of all runs and a fifth more, whatever else was seen."""
    advice = advise(Load(*map(Percents.of, (ram, median, peak))), has, KNOWN.family(has), fewest=fewest)
    assert (advice.to is None) == (advice.verdict not in ("smaller", "larger"))
    if advice.to is None:
        return
    assert sum(ram.values()) >= fewest
    assert advice.to.ram_gb >= max(ram) / 100 * has.ram_gb * (1 + HEADROOM)
    assert (advice.to.family, advice.to != has) == (has.family, True)
    if advice.verdict == "smaller":
        assert advice.to.ram_gb <= has.ram_gb
        assert advice.to.cpus >= Percents.of(median).p95 / 100 * has.cpus
        assert advice.saving is None or advice.saving > 0


@given(st.lists(st.integers(0, 100), min_size=1, max_size=50))
def test_a_percentile_is_the_nearest_rank(values):
    """As of the sorted list."""
    rank = max(1, math.ceil(round(0.95 * len(values), 9)))
    found = Percents.of({value: values.count(value) for value in values})
    assert found == (len(values), sorted(values)[rank - 1], max(values))


def test_of_nothing_there_is_no_percentile():
    """Not 0."""
    assert Percents.of({}) == (0, None, None)
