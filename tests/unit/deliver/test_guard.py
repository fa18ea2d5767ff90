"""When rejections mean that the signal is wrong, not its records."""

from __future__ import annotations

import pytest

from headgate.deliver.guard import RefusalGuard


@pytest.mark.parametrize(
    ("history", "accepted", "rejected", "trips"),
    [
        pytest.param([], 0, 99, False, id="99 at once"),
        pytest.param([], 0, 100, True, id="100 at once"),
        pytest.param([(0, 1)] * 99, 0, 1, True, id="100 one by one"),
        pytest.param([(0, 99), (1, 0)], 0, 1, False, id="one accepted between"),
        pytest.param([(990, 5)], 0, 5, False, id="1 % of 1,000"),
        pytest.param([(990, 5)], 0, 6, True, id="more than 1 % of 1,000"),
        pytest.param([], 800, 199, False, id="of fewer than 1,000 only a row counts"),
        pytest.param([(20_000, 0), (11_000, 50)], 0, 70, True, id="old good times do not help for ever"),
        pytest.param([(0, 50)], 5, 0, False, id="acceptance never trips"),
    ],
)
def test_guard(history, accepted, rejected, trips):
    """More than 1 % of at least 1,000, or 100 in a row."""
    guard = RefusalGuard()
    for one in history:
        guard.note(*one)
    assert guard.would_trip(accepted, rejected) is trips


def test_reset_forgets():
    """After a resumption counting begins anew."""
    guard = RefusalGuard()
    guard.note(0, 99)
    guard.reset()
    assert not guard.would_trip(0, 1)
