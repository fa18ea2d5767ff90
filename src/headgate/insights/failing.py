"""Which tests fail, and not by themselves alone: commits on which they only failed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headgate.core.runrows import TestOutcome
from headgate.insights.dimensions import test_name

__all__ = ["FailingTest", "count", "rank_failing"]


@dataclass(slots=True)
class FailingTest:
    """Results of one test over a window. `commits`: on which it failed and never passed; `infra`: of the machine.

    `first_ms`, `last_ms`: ends of the jobs of its first and last such commit; 0 where there is none.
    """

    project: str
    test_id: str
    name: str
    file: str = ""
    passed: int = 0
    failed: int = 0
    infra: int = 0
    commits: int = 0
    first_ms: int = 0
    last_ms: int = 0
    jobs: frozenset[str] = frozenset()

    def add(self, outcome: TestOutcome) -> None:
        """One commit."""
        self.passed += outcome.passed
        self.failed += outcome.failed
        self.infra += outcome.infra
        self.file = outcome.file or self.file
        if outcome.failed and not outcome.passed:
            self.commits += 1
            self.first_ms = min(self.first_ms or outcome.first_ms, outcome.first_ms)
            self.last_ms = max(self.last_ms, outcome.last_ms)
            self.jobs |= set(outcome.jobs)


def count(found: dict[tuple[str, str], FailingTest], outcome: TestOutcome) -> None:
    """Add a commit of a test to what is known, by project and test."""
    key = (outcome.project, outcome.test_id)
    if key not in found:
        found[key] = FailingTest(*key, test_name(outcome.class_name, outcome.name))
    found[key].add(outcome)


def rank_failing(tests: Iterable[FailingTest]) -> Sequence[FailingTest]:
    """Tests that failed on a commit without a pass there, on most commits first."""
    found = [test for test in tests if test.commits]
    return sorted(found, key=lambda test: (-test.commits, -test.failed, test.project, test.name, test.test_id))
