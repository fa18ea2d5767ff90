"""Runs rules over stored history, as the engine would have, and tells what it would have said. Sends nothing.

Invariant: the same pure evaluation as the engine's, over complete data; only messages that people would have got are
reported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.alerting.evaluate import GroupResult, Watermark, evaluate_rule, lookback_ms
from headgate.alerting.rules import Rule
from headgate.core.alertdata import Alert, AlertState
from headgate.core.runs import RunHistory, run_pages
from headgate.core.storeport import RunRow
from headgate.core.times import format_ms
from headgate.insights.query import GroupedRuns, Labels, group_runs

__all__ = ["message_row", "play_rule", "replay_rules"]

_SOURCE = "history"


@dataclass(slots=True)
class _Groups:
    """The groups that are worth judging at a time: those with an alert, and those whose window has changed."""

    groups: Mapping[Labels, GroupedRuns]
    seen: dict[Labels, tuple[int, int]]

    def at(self, rule: Rule, now_ms: int, alerts: Mapping[Labels, Alert]) -> Mapping[Labels, GroupedRuns]:
        since_ms, until_ms = now_ms - lookback_ms(rule), now_ms - rule.delay_ms
        found: dict[Labels, GroupedRuns] = {}
        for labels, group in self.groups.items():
            first, end = bisect_left(group.ends_ms, since_ms), bisect_left(group.ends_ms, until_ms)
            start = bisect_left(group.ends_ms, until_ms - rule.window_ms)
            changed = self.seen.get(labels) != (start, end)
            self.seen[labels] = (start, end)
            if labels in alerts or (changed and first < end):
                found[labels] = group
        return found


def play_rule(rule: Rule, runs: Sequence[RunRow], since_ms: int, until_ms: int) -> Iterator[tuple[int, GroupResult]]:
    """Evaluate a rule from `since_ms` to `until_ms`; gives the time and each group in which something happened."""
    groups = _Groups(group_runs(rule.metric, runs, rule.by, rule.where), {})
    marks = {run.project: Watermark(_SOURCE, until_ms) for run in runs}
    alerts: dict[Labels, Alert] = {}
    for now_ms in range(since_ms, until_ms + 1, rule.every_ms):
        result = evaluate_rule(rule, groups.at(rule, now_ms, alerts), alerts, marks, now_ms)
        for group in result.groups:
            labels: Labels = tuple(sorted(group.labels.items()))
            alert = group.step.alert
            if alert.state is AlertState.INACTIVE and not alert.told:
                alerts.pop(labels, None)
            else:
                alerts[labels] = alert
            if group.step.transitions or group.step.notify:
                yield now_ms, group


def message_row(rule: Rule, group: GroupResult, now_ms: int) -> dict[str, Any]:
    """One message as `rules replay --json` and `rules test --json` print it."""
    alert = group.step.alert
    return {
        "rule": rule.name,
        "labels": {**rule.labels, **group.labels, "severity": rule.severity(alert.told or alert.level)},
        "state": group.step.notify,
        "at": format_ms(now_ms),
        "value": alert.value,
        "baseline": alert.baseline,
        "n": alert.n,
        "first_bad": alert.first_bad or None,
    }


async def replay_rules(
    store: RunHistory, rules: Sequence[Rule], since_ms: int, now_ms: int, *, only: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Every message that the rules would have sent since `since_ms`, rule by rule, oldest first within a rule.

    `only`: one rule by name. Alerts that were open before `since_ms` fire again at the start.
    """
    chosen = [rule for rule in rules if only is None or rule.name == only]
    if not chosen:
        return
    first_ms = since_ms - max(lookback_ms(rule) for rule in chosen)
    runs = [run async for page in run_pages(store, first_ms, now_ms) for run in page]
    for rule in chosen:
        for at_ms, group in play_rule(rule, runs, since_ms, now_ms):
            if group.step.notify:
                yield message_row(rule, group, at_ms)
