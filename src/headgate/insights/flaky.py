"""Which tests fail by themselves, and what that costs: our own score, from results on the same commit. Pure.

Invariant: a verdict follows from the outcomes of a window alone. What became of a test over several windows (known,
muted, fixed, back) is not decided here: it takes these verdicts as its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.runrows import TestOutcome
from headgate.insights.dimensions import test_name
from headgate.insights.metric import FromRows, Measured

__all__ = [
    "FLAKY_RATE",
    "FLAKY_SCORE",
    "Evidence",
    "FlakyTest",
    "TestCount",
    "count",
    "of_flaky",
    "probability_above",
    "rank_flaky",
]

# A test that fails by itself more often than in one of 200 runs is flaky: a thousand such tests fail every pipeline.
FLAKY_RATE = 0.005
# The prior: half a failure in a hundred runs, which is that very rate, so that one coincidence alone decides nothing.
_PRIOR_FAILED, _PRIOR_PASSED = 0.5, 99.5
# How sure one must be. Two commits with one pass and one failure each are enough, one such commit is not.
FLAKY_SCORE = 0.9


@dataclass(slots=True)
class Evidence:
    """What a window says of one test. `flakes`: failures on commits on which it passed too; `passes`: all passes.

    `commits`: those on which it did both. `infra`: failures of the machine, which say nothing of the test. `jobs`: how
    many of the flakes were in each job; on a commit with several jobs each has an equal part.
    """

    project: str
    test_id: str
    name: str
    file: str = ""
    flakes: int = 0
    passes: int = 0
    commits: int = 0
    infra: int = 0
    last_ms: int = 0
    jobs: dict[str, float] = field(default_factory=dict)

    def add(self, outcome: TestOutcome) -> None:
        """One commit. Failures count up to the number of passes there: more of them were a fault that was mended."""
        self.infra += outcome.infra
        self.passes += outcome.passed
        self.file = outcome.file or self.file
        flakes = min(outcome.passed, outcome.failed)
        if flakes:
            self.flakes += flakes
            self.commits += 1
            self.last_ms = max(self.last_ms, outcome.last_ms)
            for job in outcome.jobs:
                self.jobs[job] = self.jobs.get(job, 0.0) + flakes / len(outcome.jobs)

    @property
    def score(self) -> float:
        """Probability, given the evidence, that the test fails by itself more often than `FLAKY_RATE`."""
        if not self.flakes:
            return 0.0
        return probability_above(FLAKY_RATE, _PRIOR_FAILED + self.flakes, _PRIOR_PASSED + self.passes)

    @property
    def rate(self) -> float:
        """Mean of the posterior: the share of its runs in which it is expected to fail by itself."""
        failed, passed = _PRIOR_FAILED + self.flakes, _PRIOR_PASSED + self.passes
        return failed / (failed + passed)


@dataclass(frozen=True, slots=True)
class FlakyTest:
    """A test that fails by itself. `score`, `rate`: see `Evidence`. `credits`: lost with jobs that it failed, about."""

    project: str
    test_id: str
    name: str
    file: str
    score: float
    rate: float
    flakes: int
    passes: int
    commits: int
    infra: int
    last_ms: int
    jobs: tuple[str, ...]
    credits: float


def count(found: dict[tuple[str, str], Evidence], outcome: TestOutcome) -> None:
    """Add a commit of a test to what is known, by project and test."""
    key = (outcome.project, outcome.test_id)
    if key not in found:
        found[key] = Evidence(*key, test_name(outcome.class_name, outcome.name))
    found[key].add(outcome)


def rank_flaky(
    evidence: Iterable[Evidence], job_credits: Mapping[tuple[str, str], float], *, least: float = FLAKY_SCORE
) -> Sequence[FlakyTest]:
    """Tests whose score is at least `least`, those that cost most first.

    `job_credits`: (project, job) -> mean of a run. A flake is charged with one run of its job: that is repeated for it.
    """
    found = [
        FlakyTest(
            project=seen.project,
            test_id=seen.test_id,
            name=seen.name,
            file=seen.file,
            score=score,
            rate=seen.rate,
            flakes=seen.flakes,
            passes=seen.passes,
            commits=seen.commits,
            infra=seen.infra,
            last_ms=seen.last_ms,
            jobs=tuple(sorted(seen.jobs)),
            credits=math.fsum(n * job_credits.get((seen.project, job), 0.0) for job, n in seen.jobs.items()),
        )
        for seen in evidence
        if (score := seen.score) >= least
    ]
    return sorted(found, key=lambda test: (-test.credits, -test.score, test.project, test.name))


@dataclass(slots=True)
class _Flaky:
    """The tests of one group."""

    tests: dict[tuple[str, str], Evidence] = field(default_factory=dict)

    def add(self, outcome: TestOutcome, *, inside: bool) -> None:
        """One commit of one test; outcomes are of the window alone."""
        if inside:
            count(self.tests, outcome)


@dataclass(frozen=True, slots=True)
class TestCount:
    """How many tests of a project did not flake."""

    project: str
    tests: int


@dataclass(slots=True)
class _Flakes:
    """The tests of one group that flaked, and how many others there are."""

    tests: dict[tuple[str, str], Evidence] = field(default_factory=dict)
    others: int = 0

    def add(self, row: TestOutcome | TestCount, *, inside: bool) -> None:
        """One commit of one test, or how many others a project has; they are of the window alone."""
        if not inside:
            return
        if isinstance(row, TestCount):
            self.others += row.tests
        else:
            count(self.tests, row)


def _flaky_count(seen: _Flakes) -> Measured:
    flaky = sum(test.score >= FLAKY_SCORE for test in seen.tests.values())
    return Measured(float(flaky), len(seen.tests) + seen.others)


def _highest_score(tests: Sequence[Evidence]) -> Measured:
    return Measured(max(test.score for test in tests), sum(test.flakes + test.passes for test in tests))


def of_flaky(what: str) -> FromRows:
    """How many `tests` are flaky, or `score` (the highest of the group)."""
    if what == "tests":
        return FromRows("flakes", _Flakes, lambda seen, _span: _flaky_count(seen))
    return FromRows("tests", _Flaky, lambda seen, _span: _highest_score(list(seen.tests.values())))


def probability_above(limit: float, a: float, b: float) -> float:
    """How likely a Beta(a, b) variable exceeds `limit`: one minus the regularized incomplete beta function.

    Continued fraction of Lentz, as in "Numerical Recipes" section 6.4; good to about 1e-10.
    """
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(limit) + b * math.log1p(-limit)
    )
    if limit < (a + 1) / (a + b + 2):
        return 1 - front * _fraction(limit, a, b) / a
    return front * _fraction(1 - limit, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function; converges fast for x < (a + 1) / (a + b + 2)."""
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    total = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            total *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return total
