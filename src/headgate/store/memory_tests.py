"""What the store in memory says of tests over many commits, from what came of them on each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import groupby

from headgate.core.runrows import TestCommit, TestOutcome, TestsOver, TestSum
from headgate.core.tally import Bounds
from headgate.core.turning import became_slower
from headgate.store.memory_facts import MemoryFacts
from headgate.store.memory_live import test_outcomes, test_words

__all__ = ["outcomes_of", "test_commits", "test_counts", "test_faults", "test_sums"]


def _every(facts: MemoryFacts, bounds: Bounds) -> Sequence[TestOutcome]:
    return test_outcomes(facts, bounds, None, sys.maxsize, failing=False)


def outcomes_of(facts: MemoryFacts, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestOutcome]:
    """Of a few tests."""
    return [one for one in _every(facts, bounds) if (one.project, one.test_id) in tests]


def test_commits(facts: MemoryFacts, bounds: Bounds, tests: Collection[tuple[str, str]]) -> Sequence[TestCommit]:
    """Of a few tests, less of each."""
    names = TestCommit._fields
    return [TestCommit(*(getattr(one, name) for name in names)) for one in outcomes_of(facts, bounds, tests)]


def test_faults(facts: MemoryFacts, bounds: Bounds) -> Sequence[TestOutcome]:
    """Commits on which a test failed."""
    return [one for one in _every(facts, bounds) if one.failed]


def test_counts(facts: MemoryFacts, bounds: Bounds) -> dict[str, int]:
    """Tests of each project."""
    return dict(Counter(project for project, _ in {(one.project, one.test_id) for one in _every(facts, bounds)}))


def test_sums(facts: MemoryFacts, bounds: Bounds, before: Bounds, branch_class: int | None) -> TestsOver:
    """A test after the other."""
    inside, earlier = (
        [one for one in _every(facts, window) if branch_class in (None, one.branch_class)]
        for window in (bounds, before)
    )
    words = [test_words(facts, window) for window in (bounds, before)]
    varied = {test for known in words for test, names in known.items() if len(names) > 1}
    own, past = ({test: list(seen) for test, seen in groupby(outcomes, key=_test)} for outcomes in (inside, earlier))
    return TestsOver(
        sums=[_sum(seen) for test, seen in own.items() if test not in varied],
        faults=[one for one in inside if one.failed],
        earlier=[one for one in earlier if one.failed],
        varied=varied,
        slower={
            test
            for test, seen in own.items()
            if test not in varied and became_slower(_paces(past.get(test, ())), _paces(seen))
        },
    )


def _test(one: TestOutcome) -> tuple[str, str]:
    return one.project, one.test_id


def _paces(own: Sequence[TestOutcome]) -> Sequence[float]:
    paces = sorted(
        (one.last_ms, one.run_ms / runs) for one in own if one.run_ms and (runs := one.passed + one.failed + one.infra)
    )
    return [mean for _, mean in paces]


def _sum(own: Sequence[TestOutcome]) -> TestSum:
    first = own[0]
    return TestSum(
        *(first.project, first.test_id, first.name, first.suite, first.class_name, first.file),
        passed=sum(one.passed for one in own),
        failed=sum(one.failed for one in own),
        infra=sum(one.infra for one in own),
        run_ms=sum(one.run_ms for one in own),
    )
