"""Up to when credits are told: the usage export tells them of whole UTC days, Insights up to a day late.

Invariant: a day of which none or only some credits may be told yet is never taken for known.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from headgate.core.rollup import RollupKind
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import Bounds, Tally, TallyQuery
from headgate.core.times import DAY_MS, parse_ms

__all__ = ["LATE_DAYS", "CreditsTold", "credits_told"]

# Credits that are later than this have stopped, so that nothing waits for them.
LATE_DAYS = 4
_KINDS: tuple[RollupKind, ...] = ("job", "workflow")
# Where exports come every day credits are found in the first of these days, which are cheap to look at.
_LATELY_DAYS = (2, 9)


@dataclass(frozen=True, slots=True)
class CreditsTold:
    """`until_ms`: end of the newest day that is told whole. `awaited`: runs ended since, whose credits may follow."""

    until_ms: int
    awaited: bool


async def credits_told(store: ReadStore, bounds: Bounds) -> Mapping[str, CreditsTold]:
    """By organisation, from what ended within bounds; one that has no credits there is left out.

    Credits of jobs come with the whole day, or at once; where only workflows have some, from Insights, their newest
    day may be told in part, so it does not count. The last days are looked at first, which is enough where credits are
    told at all. A day of which the usage export has rows is told too, where nothing of it cost anything.
    """
    found: dict[str, CreditsTold] = {}
    for days in _LATELY_DAYS:
        found |= await _by_jobs(store, _last(_without(bounds, found), days))
    found |= await _by_runs(store, _last(_without(bounds, found), _LATELY_DAYS[-1]))
    older = _without(bounds, found)
    if await _any_credits(store, older):
        found |= await _by_jobs(store, older)
        found |= await _by_runs(store, _without(older, found))
    return {**found, **await _by_rows(store, _untold(bounds, found))}


def _untold(bounds: Bounds, found: Mapping[str, CreditsTold]) -> Bounds:
    """What may have cost nothing: all where no credits were found, and what came after those that were."""
    begins = {org: one.until_ms if one.awaited else sys.maxsize for org, one in found.items()}
    return {
        project: (begin, until)
        for project, (since, until) in bounds.items()
        if (begin := max(since, begins.get(org_slug(project), since))) < until
    }


def _without(bounds: Bounds, found: Mapping[str, CreditsTold]) -> Bounds:
    return {project: span for project, span in bounds.items() if org_slug(project) not in found}


def _last(bounds: Bounds, days: int) -> Bounds:
    """The last days of bounds, the first of them whole."""
    return {
        project: (max(since, (until - 1) // DAY_MS * DAY_MS - (days - 1) * DAY_MS), until)
        for project, (since, until) in bounds.items()
    }


async def _any_credits(store: ReadStore, bounds: Bounds) -> bool:
    """Whether anything in bounds has credits, by sums that need no day."""
    for kind in _KINDS if bounds else ():
        if any(tally.credits for tally in (await store.tallies(TallyQuery(kind, bounds))).values()):
            return True
    return False


async def _by_jobs(store: ReadStore, bounds: Bounds) -> Mapping[str, CreditsTold]:
    """Those whose jobs have credits: up to the end of the newest day with some."""
    days = await _days(store, "job", bounds)
    return await _up_to(
        store, {org: newest + DAY_MS for org, of in days.items() if (newest := _newest(of)) is not None}, bounds
    )


async def _up_to(store: ReadStore, ends: Mapping[str, int], bounds: Bounds) -> Mapping[str, CreditsTold]:
    since: Bounds = {
        project: (ends[org], until)
        for project, (_, until) in bounds.items()
        if (org := org_slug(project)) in ends and ends[org] < until
    }
    ended = await _days(store, "workflow", since)
    return {org: CreditsTold(until_ms, _any_since(ended.get(org, {}), until_ms)) for org, until_ms in ends.items()}


async def _by_rows(store: ReadStore, bounds: Bounds) -> Mapping[str, CreditsTold]:
    """Those of which the usage export has rows: up to the end of the newest day with some."""
    ends: dict[str, int] = {}
    for project, days in (await store.usage_days(bounds) if bounds else {}).items():
        org = org_slug(project)
        ends[org] = max(days[-1] + DAY_MS, ends.get(org, 0))
    return await _up_to(store, ends, bounds)


async def _by_runs(store: ReadStore, bounds: Bounds) -> Mapping[str, CreditsTold]:
    """Those of which runs alone have credits: up to the begin of the newest day with some."""
    found: dict[str, CreditsTold] = {}
    for org, days in (await _days(store, "workflow", bounds)).items():
        until_ms = _newest(days)
        if until_ms is not None:
            found[org] = CreditsTold(until_ms, _any_since(days, until_ms))
    return found


def _any_since(days: Mapping[int, Tally], since_ms: int) -> bool:
    return any(at_ms >= since_ms and tally.n for at_ms, tally in days.items())


def _newest(days: Mapping[int, Tally]) -> int | None:
    return max((at_ms for at_ms, tally in days.items() if tally.credits), default=None)


async def _days(store: ReadStore, kind: RollupKind, bounds: Bounds) -> Mapping[str, Mapping[int, Tally]]:
    """Organisation -> begin of the day -> what ended on it."""
    found: dict[str, dict[int, Tally]] = {}
    tallies = await store.tallies(TallyQuery(kind, bounds, by=("org", "day"))) if bounds else {}
    for (org, day), tally in tallies.items():
        found.setdefault(org, {})[parse_ms(day) or 0] = tally
    return found
