"""The watermarks of credits: those of runs, held back to where credits are told.

Invariant: a window over credits never ends within a day of which none or only some are told yet, for that would look
like a cheap day.
"""

from __future__ import annotations

from dataclasses import replace

from headgate.alerting.view import Watermark, Watermarks
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.times import DAY_MS
from headgate.insights.creditdays import LATE_DAYS, credits_told

__all__ = ["credit_marks"]


async def credit_marks(store: ReadStore, marks: Watermarks, now_ms: int) -> Watermarks:
    """The watermarks of runs, held back to the end of the newest day of which credits are known.

    Where credits have stopped, the marks of runs say so. By source and organisation: what one token may see of
    another's credits is another matter.
    """
    today_ms = now_ms // DAY_MS * DAY_MS
    held: dict[str, Watermark] = {}
    for source in {mark.source for mark in marks.values()}:
        own = {project: mark for project, mark in marks.items() if mark.source == source}
        told = await credits_told(store, dict.fromkeys(own, (today_ms - LATE_DAYS * DAY_MS, now_ms)))
        for project, mark in own.items():
            known = told.get(org_slug(project))
            held[project] = mark if known is None or known.until_ms > today_ms else _back(mark, known.until_ms)
    return held


def _back(mark: Watermark, end_ms: int) -> Watermark:
    if mark.at_ms is None or mark.at_ms <= end_ms:
        return mark
    return replace(mark, at_ms=end_ms, behind_ms=mark.at_ms - end_ms)
