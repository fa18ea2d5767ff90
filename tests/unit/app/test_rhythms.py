"""When files are due: by cron, every so often, each week or month; and whole weeks and months."""

from zoneinfo import ZoneInfo

import pytest

from headgate.app.rhythms import by_cron, each_month, each_week, every
from headgate.core.times import format_ms, parse_ms
from headgate.insights.views.periods import last_period

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")


def at(text):
    return parse_ms(text)


@pytest.mark.parametrize(
    ("rhythm", "now", "last", "following"),
    [
        (every(3_600_000), "2026-11-21T10:20:00Z", "2026-11-21T10:00:00.000Z", "2026-11-21T11:00:00.000Z"),
        (every(60_000), "2026-11-21T10:20:00Z", "2026-11-21T10:20:00.000Z", "2026-11-21T10:21:00.000Z"),
        (by_cron("30 6 * * *", UTC), "2026-11-21T06:29:59Z", "2026-11-20T06:30:00.000Z", "2026-11-21T06:30:00.000Z"),
        (by_cron("30 6 * * *", BERLIN), "2026-11-21T06:00:00Z", "2026-11-21T05:30:00.000Z", "2026-11-22T05:30:00.000Z"),
        (by_cron("0 6 * * mon-fri", UTC), "2026-11-22", "2026-11-20T06:00:00.000Z", "2026-11-23T06:00:00.000Z"),
        (by_cron("0 0 29 2 *", UTC), "2026-11-22T09:00:00Z", "2024-02-29T00:00:00.000Z", "2028-02-29T00:00:00.000Z"),
        (each_week(420, UTC), "2026-11-23T06:59:00Z", "2026-11-16T07:00:00.000Z", "2026-11-23T07:00:00.000Z"),
        (each_week(420, UTC), "2026-11-23T07:00:00Z", "2026-11-23T07:00:00.000Z", "2026-11-30T07:00:00.000Z"),
        (each_month(0, BERLIN), "2026-11-21T10:00:00Z", "2026-10-31T23:00:00.000Z", "2026-11-30T23:00:00.000Z"),
    ],
)  # fmt: skip
def test_the_last_and_the_next_moment(rhythm, now, last, following):
    """Of a rhythm, as clocks in its time zone show it, however long ago."""
    assert (last, following) == (format_ms(rhythm.last(at(now))), format_ms(rhythm.next(at(now))))


def test_a_day_that_never_comes():
    """Was never due."""
    assert by_cron("0 0 30 2 *", UTC).last(at("2026-11-21T10:00:00Z")) is None
    assert by_cron("0 0 30 2 *", UTC).next(at("2026-11-21T10:00:00Z")) is None


@pytest.mark.parametrize("line", ["0 6 * *", "0 6 * * 1-5", "61 6 * * *", "0 6 * * moon", "@daily", "0 6 * * * *"])
def test_lines_that_cannot_be_read(line):
    """Are refused, among them weekdays by number, which mean other days elsewhere."""
    with pytest.raises(ValueError, match=r"."):
        by_cron(line, UTC)


@pytest.mark.parametrize(
    ("every_", "now", "where", "since", "until"),
    [
        ("week", "2026-11-21T10:00:00Z", UTC, "2026-11-09T00:00:00.000Z", "2026-11-16T00:00:00.000Z"),
        ("week", "2026-11-23T00:00:00Z", UTC, "2026-11-16T00:00:00.000Z", "2026-11-23T00:00:00.000Z"),
        ("week", "2026-11-22T23:30:00Z", BERLIN, "2026-11-15T23:00:00.000Z", "2026-11-22T23:00:00.000Z"),
        ("week", "2026-10-27T09:00:00Z", BERLIN, "2026-10-18T22:00:00.000Z", "2026-10-25T23:00:00.000Z"),
        ("month", "2026-11-21T10:00:00Z", UTC, "2026-10-01T00:00:00.000Z", "2026-11-01T00:00:00.000Z"),
        ("month", "2027-01-01T00:00:00Z", UTC, "2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
    ],
)  # fmt: skip
def test_whole_weeks_and_months(every_, now, where, since, until):
    """The last one that had ended, also over a change of the clocks."""
    window = last_period(every_, at(now), where)
    assert (since, until) == (window.since, window.until)
