"""Tables of what to do: reasons of failures, tests that were fixed or slow down, splits, sizes, retries, money."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from headgate.core.detailrows import CREDIT_KINDS
from headgate.insights.tables.columns import column, of_fields
from headgate.insights.tables.lists import OF_TESTS, TESTS_TAKE, of_tests
from headgate.insights.tables.places import BRANCH_CLASSES
from headgate.insights.tables.table import FILTERS, WINDOW, Asking, Column, Material, Pages, Table
from headgate.insights.views.budgets import BUDGETS_BY, BudgetLine, budgets_page
from headgate.insights.views.charges import CHARGES_BY, ChargesPage, charges_page
from headgate.insights.views.failuregroups import FailureGroup
from headgate.insights.views.failures import MOST_GROUPS_IN_FILE, MOST_IN_FILE, failures_page
from headgate.insights.views.foundtests import SlowingView
from headgate.insights.views.reruns import RERUNS_BY, RerunsPage, reruns_page
from headgate.insights.views.rightsizing import SHOWN, RightSizing, RightSizingPage, rightsizing_page
from headgate.insights.views.suites import SplitView
from headgate.insights.views.tests import FlakyView

__all__ = ["ADVICE"]

# Everything is ranked before a page is cut off it.
_RANKED = 10_000
_GROUPS = ("project", "workflow", "job", "team", "resource_class")


class _Page(Protocol):
    @property
    def next(self) -> str | None: ...


P = TypeVar("P", bound=_Page)


def _pages(
    ask: Callable[[Material, Asking, str | None], Awaitable[P]], rows: Callable[[P], Sequence[Any]]
) -> Callable[[Material, Asking], Pages]:
    async def pages(material: Material, asked: Asking) -> Pages:
        cursor: str | None = None
        while True:
            page = await ask(material, asked, cursor)
            yield rows(page)
            cursor = page.next
            if cursor is None:
                return

    return pages


async def _failures(material: Material, asked: Asking) -> Pages:
    """Groups, each with since when failed jobs were read; in one piece, as each would read all of them again.

    The first page is empty, once the question can be answered: who opens a table has to be in time, and all jobs are
    read for the first row.
    """
    project = asked.one("project") or None
    if project is not None:
        await material.lens.project(project)
    yield []
    page = await failures_page(
        material.lens,
        window=asked.window,
        project=project,
        filters=asked.filters,
        limit=sys.maxsize,
        in_file=True,
    )
    yield [(page.read_from, group) for group in (*page.groups, *page.infrastructure)]


def _of_group(one: Column) -> Column:
    return replace(one, pick=lambda row: one.pick(row[1]))


def _sizes(material: Material, asked: Asking, cursor: str | None) -> Awaitable[RightSizingPage]:
    return rightsizing_page(
        material.lens,
        window=asked.window,
        project=asked.one("project") or None,
        show=next((one for one in SHOWN if one == asked.one("show")), "all"),
        filters=asked.filters,
        cursor=cursor,
        limit=_RANKED,
    )


def _reruns(material: Material, asked: Asking, cursor: str | None) -> Awaitable[RerunsPage]:
    return reruns_page(
        material.lens,
        by=next((one for one in RERUNS_BY if one == asked.one("by")), "project"),
        window=asked.window,
        project=asked.one("project") or None,
        workflow=asked.one("workflow") or None,
        filters=asked.filters,
        cursor=cursor,
        limit=_RANKED,
    )


def _charges(material: Material, asked: Asking, cursor: str | None) -> Awaitable[ChargesPage]:
    return charges_page(
        material.lens,
        by=next((one for one in CHARGES_BY if one == asked.one("by")), "project"),
        window=asked.window,
        project=asked.one("project") or None,
        filters=asked.filters,
        cursor=cursor,
        limit=_RANKED,
    )


async def _budgets(material: Material, asked: Asking) -> Pages:
    page = await budgets_page(material.lens, by=next((one for one in BUDGETS_BY if one == asked.one("by")), "budget"))
    yield page.lines


def _label(name: str) -> Column:
    return column(name, "text", "Of the row, where rows are by it.", lambda row: row.labels.get(name))


def _kind(name: str) -> Column:
    return column(name, "integer", f"Charged for {name}.", lambda row: row.kinds.get(name, 0))


_LABELS = tuple(map(_label, _GROUPS))
_OF_FAILURES = {
    "count": "Failed jobs of the window.",
    "before": "Of the window before.",
    "text": "What they have in common.",
    "sample": "The newest one's own words.",
    "known": "Where that is from: message, test, output, note, step or nothing.",
    "minutes": "Minutes that they ran.",
}
_NO_CELLS = ("jobs", "branches", "tests", "last_runs")
_READ_FROM = (
    "Since when failed jobs were read: the begin of the window before, or later where there are more than"
    f" {MOST_IN_FILE:,}, or {MOST_GROUPS_IN_FILE:,} reasons."
)
_OF_SIZES = {
    "measured": "Runs with figures.",
    "ram_max": "Highest memory use of all runs, percent.",
    "saving": "Credits in 30 days at the same run time.",
    "to": "Class that is advised.",
}

ADVICE = (
    Table(
        "failures",
        "Failures by reason",
        "Failed jobs by step and failure text, the infrastructure's last.",
        ("project", *WINDOW, *FILTERS),
        lambda *_: (
            *map(_of_group, of_fields(FailureGroup, leave=_NO_CELLS, docs=_OF_FAILURES)),
            column("read_from", "time", _READ_FROM, itemgetter(0)),
        ),
        _failures,
    ),
    Table(
        "fixed_tests",
        "Fixed tests",
        "Tests that were flaky and no longer are.",
        TESTS_TAKE,
        lambda *_: of_fields(FlakyView, docs=OF_TESTS),
        of_tests("fixed", lambda page: page.fixed),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "slowing_tests",
        "Slowing tests",
        "Tests that became slower, the greatest increase first.",
        TESTS_TAKE,
        lambda *_: of_fields(SlowingView, docs={"before": "Median, seconds.", "after": "Median, seconds."}),
        of_tests("slowing", lambda page: page.slowing),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "splits",
        "Split over parallel machines",
        "Jobs on parallel machines, by the time that an uneven split loses.",
        TESTS_TAKE,
        lambda *_: of_fields(SplitView, docs={"lost": "Minutes of all runs.", "lost_per_run": "Seconds."}),
        of_tests("splits", lambda page: page.splits),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "rightsizing",
        "Machine sizes",
        "Which jobs need a smaller or a larger machine, the greatest saving first.",
        ("show", "project", *WINDOW, "org", "team"),
        lambda *_: of_fields(RightSizing, docs=_OF_SIZES),
        _pages(_sizes, lambda page: page.jobs),
        choices={"show": SHOWN},
    ),
    Table(
        "reruns",
        "Waste by retries",
        "What repeats of failed runs cost, by project, workflow, team or job.",
        ("by", "project", "workflow", *WINDOW, *FILTERS),
        lambda *_: (
            *_LABELS[:4],
            column("waste", "number", "Share of green runs that are green only on retry.", unit="1"),
            column("reruns", "integer", "Repeats."),
            column("credits", "number", "That they used."),
            column("minutes", "number", "That they took."),
        ),
        _pages(_reruns, lambda page: page.lines),
        choices={"by": RERUNS_BY},
    ),
    Table(
        "charges",
        "What credits were charged for",
        "Credits of the usage export by kind; kinds and the rest add up to the total.",
        ("by", "project", *WINDOW, "org", "team"),
        lambda *_: (
            *_LABELS,
            column("total", "integer", "All of it.", unit="{credit}"),
            *map(_kind, CREDIT_KINDS),
            column("other", "integer", "What no kind accounts for."),
            column("runs", "integer", "Rows of the export."),
        ),
        _pages(_charges, lambda page: page.lines),
        choices={"by": CHARGES_BY},
    ),
    Table(
        "budgets",
        "Budgets",
        "What was spent of each budget, and what is expected at the end of its period.",
        ("by",),
        lambda *_: (*_LABELS[:4], *of_fields(BudgetLine, leave=("labels", "days"))),
        _budgets,
        choices={"by": BUDGETS_BY},
    ),
)
