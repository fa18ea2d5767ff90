"""What a detector would have said while a series grew. Pure; behind `headgate detect --online` and its benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headgate.core.ports import Change, Detector

__all__ = ["Report", "reports"]


@dataclass(frozen=True, slots=True)
class Report:
    """A change when it was first told. `at`: index of the newest value then, never before the change itself."""

    at: int
    change: Change


def reports(detector: Detector, values: Sequence[float]) -> Iterator[Report]:
    """Ask after each value, and tell each change once, in order.

    As long as what is found began before the last report and goes the same way, it is the same change, whose place has
    settled: an alert that fires does not fire again.
    """
    told: Report | None = None
    for at in range(len(values)):
        change = detector.newest(values[: at + 1])
        if change is not None and not (told and _same(told, change)):
            told = Report(at, change)
            yield told


def _same(told: Report, change: Change) -> bool:
    return change.index <= told.at and (change.after > change.before) == (told.change.after > told.change.before)
