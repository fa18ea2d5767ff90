"""When something is due: by a cron line, every so often, or each week or month. Pure.

Invariant: `last` is the newest moment not after now at which it was due, whoever ran then, so what was missed is known
without a log of what was done. What clocks are to show is APScheduler's, asked as if they were never changed; when they
show it, and what of it they skip or show twice, is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from headgate.core.times import DAY_MS, HOUR_MS

__all__ = ["Rhythm", "by_cron", "each_month", "each_week", "every"]

# How far back the last moment is looked for: an hour first, since a line may name every minute; in the end a leap year.
_BACK_MS = (HOUR_MS, *(days * DAY_MS for days in (1, 8, 32, 367, 1470)))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Longer than clocks are put forward anywhere: two hours in Antarctica.
_LONGEST_SKIP = timedelta(hours=3)
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """`trigger`: APScheduler's."""

    trigger: Any

    def last(self, now_ms: int) -> int | None:
        """The newest moment that is not after now, milliseconds; None where there was none in four years."""
        now = _moment(now_ms)
        for back_ms in _BACK_MS:
            found = self._within(_moment(now_ms - back_ms), now)
            if found is not None:
                return _ms(found)
        return None

    def _within(self, since: datetime, now: datetime) -> datetime | None:
        found: datetime | None = None
        at: datetime | None = self.trigger.get_next_fire_time(None, since)
        while at is not None and at <= now:
            found, at = at, self.trigger.get_next_fire_time(at, at)
        return found

    def next(self, now_ms: int) -> int | None:
        """The first moment after now, milliseconds."""
        at = self.trigger.get_next_fire_time(None, _moment(now_ms + 1))
        return None if at is None else _ms(at)


class _Interval(IntervalTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Counted from the epoch, so that a restart does not move it; looks back without walking all the way."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first multiple of the length that is not before now, and after the one before."""
        length = self.interval
        after = now if previous_fire_time is None else max(now, previous_fire_time + timedelta(microseconds=1))
        moment: datetime = _EPOCH + -((_EPOCH - after) // length) * length
        return moment


class _Clocks(CronTrigger):  # type: ignore[misc]  # APScheduler has no types
    """As clocks there show it: what they skip is due later by what they skip, what they show twice is due twice.

    APScheduler itself adds whole days of 24 hours, and so passes over the first hour after a day of 23.
    """

    def __init__(self, where: ZoneInfo, **fields: int | str) -> None:
        super().__init__(timezone=UTC, **fields)
        self._where = where

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The first moment that is not before now, and after the one before; in UTC, as now has to be."""
        after = now if previous_fire_time is None else max(now, previous_fire_time + timedelta(microseconds=1))
        return self._first(after - _LONGEST_SKIP, after)

    def _first(self, since: datetime, after: datetime) -> datetime | None:
        """The first moment not before `after`, by the clocks of `since` and later."""
        ahead = self._ahead(since)
        shown = super().get_next_fire_time(None, max(since, after) + ahead)
        if shown is None:
            return None
        found: datetime = shown - ahead
        change = self._change(since, found)
        if change is None:
            return found
        later = self._first(change, after)
        skipped = found < change + self._ahead(change) - ahead
        return found if skipped and (later is None or found < later) else later

    def _ahead(self, at: datetime) -> timedelta:
        return at.astimezone(self._where).utcoffset() or timedelta()

    def _change(self, since: datetime, until: datetime) -> datetime | None:
        """When clocks were changed first, after one and not after the other."""
        ahead, high = self._ahead(since), since
        while high < until and self._ahead(high) == ahead:
            since, high = high, min(high + _DAY, until)
        if self._ahead(high) == ahead:
            return None
        while high - since > _SECOND:
            middle = since + (high - since) / 2
            since, high = (middle, high) if self._ahead(middle) == ahead else (since, middle)
        return high.replace(microsecond=0)


def every(length_ms: int) -> Rhythm:
    """Every so often: at multiples of the length since the epoch."""
    return Rhythm(_Interval(seconds=length_ms / 1000, timezone=UTC))


def by_cron(line: str, where: ZoneInfo) -> Rhythm:
    """A cron line of five fields, as clocks there show it. Weekdays by name. Raises ValueError."""
    fields = line.split()
    if len(fields) != 5:
        raise ValueError(
            "write the five fields of a cron line: minute hour day month weekday, such as `0 6 * * mon-fri`"
        )
    if any(sign.isdigit() for sign in fields[4].partition("#")[0]):
        raise ValueError("weekdays by name, such as mon-fri: numbers mean other days elsewhere")
    minute, hour, day, month, weekday = fields
    return Rhythm(_Clocks(where, minute=minute, hour=hour, day=day, month=month, day_of_week=weekday))


def each_week(minute: int, where: ZoneInfo) -> Rhythm:
    """Mondays at a minute of the day."""
    return Rhythm(_Clocks(where, day_of_week="mon", hour=minute // 60, minute=minute % 60))


def each_month(minute: int, where: ZoneInfo) -> Rhythm:
    """The first of each month at a minute of the day."""
    return Rhythm(_Clocks(where, day=1, hour=minute // 60, minute=minute % 60))


def _moment(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=max(0, at_ms))


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
