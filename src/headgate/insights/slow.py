"""Which tests take long, by their mean run times. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headgate.core.runrows import TestOutcome
from headgate.insights.dimensions import test_name
from headgate.insights.metric import FromRows, Measured
from headgate.insights.sums import number

__all__ = ["SLOW_SECONDS", "SlowTest", "count", "count_slow", "of_slow", "slowest_first"]

# A mean run time from which a test is called slow; a suite of a hundred such tests takes a quarter of an hour.
SLOW_SECONDS = 10.0


@dataclass(slots=True)
class SlowTest:
    """Run times of one test over a window."""

    project: str
    test_id: str
    name: str
    file: str = ""
    runs: int = 0
    run_ms: int = 0

    def add(self, outcome: TestOutcome) -> None:
        """One commit."""
        self.runs += outcome.passed + outcome.failed + outcome.infra
        self.run_ms += outcome.run_ms
        self.file = outcome.file or self.file

    @property
    def mean_seconds(self) -> float:
        """Mean run time; 0 where none is known."""
        return self.run_ms / self.runs / 1000 if self.runs else 0.0


def count(found: dict[tuple[str, str], SlowTest], outcome: TestOutcome) -> None:
    """Add a commit of a test to what is known, by project and test."""
    key = (outcome.project, outcome.test_id)
    if key not in found:
        found[key] = SlowTest(*key, test_name(outcome.class_name, outcome.name))
    found[key].add(outcome)


@dataclass(slots=True)
class _Times:
    """The tests of one group."""

    tests: dict[tuple[str, str], SlowTest] = field(default_factory=dict)

    def add(self, outcome: TestOutcome, *, inside: bool) -> None:
        """One commit of one test; outcomes are of the window alone."""
        if inside:
            count(self.tests, outcome)


def slowest_first(test: SlowTest) -> tuple[float, str, str, str]:
    """Orders tests with a result."""
    return -test.mean_seconds, test.project, test.name, test.test_id


def count_slow(tests: Iterable[SlowTest]) -> int:
    """How many have a mean that is at least so long."""
    return sum(test.runs > 0 and test.mean_seconds >= SLOW_SECONDS for test in tests)


def _mean(tests: Sequence[SlowTest]) -> Measured:
    runs = sum(test.runs for test in tests)
    return number(sum(test.run_ms for test in tests) / max(1, runs) / 1000, runs)


def _count_slow(tests: Sequence[SlowTest]) -> Measured:
    return number(count_slow(tests), len(tests))


def of_slow(what: str) -> FromRows:
    """How many `tests` are slow, or `mean` (seconds of one result)."""
    read = {"mean": _mean, "tests": _count_slow}[what]
    return FromRows("tests", _Times, lambda seen, _span: read(list(seen.tests.values())))
