"""Which of given runs repeat a failed one, and what they add up to: what a store answers, said of rows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from headgate.core.detailrows import RepeatSum
from headgate.core.runrows import RunRow
from headgate.core.status import FAILED
from headgate.core.tally import Bounds, Dimension

__all__ = ["repeats_in", "sum_repeats"]

_Place = tuple[str, str, str, int, str]


def repeats_in(runs: Sequence[RunRow], bounds: Bounds) -> list[RunRow]:
    """Those that ended within the bounds of their project and repeat one of these that failed."""
    failed = {run.workflow_id for run in runs if run.status in FAILED}
    found = []
    for run in runs:
        since_ms, until_ms = bounds.get(run.project, (0, 0))
        if run.rerun_of in failed and since_ms <= run.stopped_ms < until_ms:
            found.append(run)
    return found


def sum_repeats(runs: Iterable[RunRow], by: Collection[Dimension]) -> list[RepeatSum]:
    """By project and these dimensions, in the order of their names."""
    groups: dict[_Place, list[RunRow]] = {}
    for run in runs:
        place = (
            run.project,
            run.workflow if "workflow" in by else "",
            run.ref if "branch" in by else "",
            run.branch_class if "branch_class" in by else 0,
            run.trigger if "trigger" in by else "",
        )
        groups.setdefault(place, []).append(run)
    return [
        RepeatSum(
            *place,
            runs=len(members),
            green=sum(run.status == "success" for run in members),
            credits=sum(run.credits or 0 for run in members),
            charged=sum(run.credits is not None for run in members),
            estimated=any(run.credits_estimated for run in members),
            duration_ms=sum(run.duration_ms or 0 for run in members),
        )
        for place, members in sorted(groups.items())
    ]
