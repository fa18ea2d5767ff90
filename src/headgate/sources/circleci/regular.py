"""What a source asks by the clock, whatever runs: discovery, Insights, the usage export. Pure."""

from __future__ import annotations

from headgate.core.times import DAY_MS, HOUR_MS
from headgate.sources.circleci.config import CircleCIConfig
from headgate.sources.circleci.insights import insights_cost

__all__ = ["regular_calls"]

_EXPORT_CALLS = 5  # the order, three looks, one file
_RUNS_CALLS = 2  # names of workflows and a page of runs, which are read again beside an export


def regular_calls(config: CircleCIConfig, *, projects: int, workflows: int) -> dict[str, float]:
    """Calls an hour by what they are for. `workflows`: names of all projects together.

    Discovery reads a page of each organisation's pipelines, and once a day each project, Insights and what is followed.
    """
    if not config.poll.enabled:
        return {}
    orgs, insights, export = len(config.orgs), config.insights, config.usage_export
    daily = projects + orgs + bool(orgs)
    parts = {"discovery": orgs * HOUR_MS / config.discover.every + daily * HOUR_MS / DAY_MS}
    if insights.every:
        parts["insights"] = insights_cost(insights, projects, workflows, orgs=orgs) * HOUR_MS / insights.every
    if export.enabled != "off" and export.every and not config.is_server:
        parts["usage_export"] = (orgs * _EXPORT_CALLS + projects * _RUNS_CALLS) * HOUR_MS / export.every
    return parts
