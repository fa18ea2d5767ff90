"""Rows of the usage export by the labels of pages; and which sums of no credits they tell to be nothing.

Invariant: a group cost nothing only where the export has rows of it, none of which cost anything, and of every day on
which its projects ran, up to the newest it tells of their organisation; else it is not known.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from headgate.core.detailrows import USAGE_NAMES, UsageName, UsageSum
from headgate.core.rollup import RollupKind
from headgate.core.slug import org_slug
from headgate.core.tally import Bounds, TallyQuery
from headgate.core.times import parse_ms
from headgate.insights.match import Matcher, matches
from headgate.insights.metric import Labels
from headgate.insights.views.lens import Lens

__all__ = ["free", "labels_of", "names_of"]

_PLACE = ("org", "project")
_LABELS = frozenset({"org", "project", "workflow", "job", "resource_class", "team"})


def names_of(lens: Lens, labels: Collection[str]) -> Sequence[UsageName]:
    """What rows must be told apart by, for these labels."""
    names = {"workflow", "job", "resource_class"}.intersection(labels)
    if "team" in labels:
        names |= lens.owners.needs
    return [name for name in USAGE_NAMES if name in names]


def labels_of(lens: Lens, row: UsageSum) -> Mapping[str, str]:
    """Of one row; names that were not asked for are empty."""
    return {
        "org": org_slug(row.project),
        "project": row.project,
        "workflow": row.workflow,
        "job": row.job,
        "resource_class": row.resource_class,
        "team": lens.owners.team(row.project, row.workflow, row.job),
    }


async def free(
    lens: Lens, groups: Collection[Labels], *, by: Sequence[str], where: Sequence[Matcher], bounds: Bounds
) -> Collection[Labels]:
    """Those of the groups that cost nothing within bounds. None where the export does not know what they are by."""
    asked = {*by, *(one.label for one in where)}
    if not groups or not _LABELS.issuperset(asked):
        return ()
    projects = {dict(labels)["project"] for labels in groups} if "project" in by else bounds.keys()
    within = {project: bounds[project] for project in projects}
    cost: dict[Labels, int] = {}
    for row in await lens.store.usage_sums(within, names_of(lens, asked)):
        known = labels_of(lens, row)
        if matches(where, known):
            labels = tuple(sorted((name, known[name]) for name in by))
            cost[labels] = cost.get(labels, 0) + row.total + sum(row.credits.values())
    nothing = [labels for labels in groups if cost.get(labels) == 0]
    missing = await _missing(lens, within) if nothing else ()
    of_place = [one for one in where if one.label in _PLACE]
    places = [{"org": org_slug(project), "project": project} for project in missing]
    untold = [place for place in places if matches(of_place, place)]
    return [labels for labels in nothing if not any(_covers(labels, place) for place in untold)]


def _covers(labels: Labels, place: Mapping[str, str]) -> bool:
    """Whether a project may be of the group, whatever else that is by."""
    return all(place.get(name, text) == text for name, text in labels)


async def _missing(lens: Lens, bounds: Bounds) -> Collection[str]:
    """Projects that ran on a day of which the export has no row of them, though it tells of that day or a later one.

    Exports tell of whole organisations, so where it has none of an organisation at all, every day is missing.
    """
    orgs, since_ms = {org_slug(one) for one in bounds}, min(since for since, _ in bounds.values())
    every = [row.project for row in await lens.projects() if org_slug(row.project) in orgs]
    told = await lens.store.usage_days(dict.fromkeys({*every, *bounds}, (since_ms, sys.maxsize)))
    newest: dict[str, int] = {}
    for project, days in told.items():
        newest[org_slug(project)] = max(days[-1], newest.get(org_slug(project), 0))
    return {
        project
        for project, days in (await _ran(lens, bounds)).items()
        if any(day <= newest.get(org_slug(project), sys.maxsize) for day in days.difference(told.get(project, ())))
    }


async def _ran(lens: Lens, bounds: Bounds) -> Mapping[str, set[int]]:
    """Project -> begins of UTC days on which its jobs ended; runs, where no jobs are known. What was skipped is not."""
    found: dict[str, set[int]] = {}
    kinds: tuple[RollupKind, ...] = ("job", "workflow")
    for kind in kinds:
        left = {project: span for project, span in bounds.items() if project not in found}
        tallies = await lens.store.tallies(TallyQuery(kind, left, by=("project", "day"))) if left else {}
        days: defaultdict[str, set[int]] = defaultdict(set)
        for (project, day), tally in tallies.items():
            if tally.n > tally.skipped:
                days[project].add(parse_ms(day) or 0)
        found |= days
    return found
