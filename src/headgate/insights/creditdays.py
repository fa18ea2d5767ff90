"""Up to when credits are told: the usage export tells them of whole UTC days, Insights up to a day late.

Invariant: a day of which none or only some credits may be told yet is never taken for known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.rollup import RollupKind
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import Bounds, Tally, TallyQuery
from headgate.core.times import DAY_MS, parse_ms

__all__ = ["CreditsTold", "credits_told"]


_KINDS: tuple[RollupKind, ...] = ("job", "workflow")
_LATELY_MS = 8 * DAY_MS


@dataclass(frozen=True, slots=True)
class CreditsTold:
    """`until_ms`: end of the newest day that is told whole. `awaited`: runs ended since, whose credits may follow."""

    until_ms: int
    awaited: bool


async def credits_told(store: ReadStore, bounds: Bounds) -> Mapping[str, CreditsTold]:
    """By organisation, from what ended within bounds; one that has no credits there is left out.

    Credits of jobs come with the whole day, or at once; where only workflows have some, from Insights, their newest
    day may be told in part, so it does not count. The last days are looked at first, which is enough where credits are
    told at all.
    """
    lately = {project: (max(since, until - _LATELY_MS), until) for project, (since, until) in bounds.items()}
    found = await _told(store, lately)
    older = {project: span for project, span in bounds.items() if org_slug(project) not in found}
    if await _any_credits(store, older):
        found |= await _told(store, older)
    return found


async def _any_credits(store: ReadStore, bounds: Bounds) -> bool:
    """Whether anything in bounds has credits, by sums that need no day."""
    for kind in _KINDS if bounds else ():
        if any(tally.credits for tally in (await store.tallies(TallyQuery(kind, bounds))).values()):
            return True
    return False


async def _told(store: ReadStore, bounds: Bounds) -> dict[str, CreditsTold]:
    jobs, runs = [await _days(store, kind, bounds) for kind in _KINDS]
    found: dict[str, CreditsTold] = {}
    for org in jobs.keys() | runs.keys():
        of_jobs, of_runs = _newest(jobs.get(org, {})), _newest(runs.get(org, {}))
        until_ms = of_runs if of_jobs is None else of_jobs + DAY_MS
        if until_ms is not None:
            awaited = any(at_ms >= until_ms and tally.n for at_ms, tally in runs.get(org, {}).items())
            found[org] = CreditsTold(until_ms, awaited)
    return found


def _newest(days: Mapping[int, Tally]) -> int | None:
    return max((at_ms for at_ms, tally in days.items() if tally.credits), default=None)


async def _days(store: ReadStore, kind: RollupKind, bounds: Bounds) -> Mapping[str, Mapping[int, Tally]]:
    """Organisation -> begin of the day -> what ended on it."""
    found: dict[str, dict[int, Tally]] = {}
    for (org, day), tally in (await store.tallies(TallyQuery(kind, bounds, by=("org", "day")))).items():
        found.setdefault(org, {})[parse_ms(day) or 0] = tally
    return found
