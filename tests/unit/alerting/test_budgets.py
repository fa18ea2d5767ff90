"""A budget is the limit of a forecast among the rules, and of no other kind."""

from pathlib import Path

from headgate.alerting.budgets import budgets_of
from headgate.alerting.load import load_rules

TEXT = """
version: 1
plan: {credits: 400000, period: week, starts_on: 3}
groups:
- name: money
  rules:
  - alert: PlanRunsOut
    forecast: {above: "{{ plan.credits }}", band: p90}
    by: [team]
  - alert: Low
    absence: {at_least: 24h}
    by: [project]
"""


def test_limits_of_forecasts_are_budgets(tmp_path: Path) -> None:
    """With their groups, their plan's period and how sure they must be."""
    file = tmp_path / "rules.yaml"
    file.write_text(TEXT, encoding="utf-8")
    (found,) = budgets_of(load_rules([str(file)], base=tmp_path))
    assert ("PlanRunsOut", "credits", ("team",)) == (found.name, found.metric.id, found.by)
    assert (400_000, "week", 3, 0.9) == (found.limit, found.period, found.starts_on, found.chance)
