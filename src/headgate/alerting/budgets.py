"""Which budgets rules watch over: a forecast's limit is the one place where a budget is defined. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.alerting.kinds.forecast import Forecast
from headgate.alerting.rules import Rule
from headgate.insights.outlook import Budget

__all__ = ["budgets_of"]


def budgets_of(rules: Iterable[Rule]) -> tuple[Budget, ...]:
    """In the order of the rules."""
    return tuple(
        Budget(
            name=rule.name,
            metric=rule.metric,
            by=rule.by,
            where=rule.where,
            limit=rule.judge.above,
            period=rule.judge.plan.period,
            starts_on=rule.judge.plan.starts_on,
            chance=rule.judge.chance,
        )
        for rule in rules
        if isinstance(rule.judge, Forecast)
    )
