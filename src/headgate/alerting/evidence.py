"""What is kept of the judgement when an alert moves, for whoever looks at it later. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.alerting.evaluate import GroupResult
from headgate.alerting.kinds.absence import Absence
from headgate.alerting.kinds.compare import Compare
from headgate.alerting.kinds.detect import Detect
from headgate.alerting.kinds.event import Event
from headgate.alerting.kinds.flaky import Flaky
from headgate.alerting.kinds.forecast import Forecast
from headgate.alerting.kinds.slo import Slo
from headgate.alerting.kinds.stuck import Stuck
from headgate.alerting.kinds.threshold import Threshold
from headgate.alerting.rules import Rule
from headgate.core.evidence import Evidence, Grew
from headgate.insights.catalogue import CATALOGUE
from headgate.insights.outlook import period_of

__all__ = ["evidence_of"]

# Kinds that judge no window but single runs show so many.
_RUNS = 100
_LEVELS = {1: "warning", 2: "critical"}


def evidence_of(rule: Rule, group: GroupResult) -> Evidence:
    """What the rule saw of a group in this pass."""
    found, alert, judge = group.found, group.step.alert, rule.judge
    metric, first_bad = rule.metric, alert.first_bad or found.first_bad
    if isinstance(judge, Stuck):  # what goes on is judged by how long such runs take
        metric = CATALOGUE.resolve("duration_p95", "jobs" if judge.kind == "job" else "workflow")
    return Evidence(
        kind=rule.kind,
        metric=metric.id,
        over=metric.over,
        group=dict(group.labels),
        where=tuple((one.label, one.op, one.value) for one in rule.where),
        window_ms=found.window_ms or rule.window_ms,
        runs=judge.runs if isinstance(judge, Detect) else _RUNS if isinstance(judge, Event | Stuck) else 0,
        since_ms=_period_begin(judge, alert.end_ms or alert.at_ms) if isinstance(judge, Forecast) else 0,
        seconds=isinstance(judge, Absence),
        limits=_limits(rule, alert.baseline),
        first_bad=first_bad,
        first_bad_ms=found.first_bad_ms if found.first_bad == first_bad else 0,
        first_bad_url=found.first_bad_url if found.first_bad == first_bad else "",
        change_ms=alert.change_ms if isinstance(judge, Detect) else 0,
        after=alert.changed if isinstance(judge, Detect) else None,
        suspects=tuple(group.texts.get("suspects", ())),
        last_good=group.texts.get("last_good") or "",
        whole_days=group.whole_days,
        grew=_grew(group.texts, together=isinstance(judge, Detect)),
    )


def _period_begin(judge: Forecast, at_ms: int) -> int:
    return period_of(judge.plan.period, judge.plan.starts_on, at_ms)[0]


def _limits(rule: Rule, baseline: float | None) -> dict[str, float]:
    """What the judge holds the value against, beside the baseline."""
    known: dict[str, float | None] = {}
    match rule.judge:
        case Threshold(levels=levels, recover=recover):
            known = {_LEVELS[level]: limit.value for level, limit in levels}
            known["recovers"] = recover.value if recover else None
        case Compare(fires=fires, floor=floor):
            known = {"fires beyond": None if baseline is None else fires.limit(baseline), "floor": floor}
        case Slo(objective=objective):
            known = {"objective": objective}
        case Forecast(above=above):
            known = {"budget": above}
        case Stuck(longer_ms=longer_ms):
            known = {"never before": longer_ms / 1000}
        case Absence() as judge if baseline is not None:
            known = {"told beyond": judge.limit_ms(baseline * 1000) / 1000}
        case Flaky(score=score):
            known = {"counts as flaky": score}
        case _:
            pass
    return {name: value for name, value in known.items() if value is not None}


def _grew(texts: Mapping[str, Any], *, together: bool) -> tuple[Grew, ...]:
    """Jobs that changed `together`, else those that take longer since; `jobs` of other kinds of rules are names."""
    changed = texts.get("jobs", ()) if together else ()
    jobs = [Grew(one["job"], one["before"], one["after"], one["share"]) for one in changed]
    grew = [Grew(one["name"], one["before"], one["after"], one["share"]) for one in texts.get("grew", ())]
    return tuple(jobs or grew)
