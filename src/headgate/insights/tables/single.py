"""Tables about one thing: results and messages of a test, reasons of a run, evidence of an alert, days of budgets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from headgate.insights.tables.columns import column, of_fields
from headgate.insights.tables.lists import TESTS_TAKE
from headgate.insights.tables.places import BRANCH_CLASSES
from headgate.insights.tables.table import WINDOW, Asking, Material, Pages, Table
from headgate.insights.views.alert import Grown, alert_page
from headgate.insights.views.budgets import BUDGETS_BY, budgets_page
from headgate.insights.views.evidence import ChartPoint
from headgate.insights.views.failures import JobFailure
from headgate.insights.views.onetest import MessageView, OfClass, ResultView, one_test
from headgate.insights.views.run import run_page
from headgate.insights.views.tests import page_of_tests

__all__ = ["SINGLE"]

# A test that ran more often within the window has its newest ones here.
_RESULTS = 20_000


def _once(ask: Callable[[Material, Asking], Awaitable[Sequence[Any]]]) -> Callable[[Material, Asking], Pages]:
    """Rows that one answer holds."""

    async def pages(material: Material, asked: Asking) -> Pages:
        yield await ask(material, asked)

    return pages


async def _results(material: Material, asked: Asking) -> Sequence[Any]:
    page = await one_test(
        material.lens, project=asked.one("project"), test=asked.one("test"), window=asked.window, limit=_RESULTS
    )
    return page.results


async def _messages(material: Material, asked: Asking) -> Sequence[Any]:
    page = await one_test(
        material.lens, project=asked.one("project"), test=asked.one("test"), window=asked.window, limit=_RESULTS
    )
    return page.messages


async def _classes(material: Material, asked: Asking) -> Sequence[Any]:
    page = await one_test(
        material.lens, project=asked.one("project"), test=asked.one("test"), window=asked.window, limit=_RESULTS
    )
    return page.classes


async def _suites(material: Material, asked: Asking) -> Sequence[Any]:
    page = await page_of_tests(
        material.lens,
        window=asked.window,
        project=asked.one("project") or None,
        filters=asked.filters,
        lists=["slowest"],
        limit=1,
    )
    return [
        (line, at, value) for line in page.suites.lines for at, value in zip(page.suites.at, line.values, strict=True)
    ]


async def _failures(material: Material, asked: Asking) -> Sequence[Any]:
    return (await run_page(material.lens, run=asked.one("run"))).failures


async def _evidence(material: Material, asked: Asking) -> Sequence[Any]:
    chart = (await alert_page(material.lens, fingerprint=asked.one("alert"))).chart
    return chart.points if chart else ()


async def _grew(material: Material, asked: Asking) -> Sequence[Any]:
    cause = (await alert_page(material.lens, fingerprint=asked.one("alert"))).cause
    return (*cause.grew, *cause.steps) if cause else ()


async def _days(material: Material, asked: Asking) -> Sequence[Any]:
    page = await budgets_page(material.lens, by=next((one for one in BUDGETS_BY if one == asked.one("by")), "budget"))
    return [(line, day) for line in page.lines for day in line.days]


def _label(name: str) -> Any:
    return column(name, "text", "Of the row, where rows are by it.", lambda row: row[0].labels.get(name))


SINGLE = (
    Table(
        "test_results",
        "Results of a test",
        "Results of one test in the window, oldest first; the newest 20,000.",
        ("project", "test", *WINDOW),
        lambda *_: of_fields(
            ResultView,
            docs={
                "infrastructure": "Its job ended as error, which says nothing of the test.",
                "node": "Which of the parallel machines ran it, where that is known.",
                "number": "Of the job.",
                "workflow_id": "Id of the run.",
            },
        ),
        _once(_results),
        needs=("project", "test"),
    ),
    Table(
        "test_messages",
        "What failures of a test say",
        "Messages of one test's failures in the window, the most frequent first.",
        ("project", "test", *WINDOW),
        lambda *_: of_fields(MessageView, docs={"text": "What they have in common.", "sample": "The newest one's."}),
        _once(_messages),
        needs=("project", "test"),
    ),
    Table(
        "test_classes",
        "A test by branches",
        "Results of one test on the default branch and on others, each with its verdict.",
        ("project", "test", *WINDOW),
        lambda *_: of_fields(
            OfClass,
            docs={
                "flakes": "Failures on commits on which it passed too.",
                "transition_rate": "Share of commits on which it did otherwise than on the one before.",
            },
        ),
        _once(_classes),
        needs=("project", "test"),
    ),
    Table(
        "suites",
        "Suites over time",
        "Time that one commit's tests take, by suite and step: the suites that take most.",
        TESTS_TAKE,
        lambda *_: (
            column("project", "text", "", lambda row: row[0].project),
            column("suite", "text", "Or file, where results name no suite.", lambda row: row[0].suite),
            column("at", "time", "Begin of the step.", lambda row: row[1]),
            column("seconds", "number", "Of one commit; no value where none ended in the step.", lambda row: row[2]),
        ),
        _once(_suites),
        choices=BRANCH_CLASSES,
    ),
    Table(
        "run_failures",
        "Why a run failed",
        "Reasons of the failed jobs of one run, and how often they occurred within a week of it.",
        ("run",),
        lambda *_: of_fields(
            JobFailure, leave=("tests",), docs={"count": "Failed jobs of the project for this reason."}
        ),
        _once(_failures),
        needs=("run",),
    ),
    Table(
        "alert_evidence",
        "Evidence of an alert",
        "The runs or windows that the rule of one alert judged, oldest first.",
        ("alert",),
        lambda *_: of_fields(
            ChartPoint, docs={"at": "End of the run or window.", "value": "In the unit of the metric.", "n": "Sample."}
        ),
        _once(_evidence),
        needs=("alert",),
    ),
    Table(
        "alert_causes",
        "What grew behind an alert",
        "Jobs, and steps of the one that grew most, with their part in the change that an alert is about.",
        ("alert",),
        lambda *_: of_fields(Grown, docs={"step": "Empty for the job itself.", "share": "Of the whole change."}),
        _once(_grew),
        needs=("alert",),
    ),
    Table(
        "budget_days",
        "Days of budgets",
        "Credits of each of the last 28 days by budget, team or project, and which were out of the ordinary.",
        ("by",),
        lambda *_: (
            column("budget", "text", "Its rule; empty without one.", lambda row: row[0].budget),
            *map(_label, ("project", "workflow", "job", "team")),
            column("at", "time", "The UTC day.", lambda row: row[1].at),
            column("credits", "number", "", lambda row: row[1].credits, "{credit}"),
            column("usual", "number", "Median of its weekday.", lambda row: row[1].usual, "{credit}"),
            column("anomaly", "text", "high or low where it is out of the ordinary.", lambda row: row[1].anomaly),
        ),
        _once(_days),
        choices={"by": BUDGETS_BY},
    ),
)
