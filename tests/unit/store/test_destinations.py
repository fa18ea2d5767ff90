"""What counts as another destination, and what a human is told then."""

from __future__ import annotations

import pytest

from headgate.core.storeport import SignalSpec
from headgate.store.destinations import moved


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param("", "https://a", id="none before"),
        pytest.param("https://a", "https://a", id="the same"),
        pytest.param("https://a/… (12345678)", "https://a", id="a print of a secret path no longer counts"),
    ],
)
def test_the_same_destination_goes_on(before: str, now: str) -> None:
    """Its cursor is still right."""
    assert moved(before, SignalSpec("x", "logs", now)) is None


@pytest.mark.parametrize("before", ["https://b", "https://b/… (12345678)", "https://a/… (1)"])
def test_another_destination_is_told_with_what_each_cure_costs(before: str) -> None:
    """Both ways to reset, and what becomes of the records."""
    problem = moved(before, SignalSpec("x", "logs", "https://a/… (2)"))
    assert problem is not None
    assert problem.startswith(f"x.logs sent to {before} before and is now configured for https://a/… (2)")
    assert "`headgate sinks reset x --start retained` to send all that is kept again" in problem
    assert problem.endswith("`headgate sinks reset x --start now` to drop what waits")
