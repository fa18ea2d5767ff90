"""From a rule as written to a usable rule: units, metric, dimensions, thresholds that make sense together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from headgate.alerting.rules import Defaults, GroupSpec, Limit, Rule, RuleFile, RuleSpec, version_of
from headgate.alerting.templates import template_problem
from headgate.alerting.units import Condition, Quantity, in_metric_unit
from headgate.alerting.yamlfile import KeyPath, nearest
from headgate.core.alertdata import Level, Timing
from headgate.insights.catalogue import CATALOGUE, DIMENSIONS, MetricDef
from headgate.insights.match import Matcher, parse_matcher

__all__ = ["compile_file"]

_LABEL = re.compile(r"^[a-z_][a-z0-9_]*$")
_RESERVED = frozenset({"alertname", "group"})
Wrong = tuple[KeyPath, str]


def compile_file(spec: RuleFile) -> tuple[list[tuple[KeyPath, Rule]], list[Wrong]]:
    """Usable rules with their paths, and what is wrong with the others."""
    rules: list[tuple[KeyPath, Rule]] = []
    wrong: list[Wrong] = []
    for g, group in enumerate(spec.groups):
        where = _where(group, ("groups", g, "match"), wrong)
        for r, rule in enumerate(group.rules):
            path: KeyPath = ("groups", g, "rules", r)
            compiled = _Compiler(rule, group, spec.defaults, path, wrong).rule(where)
            if compiled is not None:
                rules.append((path, compiled))
    return rules, wrong


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
        found.append(matcher)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Compiles one rule, noting what is wrong under its path."""

    spec: RuleSpec
    group: GroupSpec
    defaults: Defaults
    path: KeyPath
    wrong: list[Wrong]

    def rule(self, where: tuple[Matcher, ...]) -> Rule | None:
        before = len(self.wrong)
        metric = CATALOGUE.get(self.spec.metric)
        if metric is None:
            self._note(("metric",), f"unknown metric {self.spec.metric!r}{nearest(self.spec.metric, CATALOGUE)}")
            return None
        self._check_by(metric)
        self._check_labels()
        self._check_annotations()
        levels, recover = self._limits(metric)
        self._check_durations()
        if len(self.wrong) > before:
            return None
        return self._built(metric, where, levels, recover)

    def _built(
        self,
        metric: MetricDef,
        where: tuple[Matcher, ...],
        levels: tuple[tuple[Level, Limit], ...],
        recover: Limit | None,
    ) -> Rule:
        spec, defaults = self.spec, self.defaults
        every_ms = (spec.every or defaults.every).ms
        return Rule(
            name=spec.alert,
            group=self.group.name,
            metric=metric,
            by=spec.by,
            where=where,
            window_ms=spec.window.ms,
            levels=levels,
            recover=recover,
            min_runs=spec.min_runs or defaults.min_runs,
            timing=Timing(
                for_ms=spec.for_.ms,
                for_runs=spec.for_runs,
                keep_firing_ms=(spec.keep_firing_for or defaults.keep_firing_for).ms,
                recover_runs=spec.recover.runs,
                no_data=spec.no_data or defaults.no_data,
                gone_after_ms=2 * spec.window.ms,
                version=version_of(spec, self.group.match),
            ),
            stale=spec.stale or defaults.stale,
            every_ms=every_ms,
            delay_ms=(spec.evaluation_delay or defaults.evaluation_delay).ms,
            max_alerts=spec.max_alerts_per_rule or defaults.max_alerts_per_rule,
            labels=spec.labels,
            annotations=spec.annotations,
        )

    def _note(self, key: KeyPath, text: str) -> None:
        self.wrong.append(((*self.path, *key), text))

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
            elif name in DIMENSIONS and name != "team":
                self._note(("labels", name), "is a dimension; list it under `by` instead")
            elif "{{" in value or "{%" in value:
                self._note(("labels", name), "labels are fixed; put what changes into annotations")
            elif not value:
                self._note(("labels", name), "is empty; leave it out")

    def _check_annotations(self) -> None:
        for name, text in self.spec.annotations.items():
            if (problem := template_problem(text)) is not None:
                self._note(("annotations", name), f"not a template: {problem}")

    def _check_durations(self) -> None:
        spec = self.spec
        every = spec.every or self.defaults.every
        if every.ms < 1000:
            self._note(("every",), "at least 1s")
        if spec.window.ms < every.ms:
            self._note(("window",), "is shorter than the time between evaluations; runs would go unseen")

    def _limits(self, metric: MetricDef) -> tuple[tuple[tuple[Level, Limit], ...], Limit | None]:
        threshold = self.spec.threshold
        critical = self._limit(metric, threshold.critical, "critical")
        warning = self._limit(metric, threshold.warning, "warning")
        named: list[tuple[Level, Limit | None]] = [(2, critical), (1, warning)]
        levels = tuple((level, limit) for level, limit in named if limit is not None)
        if threshold.critical is None and threshold.warning is None:
            self._note(("threshold",), "needs warning or critical")
        if critical and warning:
            self._check_order(critical, warning)
        recover = self._recover(metric, levels)
        if recover and levels:
            self._check_recover(levels[-1][1], recover)
        return levels, recover

    def _limit(self, metric: MetricDef, condition: Condition | None, key: str) -> Limit | None:
        if condition is None:
            return None
        try:
            return Limit(condition, in_metric_unit(condition.quantity, metric.format))
        except ValueError as error:
            self._note(("threshold", key), str(error))
            return None

    def _check_order(self, critical: Limit, warning: Limit) -> None:
        if critical.condition.below != warning.condition.below:
            self._note(("threshold", "critical"), "points the other way than warning")
        elif (critical.value > warning.value) == critical.condition.below and critical.value != warning.value:
            self._note(("threshold", "critical"), "is reached before warning; swap the two")

    def _recover(self, metric: MetricDef, levels: Sequence[tuple[Level, Limit]]) -> Limit | None:
        recover = self.spec.recover
        given: list[tuple[KeyPath, str, Quantity]] = [
            (("recover", key), op, value)
            for key, op, value in (("above", ">", recover.above), ("below", "<", recover.below))
            if value is not None
        ]
        if self.spec.threshold.recover is not None:
            condition = self.spec.threshold.recover
            given.append((("threshold", "recover"), condition.op, condition.quantity))
        if len(given) > 1:
            self._note(given[-1][0], "the recovery condition is given twice")
        if not given or not levels:
            return None
        key, op, quantity = given[0]
        try:
            return Limit(Condition(op, quantity), in_metric_unit(quantity, metric.format))
        except ValueError as error:
            self._note(key, str(error))
            return None

    def _check_recover(self, first: Limit, recover: Limit) -> None:
        key: KeyPath = ("threshold", "recover") if self.spec.threshold.recover else ("recover",)
        if first.condition.below == recover.condition.below:
            self._note(key, "points the same way as the threshold")
        elif (recover.value < first.value) == first.condition.below and recover.value != first.value:
            self._note(key, "holds while the rule still fires; put it on the good side of the threshold")
