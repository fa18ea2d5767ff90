"""One rule over its groups: how far the data reaches, what the window says, which step each alert takes. Pure.

Invariant: a window never ends after the time up to which its projects were collected. A group whose data is missing is
frozen, not judged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from headgate.alerting.rules import Rule
from headgate.core.alertdata import Alert, AlertState, Level, Outcome, Reading, Step, fingerprint, new_alert
from headgate.core.alerts import freeze, step
from headgate.core.slug import org_slug
from headgate.core.storeport import RunRow
from headgate.core.times import HOUR_MS, MINUTE_MS
from headgate.insights.catalogue import FAILED
from headgate.insights.query import GroupedRuns, Labels, first_bad_run, sample

__all__ = ["GroupResult", "RuleResult", "Watermark", "Watermarks", "evaluate_rule", "lookback_ms"]

# Data this many intervals behind, and at least so long, is "could not collect" rather than "a little late". The floor
# keeps rules that are evaluated more often than projects are polled from being frozen between two polls.
STALE_INTERVALS = 3
STALE_FLOOR_MS = 15 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to when a project's data is complete. `at_ms`: start of the last complete walk, None before the first."""

    source: str
    at_ms: int | None


# By project slug: every project that is collected now. One that is not named is no longer collected.
Watermarks = Mapping[str, Watermark]


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One group: its labels, its alert before, and the step. `first_bad`: with a breach, where it can be told."""

    fingerprint: str
    labels: Mapping[str, str]
    before: Alert
    step: Step
    first_bad: RunRow | None = None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One evaluation of one rule. `frozen`: sources whose lateness froze groups. `over_cap`: groups not alerted on."""

    rule: Rule
    groups: tuple[GroupResult, ...]
    frozen: frozenset[str] = field(default_factory=frozenset)
    over_cap: int = 0


def lookback_ms(rule: Rule) -> int:
    """How far before now the runs of an evaluation may lie."""
    windows = 2 if rule.timing.no_data == "alert" else 1  # a group that fell silent shows in the window before
    return windows * rule.window_ms + stale_after_ms(rule)


def stale_after_ms(rule: Rule) -> int:
    """How far behind now collection may be before the rule's alerts are frozen."""
    return rule.delay_ms + max(STALE_INTERVALS * rule.every_ms, STALE_FLOOR_MS)


def evaluate_rule(
    rule: Rule,
    groups: Mapping[Labels, GroupedRuns],
    alerts: Mapping[Labels, Alert],
    marks: Watermarks,
    now_ms: int,
) -> RuleResult:
    """Judge every group that has runs or an alert. Alerts that exist come first when the cap is reached."""
    results: list[GroupResult] = []
    frozen: set[str] = set()
    over_cap = 0
    room = rule.max_alerts - sum(alert.state is not AlertState.INACTIVE for alert in alerts.values())
    for labels in [*sorted(alerts), *sorted(set(groups) - set(alerts))]:
        group = groups.get(labels) or GroupedRuns(labels, (), (), frozenset())
        until_ms, late_sources = _reach(rule, group, marks, now_ms)
        frozen |= late_sources
        result = _judge_group(rule, group, alerts.get(labels), until_ms, now_ms)
        if result is None:
            continue
        if labels not in alerts:
            room -= 1
            if room < 0:
                over_cap += 1
                continue
        results.append(result)
    return RuleResult(rule, tuple(results), frozenset(frozen), over_cap)


def _reach(rule: Rule, group: GroupedRuns, marks: Watermarks, now_ms: int) -> tuple[int | None, set[str]]:
    """End of the window, None with the late sources where collection is behind."""
    if not marks:
        return None, {"unknown"}
    known = [marks[project] for project in _projects(group, marks) if project in marks]
    oldest = now_ms - stale_after_ms(rule)
    late = {mark.source for mark in known if mark.at_ms is None or mark.at_ms < oldest}
    if late:
        return None, late
    return min([now_ms - rule.delay_ms, *(mark.at_ms for mark in known if mark.at_ms is not None)]), set()


def _projects(group: GroupedRuns, marks: Watermarks) -> Collection[str]:
    """The projects that a group's numbers come from; of an empty group those they could come from."""
    labels = dict(group.labels)
    if "project" in labels:
        return [labels["project"]]
    if group.projects:
        return group.projects
    return [project for project in marks if labels.get("org", org_slug(project)) == org_slug(project)]


def _judge_group(
    rule: Rule, group: GroupedRuns, known: Alert | None, until_ms: int | None, now_ms: int
) -> GroupResult | None:
    """The group's step; None where there is neither an alert nor a reason for one."""
    labels = dict(group.labels)
    before = known or new_alert(now_ms, rule.timing.version)
    first_bad = None
    if until_ms is None and rule.stale == "keep":
        after = Step(freeze(before), (), None, "stale")
    elif until_ms is None:
        reading = Reading(now_ms - rule.delay_ms, Outcome.BREACH, level=1, n_new=1, why="stale")
        after = step(before, reading, rule.timing)
    else:
        reading, first_bad = _read(rule, group, before, until_ms, now_ms)
        after = step(before, reading, rule.timing)
    if known is None and not after.transitions:
        return None
    return GroupResult(fingerprint(rule.name, labels), labels, before, after, first_bad)


def _read(rule: Rule, group: GroupedRuns, before: Alert, until_ms: int, now_ms: int) -> tuple[Reading, RunRow | None]:
    previous_ms = before.at_ms or until_ms - rule.every_ms
    found = sample(rule.metric, group, until_ms - rule.window_ms, until_ms, previous_ms)
    outcome, level = _outcome(rule, found.value, found.n)
    patience_ms = max(HOUR_MS, 2 * rule.every_ms)
    bad = None
    if outcome is Outcome.BREACH and rule.metric.id in ("success_rate", "failed_runs"):
        runs = group.between(until_ms - rule.window_ms, until_ms)
        bad = first_bad_run(runs) or next((run for run in runs if run.status in FAILED), None)
    reading = Reading(
        at_ms=until_ms,
        outcome=outcome,
        level=level,
        value=found.value,
        n=found.n,
        n_new=found.n_new,
        late=now_ms - until_ms > patience_ms + rule.delay_ms or until_ms - previous_ms > patience_ms,
        first_bad=bad.workflow_id if bad else "",
    )
    return reading, bad


def _outcome(rule: Rule, value: float | None, n: int) -> tuple[Outcome, Level]:
    if value is None:
        return Outcome.NO_DATA, 0
    if n < rule.min_runs:
        return Outcome.TOO_FEW, 0
    for level, limit in rule.levels:
        if limit.holds(value):
            return Outcome.BREACH, level
    recovered = rule.recover is None or rule.recover.holds(value)
    return (Outcome.CLEAR if recovered else Outcome.BETWEEN), 0
