"""Sorts sums and rows into groups: which dimensions must be asked for, what filters take, what the labels are. Pure.

Invariant: a group is the same for every metric that has its dimensions, whether sums or rows made it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from headgate.core.detailrows import OutageSum, RepeatSum
from headgate.core.outages import Outages
from headgate.core.slug import org_slug
from headgate.core.tally import Bounds, Dimension, Tally
from headgate.insights.dimensions import ROW_VALUES
from headgate.insights.eventfolds import DeploymentFold
from headgate.insights.match import Matcher, by_class
from headgate.insights.metric import (
    Fold,
    FromFormula,
    FromRows,
    FromTally,
    Labels,
    Measured,
    MetricDef,
    Repeats,
    Rows,
)
from headgate.insights.owners import Owners

__all__ = [
    "Grouping",
    "add_outages",
    "add_repeats",
    "combine",
    "fold_rows",
    "group_tallies",
    "longest_ms",
    "mean_credits",
    "measure_tallies",
    "merge_deployments",
]

# What follows from a project's slug, so that filters on it choose projects before anything is read.
_OF_SLUG = frozenset({"org", "project"})
# Whose values a store looks up, so that it need not read others.
_NAMED: tuple[Dimension, ...] = ("workflow", "job", "branch_class", "branch", "trigger", "resource_class")
_ORDER: tuple[Dimension, ...] = (
    "org",
    "project",
    "workflow",
    "job",
    "branch_class",
    "branch",
    "trigger",
    "resource_class",
)


def longest_ms(bounds: Bounds) -> int:
    """Length of the longest window; of windows that end at different times all are as long."""
    return max(until_ms - since_ms for since_ms, until_ms in set(bounds.values()))


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a measurement is grouped and filtered by. `where`: with the default branch as a class."""

    by: tuple[str, ...]
    where: tuple[Matcher, ...]
    owners: Owners

    @classmethod
    def of(cls, metric: MetricDef, by: Sequence[str], where: Sequence[Matcher], owners: Owners) -> Self:
        """Raises ValueError for a dimension that the metric does not have."""
        filters = tuple(map(by_class, where))
        for name in (*by, *(matcher.label for matcher in filters)):
            if name not in metric.dimensions:
                raise ValueError(f"{metric.id} has no {name!r}; it has {', '.join(metric.dimensions)}")
        return cls(tuple(by), filters, owners)

    @property
    def names(self) -> frozenset[str]:
        """Every dimension whose value decides about a row's group."""
        return frozenset(self.by) | {matcher.label for matcher in self.where}

    def narrowed(self, bounds: Bounds, known: dict[Matcher, dict[str, bool]]) -> Bounds:
        """The projects that filters on project and organisation take. `known`: what each said of a project before."""
        for one in self.where:
            if one.label in _OF_SLUG:
                takes = known.setdefault(one, {})
                for project in bounds.keys() - takes.keys():
                    takes[project] = one.accepts(project if one.label == "project" else org_slug(project))
                bounds = {project: window for project, window in bounds.items() if takes[project]}
        return bounds

    def counted_by(self, how: FromTally) -> tuple[Dimension, ...]:
        """The dimensions to ask sums for, in an order that is the same for every metric."""
        # Filters on project and organisation chose the projects already.
        names = frozenset(self.by) | {matcher.label for matcher in self.where if matcher.label not in _OF_SLUG}
        if "team" in names:
            names |= self.owners.needs if how.kind == "job" else self.owners.needs - {"job"}
        return tuple(name for name in _ORDER if name in names)

    @property
    def only(self) -> tuple[tuple[Dimension, str], ...]:
        """Names that filters ask for; a store that finds facts by them reads no others."""
        return tuple(
            (name, matcher.value)
            for matcher in self.where
            for name in _NAMED
            if matcher.op == "=" and matcher.label == name and matcher.value
        )

    @property
    def of_runs(self) -> tuple[Dimension, ...]:
        """The dimensions to ask sums of repeats for."""
        names = self.names | (self.owners.needs if "team" in self.names else frozenset())
        return tuple(name for name in ("workflow", "branch", "branch_class", "trigger") if name in names)

    def labels(self, values: Mapping[str, str]) -> Labels | None:
        """The group of something by its dimensions; None where a filter refuses it. Adds `team` by itself."""
        if "team" in self.names:
            of = {name: values.get(name, "") for name in ("project", "workflow", "job")}
            values = {**values, "team": self.owners.team(**of)}
        if not all(one.accepts(values[one.label]) for one in self.where if one.label in values):
            return None
        return tuple(sorted((name, values[name]) for name in self.by))

    def of_keys(self, keys: Sequence[Dimension]) -> Callable[[tuple[str, ...]], Labels | None]:
        """What tells the group of a key by these dimensions."""
        return lambda key: self.labels(dict(zip(keys, key, strict=True)))

    def of_places(self) -> Callable[[tuple[str, str]], Labels | None]:
        """What tells the group of a project and an environment, remembered as above."""
        return cache(
            lambda place: self.labels({"project": place[0], "org": org_slug(place[0]), "environment": place[1]})
        )

    def of_row(self, rows: Rows) -> Callable[[Any], Labels | None]:
        """What tells the group of a row."""
        known = ROW_VALUES[rows]
        names = self.names | (self.owners.needs if "team" in self.names else frozenset())
        found = {name: known[name] for name in sorted(names) if name in known}
        wanted = tuple(found.values())
        groups: dict[tuple[str, ...], Labels | None] = {}

        def of(row: Any) -> Labels | None:
            values = tuple([value_of(row) for value_of in wanted])
            if values not in groups:
                groups[values] = self.labels(dict(zip(found, values, strict=True)))
            return groups[values]

        return of


def group_tallies(
    labels_of: Callable[[tuple[str, ...]], Labels | None], tallies: Mapping[tuple[str, ...], Tally]
) -> Mapping[Labels, Tally]:
    """The sums of each group. `labels_of`: the group of a key, which may be finer."""
    groups: dict[Labels, Tally] = {}
    shared: set[Labels] = set()
    for key, tally in tallies.items():
        labels = labels_of(key)
        if labels is None:
            continue
        if labels not in groups:
            groups[labels] = tally
            shared.add(labels)
            continue
        if labels in shared:  # the store's answer is used again, so a sum of several is a new one
            first, groups[labels] = groups[labels], Tally()
            groups[labels].add(first)
            shared.remove(labels)
        groups[labels].add(tally)
    return groups


def measure_tallies(how: FromTally, groups: Mapping[Labels, Tally], span_ms: int) -> Mapping[Labels, Measured]:
    """The metric of each group in which something qualifies, over a window of that length."""
    found = {labels: how.of(tally, span_ms) for labels, tally in groups.items()}
    return {labels: measured for labels, measured in found.items() if measured.n}


def add_repeats(into: Repeats, row: RepeatSum) -> None:
    """Repeats of a group."""
    into.repeats += row.runs
    into.green_on_retry += row.green
    into.credits += row.credits
    into.charged += row.charged
    into.estimated |= row.estimated
    into.duration_ms += row.duration_ms


def add_outages(grouping: Grouping, sums: Iterable[OutageSum]) -> Mapping[Labels, Outages]:
    """What the sums of each group add up to."""
    found: dict[Labels, Outages] = {}
    labels_of = grouping.of_row("runs")
    for row in sums:
        labels = labels_of(row)
        if labels is not None:
            one = found.setdefault(labels, Outages())
            one.recoveries += row.recoveries
            one.red_ms += row.red_ms
            one.relapses += row.relapses
            one.green_ms += row.green_ms
    return found


def merge_deployments(
    labels_of: Callable[[tuple[str, str]], Labels | None], parts: Mapping[tuple[str, str], DeploymentFold]
) -> Mapping[Labels, DeploymentFold]:
    """What each group's projects and environments add up to."""
    found: dict[Labels, DeploymentFold] = {}
    for place, fold in parts.items():
        labels = labels_of(place)
        if labels is not None:
            found.setdefault(labels, DeploymentFold()).merge(fold)
    return found


def combine(how: FromFormula, inputs: Mapping[str, Mapping[Labels, Measured]]) -> Mapping[Labels, Measured]:
    """A formula over the groups in which every input has a value. The sample is the smallest of the inputs'."""
    found: dict[Labels, Measured] = {}
    for labels in set.intersection(*(set(groups) for groups in inputs.values())):
        parts = {name: groups[labels] for name, groups in inputs.items()}
        values = {name: part.value for name, part in parts.items() if part.value is not None}
        value = how.of(values) if len(values) == len(parts) else None
        if value is not None:
            least = min(part.n for part in parts.values())
            found[labels] = Measured(value, least, estimated=any(part.estimated for part in parts.values()))
    return found


def mean_credits(
    keys: Sequence[Dimension], tallies: Mapping[tuple[str, ...], Tally]
) -> Mapping[tuple[str, str], float]:
    """(project, job) -> credits of one run of the job, on average."""
    sums: dict[tuple[str, str], list[int]] = {}
    project, job = keys.index("project"), keys.index("job")
    for key, tally in tallies.items():
        total = sums.setdefault((key[project], key[job]), [0, 0])
        total[0] += tally.credits
        total[1] += tally.n
    return {name: used / n for name, (used, n) in sums.items() if n}


async def fold_rows(
    how: FromRows, grouping: Grouping, pages: AsyncIterator[Sequence[tuple[Any, bool]]]
) -> Mapping[Labels, Fold]:
    """What each group's rows add up to; each row comes with whether it is in its window or came before."""
    folds: dict[Labels, Fold] = {}
    labels_of = grouping.of_row(how.rows)
    async for page in pages:
        for row, inside in page:
            labels = labels_of(row)
            if labels is None:
                continue
            fold = folds.get(labels)
            if fold is None:
                fold = folds[labels] = how.start()
            fold.add(row, inside=inside)
    return folds
