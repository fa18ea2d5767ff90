"""How many requests may be in flight."""

from __future__ import annotations

import pytest

from headgate.deliver.aimd import ConcurrencyLimit


def play(limit, answers, *, start=0.0):
    """Send as many as allowed, then answer each of them after so many seconds; `None` is overload."""
    now = start
    for seconds in answers:
        flying = limit.limit
        for number in range(flying):
            limit.sent(number + 1)
        now += seconds or 1.0
        for _ in range(flying):
            limit.answered(now, seconds or 1.0, overloaded=seconds is None)
    return limit.limit


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([], 2, id="start"),
        pytest.param([0.1] * 3, 5, id="one more a round"),
        pytest.param([0.1] * 60, 16, id="cap"),
        pytest.param([0.1] * 6 + [None], 7, id="overload shrinks"),
        pytest.param([0.1] * 6 + [3.0], 7, id="slower shrinks"),
        pytest.param([None] * 60, 1, id="never below one"),
    ],
)
def test_limit_follows_the_far_side(answers, expected):
    """It grows while full and not slower, shrinks on overload or delay."""
    assert play(ConcurrencyLimit(), answers) == expected


def test_it_does_not_grow_unless_full():
    """Room that is not used says nothing."""
    limit = ConcurrencyLimit()
    for second in range(20):
        limit.sent(1)
        limit.answered(float(second), 0.1, overloaded=False)
    assert limit.limit == 2


def test_declared_concurrency_is_the_cap():
    """A signal that allows one request never gets two."""
    assert play(ConcurrencyLimit(1), [0.1] * 10) == 1
