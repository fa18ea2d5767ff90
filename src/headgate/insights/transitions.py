"""How often a test does otherwise than on the commit before: a sign of flakiness where no commit is run twice. Pure.

Commits are those of one class of branches (the default branch, or all others), in the order of their last job's end: a
test that a feature branch breaks says nothing of the default branch. Results of skipped tests and of broken machines
do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headgate.core.runrows import TestCommit, TestOutcome

__all__ = ["Transitions", "transitions_of"]


@dataclass(frozen=True, slots=True)
class Transitions:
    """`changes`: commits with another end than the one before, of `pairs`; passing, failing, and doing both differ."""

    changes: int = 0
    pairs: int = 0

    @property
    def rate(self) -> float | None:
        """Share of changes; None where there is no commit with one before it. A fault that is mended changes twice."""
        return self.changes / self.pairs if self.pairs else None


def transitions_of(outcomes: Iterable[TestCommit | TestOutcome]) -> Transitions:
    """Of one test, in any order."""
    last: dict[int, tuple[bool, bool]] = {}
    changes = pairs = 0
    for one in sorted(outcomes, key=lambda one: (one.last_ms, one.revision)):
        end = (one.passed > 0, one.failed > 0)
        if not any(end):
            continue
        before = last.get(one.branch_class)
        if before is not None:
            pairs, changes = pairs + 1, changes + (before != end)
        last[one.branch_class] = end
    return Transitions(changes, pairs)
