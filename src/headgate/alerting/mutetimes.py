"""Times in which people do not want to be told: hours and weekdays of a time zone, and holidays. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["WEEKDAYS", "MuteTime", "MuteTimeConfig", "TimeOfDay", "ZoneName", "clock_minutes", "local_time", "zone"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"^([01]\d|2[0-4]):([0-5]\d)$")
_HOLIDAY = re.compile(r"^(\d{4}-)?\d\d-\d\d$")
_LEAP_YEAR = 2000  # so that 02-29 is a day
_DAY_MINUTES = 24 * 60


def zone(name: str) -> ZoneInfo:
    """The time zone of a name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as exc:
        raise ValueError(f"no time zone is called {name!r}; write a name such as Europe/Berlin or UTC") from exc


def local_time(at_ms: int, where: ZoneInfo) -> datetime:
    """A point in time as clocks in a time zone show it."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(where)


def clock_minutes(text: str) -> int:
    """Minutes since midnight of 09:30; 24:00 is the end of the day. Raises ValueError."""
    found = _CLOCK.match(text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else _DAY_MINUTES + 1
    if minutes > _DAY_MINUTES:
        raise ValueError(f"{text!r} is not a time of day; write 09:30")
    return minutes


def _time_of_day(text: str) -> str:
    if clock_minutes(text) == _DAY_MINUTES:
        raise ValueError("write 00:00")
    return text


# A time zone of the IANA database, and a time of day such as 09:30, as configuration names them.
ZoneName = Annotated[str, AfterValidator(lambda name: zone(name).key)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]


def _span(text: str) -> tuple[int, int]:
    """22:00-06:00 as minutes; it may go over midnight. Raises ValueError."""
    first, dash, last = text.partition("-")
    begin, end = clock_minutes(first), clock_minutes(last) if dash else -1
    if begin in {end, _DAY_MINUTES} or end < 0:
        raise ValueError(f"{text!r} is not a span; write 22:00-06:00")
    return begin, end


def _days(text: str) -> frozenset[int]:
    """`sat` or `mon-fri` as numbers, Monday is 0. Raises ValueError."""
    first, dash, last = text.partition("-")
    if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
        raise ValueError(f"{text!r} is not a weekday; write mon, or mon-fri")
    begin = WEEKDAYS.index(first)
    count = (WEEKDAYS.index(last) - begin) % 7 if dash else 0
    return frozenset((begin + step) % 7 for step in range(count + 1))


def _holiday(text: str) -> str:
    """Itself, when it is a day. Raises ValueError."""
    try:
        if _HOLIDAY.match(text):
            date.fromisoformat(text if len(text) > len("12-25") else f"{_LEAP_YEAR}-{text}")
            return text
    except ValueError:
        pass  # told below, like every other wrong text
    raise ValueError(f"{text!r} is not a day; write 2026-12-25, or 12-25 for every year")


@dataclass(frozen=True, slots=True)
class MuteTime:
    """When it is quiet: on holidays, and in the spans on the weekdays. A span belongs to the day it begins on."""

    name: str
    where: ZoneInfo
    weekdays: frozenset[int]
    spans: tuple[tuple[int, int], ...]
    holidays: frozenset[str]

    def holds(self, at_ms: int) -> bool:
        """Whether it is quiet at a time."""
        now = local_time(at_ms, self.where)
        today = now.date()
        if {today.isoformat(), today.isoformat()[5:]} & self.holidays:
            return True
        minute = now.hour * 60 + now.minute
        return any(self._within(today, minute, begin, end) for begin, end in self.spans)

    def _within(self, today: date, minute: int, begin: int, end: int) -> bool:
        if begin < end:
            return begin <= minute < end and today.weekday() in self.weekdays
        if minute >= begin:
            return today.weekday() in self.weekdays
        return minute < end and (today - timedelta(days=1)).weekday() in self.weekdays


class MuteTimeConfig(BaseModel):
    """Times in which routes that name it are quiet. With `weekdays` alone whole days, with `times` alone every day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: ZoneName = Field(default="UTC", description="Whose clocks count, such as Europe/Berlin.")
    weekdays: tuple[str, ...] = Field(default=(), description="Such as [mon-fri] or [sat, sun].")
    times: tuple[str, ...] = Field(default=(), description="Such as [22:00-06:00]; over midnight is fine.")
    holidays: tuple[str, ...] = Field(default=(), description="Whole days: 2026-12-25, or 12-25 for every year.")

    @model_validator(mode="after")
    def _readable(self) -> MuteTimeConfig:
        self.built("")
        if not (self.weekdays or self.times or self.holidays):
            raise ValueError("say weekdays, times or holidays")
        return self

    def built(self, name: str) -> MuteTime:
        """As it is used. Raises ValueError for what cannot be read."""
        days = frozenset[int]().union(*(_days(text) for text in self.weekdays))
        spans = tuple(_span(text) for text in self.times)
        if not spans and days:
            spans = ((0, _DAY_MINUTES),)
        holidays: Sequence[str] = [_holiday(text) for text in self.holidays]
        return MuteTime(name, zone(self.time_zone), days or frozenset(range(7)), spans, frozenset(holidays))
