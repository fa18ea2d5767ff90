"""Up to when credits are known."""

import pytest

from headgate.alerting.view import Watermark
from headgate.app.creditmarks import credit_marks
from headgate.core.tally import Tally
from headgate.core.times import DAY_MS, HOUR_MS, format_ms

TODAY = 20_000 * DAY_MS
NOW = TODAY + 13 * HOUR_MS
WALKED = NOW - HOUR_MS
MARKS = {"gh/acme/web": Watermark("ci", WALKED), "gh/acme/idle": Watermark("ci", WALKED)}


class Told:
    """A store that knows credits of these days before today, by kind; of the first project alone."""

    def __init__(self, **days: int) -> None:
        self.days = days

    async def tallies(self, query):
        """As the store's: every day has runs, and those up to the newest have credits."""
        newest = self.days.get(query.kind)
        assert query.bounds["gh/acme/web"][1] == NOW
        return {
            ("gh/acme", format_ms(TODAY - back * DAY_MS)): Tally(
                n=5, credits=0 if newest is None or back < newest else 9
            )
            for back in range(4)
        }

    async def usage_days(self, bounds):
        """No row of what cost nothing."""
        return {}


@pytest.mark.parametrize(
    ("told", "end"),
    [
        (Told(job=1, workflow=1), TODAY),
        (Told(job=2, workflow=1), TODAY - DAY_MS),
        (Told(job=0, workflow=1), WALKED),
        (Told(workflow=1), TODAY - DAY_MS),
        (Told(), WALKED),
    ],
    ids=["yesterday's export", "no export of yesterday yet", "at once", "Insights alone", "none at all"],
)
async def test_windows_over_credits_end_with_the_newest_day_that_is_told_whole(told, end):
    """So does a project's of the same organisation that had no runs; how late that is makes nobody wait."""
    found = await credit_marks(told, MARKS, NOW)
    assert {"gh/acme/web", "gh/acme/idle"} == set(found)
    assert {Watermark("ci", end, WALKED - end)} == set(found.values())


async def test_what_was_never_walked_stays_unknown():
    """Whatever is known of credits."""
    found = await credit_marks(Told(job=1), {"gh/acme/web": Watermark("ci", None)}, NOW)
    assert found == {"gh/acme/web": Watermark("ci", None)}
