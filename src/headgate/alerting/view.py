"""What a kind of rule sees of the world in one pass: windows that end where collection ended, and numbers of them.

Invariant: no window ends after the time up to which its project was completely collected, or within the rule's
`evaluation_delay` of now. A project that is behind is in no window: its groups are frozen, not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headgate.core.alertdata import Alert, Level, Outcome
from headgate.core.ports import Detector
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import Bounds
from headgate.insights.metric import Family, Labels, Measured, MetricDef, Point
from headgate.insights.reader import Reader

if TYPE_CHECKING:
    from headgate.alerting.rules import Rule

__all__ = [
    "Bounds",
    "DetectorFactory",
    "DetectorOptions",
    "Found",
    "Memory",
    "Pass",
    "Reach",
    "View",
    "Watermark",
    "Watermarks",
    "concerns",
]

# What a rule asks of a detector: direction, sensitivity, runs, min_change. One without such an option goes without.
DetectorOptions = tuple[tuple[str, str | float], ...]
# Builds a detector by name and options. Raises ConfigError for a name that nobody knows.
DetectorFactory = Callable[[str, DetectorOptions], Detector]


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to when a project's data is complete. `at_ms`: start of the last complete walk, None before the first.

    `behind_ms`: by how much this data is later than what else is known of the project, as credits are; that is not
    late. `since_ms`: what ended before that may never have been told, as nobody listened.
    """

    source: str
    at_ms: int | None
    behind_ms: int = 0
    since_ms: int = 0


# By project slug: every project that is collected now. One that is not named is no longer collected.
Watermarks = Mapping[str, Watermark]


@dataclass(frozen=True, slots=True)
class Found:
    """What a kind of rule says of one group. As a `Reading`, without its time.

    `first_bad_url`, `first_bad_ms`: link and end of that run. `window_ms`: what was judged, 0 for the rule's window.
    `texts`: more names for its templates. `hold`: keep the alert's memory although it is over: what it was about is
    still in sight.
    """

    outcome: Outcome
    level: Level = 0
    value: float | None = None
    baseline: float | None = None
    n: int = 0
    n_new: int = 0
    first_bad: str = ""
    first_bad_url: str = ""
    change_ms: int = 0
    hold: bool = False
    why: str = ""
    texts: Mapping[str, Any] = field(default_factory=dict)
    first_bad_ms: int = 0
    window_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reach:
    """How far each project can be judged. `ends`: slug -> end of the newest window; `late`: slug -> source.

    `behind`: slug -> by how much its windows end before the time up to which it is judged, where they do.
    """

    ends: Mapping[str, int]
    late: Mapping[str, str]
    now_ms: int
    behind: Mapping[str, int] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """Where all projects can be judged."""
        return min(self.ends.values(), default=self.now_ms)


# A window of a project, and by group the begins of the hours in it that had runs, ascending.
Hours = tuple[tuple[int, int], Mapping[Labels, Sequence[int]]]


@dataclass(slots=True)
class Memory:
    """What saves reading twice over several passes; nothing is wrong without it.

    `baselines`: rule and slot -> windows and what was measured in them. `ends`: rule -> where its windows ended.
    `hours`: rule -> project -> window and the hours in it that had runs.
    """

    baselines: dict[tuple[str, int], tuple[Bounds, Mapping[Labels, Measured]]] = field(default_factory=dict)
    ends: dict[str, Mapping[str, int]] = field(default_factory=dict)
    hours: dict[str, Mapping[str, Hours]] = field(default_factory=dict)


@dataclass(slots=True)
class Pass:
    """One pass over rules: what is read once and shared."""

    reader: Reader
    store: ReadStore
    marks: Mapping[Family, Watermarks]
    detectors: DetectorFactory
    now_ms: int
    memory: Memory = field(default_factory=Memory)
    reaches: dict[tuple[frozenset[Family], int, int], Reach] = field(default_factory=dict)
    windows: dict[tuple[int, int, int, int], Bounds] = field(default_factory=dict)

    def reach(self, rule: Rule) -> Reach:
        """How far a rule can look."""
        families = rule.metric.families
        key = (families, rule.delay_ms, rule.stale_after_ms)
        if key not in self.reaches:
            self.reaches[key] = self._reach(*key)
        return self.reaches[key]

    def _reach(self, families: frozenset[Family], delay_ms: int, stale_after_ms: int) -> Reach:
        ends: dict[str, int] = {}
        late: dict[str, str] = {}
        behind: dict[str, int] = {}
        newest_ms, oldest_ms = self.now_ms - delay_ms, self.now_ms - stale_after_ms
        for family in sorted(families):
            for project, mark in self.marks[family].items():
                if family == "freshness" and mark.at_ms is not None:  # how late it is, is what is judged
                    ends[project] = min(ends.get(project, newest_ms), newest_ms)
                elif mark.at_ms is None or mark.at_ms + mark.behind_ms < oldest_ms:
                    late[project] = mark.source
                else:
                    ends[project] = min(ends.get(project, newest_ms), mark.at_ms)
                    if mark.behind_ms:
                        behind[project] = mark.behind_ms
        return Reach({project: at for project, at in ends.items() if project not in late}, late, newest_ms, behind)

    def known(self, family: Iterable[Family]) -> bool:
        """Whether anything is known of what was collected."""
        return all(self.marks[name] for name in family)

    def bounds(self, reach: Reach, window_ms: int, back_ms: int, align_ms: int) -> Bounds:
        """Windows of every project that can be judged, `back_ms` before their end; ends at whole `align_ms`."""
        key = (id(reach), window_ms, back_ms, align_ms)
        if key not in self.windows:
            self.windows[key] = {
                project: (until - window_ms, until)
                for project, end in reach.ends.items()
                for until in ((end - back_ms) // align_ms * align_ms,)
            }
        return self.windows[key]


@dataclass(frozen=True, slots=True)
class View:
    """What one rule may ask in one pass."""

    rule: Rule
    shared: Pass
    reach: Reach

    @property
    def now_ms(self) -> int:
        """The time of the pass."""
        return self.shared.now_ms

    def end_ms(self, labels: Mapping[str, str]) -> int:
        """Where the windows of a group end."""
        return self.reach.ends.get(labels.get("project", ""), self.reach.end_ms)

    def listened_ms(self, project: str) -> int:
        """Since when nothing of a project can have been missed for good."""
        marks = (self.shared.marks[family].get(project) for family in self.rule.metric.families)
        return max((mark.since_ms for mark in marks if mark is not None), default=0)

    def judged_ms(self, labels: Mapping[str, str]) -> int:
        """Up to when a group is judged: data that is late by nature does not make the judgement late."""
        project = labels.get("project", "")
        projects = [project] if project in self.reach.ends else list(self.reach.ends)
        behind = self.reach.behind
        times = [min(self.reach.ends[one] + behind.get(one, 0), self.reach.now_ms) for one in projects]
        return min(times, default=self.reach.now_ms)

    def bounds(self, window_ms: int | None = None, *, back_ms: int = 0, align_ms: int = 1) -> Bounds:
        """The rule's window of every project, or one of that length that ends earlier."""
        return self.shared.bounds(self.reach, window_ms or self.rule.window_ms, back_ms, align_ms)

    async def measure(self, bounds: Bounds, *, metric: MetricDef | None = None) -> Mapping[Labels, Measured]:
        """The rule's metric, or another, of every group that has something in these windows."""
        rule = self.rule
        return await self.shared.reader.measure(metric or rule.metric, by=rule.by, where=rule.where, bounds=bounds)

    async def kept(self, slot: int, bounds: Bounds) -> Mapping[Labels, Measured]:
        """The same for a baseline, which is read anew only when its windows move. `slot`: which of the rule's."""
        key = (f"{self.rule.name} {self.rule.timing.version}", slot)
        before = self.shared.memory.baselines.get(key)
        if before is not None and before[0] == bounds:
            return before[1]
        found = await self.measure(bounds)
        self.shared.memory.baselines[key] = (bounds, found)
        return found

    async def hours(self, bounds: Bounds) -> Mapping[Labels, Sequence[int]]:
        """Begins of the hours in which each group ran, ascending; a project is read anew only when its window moves.

        For rules by project over a metric of sums.
        """
        rule, memory = self.rule, self.shared.memory.hours
        key = f"{rule.name} {rule.timing.version}"
        known = {one: has for one, has in memory.get(key, {}).items() if bounds.get(one) == has[0]}
        missing = {project: span for project, span in bounds.items() if project not in known}
        found = await self.shared.reader.hours(rule.metric, by=rule.by, where=rule.where, bounds=missing)
        groups: dict[str, dict[Labels, Sequence[int]]] = {project: {} for project in missing}
        for labels, hours in found.items():
            groups[dict(labels)["project"]][labels] = hours
        known |= {project: (span, groups[project]) for project, span in missing.items()}
        memory[key] = known
        return {labels: hours for _, each in known.values() for labels, hours in each.items()}

    def fresh(self) -> Bounds:
        """What each project gained since the rule looked before; without such a memory, within one interval."""
        before = self.shared.memory.ends.get(self.rule.name, {})
        every_ms, window_ms = self.rule.every_ms, self.rule.window_ms
        spans = {}
        for project, end in self.reach.ends.items():
            # What comes by the day comes bit by bit, whatever time it is about: any of the window may be new.
            known = end - window_ms if project in self.reach.behind else before.get(project, end - every_ms)
            spans[project] = (max(known, end - window_ms), end)
        return {project: span for project, span in spans.items() if span[0] < span[1]}

    async def new_runs(self, alerts: Mapping[Labels, Alert], groups: Iterable[Labels]) -> Mapping[Labels, int]:
        """How many runs of groups have ended since each project was judged before."""
        bounds: dict[str, tuple[int, int]] = {}
        fresh = self.fresh()
        for labels in groups:
            named = dict(labels)
            alert = alerts.get(labels)
            projects = [named["project"]] if "project" in named else list(self.reach.ends)
            for project in projects:
                end_ms = self.reach.ends.get(project)
                if end_ms is None:
                    continue
                since_ms = fresh.get(project, (end_ms, end_ms))[0]
                if alert is not None and alert.at_ms and project not in self.reach.behind:
                    since_ms = max(alert.at_ms, end_ms - self.rule.window_ms)
                bounds[project] = (min(since_ms, bounds.get(project, (since_ms, 0))[0]), end_ms)
        bounds = {project: span for project, span in bounds.items() if span[0] < span[1]}
        if not bounds:
            return {}
        return {labels: found.n for labels, found in (await self.measure(bounds)).items()}

    def accepts(self, values: Mapping[str, str]) -> bool:
        """Whether the rule's matchers take a row with these values, so far as they name any of them."""
        return all(matcher.accepts(values[matcher.label]) for matcher in self.rule.where if matcher.label in values)

    async def series(self, labels: Labels, limit: int) -> Sequence[Point]:
        """The newest runs of a group, oldest first."""
        named = dict(labels)
        return await self.shared.reader.series(
            self.rule.metric, labels=named, where=self.rule.where, before_ms=self.end_ms(named), limit=limit
        )


def concerns(rule: Rule, project: str) -> bool:
    """Whether a project's runs may be in a rule's numbers, as far as its matchers tell."""
    values = {"project": project, "org": org_slug(project)}
    return all(matcher.accepts(values[matcher.label]) for matcher in rule.where if matcher.label in values)
