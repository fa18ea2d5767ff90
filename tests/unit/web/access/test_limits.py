"""How often somebody may fail, and ask."""

from __future__ import annotations

import pytest

from headgate.web.access.limits import Failures, Rate, network_of


def test_each_failure_after_the_fifth_doubles_the_wait():
    """Up to five minutes; other peers are not touched."""
    failures, waits = Failures(), []
    for _ in range(16):
        failures.failed("10.0.0.1", 0.0)
        waits.append(failures.wait_seconds("10.0.0.1", 0.0))
    assert [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] == waits
    assert 0 == failures.wait_seconds("10.0.0.2", 0.0)
    assert 100 == failures.wait_seconds("10.0.0.1", 200.0)
    assert 0 == failures.wait_seconds("10.0.0.1", 301.0)


def test_who_was_quiet_for_long_begins_anew():
    """Half an hour."""
    failures = Failures()
    for _ in range(9):
        failures.failed("a", 0.0)
    failures.failed("a", 1801.0)
    assert 0 == failures.wait_seconds("a", 1801.0)


def test_memory_is_bounded_and_the_newest_are_remembered():
    """Whoever asks from however many addresses."""
    failures, rate = Failures(most=10), Rate(1, 1, most=10)
    for number in range(1000):
        for _ in range(6):
            failures.failed(f"10.1.{number // 250}.{number % 250}", 0.0)
        rate.wait_seconds(str(number), 0.0)
    assert (10, 10) == (len(failures._peers), len(rate._left))
    assert failures.wait_seconds("10.1.3.249", 0.0) > 0


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_customer_is_one_peer(peer, network):
    """Addresses of one /64 cost nothing."""
    assert network == network_of(peer)


def test_a_burst_and_then_a_rate():
    """What was refused takes nothing away."""
    rate = Rate(2, 3)
    assert [0, 0, 0] == [rate.wait_seconds("a", 0.0) for _ in range(3)]
    assert [0.5, 0.5] == [rate.wait_seconds("a", 0.0) for _ in range(2)]
    assert 0 == rate.wait_seconds("a", 0.5)
    assert 0.25 == rate.wait_seconds("a", 0.75)
    assert 0 == rate.wait_seconds("b", 0.0)
    assert [0, 0, 0] == [rate.wait_seconds("a", 60.0) for _ in range(3)]
    assert rate.wait_seconds("a", 60.0)
