"""Charts of their own kind: run times of a test, suites over time, days of a budget. Pure; owns no number."""

from __future__ import annotations

from headgate.core.times import parse_ms
from headgate.insights.views.budgets import BudgetLine
from headgate.insights.views.onetest import OneTestPage
from headgate.insights.views.suites import SuitePlot
from headgate.web.site.shapes import Chart, Row

__all__ = ["days", "suites", "times"]


def times(view: OneTestPage) -> Chart:
    """The run time of each result whose time is known."""
    known = [(parse_ms(one.stopped_at) or 0, one.duration) for one in view.results if one.duration is not None]
    return Chart("times", "Run time", "duration", "line", ("Run",), tuple(Row(at, (one,)) for at, one in known))


def suites(plot: SuitePlot) -> Chart:
    """A line for each suite; two of one name are told apart by their project."""
    names = [line.suite or "(no suite)" for line in plot.lines]
    titles = (
        f"{name}, {line.project}" if names.count(name) > 1 else name
        for name, line in zip(names, plot.lines, strict=True)
    )
    values = zip(*(line.values for line in plot.lines), strict=True) if plot.lines else ()
    rows = tuple(Row(parse_ms(at) or 0, step) for at, step in zip(plot.at, values, strict=bool(plot.lines)))
    return Chart("suites", "Test time of a commit", "duration", "line", tuple(titles), rows)


def days(line: BudgetLine) -> Chart:
    """The last days of a budget beside what is usual on such days."""
    title = ", ".join([line.budget, *line.labels.values()] if line.budget else line.labels.values()) or "no team"
    rows = tuple(Row(parse_ms(one.at) or 0, (one.credits, one.usual)) for one in line.days)
    return Chart("days", title, "credits", "line", ("Credits", "Usual"), rows)
