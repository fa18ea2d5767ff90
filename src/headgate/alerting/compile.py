"""From a rule as written to a usable rule: metric, dimensions, a judge of its kind. Pure but for files of holidays."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headgate.alerting.calendars import Calendar, read_dates
from headgate.alerting.forms import KINDS, CalendarSpec, Defaults, GroupSpec, Kind, RuleFile, RuleSpec, version_of
from headgate.alerting.kinds.baseline import Span
from headgate.alerting.routes import BELOW_WARNING
from headgate.alerting.rules import Judge, Rule
from headgate.alerting.spec import Building, Ground, PlanSpec, Spec
from headgate.alerting.templates import label_problem, template_problem
from headgate.alerting.units import Duration, duration_text
from headgate.alerting.yamlfile import KeyPath, near, nearest
from headgate.core.alertdata import Timing
from headgate.core.tally import DEFAULT_BRANCH
from headgate.core.times import DAY_MS
from headgate.insights.dimensions import DIMENSIONS
from headgate.insights.match import Matcher, by_class, parse_matcher
from headgate.insights.metric import MetricDef, Over

__all__ = ["compile_file"]

_LABEL = re.compile(r"^[a-z_][a-z0-9_]*$")
_RESERVED = frozenset({"alertname", "group"})
# Severities that routes and notifiers know; others are allowed, but not what looks like a slip of the pen.
_SEVERITIES = frozenset({"critical", "page", "high", "error", "warning"}) | BELOW_WARNING
Wrong = tuple[KeyPath, str]


def compile_file(spec: RuleFile, *, base: Path, ground: Ground) -> tuple[list[tuple[KeyPath, Rule]], list[Wrong]]:
    """Usable rules with their paths, and what is wrong with the others. `base`: folder of the rule file."""
    rules: list[tuple[KeyPath, Rule]] = []
    wrong: list[Wrong] = []
    for g, group in enumerate(spec.groups):
        where = _where(group, ("groups", g, "match"), wrong)
        for r, rule in enumerate(group.rules):
            path: KeyPath = ("groups", g, "rules", r)
            compiled = _Compiler(rule, group, spec.defaults, spec.plan, base, ground, path, wrong).rule(where)
            if compiled is not None:
                rules.append((path, compiled))
    return rules, wrong


def _lengths(value: object, key: KeyPath = ()) -> Iterator[tuple[KeyPath, int]]:
    """Every length of time that is written in a form with its key, milliseconds."""
    if isinstance(value, Duration | Span):
        yield key, value.ms
    elif isinstance(value, Spec):
        for name in sorted(value.model_fields_set):
            info = type(value).model_fields[name]
            yield from _lengths(getattr(value, name), (*key, info.alias or name))
    elif isinstance(value, tuple):
        for index, one in enumerate(value):
            yield from _lengths(one, (*key, index))


def _where(group: GroupSpec, path: KeyPath, wrong: list[Wrong]) -> tuple[Matcher, ...]:
    found: list[Matcher] = []
    entries: Iterator[tuple[str | int, Matcher | str]]
    if isinstance(group.match, Mapping):
        entries = ((label, Matcher(label, "=", value)) for label, value in group.match.items())
    else:
        entries = iter(enumerate(group.match))
    for key, entry in entries:
        try:
            matcher = entry if isinstance(entry, Matcher) else parse_matcher(entry)
        except ValueError as error:
            wrong.append(((*path, key), str(error)))
            continue
        if matcher.label not in DIMENSIONS:
            wrong.append(((*path, key), f"runs have no {matcher.label!r}{nearest(matcher.label, DIMENSIONS)}"))
        found.append(by_class(matcher))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Compiles one rule, noting what is wrong under its path."""

    spec: RuleSpec
    group: GroupSpec
    defaults: Defaults
    plan: PlanSpec | None
    base: Path
    ground: Ground
    path: KeyPath
    wrong: list[Wrong]

    def rule(self, where: tuple[Matcher, ...]) -> Rule | None:
        before = len(self.wrong)
        self._check_labels()
        self._check_annotations()
        name = self._kind()
        if name is None:
            return None
        kind = KINDS[name]
        metric = self._metric(kind)
        if metric is None:
            return None
        self._check_by(metric)
        self._check_where(metric, where)
        self._check_lengths(metric)
        window_ms = self._window(name, kind)
        calendar = self._calendar()
        judge = kind.build(self._form(name), self._building(metric, kind, window_ms))
        if len(self.wrong) > before or judge is None:
            return None
        return self._built(name, kind, judge, metric, self._on_default(name, where), window_ms, calendar)

    def _built(  # noqa: PLR0917  # what was compiled, in the order of the rule
        self,
        name: str,
        kind: Kind,
        judge: Judge,
        metric: MetricDef,
        where: tuple[Matcher, ...],
        window_ms: int,
        calendar: Calendar | None,
    ) -> Rule:
        spec, defaults = self.spec, self.defaults
        return Rule(
            name=spec.alert,
            group=self.group.name,
            kind=name,
            judge=judge,
            metric=metric,
            by=spec.by,
            where=where,
            window_ms=window_ms,
            min_runs=self._min_runs(kind, metric),
            timing=Timing(
                for_ms=spec.for_.ms,
                for_runs=spec.for_runs,
                keep_firing_ms=(spec.keep_firing_for or defaults.keep_firing_for).ms,
                recover_runs=spec.recover.runs,
                no_data=spec.no_data or kind.no_data or defaults.no_data,
                gone_after_ms=2 * window_ms,
                version=version_of(spec, self.group.match),
                silent_end=spec.event == "main_recovered",
            ),
            stale=spec.stale or defaults.stale,
            every_ms=(spec.every or defaults.every).ms,
            delay_ms=(spec.evaluation_delay or defaults.evaluation_delay).ms,
            max_alerts=spec.max_alerts_per_rule or defaults.max_alerts_per_rule,
            labels=spec.labels,
            annotations=spec.annotations,
            calendar=calendar,
            suspects=spec.context is not None,
        )

    def _note(self, key: KeyPath, text: str) -> None:
        self.wrong.append(((*self.path, *key), text))

    def _kind(self) -> str | None:
        given = [name for name in KINDS if self._form(name) is not None]
        if not given:
            self._note(("alert",), f"says nothing of when it fires; write one of {', '.join(KINDS)}")
        for name in given[1:]:
            self._note((name,), f"a rule is of one kind, and this one has {given[0]} already")
        return given[0] if len(given) == 1 else None

    def _form(self, name: str) -> object:
        return getattr(self.spec, name)

    def _building(self, metric: MetricDef, kind: Kind, window_ms: int) -> Building:
        return Building(
            metric=metric,
            by=self.spec.by,
            window_ms=window_ms,
            window_given=self.spec.window is not None,
            every_ms=(self.spec.every or self.defaults.every).ms,
            min_runs=self._min_runs(kind, metric),
            recover=self.spec.recover,
            floor=self.spec.floor,
            plan=self.plan,
            detectors=self.ground.detectors,
            note=self._note,
        )

    def _min_runs(self, kind: Kind, metric: MetricDef) -> int:
        of_projects = 1 if metric.families == {"freshness"} else None  # it counts projects, not runs
        return self.spec.min_runs or kind.min_runs or of_projects or self.defaults.min_runs

    def _metric(self, kind: Kind) -> MetricDef | None:
        name = self.spec.metric or kind.metric
        if name is None:
            self._note(("metric",), "is required")
            return None
        if name not in self.ground.catalogue:
            self._note(("metric",), f"unknown metric {name!r}{nearest(name, self.ground.catalogue)}")
            return None
        of_jobs: Over | None = "jobs" if self.spec.metric is None and "job" in self.spec.by else None
        try:
            return self.ground.catalogue.resolve(name, self.spec.over or of_jobs)
        except ValueError as error:
            self._note(("over",), str(error))
            return None

    def _window(self, name: str, kind: Kind) -> int:
        """Milliseconds; a default where the kind has its own, so that the rest can be checked."""
        every = self.spec.every or self.defaults.every
        if every.ms < 1000:
            self._note(("every",), "at least 1s")
        if self.spec.slo is not None:
            return max(long.ms for long, _, _ in self.spec.slo.windows)
        if self.spec.window is None and kind.window_ms is None:
            self._note(("window",), "is required")
        window_ms = self.spec.window.ms if self.spec.window else kind.window_ms or DAY_MS
        if window_ms < every.ms:
            self._note(("window",), "is shorter than the time between evaluations; runs would go unseen")
        if self.spec.window is not None and name in ("event", "stuck"):
            self._note(("window",), f"means nothing for {name}")
        return window_ms

    @staticmethod
    def _on_default(name: str, where: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
        """Events are about the default branch where the group does not say which branches."""
        if name != "event" or any(matcher.label in ("branch", "branch_class") for matcher in where):
            return where
        return (*where, Matcher("branch_class", "=", DEFAULT_BRANCH))

    def _check_where(self, metric: MetricDef, where: tuple[Matcher, ...]) -> None:
        for matcher in where:
            if matcher.label in DIMENSIONS and matcher.label not in metric.dimensions:
                text = f"{metric.id} has no {matcher.label!r}, by which the group chooses runs"
                self._note(("metric",), text)

    def _check_lengths(self, metric: MetricDef) -> None:
        """No rule looks further back than data is kept, nor waits for longer."""
        tests = "tests" in metric.families
        kept_ms, what = (self.ground.tests_ms, "test_results") if tests else (self.ground.facts_ms, "facts")
        lengths = [*_lengths(self.spec), *(((name,), each.ms) for name, each in self._taken())]
        for key, length_ms in lengths:
            if length_ms > kept_ms:
                kept = f"{duration_text(kept_ms / 1000)} (store.retention.{what})"
                self._note(key, f"{duration_text(length_ms / 1000)} is longer than data is kept: {kept}; write less")

    def _taken(self) -> Iterator[tuple[str, Duration]]:
        """Durations that the rule takes from the file's defaults."""
        for name in ("every", "evaluation_delay", "keep_firing_for"):
            if getattr(self.spec, name) is None:
                yield name, getattr(self.defaults, name)

    def _check_by(self, metric: MetricDef) -> None:
        for index, name in enumerate(self.spec.by):
            if name not in metric.dimensions:
                self._note(("by", index), f"{metric.id} has no {name!r}{nearest(name, metric.dimensions)}")
            elif name in self.spec.by[:index]:
                self._note(("by", index), f"{name!r} is given twice")

    def _check_labels(self) -> None:
        for name, value in self.spec.labels.items():
            if not _LABEL.match(name) or name in _RESERVED:
                self._note(("labels", name), "is not a label name: lower case, digits and _; not alertname or group")
            elif name in self.spec.by:
                self._note(("labels", name), "is a dimension of this rule already, under `by`")
            elif name in DIMENSIONS and name != "team":
                self._note(("labels", name), "is a dimension; list it under `by` instead")
            elif (problem := label_problem(value, self.spec.by)) is not None:
                self._note(("labels", name), problem)
            elif not value:
                self._note(("labels", name), "is empty; leave it out")
            elif name == "severity" and value not in _SEVERITIES and (meant := near(value, _SEVERITIES)):
                self._note(("labels", name), f"{value!r} is close to a word that is known; did you mean `{meant}`?")

    def _check_annotations(self) -> None:
        for name, text in self.spec.annotations.items():
            if (problem := template_problem(text)) is not None:
                self._note(("annotations", name), f"not a template: {problem}")

    def _calendar(self) -> Calendar | None:
        written, key = self.spec.calendar, ("calendar",)
        written = written or self.defaults.calendar
        if written is None:
            return None
        try:
            zone = ZoneInfo(written.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            self._note((*key, "time_zone"), f"unknown time zone {written.time_zone!r}; write one such as Europe/Berlin")
            return None
        holidays = self._holidays(written)
        if "holidays" in written.skip and not holidays:
            self._note((*key, "holidays"), "holidays are skipped, but no dates are given")
        if "holidays" not in written.skip:
            holidays = frozenset()
        return Calendar(zone, "weekends" in written.skip, holidays)

    def _holidays(self, written: CalendarSpec) -> frozenset[date]:
        if not isinstance(written.holidays, str):
            return frozenset(written.holidays)
        try:
            return frozenset(read_dates(self.base / written.holidays))
        except (OSError, ValueError) as error:
            self._note(("calendar", "holidays"), f"cannot be read: {error}")
            return frozenset()
