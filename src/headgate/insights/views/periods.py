"""Whole weeks and months, as clocks in a time zone show them. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from headgate.insights.views.window import Window

__all__ = ["last_period"]


def last_period(every: Literal["week", "month"], at_ms: int, where: ZoneInfo) -> Window:
    """The last whole week, from Monday to Monday, or month, that had ended at a time."""
    today = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(where).date()
    if every == "week":
        until = today - timedelta(days=today.weekday())
        since = until - timedelta(days=7)
    else:
        until = today.replace(day=1)
        since = (until - timedelta(days=1)).replace(day=1)
    return Window(_midnight(since, where), _midnight(until, where))


def _midnight(day: date, where: ZoneInfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=where).timestamp() * 1000)
