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
_OF_METRIC = "{{ metric }} {% if value is none %}has no value{% else %}"
_SENTENCES = {
    "absence": "{{ 'nothing has run for ' ~ shown if state == 'firing'"
    " else 'not collected any more' if reason == 'gone' else 'runs again' }}",
    "compare": _OF_METRIC + "is {{ shown }} over {{ n }} runs, usually {{ usual }}{% endif %}",
    "detect": _OF_METRIC + "is {{ shown }}, {{ usual }} before the change{% endif %}",
    "flaky": "{{ 'fails' if state == 'firing' else 'no longer fails' }} by itself (score {{ value | pct }})",
    "forecast": _OF_METRIC + "will be {{ shown }} at the end of the period; the limit is {{ usual }}{% endif %}",
    "slo": _OF_METRIC + "is {{ shown }} over {{ n }} runs; the objective is {{ usual }}{% endif %}",
    "stuck": "{{ 'unfinished for ' ~ shown if state == 'firing' else 'nothing is stuck any more' }}",
    "threshold": _OF_METRIC + "is {{ shown }} over {{ n }} runs{% endif %}",
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
    form = measured_in(rule)[0]
    return {
        "place": " ".join(group[name] for name in rule.by if group.get(name)),
        "shown": value_text(alert.value, form),
        "usual": value_text(alert.baseline, form),
    }


def measured_in(rule: Rule) -> tuple[Format, str]:
    """Format and unit of the values of a rule's alerts, which are not always those of its metric."""
    if rule.kind in _TIMES:
        return "duration", "s"
    return rule.metric.format, rule.metric.unit
