"""The breaker and the retry budget."""

from __future__ import annotations

import pytest

from headgate.deliver.breaker import Breaker, RetryBudget


def play(script):
    """`f` a failure, `s` a success, one a second; returns the state and whether any failure opened it."""
    breaker, opened = Breaker(), 0
    for now, letter in enumerate(script):
        if letter == "f":
            opened += breaker.failed(float(now), 10.0)
        else:
            breaker.succeeded(float(now))
    return breaker.state, opened


@pytest.mark.parametrize(
    ("script", "state"),
    [
        pytest.param("ffff", "closed", id="four are not five"),
        pytest.param("fffff", "open", id="five in a row"),
        pytest.param("ffffsffff", "closed", id="a success between"),
        pytest.param("sf" * 9, "closed", id="half of fewer than twenty"),
        pytest.param("sf" * 10, "open", id="half of twenty"),
        pytest.param("ssf" * 20, "closed", id="a third"),
        pytest.param("sf" * 9 + "s" * 40 + "f", "closed", id="old failures are forgotten"),
    ],
)
def test_when_it_opens(script, state):
    """Five in a row, or half of at least twenty in 30 s."""
    assert play(script) == (state, int(state == "open"))


def test_one_probe_goes_when_the_wait_is_over():
    """Open, probe, open again, probe, closed."""
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0, 10.0)
    assert breaker.wait_seconds(4.0) == 6.0
    assert breaker.wait_seconds(10.0) == 0.0
    breaker.sent()
    assert breaker.wait_seconds(10.0) is None
    assert not breaker.failed(11.0, 20.0)
    assert breaker.wait_seconds(11.0) == 20.0
    breaker.sent()
    breaker.succeeded(31.0)
    assert (breaker.state, breaker.wait_seconds(31.0)) == ("closed", 0.0)


def test_a_canceled_probe_lets_another_go():
    """A probe that ended without an answer is no answer."""
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0, 1.0)
    breaker.sent()
    breaker.abandoned()
    assert breaker.wait_seconds(2.0) == 0.0


def test_retries_are_a_tenth_of_successes_plus_one_a_second():
    """In 100 s with 200 successes go at most about 120 retries."""
    budget, spent = RetryBudget(), 0
    for tick in range(1000):
        now = tick / 10
        if tick % 5 == 0:
            budget.succeeded()
        while budget.wait_seconds(now) <= 0:
            budget.spend(now)
            spent += 1
    assert 115 <= spent <= 122


def test_retry_budget_tells_how_long_to_wait():
    """An empty budget fills at one a second."""
    budget = RetryBudget()
    budget.spend(0.0)
    assert budget.wait_seconds(0.25) == pytest.approx(0.75)
