"""What is behind a change: the first bad run, the commits it may have come with, the jobs and steps that grew. Pure.

Works on series that were read elsewhere. Invariant: nothing here decides whether there is a change; it explains one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from headgate.core.ports import Change

__all__ = ["SAME_CAUSE_RUNS", "Growth", "Ran", "Suspects", "growth", "suspects"]

# Changes of several jobs of one workflow that begin within so many runs have one cause.
SAME_CAUSE_RUNS = 5
# How far around its place a change is sought, and how many runs from a bad one on are asked whether it lasted.
NEAR_RUNS = 5


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a workflow, job or step. `value`: in the unit of the metric. `revision`: empty where unknown."""

    id: str
    value: float
    revision: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Suspects:
    """What stands between good and bad. `commits`: oldest first, each once; empty where no revision is known.

    `last_good` is None where the series begins bad. A commit that also ran before is not suspected, unless every one
    of them did: then nobody's commit did it, and `same_commit` says so.
    """

    first_bad: Ran
    last_good: Ran | None
    commits: tuple[str, ...]
    same_commit: bool


def suspects(runs: Sequence[Ran], change: Change) -> Suspects:
    """The first bad run at or after a change, and the commits that came after the last good one.

    A change is placed to within a few runs, so the first bad run is sought around it: one that is nearer to what is
    now than to what was, and begins a stretch with more bad than good ones. `runs`: those that were judged, oldest
    first; `change.index` is one of them. Of a tail, which has good runs after it too, it is the first slow run.
    """
    first = _first_bad(runs, change)
    good = next((at for at in range(first - 1, -1, -1) if not _bad(runs[at].value, change)), None)
    since = 0 if good is None else good + 1
    seen = {run.revision for run in runs[:since]}
    between = [run.revision for run in runs[since : first + 1] if run.revision]
    fresh = tuple(dict.fromkeys(revision for revision in between if revision not in seen))
    return Suspects(runs[first], None if good is None else runs[good], fresh, bool(between) and not fresh)


def _first_bad(runs: Sequence[Ran], change: Change) -> int:
    if change.kind == "tail":
        slow = (at for at in range(change.index, len(runs)) if _bad(runs[at].value, change))
        return next(slow, change.index)
    last = min(len(runs) - 1, change.index + NEAR_RUNS)
    for at in range(max(0, change.index - NEAR_RUNS), last + 1):
        after = runs[at : at + NEAR_RUNS]
        if _bad(runs[at].value, change) and 2 * sum(_bad(run.value, change) for run in after) > len(after):
            return at
    return change.index


def _bad(value: float, change: Change) -> bool:
    """Whether a value is nearer to what is now than to what was."""
    middle = (change.before + change.after) / 2
    return value > middle if change.after > change.before else value < middle


@dataclass(frozen=True, slots=True)
class Growth:
    """One job or step. `before`, `after`: medians; `share`: of the growth of the whole (1: all of it), None unknown."""

    name: str
    before: float
    after: float
    share: float | None


def growth(
    parts: Mapping[str, tuple[Sequence[float], Sequence[float]]], whole: float, *, least: float = 0.05
) -> tuple[Growth, ...]:
    """The jobs or steps that grew, largest growth first.

    `parts`: name -> values before and after the change. A part that is new grew from 0; one that is gone did not grow.
    `whole`: by how much the workflow or job grew, in the same unit. Parts with less than `least` of it are left out.
    Shares need not add up to 1: jobs run side by side, and medians do not add.
    """
    found = []
    for name, (before, after) in parts.items():
        if not after:
            continue
        was, now = median(before) if before else 0.0, median(after)
        if now > was and (whole <= 0 or now - was >= least * whole):
            found.append(Growth(name, was, now, (now - was) / whole if whole > 0 else None))
    return tuple(sorted(found, key=lambda one: (one.before - one.after, one.name)))
