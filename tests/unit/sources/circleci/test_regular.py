"""Calls that a source makes by the clock, whatever runs."""

import pytest

from headgate.core.clock import SystemClock
from headgate.core.feeds import RegularSource
from headgate.core.metrics import NullMetrics
from headgate.core.ports import BuildContext
from headgate.plugins import build_plugin, load_plugins
from headgate.sources.circleci import CircleCIConfig
from headgate.sources.circleci.config import InsightsConfig
from headgate.sources.circleci.insights import insights_cost

COST = insights_cost(InsightsConfig(), 10, 20, orgs=2)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"discovery": 2 * 6 + 13 / 24, "insights": COST / 24, "usage_export": 30 / 24}),
        ({"insights": {"every": "12h"}}, {"insights": COST / 12}),
        ({"insights": {"every": "off"}, "usage_export": {"enabled": "off"}}, {"discovery": 2 * 6 + 13 / 24}),
        ({"base_url": "https://ci.example", "host": "ci.example"}, {"insights": COST / 24}),
        ({"poll": {"enabled": False}}, {}),
    ],
    ids=["all", "insights twice a day", "neither", "server", "webhooks"],
)
def test_every_part_has_its_rhythm(fields, expected):
    """Two organisations with ten projects and twenty workflows; the source says what its configuration means."""
    config = CircleCIConfig.model_validate(
        {"token": "t", "orgs": ["gh/a", "gh/b"], "discover": {"every": "10m"}} | fields
    )
    context = BuildContext(SystemClock(), NullMetrics(), "headgate/test")
    source = build_plugin(load_plugins().find("source", "circleci"), "ci", config, context)
    assert isinstance(source, RegularSource)
    found = source.regular_calls(projects=10, workflows=20)
    assert expected == {part: pytest.approx(found.get(part)) for part in expected}
    if not fields or "base_url" not in fields:
        assert set(expected) <= set(found) <= {"discovery", "insights", "usage_export"}
    else:
        assert "usage_export" not in found
    if not expected:
        assert found == {}
