"""When files are due: by cron, every so often, each week or month; and whole weeks and months."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from headgate.app.rhythms import by_cron, each_month, each_week, every
from headgate.core.times import format_ms, parse_ms
from headgate.insights.views.periods import last_period

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")

# Days near which clocks are changed in one of the zones.
CHANGES = (
    *("2026-02-15", "2026-03-08", "2026-03-22", "2026-03-29", "2026-04-05", "2026-04-24"),
    *("2026-10-04", "2026-10-25", "2026-10-29", "2026-11-01"),
)


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


QUARTERS = [dt.datetime(2026, 1, 1) + dt.timedelta(minutes=15 * number) for number in range(366 * 96)]  # noqa: DTZ001


def shown(matches, where):
    """Every moment of the year at which clocks show it, the slow way; what they skip, as much later; milliseconds."""
    found = set()
    for wall in filter(matches, QUARTERS):
        first, second = (wall.replace(tzinfo=where, fold=fold).astimezone(dt.UTC) for fold in (0, 1))
        found |= {first, second} if first < second else {first}
    return sorted(int(moment.timestamp()) * 1000 for moment in found)


@pytest.mark.parametrize(
    "zone",
    [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "UTC",
    ],
)
@pytest.mark.parametrize(
    ("rhythm", "matches"),
    [
        (lambda where: by_cron("0 0 * * *", where), lambda wall: (0, 0) == (wall.hour, wall.minute)),
        (lambda where: by_cron("15 0 * * *", where), lambda wall: (0, 15) == (wall.hour, wall.minute)),
        (lambda where: by_cron("30 2 * * *", where), lambda wall: (2, 30) == (wall.hour, wall.minute)),
        (lambda where: by_cron("15 2,3 * * *", where), lambda wall: wall.hour in (2, 3) and wall.minute == 15),
        (lambda where: by_cron("0 */2 * * *", where), lambda wall: wall.hour % 2 == wall.minute == 0),
        (lambda where: by_cron("30 1 29 3 *", where), lambda wall: wall.isoformat() == "2026-03-29T01:30:00"),
        (lambda where: by_cron("0 0 1 4 *", where), lambda wall: wall.isoformat() == "2026-04-01T00:00:00"),
        (lambda where: each_week(30, where), lambda wall: (0, 0, 30) == (wall.weekday(), wall.hour, wall.minute)),
        (lambda where: each_month(0, where), lambda wall: (1, 0, 0) == (wall.day, wall.hour, wall.minute)),
    ],
    ids=["midnight", "00:15", "02:30", "02:15 and 03:15", "every 2 h", "29 March", "1 April", "weekly", "monthly"],
)  # fmt: skip
def test_each_time_that_clocks_show_in_a_year(zone, rhythm, matches):
    """Is due, and nothing else is, also around changes of the clocks; asked from before, from it, and backwards."""
    where = ZoneInfo(zone)
    due, asked = shown(matches, where), rhythm(where)
    assert due[1:] == [asked.next(at_ms) for at_ms in due[:-1]]
    assert due[1:] == [asked.next(at_ms - 1) for at_ms in due[1:]]
    around = [at_ms for at_ms in due if any(abs(at_ms - at(day)) < 5 * 86_400_000 for day in CHANGES)]
    assert around == [asked.last(at_ms) for at_ms in around]


@pytest.mark.parametrize(
    ("rhythm", "now", "last"),
    [
        (each_month(0, BERLIN), "2026-04-03T10:00:00Z", "2026-03-31T22:00:00.000Z"),
        (each_week(30, BERLIN), "2026-03-30T10:00:00Z", "2026-03-29T22:30:00.000Z"),
        (by_cron("0 0 1 4 *", BERLIN), "2028-03-30T10:00:00Z", "2027-03-31T22:00:00.000Z"),
    ],
)
def test_the_last_moment_after_a_day_of_23_hours(rhythm, now, last):
    """Also in its first hour, which is less than 24 hours after the same of the day before."""
    assert last == format_ms(rhythm.last(at(now)))


def test_what_clocks_skip_is_due_after_a_start_within_it():
    """At 03:30 where there is no 02:30, also for who asks at 03:10."""
    rhythm = by_cron("30 2 * * *", BERLIN)
    assert at("2026-03-29T01:30:00Z") == rhythm.next(at("2026-03-29T01:10:00Z"))


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
