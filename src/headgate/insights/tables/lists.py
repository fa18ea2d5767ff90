"""Tables of tests and of numbers: flaky, failing and slowest tests, credits, any metric."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from headgate.insights.tables.columns import column, figures, of_fields
from headgate.insights.tables.places import BRANCH_CLASSES, columns_of_steps, rows_of_steps
from headgate.insights.tables.table import FILTERS, STEP, WINDOW, Asking, Cell, Column, Material, Pages, Table
from headgate.insights.views.ask import QueryPage, query_page
from headgate.insights.views.credits import CREDITS_BY, CreditsBy, CreditsPage, credits_page, metric_of
from headgate.insights.views.lens import Lens
from headgate.insights.views.refusal import unknown
from headgate.insights.views.tests import FailingView, FlakyView, PageOfTests, SlowView, TestList, page_of_tests
from headgate.insights.views.window import STEP_NAMES

__all__ = ["LISTS", "OF_TESTS", "TESTS_TAKE", "of_tests"]

# These views rank everything before they cut a page off it, so that small pages would only rank it often.
_RANKED = 10_000
# Groups of one question whose lines over time are read.
_LINES = 200
_DIMENSIONS_OF: dict[CreditsBy, tuple[str, ...]] = {
    "project": ("project",),
    "workflow": ("project", "workflow"),
    "job": ("project", "workflow", "job"),
    "team": ("team",),
    "resource_class": ("resource_class",),
    "branch": ("project", "branch"),
}
OF_TESTS = {
    "test_id": "Stable id of the test, by suite, class, file and name.",
    "flakes": "Failures on commits on which it passed too.",
    "rate": "Share of its results that are such failures.",
    "credits": "Lost with jobs that it failed, about.",
    "jobs": "Names of jobs that ran it.",
    "state": "What became of a flaky test: new, flaky, fixed or regressed.",
    "since": "When that began, as far as the window and the one before tell.",
    "first_at": "First one that counts.",
    "last_at": "Last one that counts.",
    "minutes": "Minutes lost with jobs that it failed, about.",
    "commits": "How many commits the row speaks of.",
    "transition_rate": "Share of commits on which it did otherwise than on the one before of its class of branches.",
    "infrastructure_failures": "Failures that were the machine's.",
    "total": "Seconds of all its results.",
}


def of_tests(show: TestList, rows: Callable[[PageOfTests], Sequence[Any]]) -> Callable[[Material, Asking], Pages]:
    """Rows of one list of tests, all of them."""

    async def pages(material: Material, asked: Asking) -> Pages:
        cursor: str | None = None
        while True:
            page = await page_of_tests(
                material.lens,
                window=asked.window,
                project=asked.one("project") or None,
                filters=asked.filters,
                lists=[show],
                cursor=cursor,
                limit=_RANKED,
            )
            yield rows(page)
            cursor = page.next
            if cursor is None:
                return

    return pages


def _by(asked: Asking) -> CreditsBy:
    return next((one for one in CREDITS_BY if one == asked.one("by")), "project")


def _label(name: str) -> Column:
    return column(name, "text", "", lambda row: row.labels[name])


def _credits_columns(_: Lens, asked: Asking) -> Sequence[Column]:
    by = _by(asked)
    metric = metric_of(by)
    return (
        *map(_label, _DIMENSIONS_OF[by]),
        *figures((metric,), of=lambda row: {metric: row.credits}),
        column("share", "number", "Share of the credits of all groups.", unit="1"),
    )


def _credits_page(material: Material, asked: Asking, cursor: str | None, limit: int) -> Awaitable[CreditsPage]:
    return credits_page(
        material.lens,
        by=_by(asked),
        window=asked.window,
        step=asked.step,
        project=asked.one("project") or None,
        filters=asked.filters,
        cursor=cursor,
        limit=limit,
    )


async def _credits(material: Material, asked: Asking) -> Pages:
    cursor: str | None = None
    while True:
        page = await _credits_page(material, asked, cursor, _RANKED)
        yield page.lines
        cursor = page.next
        if cursor is None:
            return


def _credits_plot_columns(_: Lens, asked: Asking) -> Sequence[Column]:
    return columns_of_steps((metric_of(_by(asked)),))


async def _credits_plot(material: Material, asked: Asking) -> Pages:
    page = await _credits_page(material, asked, None, 1)
    yield rows_of_steps(page.plot)


def _group(name: str) -> Callable[[tuple[Mapping[str, str], str, float | None, int]], Cell]:
    return lambda row: row[0][name]


def _query_columns(lens: Lens, asked: Asking) -> Sequence[Column]:
    """Dimensions, the step where there are any, the value; of the catalogue as it is configured."""
    name, names = asked.one("metric"), lens.catalogue.names
    if name not in names:
        raise unknown("unknown-metric", "metric", name, names)
    metric = names[name]
    by = tuple(dict.fromkeys(asked.words.get("by", ())))
    at = (column("at", "time", "Begin of the step.", lambda row: row[1]),) if asked.one("step") else ()
    doc = f"{metric.doc} {metric.counts}".strip()
    return (
        *(column(one, "text", "", _group(one)) for one in by),
        *at,
        column(name, "number", doc, lambda row: row[2], metric.unit),
        column("n", "integer", "How many runs, jobs or tests the value is made from.", lambda row: row[3]),
    )


async def _query(material: Material, asked: Asking) -> Pages:
    cursor: str | None = None
    step = asked.step if asked.one("step") else None
    while True:
        page = await query_page(
            material.lens,
            metric=asked.one("metric"),
            by=asked.words.get("by", ()),
            where=asked.words.get("where", ()),
            window=asked.window,
            step=step,
            cursor=cursor,
            limit=_LINES if step else _RANKED,
        )
        yield _rows(page)
        cursor = page.next
        if cursor is None:
            return


def _rows(page: QueryPage) -> list[tuple[Any, str, float | None, int]]:
    if page.plot is None:
        return [(group.labels, "", group.value, group.n) for group in page.groups]
    return [
        (line.labels, at, value, n)
        for line in page.plot.lines
        for at, value, n in zip(page.plot.at, line.values, line.n, strict=True)
    ]


TESTS_TAKE = ("project", *WINDOW, "org", "team", "branch_class")

LISTS = (
    Table(
        "flaky_tests",
        "Flaky tests",
        "Tests that fail and pass on the same commit, the flakiest first.",
        TESTS_TAKE,
        lambda *_: of_fields(FlakyView, docs=OF_TESTS),
        of_tests("flaky", lambda page: page.flaky),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "failing_tests",
        "Failing tests",
        "Tests that fail and never passed on the same commit.",
        TESTS_TAKE,
        lambda *_: of_fields(FailingView, docs=OF_TESTS),
        of_tests("failing", lambda page: page.failing),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "slowest_tests",
        "Slowest tests",
        "Tests by the time that they take.",
        TESTS_TAKE,
        lambda *_: of_fields(SlowView, docs=OF_TESTS),
        of_tests("slowest", lambda page: page.slowest),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "credits",
        "Credits",
        "Credits by project, workflow, job, team, machine size or branch, most first.",
        ("by", "project", *WINDOW, *FILTERS),
        _credits_columns,
        _credits,
        choices={**BRANCH_CLASSES, "by": CREDITS_BY},
    ),
    Table(
        "credits_plot",
        "Credits over time",
        "Credits step by step: of runs, or by job and machine size those of jobs.",
        ("by", "project", *WINDOW, *STEP, *FILTERS),
        _credits_plot_columns,
        _credits_plot,
        choices={**BRANCH_CLASSES, "by": CREDITS_BY, "step": STEP_NAMES},
    ),
    Table(
        "query",
        "A metric",
        "Any metric of the catalogue by any of its dimensions, as `headgate query` shows it; with a step, over time.",
        ("metric", "by", "where", *WINDOW, *STEP),
        _query_columns,
        _query,
        needs=("metric",),
        choices={"step": STEP_NAMES},
    ),
)
