"""`/api/v1/insights/...` about what to do: failures, tests, sizes, money. Thin, as `web.insights`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from headgate.insights.views.budgets import BudgetsBy, BudgetsPage, budgets_page
from headgate.insights.views.charges import ChargesBy, ChargesPage, charges_page
from headgate.insights.views.failures import FailuresPage, failures_page
from headgate.insights.views.lens import Lens
from headgate.insights.views.onetest import OneTestPage, one_test
from headgate.insights.views.reruns import RerunsBy, RerunsPage, reruns_page
from headgate.insights.views.rightsizing import RightSizingPage, Shown, rightsizing_page
from headgate.web.answering import answer
from headgate.web.asking import Filtered, Limit, Listed, Name, Text, Windowed
from headgate.web.documented import documented

__all__ = ["add_advice"]


class RightSizingQuery(Filtered, Listed):
    """Machine sizes."""

    project: Name | None = None
    show: Shown = "all"


class FailuresQuery(Filtered, Listed):
    """Groups of failures."""

    project: Name | None = None
    limit: Limit = 25


class RerunsQuery(Filtered, Listed):
    """Repeats of failed runs."""

    by: RerunsBy = "project"
    project: Name | None = None
    workflow: Text | None = None


class ChargesQuery(Filtered, Listed):
    """What credits were charged for."""

    by: ChargesBy = "project"
    project: Name | None = None


class BudgetsQuery(BaseModel):
    """Budgets."""

    model_config = ConfigDict(extra="forbid")

    by: BudgetsBy = Field(default="budget", description="Budgets of rules, or every team or project this month.")


class TestQuery(Windowed):
    """One test."""

    project: Name
    test: Text = Field(description="Id of the test.")
    limit: Limit = Field(default=500, description="How many of its last results.")


def add_advice(router: APIRouter, lens: Callable[[], Lens]) -> None:
    """Add the routes. `lens`: a new one for each answer."""
    _add_failures(router, lens)
    _add_money(router, lens)


def _add_failures(router: APIRouter, lens: Callable[[], Lens]) -> None:
    @router.get("/insights/failures", **documented(FailuresPage))
    async def get_failures(asked: Annotated[FailuresQuery, Query()]) -> Response:
        """Failed jobs by step and failure text: since when, how often, where; the infrastructure's apart."""
        at = lens()
        page = await failures_page(
            at,
            window=asked.window_at(at.now_ms),
            project=asked.project,
            filters=asked.filters,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/insights/test", **documented(OneTestPage))
    async def get_test(asked: Annotated[TestQuery, Query()]) -> Response:
        """One test: what became of it, its last results, and what its failures say."""
        at = lens()
        window = asked.window_at(at.now_ms)
        return answer(await one_test(at, project=asked.project, test=asked.test, window=window, limit=asked.limit))


def _add_money(router: APIRouter, lens: Callable[[], Lens]) -> None:
    @router.get("/insights/rightsizing", **documented(RightSizingPage))
    async def get_rightsizing(asked: Annotated[RightSizingQuery, Query()]) -> Response:
        """Which jobs need a smaller or a larger machine, what that saves in 30 days, and at what risk."""
        at = lens()
        page = await rightsizing_page(
            at,
            window=asked.window_at(at.now_ms),
            project=asked.project,
            show=asked.show,
            filters=asked.filters,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/insights/reruns", **documented(RerunsPage))
    async def get_reruns(asked: Annotated[RerunsQuery, Query()]) -> Response:
        """What repeating failed runs costs, by project, workflow, team or job."""
        at = lens()
        page = await reruns_page(
            at,
            by=asked.by,
            window=asked.window_at(at.now_ms),
            project=asked.project,
            workflow=asked.workflow,
            filters=asked.filters,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/insights/charges", **documented(ChargesPage))
    async def get_charges(asked: Annotated[ChargesQuery, Query()]) -> Response:
        """What credits were charged for by the usage export; adds up to its total."""
        at = lens()
        page = await charges_page(
            at,
            by=asked.by,
            window=asked.window_at(at.now_ms),
            project=asked.project,
            filters=asked.filters,
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return answer(page)

    @router.get("/insights/budgets", **documented(BudgetsPage))
    async def get_budgets(asked: Annotated[BudgetsQuery, Query()]) -> Response:
        """Budgets: spent so far, expected at the end of the period with its range, days out of the ordinary."""
        return answer(await budgets_page(lens(), by=asked.by))
