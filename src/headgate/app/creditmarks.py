"""Up to when credits are known. The usage export tells them of whole UTC days, Insights up to a day late.

Invariant: a window over credits never ends within a day of which none or only some are told yet, for that would look
like a cheap day.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.alerting.view import Watermark, Watermarks
from headgate.core.rollup import RollupKind
from headgate.core.slug import org_slug
from headgate.core.storeport import ReadStore
from headgate.core.tally import TallyQuery
from headgate.core.times import DAY_MS, parse_ms

__all__ = ["credit_marks"]

# Credits that are later than this have stopped: then the marks of runs say so.
_DAYS = 4
# A source and an organisation: what one token may see of another's credits is another matter.
_Place = tuple[str, str]


async def credit_marks(store: ReadStore, marks: Watermarks, now_ms: int) -> Watermarks:
    """The watermarks of runs, held back to the end of the newest day of which credits are known.

    Credits of jobs come with the whole day, or at once; where only workflows have some, from Insights, their newest
    day may be told in part, so it does not count.
    """
    today_ms = now_ms // DAY_MS * DAY_MS
    jobs = await _newest(store, "job", marks, today_ms, now_ms)
    runs = await _newest(store, "workflow", marks, today_ms, now_ms)
    held: dict[str, Watermark] = {}
    for project, mark in marks.items():
        place = (mark.source, org_slug(project))
        newest_ms = jobs[place] + DAY_MS if place in jobs else runs.get(place)
        held[project] = mark if newest_ms is None or newest_ms > today_ms else _back(mark, newest_ms)
    return held


def _back(mark: Watermark, end_ms: int) -> Watermark:
    if mark.at_ms is None or mark.at_ms <= end_ms:
        return mark
    return Watermark(mark.source, end_ms, mark.at_ms - end_ms)


async def _newest(
    store: ReadStore, kind: RollupKind, marks: Watermarks, today_ms: int, now_ms: int
) -> Mapping[_Place, int]:
    """Begin of the newest day on which anything of a source and organisation has credits."""
    bounds = dict.fromkeys(marks, (today_ms - _DAYS * DAY_MS, now_ms))
    newest: dict[_Place, int] = {}
    for (project, day), tally in (await store.tallies(TallyQuery(kind, bounds, by=("project", "day")))).items():
        if tally.credits and project in marks:
            place = (marks[project].source, org_slug(project))
            newest[place] = max(newest.get(place, 0), parse_ms(day) or 0)
    return newest
