"""What people read of an alert whose rule has no `summary` of its own: a sentence for each kind of rule.

Invariant: the sentence names the alert's own group, since a message may be about several.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.alerting.kinds.event import Event
from headgate.alerting.rules import Rule
from headgate.alerting.templates import value_text
from headgate.core.alertdata import Alert
from headgate.insights.metric import Format

__all__ = ["default_summary", "measured_in", "spoken"]

# Kinds whose value is a time, whatever their metric.
_TIMES = ("absence", "stuck")
_SENTENCES = {
    "absence": "{{ 'nothing has run for ' ~ shown if state == 'firing' else 'runs again' }}",
    "compare": "{{ metric }} is {{ shown }} over {{ n }} runs, usually {{ usual }}",
    "detect": "{{ metric }} is {{ shown }}, {{ usual }} before the change",
    "flaky": "{{ 'fails' if state == 'firing' else 'no longer fails' }} by itself (score {{ value | pct }})",
    "forecast": "{{ metric }} will be {{ shown }} at the end of the period; the limit is {{ usual }}",
    "slo": "{{ metric }} is {{ shown }} over {{ n }} runs; the objective is {{ usual }}",
    "stuck": "{{ 'unfinished for ' ~ shown if state == 'firing' else 'nothing is stuck any more' }}",
    "threshold": "{{ metric }} is {{ shown }} over {{ n }} runs",
}
_EVENTS = {
    "main_broke": "the default branch {{ 'fails after green runs' if state == 'firing' else 'is green again' }}",
    "main_recovered": "the default branch is green again",
}


def default_summary(rule: Rule) -> str:
    """The template of a rule's summary, unless the rule says one."""
    sentence = _EVENTS[rule.judge.name] if isinstance(rule.judge, Event) else _SENTENCES[rule.kind]
    return "{{ place }}: " + sentence if rule.by else sentence


def spoken(rule: Rule, group: Mapping[str, str], alert: Alert) -> Mapping[str, str]:
    """Names for texts: `place`, the values of `by`; `shown` and `usual`, value and baseline as people write them."""
    return {
        "place": " ".join(group[name] for name in rule.by if group.get(name)),
        "shown": _text(rule, alert.value, "nothing"),
        "usual": _text(rule, alert.baseline, "unknown"),
    }


def measured_in(rule: Rule) -> tuple[Format, str]:
    """Format and unit of the values of a rule's alerts, which are not always those of its metric."""
    if rule.kind in _TIMES:
        return "duration", "s"
    return rule.metric.format, rule.metric.unit


def _text(rule: Rule, value: float | None, unknown: str) -> str:
    return unknown if value is None else value_text(value, measured_in(rule)[0])
