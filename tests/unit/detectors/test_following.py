"""What is reported while a series grows: each change once, when it is known."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.core.ports import Change
from headgate.detectors.following import Report, reports


class Scripted:
    """Says at each length what it was told to."""

    name = "scripted"

    def __init__(self, said: dict[int, Change]) -> None:
        self._said = said

    def changes(self, values: Sequence[float]) -> Sequence[Change]:
        return ()

    def newest(self, values: Sequence[float]) -> Change | None:
        return self._said.get(len(values))


def rise(index: int) -> Change:
    return Change(index, 1.0, 2.0, "level")


def fall(index: int) -> Change:
    return Change(index, 2.0, 1.0, "level")


def test_a_change_is_reported_once_while_its_place_settles():
    """It moves about before the run at which it was told: nothing new."""
    said = {10: rise(4), 11: rise(5), 12: rise(9), 13: rise(3)}
    assert [Report(9, rise(4))] == list(reports(Scripted(said), [0.0] * 15))


def test_a_change_after_the_report_is_another():
    """What began later was not told yet."""
    said = {10: rise(4), 20: rise(12)}
    assert [Report(9, rise(4)), Report(19, rise(12))] == list(reports(Scripted(said), [0.0] * 25))


def test_the_way_back_is_another():
    """A fall is told even where it began before the rise was known."""
    said = {10: rise(2), 14: fall(8)}
    assert [Report(9, rise(2)), Report(13, fall(8))] == list(reports(Scripted(said), [0.0] * 15))


def test_a_quiet_series_reports_nothing():
    """Nothing in, nothing out."""
    assert [] == list(reports(Scripted({}), [1.0] * 30))
    assert [] == list(reports(Scripted({}), []))
