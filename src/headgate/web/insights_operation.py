"""`/api/v1/insights/alert/...`: what the page of one alert shows, for scripts. Thin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Response

from headgate.insights.views.alert import AlertPage, alert_page
from headgate.insights.views.lens import Lens
from headgate.web.answering import answer
from headgate.web.documented import documented

__all__ = ["add_operation_insights"]

_Fingerprint = Annotated[str, Path(min_length=1, max_length=200, description="Of the alert, or how it begins.")]


def add_operation_insights(router: APIRouter, lens: Callable[[], Lens]) -> None:
    """Add the route of one alert."""

    @router.get("/insights/alert/{fingerprint}", **documented(AlertPage))
    async def get_alert(fingerprint: _Fingerprint) -> Response:
        """One alert: the values it was judged by, its limits and baseline, the cause, who was told when."""
        return answer(await alert_page(lens(), fingerprint=fingerprint))
