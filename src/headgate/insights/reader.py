"""Measures metrics for one pass over the rules, or one page: asks the store, sorts into groups, computes.

Windows are half open and may differ by project. Invariants: within a pass each sum is asked for once; a group in which
nothing qualifies is absent.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from headgate.core.detailrows import RepeatSum
from headgate.core.outages import Outages
from headgate.core.rollup import Measure, RollupKind
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import STEPS, Bounds, Dimension, Tally, TallyQuery
from headgate.core.times import parse_ms
from headgate.insights.creditdays import CreditsTold, credits_told
from headgate.insights.eventfolds import DeploymentFold
from headgate.insights.grouping import (
    Grouping,
    add_outages,
    add_repeats,
    combine,
    fold_rows,
    group_tallies,
    longest_ms,
    measure_tallies,
    merge_deployments,
)
from headgate.insights.match import Matcher
from headgate.insights.metric import (
    Fold,
    FromDeployments,
    FromFormula,
    FromOutages,
    FromRepeats,
    FromRows,
    FromTally,
    Labels,
    Measured,
    MetricDef,
    Point,
    Repeats,
)
from headgate.insights.owners import Owners
from headgate.insights.points import read_points
from headgate.insights.rows import CONTEXT_MS, Deployments, Faults, read_rows

__all__ = ["Reader", "step_of"]

# Groups that take about a millisecond, less than the way to a thread and back under load.
_FEW = 200
_RUNS = FromTally("workflow", lambda tally, _span: Measured(None, tally.n))
Tallies = Mapping[tuple[str, ...], Tally]


def step_of(starts: Sequence[int]) -> Dimension:
    """The dimension that sorts runs into windows that begin there, milliseconds, the first wherever it does."""
    return "day" if all(at % STEPS["day"] == 0 for at in starts[1:]) else "hour"


def _by_hour(grouping: Grouping, asked: TallyQuery, tallies: Tallies, group: Labels) -> Mapping[int, Tally]:
    """Begin of the hour -> the sums of one group in it."""
    place, found = asked.by.index("hour"), dict[int, Tally]()
    for key, tally in tallies.items():
        if grouping.labels(dict(zip(asked.by, key, strict=True))) == group:
            found.setdefault(parse_ms(key[place]) or 0, Tally()).add(tally)
    return found


class Reader:
    """Values of metrics. Not for two tasks at once; forget it after the pass, since it remembers what it read.

    `behind_ms`: project -> how far behind the present it is collected, for `data_freshness`.
    """

    def __init__(self, store: ReadStore, *, owners: Owners, behind_ms: Mapping[str, int] | None = None) -> None:
        self._store = store
        self.owners = owners
        self._behind_ms = behind_ms or {}
        self._measured: dict[object, Mapping[Labels, Measured]] = {}
        self._grouped: dict[object, Mapping[Labels, Tally]] = {}
        self._folds: dict[object, Mapping[Labels, Fold]] = {}
        self._deployed: dict[object, Mapping[tuple[str, str], DeploymentFold]] = {}
        self._shipped: dict[object, Mapping[Labels, DeploymentFold]] = {}
        self._places: dict[Grouping, Callable[[tuple[str, str]], Labels | None]] = {}
        self.deployments = Deployments(store)
        self.faults = Faults(store)
        self._broken: dict[object, Mapping[Labels, Outages]] = {}
        self._repeats: dict[object, Mapping[Labels, Repeats]] = {}
        self._repeated_by: dict[object, list[tuple[frozenset[Dimension], Sequence[RepeatSum]]]] = {}
        self._known: dict[object, list[tuple[TallyQuery, Tallies]]] = {}
        self._takes: dict[Matcher, dict[str, bool]] = {}
        self._told: dict[object, Mapping[str, CreditsTold]] = {}

    async def measure(  # noqa: PLR0911  # one return for each way to compute
        self, metric: MetricDef, *, by: Sequence[str], where: Sequence[Matcher], bounds: Bounds
    ) -> Mapping[Labels, Measured]:
        """The metric of each group of `by` over `bounds` (project -> [since_ms, until_ms)).

        Raises ValueError for a dimension that the metric does not have.
        """
        grouping = Grouping.of(metric, by, where, self.owners)
        bounds = grouping.narrowed(bounds, self._takes)
        if not bounds:
            return {}
        match metric.compute:
            case FromTally() as how:
                key = (metric.id, metric.over, grouping, frozenset(bounds.items()))
                if key not in self._measured:
                    query = TallyQuery(how.kind, bounds, grouping.counted_by(how), how.bins, grouping.only)
                    groups = await self._groups(grouping, await self._tallies(query))
                    self._measured[key] = measure_tallies(how, groups, longest_ms(bounds))
                return self._measured[key]
            case FromRepeats() as how:
                found = await self._repeated(grouping, bounds)
                values = {labels: how.read(one) for labels, one in found.items()}
                return {labels: measured for labels, measured in values.items() if measured.n}
            case FromRows() | FromOutages() as how:
                return await self._ordered(how, grouping, bounds)
            case FromDeployments() as how:
                return await self._of_deployments(how, grouping, bounds)
            case FromFormula() as how:
                return await self._computed(how, by, where, bounds)
            case _:
                return self._lags(grouping, bounds)

    async def expect(
        self,
        metrics: Iterable[MetricDef],
        *,
        by: Sequence[str],
        where: Sequence[Matcher],
        bounds: Bounds,
        step: Dimension | None = None,
    ) -> None:
        """Ask for the sums of several metrics at once: `measure` of each, by the same or less, then asks no more.

        `step`: so does `timeline` in these steps, over windows that make up the bounds.
        """
        wanted: dict[RollupKind, tuple[frozenset[Dimension], frozenset[Measure]]] = {}
        only: tuple[tuple[Dimension, str], ...] = ()
        for metric in metrics:
            if isinstance(metric.compute, FromTally):
                how, grouping = metric.compute, Grouping.of(metric, by, where, self.owners)
                names, bins = wanted.get(how.kind, (frozenset(), frozenset()))
                wanted[how.kind] = (names | set(grouping.counted_by(how)), bins | how.bins)
                bounds, only = grouping.narrowed(bounds, self._takes), grouping.only
        for kind, (names, bins) in wanted.items():
            if bounds:
                counted: tuple[Dimension, ...] = ((step,) if step else ()) + tuple(sorted(names))
                await self._tallies(TallyQuery(kind, bounds, counted, bins, only))

    async def timeline(
        self,
        metric: MetricDef,
        *,
        by: Sequence[str],
        where: Sequence[Matcher],
        bounds: Sequence[Bounds],
    ) -> Sequence[Mapping[Labels, Measured]]:
        """The metric of each group over each of several windows, one behind the other, in their order.

        Where each begins and ends on a UTC hour, but for the first begin and the last end, sums are asked for once.
        Raises ValueError as `measure`.
        """
        if isinstance(metric.compute, FromFormula):
            how = metric.compute
            inputs = {
                name: await self.timeline(one, by=by, where=where, bounds=bounds) for name, one in how.inputs.items()
            }
            return [combine(how, {name: lines[at] for name, lines in inputs.items()}) for at in range(len(bounds))]
        if not isinstance(metric.compute, FromTally):
            return [await self.measure(metric, by=by, where=where, bounds=one) for one in bounds]
        grouping = Grouping.of(metric, by, where, self.owners)
        narrowed = [grouping.narrowed(one, self._takes) for one in bounds]
        if not all(narrowed):
            return [{} for _ in bounds]
        return await self._slots(metric.compute, grouping, narrowed)

    async def _slots(
        self, how: FromTally, grouping: Grouping, bounds: Sequence[Bounds]
    ) -> Sequence[Mapping[Labels, Measured]]:
        """Sums of all windows from one question, sorted into them by the hour or day in which runs ended."""
        whole = {name: (bounds[0][name][0], bounds[-1][name][1]) for name in bounds[0]}
        starts = [next(iter(one.values()))[0] for one in bounds]
        step = step_of(starts)
        query = TallyQuery(how.kind, whole, (step, *grouping.counted_by(how)), how.bins, grouping.only)
        asked, tallies = await self._tallies(query)
        place = asked.by.index(step)
        keys = tuple(name for name in asked.by if name != step)
        parts: list[dict[tuple[str, ...], Tally]] = [{} for _ in bounds]
        slots = {at: max(0, bisect_right(starts, parse_ms(at) or 0) - 1) for at in {key[place] for key in tallies}}
        for key, tally in tallies.items():
            slot = slots[key[place]]
            rest = (*key[:place], *key[place + 1 :])
            if rest in parts[slot]:
                tally, more = Tally(), tally  # the store's answer is used again, so a sum is a new one
                tally.add(parts[slot][rest])
                tally.add(more)
            parts[slot][rest] = tally
        named = cache(grouping.of_keys(keys))  # windows one behind the other have the same keys
        return [
            measure_tallies(how, group_tallies(named, part), longest_ms(one))
            for one, part in zip(bounds, parts, strict=True)
        ]

    async def rolling(
        self, metric: MetricDef, group: Labels, *, where: Sequence[Matcher], bounds: Sequence[Bounds]
    ) -> Sequence[Measured]:
        """The metric of one group over windows that overlap, in their order; without a value where nothing qualifies.

        They begin and end on UTC hours, so that sums are asked for once. Only metrics of sums: raises TypeError.
        """
        if not isinstance(metric.compute, FromTally):
            raise TypeError(f"{metric.id} is not computed from sums")
        how, grouping = metric.compute, Grouping.of(metric, [name for name, _ in group], where, self.owners)
        narrowed = [one for one in (grouping.narrowed(one, self._takes) for one in bounds) if one]
        if len(narrowed) < len(bounds):
            return [Measured(None, 0) for _ in bounds]
        whole: Bounds = {
            slug: (min(one[slug][0] for one in narrowed), max(one[slug][1] for one in narrowed)) for slug in narrowed[0]
        }
        asked, tallies = await self._tallies(TallyQuery(how.kind, whole, ("hour", *grouping.counted_by(how)), how.bins))
        hours = _by_hour(grouping, asked, tallies, group)
        found = []
        for one in narrowed:
            since_ms, until_ms = next(iter(one.values()))
            total = Tally()
            for at_ms in range(since_ms, until_ms, STEPS["hour"]):
                if at_ms in hours:
                    total.add(hours[at_ms])
            found.append(measure_tallies(how, {group: total}, until_ms - since_ms).get(group, Measured(None, 0)))
        return found

    async def hours(
        self, metric: MetricDef, *, by: Sequence[str], where: Sequence[Matcher], bounds: Bounds
    ) -> Mapping[Labels, Sequence[int]]:
        """Begins of the UTC hours in which runs of each group ended, ascending. Only metrics of sums, as `rolling`."""
        if not isinstance(metric.compute, FromTally):
            raise TypeError(f"{metric.id} is not computed from sums")
        how, grouping = metric.compute, Grouping.of(metric, by, where, self.owners)
        bounds = grouping.narrowed(bounds, self._takes)
        if not bounds:
            return {}
        query = TallyQuery(how.kind, bounds, ("hour", *grouping.counted_by(how)), only=grouping.only)
        asked, tallies = await self._tallies(query)
        place, found = asked.by.index("hour"), dict[Labels, set[int]]()
        named = cache(grouping.of_keys([name for name in asked.by if name != "hour"]))
        for key in tallies:
            labels = named((*key[:place], *key[place + 1 :]))
            if labels is not None:
                found.setdefault(labels, set()).add(parse_ms(key[place]) or 0)
        return {labels: sorted(times) for labels, times in found.items()}

    async def _tallies(self, query: TallyQuery) -> tuple[TallyQuery, Tallies]:
        """Sums that answer a query, and what they were asked for: they may be finer, with more sketches."""
        known = self._known.setdefault((query.kind, frozenset(query.bounds.items())), [])
        for asked, tallies in known:
            if set(asked.by) >= set(query.by) and asked.bins >= query.bins and asked.only in ((), query.only):
                return asked, tallies
        tallies = await self._store.tallies(query)
        known.append((query, tallies))
        return query, tallies

    async def _groups(self, grouping: Grouping, known: tuple[TallyQuery, Tallies]) -> Mapping[Labels, Tally]:
        """Sums by group, which all metrics of one grouping share."""
        query, tallies = known
        key = (id(query), grouping)  # `_known` keeps the query, so that its id stays its own
        if key not in self._grouped:
            args = (grouping.of_keys(query.by), tallies)
            few = len(tallies) < _FEW
            self._grouped[key] = group_tallies(*args) if few else await asyncio.to_thread(group_tallies, *args)
        return self._grouped[key]

    async def _repeated(self, grouping: Grouping, bounds: Bounds) -> Mapping[Labels, Repeats]:
        """Sums of each group's runs and of its repeats."""
        key = (grouping, frozenset(bounds.items()))
        if key not in self._repeats:
            query = TallyQuery("workflow", bounds, grouping.counted_by(_RUNS), only=grouping.only)
            found: dict[Labels, Repeats] = {}
            for labels, tally in (await self._groups(grouping, await self._tallies(query))).items():
                found[labels] = Repeats(ended=tally.n - tally.skipped, green=tally.ok)
            labels_of = grouping.of_row("runs")
            for row in await self._repeat_sums(grouping, bounds):
                place = labels_of(row)
                if place is not None:
                    add_repeats(found.setdefault(place, Repeats()), row)
            self._repeats[key] = found
        return self._repeats[key]

    async def _repeat_sums(self, grouping: Grouping, bounds: Bounds) -> Sequence[RepeatSum]:
        """From sums that were asked for already, where those are as fine."""
        known = self._repeated_by.setdefault(frozenset(bounds.items()), [])
        for by, sums in known:
            if by.issuperset(grouping.of_runs):
                return sums
        sums = await self._store.repeat_sums(bounds, by=grouping.of_runs)
        known.append((frozenset(grouping.of_runs), sums))
        return sums

    async def _ordered(
        self, how: FromRows | FromOutages, grouping: Grouping, bounds: Bounds
    ) -> Mapping[Labels, Measured]:
        """From rows; outages from sums of them where triggers do not matter."""
        if isinstance(how, FromRows):
            return await self._folded(how, grouping, bounds)
        if "trigger" in grouping.names:
            return await self._folded(how.by_run, grouping, bounds)
        return await self._outages(how, grouping, bounds)

    async def _outages(self, how: FromOutages, grouping: Grouping, bounds: Bounds) -> Mapping[Labels, Measured]:
        """Metrics of one grouping ask for sums once."""
        key = (grouping, frozenset(bounds.items()))
        if key not in self._broken:
            sums = await self._store.outage_sums(bounds, by=grouping.of_runs, least_ms=CONTEXT_MS)
            self._broken[key] = add_outages(grouping, sums)
        found = self._broken[key]
        if how.judged:
            query = TallyQuery("workflow", bounds, grouping.counted_by(_RUNS), only=grouping.only)
            groups = await self._groups(grouping, await self._tallies(query))
            found = {
                labels: replace(found.get(labels) or Outages(), judged=tally.ok + tally.failed)
                for labels, tally in groups.items()
            }
        values = {labels: how.read(one) for labels, one in found.items()}
        return {labels: measured for labels, measured in values.items() if measured.n}

    async def _folded(self, how: FromRows, grouping: Grouping, bounds: Bounds) -> Mapping[Labels, Measured]:
        """The metric of each group from rows, which metrics of one kind read once."""
        if how.rows == "flakes" and "test" in grouping.names:
            how = replace(how, rows="tests")  # a count of tests says nothing of one
        key = (how.rows, how.start, how.context, grouping, frozenset(bounds.items()))
        if key not in self._folds:
            self._folds[key] = await fold_rows(how, grouping, read_rows(self._store, how, bounds, self.faults))
        span_ms = longest_ms(bounds)
        found = {labels: how.read(fold, span_ms) for labels, fold in self._folds[key].items()}
        return {labels: measured for labels, measured in found.items() if measured.n}

    async def _of_deployments(
        self, how: FromDeployments, grouping: Grouping, bounds: Bounds
    ) -> Mapping[Labels, Measured]:
        """The metric of each group from deployments, which are folded once for all groupings."""
        begun = how.begun or self.deployments.begun
        key = (begun, frozenset(bounds.items()))
        if key not in self._deployed:
            self._deployed[key] = await self.deployments.folded(bounds, begun=begun)
        place = (*key, grouping)
        if place not in self._shipped:
            labels_of = self._places.setdefault(grouping, grouping.of_places())
            self._shipped[place] = merge_deployments(labels_of, self._deployed[key])
        span_ms = longest_ms(bounds)
        found = {labels: how.read(fold, span_ms) for labels, fold in self._shipped[place].items()}
        return {labels: measured for labels, measured in found.items() if measured.n}

    async def _computed(
        self, how: FromFormula, by: Sequence[str], where: Sequence[Matcher], bounds: Bounds
    ) -> Mapping[Labels, Measured]:
        """A formula over the groups in which every input has a value. The sample is the smallest of the inputs'."""
        inputs = {
            name: await self.measure(metric, by=by, where=where, bounds=bounds) for name, metric in how.inputs.items()
        }
        return combine(how, inputs)

    def _lags(self, grouping: Grouping, bounds: Bounds) -> Mapping[Labels, Measured]:
        """The stalest project of each group."""
        found: dict[Labels, Measured] = {}
        for project in sorted(bounds.keys() & self._behind_ms.keys()):
            labels = grouping.labels({"project": project, "org": org_slug(project)})
            if labels is not None:
                seconds, before = self._behind_ms[project] / 1000, found.get(labels, Measured(0.0, 0))
                found[labels] = Measured(max(seconds, before.value or 0.0), before.n + 1)
        return found

    async def series(
        self, metric: MetricDef, *, labels: Mapping[str, str], where: Sequence[Matcher], before_ms: int, limit: int
    ) -> Sequence[Point]:
        """The newest `limit` runs or jobs that qualify and ended before `before_ms`, oldest first.

        `labels` has at least `metric.series_needs`. Raises ValueError where it has not, or the metric has no series.
        """
        return await read_points(
            self._store, self.owners, metric, labels=labels, where=where, before_ms=before_ms, limit=limit
        )

    async def credits_told(self, bounds: Bounds) -> Mapping[str, CreditsTold]:
        """By organisation, up to when credits of what ended within bounds are known; one without any is left out."""
        key = frozenset(bounds.items())
        if key not in self._told:
            self._told[key] = await credits_told(self._store, bounds)
        return self._told[key]
