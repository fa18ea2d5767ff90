"""From red to green and back: what runs of one workflow and branch that follow each other add up to. Pure.

Invariant: runs are given in the order of their end; of a run that neither succeeded nor failed nothing is noted.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field

from headgate.core.detailrows import OutageSum
from headgate.core.runrows import RunRow
from headgate.core.status import FAILED
from headgate.core.tally import Bounds, Dimension

__all__ = ["JUDGED", "Outages", "before_ms", "sum_outages"]

JUDGED: frozenset[str] = frozenset(FAILED) | {"success"}
_Place = tuple[str, str, str, int]


@dataclass(slots=True)
class Outages:
    """Times from red to green and from green to red, of each key (a workflow and branch) by itself.

    An outage begins with the first failed run and ends with the next successful one; it belongs to the window in which
    it ended. A time of peace begins with such an end and belongs to the window of the failure that ends it.
    `red`, `green`: key -> since when it is so, milliseconds; green only after an outage.
    """

    judged: int = 0
    recoveries: int = 0
    red_ms: int = 0
    relapses: int = 0
    green_ms: int = 0
    red: dict[Hashable, int] = field(default_factory=dict)
    green: dict[Hashable, int] = field(default_factory=dict)

    def add(self, key: Hashable, at_ms: int, *, failed: bool, inside: bool) -> None:
        """One run that failed or succeeded. `inside`: it ended in the window; the others came before it."""
        self.judged += inside
        if failed:
            self.red.setdefault(key, at_ms)
            since_ms = self.green.pop(key, None)
            if inside and since_ms is not None:
                self.relapses += 1
                self.green_ms += at_ms - since_ms
            return
        since_ms = self.red.pop(key, None)
        if since_ms is None:
            return
        self.green[key] = at_ms
        if inside:
            self.recoveries += 1
            self.red_ms += at_ms - since_ms


def before_ms(window: tuple[int, int], least_ms: int) -> int:
    """From when on runs count for a window: as long before it as it is long, and at least so long."""
    since_ms, until_ms = window
    return since_ms - max(least_ms, until_ms - since_ms)


def sum_outages(runs: Iterable[RunRow], bounds: Bounds, by: Collection[Dimension], least_ms: int) -> list[OutageSum]:
    """What a store answers, said of runs, which come oldest first."""
    found: dict[_Place, Outages] = {}
    for run in runs:
        window = bounds.get(run.project)
        if window is None or run.status not in JUDGED:
            continue
        if not before_ms(window, least_ms) <= run.stopped_ms < window[1]:
            continue
        place = (
            run.project,
            run.workflow if "workflow" in by else "",
            run.ref if "branch" in by else "",
            run.branch_class if "branch_class" in by else 0,
        )
        key, inside = (run.workflow, run.ref), run.stopped_ms >= window[0]
        found.setdefault(place, Outages()).add(key, run.stopped_ms, failed=run.status in FAILED, inside=inside)
    sums = (OutageSum(*place, one.recoveries, one.red_ms, one.relapses, one.green_ms) for place, one in found.items())
    return sorted((one for one in sums if one.recoveries or one.relapses), key=lambda one: one.place)
