"""What became of a flaky test: new, flaky, fixed, regressed, and since when. Pure.

An episode begins with a flake (a failure on a commit on which the test passed too) and ends when the test has passed so
often since its last flake that, at the rate at which it used to flake, so many passes would be unlikely. Invariant: the
state follows from the commits alone, in the order of their ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.core.runrows import TestOutcome

__all__ = ["Commit", "Life", "State", "commits_of", "life_of"]

State = Literal["new", "flaky", "fixed", "regressed"]
# A test is fixed when luck alone explains its passes with less than this probability.
_LUCK = 0.05
# Half a failure in a hundred runs, as in `insights.flaky`: a rate from little evidence is not taken at its word.
_PRIOR_FAILED, _PRIOR_RUNS = 0.5, 100.0


@dataclass(frozen=True, slots=True)
class Commit:
    """Results of a test on one commit. `flakes`: failures there, up to the number of passes."""

    at_ms: int
    passed: int
    flakes: int


@dataclass(frozen=True, slots=True)
class Life:
    """`since_ms`: when the state began: the first flake of its last episode, or the first pass after it for `fixed`.

    `first_ms`, `last_ms`: of all its flakes. `episodes`: how often it began to flake.
    """

    state: State
    since_ms: int
    first_ms: int
    last_ms: int
    episodes: int


def commits_of(outcomes: Iterable[TestOutcome]) -> Sequence[Commit]:
    """By the end of their last job."""
    found = [Commit(one.last_ms, one.passed, min(one.passed, one.failed)) for one in outcomes]
    return sorted(found, key=lambda one: one.at_ms)


def life_of(commits: Sequence[Commit], since_ms: int) -> Life | None:
    """The life of a test by its commits, oldest first; None where it never flaked.

    `since_ms`: begin of the window; an episode that began in it is `new`, or `regressed` after an earlier one, and one
    that goes on from before is `flaky`.
    """
    flakes = [one for one in commits if one.flakes]
    if not flakes:
        return None
    episodes, began_ms, last_ms = 0, 0, 0
    known = Commit(0, 0, 0)  # all up to the last flake
    passes, first_pass_ms = 0, 0  # since then
    for one in commits:
        if one.flakes:
            if not episodes or passes >= _enough(known):
                episodes, began_ms = episodes + 1, one.at_ms
            known = Commit(one.at_ms, known.passed + passes + one.passed, known.flakes + one.flakes)
            last_ms, passes, first_pass_ms = one.at_ms, 0, 0
        elif one.passed:
            passes += one.passed
            first_pass_ms = first_pass_ms or one.at_ms
    ends = (flakes[0].at_ms, last_ms, episodes)
    if passes >= _enough(known):
        return Life("fixed", first_pass_ms, *ends)
    if began_ms < since_ms:
        return Life("flaky", began_ms, *ends)
    return Life("new" if episodes == 1 else "regressed", began_ms, *ends)


def _enough(known: Commit) -> int:
    """How many passes in a row are unlikely at the rate of the runs that are known."""
    rate = (_PRIOR_FAILED + known.flakes) / (_PRIOR_RUNS + known.flakes + known.passed)
    return math.ceil(math.log(_LUCK) / math.log1p(-rate))
