"""KPIs by formula: what is accepted, what is refused and how, and that an accepted one never fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.insights.fakes import WEB, Rows

from headgate.core.tally import Tally
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.kpi import make_kpi, parse_formula
from headgate.insights.metric import Measured
from headgate.insights.owners import Owners
from headgate.insights.reader import Reader

BOUNDS = {WEB: (0, 86_400_000)}


def kpi(formula: str, name: str = "mine"):
    """A KPI."""
    return make_kpi(name, formula, form="number", unit="1", doc="", higher_is_worse=True, catalogue=CATALOGUE)


def value(formula: str, **values: float) -> float | None:
    """The formula's value."""
    _, of = parse_formula(formula, CATALOGUE)
    return of(values)


@pytest.mark.parametrize(
    ("formula", "wanted"),
    [
        ("credits / runs", 2.5),
        ("-credits + 2 * (runs - 1)", -4.0),
        ("max(credits, runs, 11)", 11.0),
        ("abs(runs - credits) / 4", 1.5),
        ("credits / (runs - 4)", None),
        ("credits * 1e308 * 1e308", None),
        ("runs * 1" + "0" * 400, None),
        ("0 * (runs * 1e999)", None),
    ],
)
def test_values(formula, wanted):
    """What cannot be computed has no value."""
    assert value(formula, credits=10.0, runs=4.0) == wanted


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("", "not a formula"),
        ("credits /", "not a formula: invalid syntax"),
        ("credits / deploymnts", "unknown metric 'deploymnts'; did you mean `deployments`?"),
        ("nothing_like_it_zzz", "unknown metric 'nothing_like_it_zzz'; known are approval_wait"),
        ("2 + 2", "needs at least one metric"),
        ("runs ** 9 ** 9 ** 9", "something else"),
        ("runs // 2", "something else"),
        ("runs % 2", "something else"),
        ("runs << 99", "something else"),
        ("runs.__class__", "`runs.__class__` is something else"),
        ("runs[0]", "something else"),
        ("'a' * runs", "something else"),
        ("True + runs", "something else"),
        ("[runs for _ in runs]", "something else"),
        ("(lambda: runs)()", "something else"),
        ("runs if runs else credits", "something else"),
        ("max(*runs, 1)", "something else"),
        ("max(runs, key=abs)", "something else"),
        ("sqrt(runs)", "unknown function 'sqrt'; known are abs, max, min"),
        ("abs(runs, 1)", "abs takes 1 values, not 2"),
        ("max(runs)", "max takes 2 to 10 values, not 1"),
        ("runs + " * 80 + "runs", "at most 500 characters"),
        ("+".join(["runs"] * 60), "at most 100 parts"),
        ("-" * 30 + "runs", "at most 20 deep"),
        ("(" * 240 + "runs" + ")" * 240, "not a formula"),
        ("runs\0", "not a formula"),
    ],
)
def test_a_wrong_formula_is_refused(formula, text):
    """Each with what is wrong, and the nearest name."""
    with pytest.raises(ValueError, match=r"formula|metric|function|takes") as caught:
        parse_formula(formula, CATALOGUE)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs", "is the name"),
        ("duration_p95_of_jobs", "is the name"),
        ("max", "is the name"),
        ("My KPI", "is no name"),
    ],
)
def test_a_wrong_name_is_refused(name, text):
    """Names of metrics are taken."""
    with pytest.raises(ValueError, match=text):
        kpi("runs", name)


_part = st.recursive(
    st.sampled_from(["runs", "credits", "0", "1e300", "-7"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda of: f"({of[0]} {of[1]} {of[2]})"),
        st.tuples(inner, inner).map(lambda of: f"max({of[0]}, {of[1]})"),
    ),
    max_leaves=12,
)


@given(formula=_part, runs=st.floats(allow_nan=False), used=st.floats(allow_nan=False))
def test_an_accepted_formula_never_fails(formula, runs, used):
    """Whatever the numbers are, there is a finite value or none."""
    formula = f"{formula} + runs"
    found = value(formula, runs=runs, credits=used)
    assert found is None or abs(found) < float("inf")


def test_a_kpi_has_what_its_inputs_share():
    """Dimensions that all have, and the data of all."""
    metric = kpi("credits_of_jobs / deployments")
    assert metric.dimensions == ("org", "project", "team")
    assert metric.families == {"credits", "deployments"}
    assert CATALOGUE.extended([metric]).resolve("mine") is metric


async def test_a_kpi_is_measured_like_any_other_metric():
    """By group; where an input has no value, or the formula none, there is no group."""
    tallies = {("build",): Tally(n=4, ok=2, failed=2, credits=10), ("ship",): Tally(n=2, ok=2), ("odd",): Tally(n=1)}
    reader = Reader(Rows(tallies=tallies), owners=Owners())
    found = await reader.measure(kpi("credits / failed_runs"), by=("workflow",), where=(), bounds=BOUNDS)
    assert found == {(("workflow", "build"),): Measured(5.0, 4)}
    assert await reader.measure(kpi("runs * deployments"), by=(), where=(), bounds=BOUNDS) == {}
