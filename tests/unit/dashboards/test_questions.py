"""The catalogue asks only for what a default installation collects, or says what more it needs."""

from __future__ import annotations

from headgate.dashboards.questions import DASHBOARDS, MONITORS

_CLASS = "circleci.resource_class"


def test_what_needs_the_class_of_a_job_says_so() -> None:
    """`enrich: batch`, the default, brings no class: no monitor asks for it, and a panel names what it needs."""
    panels = [panel for board in DASHBOARDS for panel in board.panels]
    by_class = [panel.title for panel in panels if panel.question.of == "job" and _CLASS in panel.question.by]
    assert by_class == ["95 % wait by machine class (needs enrich: each)"]
    assert not any(_CLASS in monitor.question.by for monitor in MONITORS)
    waits = [panel.question for panel in panels if panel.title == "95 % wait by project"]
    assert waits == [monitor.question for monitor in MONITORS if monitor.key == "queue"]


def test_a_monitor_needs_runs() -> None:
    """One run alone, failed or slow, is no evidence."""
    assert {monitor.key: monitor.at_least for monitor in MONITORS} == {"success-rate": 5, "queue": 5, "duration": 5}
