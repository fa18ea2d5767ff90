"""One rule over its groups: what its kind found becomes readings, and each alert takes its step.

Invariant: a group whose data is missing is frozen, not judged; a group without alert and without breach costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from msgspec import structs

from headgate.alerting.rules import Rule
from headgate.alerting.summaries import measured_in
from headgate.alerting.suspects import suspects
from headgate.alerting.view import Found, Pass, View, concerns
from headgate.core.alertdata import Alert, AlertState, Outcome, Reading, Step, fingerprint, new_alert
from headgate.core.alerts import freeze, step
from headgate.core.times import HOUR_MS
from headgate.insights.metric import Labels

__all__ = ["GroupResult", "RuleResult", "evaluate_rule"]

_NOTHING = Found(Outcome.NO_DATA)
# A source whose name is not known, before anything is known of what was collected.
_UNKNOWN = "unknown"
# Slots of what is read of projects that are behind; kinds of rules count theirs from 0.
_JUDGED, _NEWER = -1, -2


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One group: its labels, its alert before, and the step. `found`: what was found.

    `texts`: more names for its templates. `whole_days`: what is judged comes by the day.
    """

    fingerprint: str
    labels: Mapping[str, str]
    before: Alert
    step: Step
    found: Found
    texts: Mapping[str, Any] = field(default_factory=dict)
    whole_days: bool = False


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One evaluation of one rule. `frozen`: sources whose lateness froze groups. `over_cap`: groups not alerted on."""

    rule: Rule
    groups: tuple[GroupResult, ...]
    frozen: frozenset[str] = field(default_factory=frozenset)
    over_cap: int = 0


async def evaluate_rule(rule: Rule, shared: Pass, alerts: Mapping[Labels, Alert]) -> RuleResult:
    """Judge every group that has an alert or breaches. Alerts that exist come first when the cap is reached."""
    view = View(rule, shared, shared.reach(rule))
    if rule.calendar is not None and rule.calendar.skips(view.reach.end_ms):
        return RuleResult(rule, ())
    late = await _late_groups(view, alerts)
    open_alerts = {labels: alert for labels, alert in alerts.items() if labels not in late}
    found = {} if _is_blind(view) else await rule.judge.find(view, open_alerts)
    shared.memory.ends[rule.name] = view.reach.ends
    results: list[GroupResult] = []
    over_cap = 0
    room = rule.max_alerts - sum(alert.state is not AlertState.INACTIVE for alert in alerts.values())
    for labels in [*sorted(alerts), *sorted((set(found) | set(late)) - set(alerts))]:
        result = await _judged(view, labels, alerts.get(labels), late.get(labels), found.get(labels, _NOTHING))
        if result is None:
            continue
        if labels not in alerts:
            room -= 1
            if room < 0:
                over_cap += 1
                continue
        results.append(result)
    return RuleResult(rule, tuple(results), frozenset().union(*late.values()), over_cap)


def _is_blind(view: View) -> bool:
    """Whether numbers of several projects would be judged while one of them is behind."""
    if not view.reach.ends:
        return True
    return "project" not in view.rule.by and bool(_late_projects(view))


def _late_projects(view: View) -> Mapping[str, str]:
    return {project: source for project, source in view.reach.late.items() if concerns(view.rule, project)}


async def _late_groups(view: View, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, frozenset[str]]:
    """Groups that cannot be judged, with the sources that are behind: those with an alert, and those that had runs."""
    if not view.shared.known(view.rule.metric.families):
        return dict.fromkeys(alerts, frozenset({_UNKNOWN}))
    late = _late_projects(view)
    if not late:
        return {}
    # What it judged last, as long as that was ago, and what ran since: neither moves with each pass.
    window_ms, hour_ms = view.rule.window_ms, view.now_ms // HOUR_MS * HOUR_MS
    last = {one: at_ms for one in late if (at_ms := _last_ms(view, one)) is not None}
    judged = await view.kept(_JUDGED, {one: (at_ms - window_ms, at_ms) for one, at_ms in last.items()})
    newer = {one: (max(last.get(one, 0), hour_ms - window_ms), hour_ms + HOUR_MS) for one in late}
    found = {labels: _sources(labels, late) for labels in {*judged, *await view.kept(_NEWER, newer), *alerts}}
    return {labels: sources for labels, sources in found.items() if sources}


def _last_ms(view: View, project: str) -> int | None:
    """Up to when a project that is behind could be judged; None where it never could."""
    marks = [view.shared.marks[family].get(project) for family in view.rule.metric.families]
    times = [mark.at_ms for mark in marks if mark is not None and mark.at_ms is not None]
    return min(times, default=None)


def _sources(labels: Labels, late: Mapping[str, str]) -> frozenset[str]:
    project = dict(labels).get("project")
    if project is None:
        return frozenset(late.values())
    return frozenset({late[project]} if project in late else ())


async def _judged(
    view: View, labels: Labels, known: Alert | None, late: Collection[str] | None, found: Found
) -> GroupResult | None:
    """The group's step; None where there is neither an alert nor a reason for one."""
    rule, named = view.rule, dict(labels)
    before = known or new_alert(view.now_ms, rule.timing.version)
    if late and rule.stale == "keep":
        after = Step(freeze(before), (), None, "stale")
    elif late:
        reading = Reading(view.reach.now_ms, Outcome.BREACH, level=1, n_new=1, why="stale")
        after = step(before, reading, rule.timing)
    else:
        after = step(before, reading_of(rule, found, before, view.judged_ms(named), view.now_ms), rule.timing)
    if known is None and not after.transitions:
        return None
    after = replace(after, alert=_described(view, named, before, after.alert, found))
    texts = dict(found.texts)
    if after.notify == "firing" and rule.suspects:
        texts = {**await suspects(view, labels, after.alert), **texts}
    return GroupResult(fingerprint(rule.name, named), named, before, after, found, texts, bool(view.reach.behind))


def _described(view: View, named: Mapping[str, str], before: Alert, alert: Alert, found: Found) -> Alert:
    """With what its numbers are, over which window, and with the place of its first bad run, which is found once."""
    form, unit = measured_in(view.rule)
    at_ms, url = alert.first_bad_ms, alert.first_bad_url
    if alert.first_bad in ("", found.first_bad):
        at_ms, url = (found.first_bad_ms, found.first_bad_url) if alert.first_bad else (0, "")
    judged = alert.at_ms != before.at_ms  # else its numbers are those of a reading before
    if judged:
        window_ms = found.window_ms or view.rule.window_ms
        alert = structs.replace(alert, window_ms=window_ms, end_ms=view.end_ms(named))
    return structs.replace(alert, form=form, unit=unit, first_bad_ms=at_ms, first_bad_url=url)


def reading_of(rule: Rule, found: Found, before: Alert, end_ms: int, now_ms: int) -> Reading:
    """What the state machine is told. Late is what is old, and what follows on a long gap."""
    previous_ms = before.at_ms or end_ms - rule.every_ms
    late = now_ms - end_ms > rule.patience_ms + rule.delay_ms or end_ms - previous_ms > rule.patience_ms
    return Reading(
        at_ms=end_ms,
        outcome=found.outcome,
        level=found.level,
        value=found.value,
        baseline=found.baseline,
        n=found.n,
        n_new=found.n_new,
        late=late,
        first_bad=found.first_bad,
        why=found.why,
        change_ms=found.change_ms,
        hold=found.hold,
    )
