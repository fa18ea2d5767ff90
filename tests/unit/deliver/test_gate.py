"""Admission of one signal."""

from __future__ import annotations

import pytest

from headgate.core.backoff import BackOff
from headgate.deliver.gate import NEVER, Gate, Hold


def fail(gate, now, **more):
    """One request that goes out and fails at once."""
    gate.begin(now, retry=True)
    return gate.failed(now, 0.1, "away", draw=0.999, **more)


def test_concurrency_bounds_requests_in_flight():
    """The third waits for an answer."""
    gate = Gate(16)
    gate.begin(0.0, retry=False)
    gate.begin(0.0, retry=False)
    assert gate.wait(0.0, retry=False) == NEVER
    gate.succeeded(0.1, 0.1, probe=False)
    assert gate.wait(0.1, retry=False) == 0


@pytest.mark.parametrize(
    ("failures", "state", "low", "high"),
    [
        pytest.param(1, "retrying", 0.4, 1.0, id="first"),
        pytest.param(4, "retrying", 3.9, 4.1, id="fourth"),
        pytest.param(5, "open", 7.9, 8.1, id="fifth opens"),
        pytest.param(20, "open", 299, 301, id="capped"),
    ],
)
def test_back_off_grows_and_the_breaker_opens(failures, state, low, high):
    """Half a second doubled each time, five minutes at most."""
    gate, now, opened = Gate(16, policy=BackOff()), 0.0, 0
    for _ in range(failures):
        now += 10_000
        opened += fail(gate, now)
    assert low <= gate.wait(now, retry=True) <= high
    assert (gate.state, gate.reason) == (state, "away")
    assert opened == (state == "open")


def test_retry_after_is_a_lower_bound():
    """The far side's wish counts before our back-off."""
    gate = Gate(16)
    fail(gate, 0.0, retry_after=60.0)
    assert 60 <= gate.wait(0.0, retry=False) <= 67


def test_a_hold_lets_one_probe_a_minute_through():
    """Held, probing, held again, resumed."""
    gate = Gate(16, probe_seconds=60.0)
    gate.begin(0.0, retry=False)
    assert gate.refuse(0.0, Hold("auth", "401"))
    assert (gate.state, gate.reason, gate.wait(0.0, retry=False)) == ("held", "auth: 401", 60.0)
    assert gate.begin(60.0, retry=False)
    assert gate.wait(61.0, retry=False) == NEVER
    assert not gate.refuse(61.0, Hold("auth", "403"), probe=True)
    assert gate.wait(61.0, retry=False) == 60.0
    assert gate.begin(121.0, retry=False)
    gate.succeeded(121.0, 0.1, probe=True)
    gate.resume(121.0)
    assert (gate.state, gate.reason, gate.wait(121.0, retry=False)) == ("ok", "", 0.0)


def test_a_probe_that_finds_nobody_keeps_the_hold():
    """Unavailable says nothing about the key."""
    gate = Gate(16, probe_seconds=60.0)
    gate.hold_at_start(5.0, Hold("auth", "401"))
    assert gate.wait(5.0, retry=False) == 0
    gate.begin(5.0, retry=False)
    assert not gate.failed(6.0, 1.0, "away", draw=0.5, probe=True)
    assert (gate.state, gate.wait(6.0, retry=False)) == ("held", 60.0)


def test_a_pause_is_waited_out():
    """The far side asked for time without refusing a request."""
    gate = Gate(16)
    gate.pause(0.0, 5.0)
    assert (gate.wait(0.0, retry=False), gate.state) == (5.0, "ok")
