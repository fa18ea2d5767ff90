"""When a digest is due, of which alerts, and for whom. Pure.

Invariant: a digest is of one whole period, from one time of day to the next, as clocks in its time zone show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from headgate.alerting.matching import read_match
from headgate.alerting.mutetimes import WEEKDAYS, TimeOfDay, ZoneName, clock_minutes, local_time, zone
from headgate.core.errors import ConfigError
from headgate.insights.match import Matcher, matches

__all__ = ["DigestConfig", "DigestPlan", "build_digests"]


class DigestConfig(BaseModel):
    """A report of a day or week: what was below warning, what nobody was told, and how CI did."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: tuple[str, ...] = Field(min_length=1, description="Notifiers by name; each must take digests.")
    every: Literal["day", "week"] = Field(default="day", description="day or week.")
    at: TimeOfDay = Field(default="09:00", description="Time of day.")
    weekday: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = Field(
        default="mon", description="Of a weekly one."
    )
    time_zone: ZoneName = Field(default="UTC", description="Whose clocks count, such as Europe/Berlin.")
    match: dict[str, str] | list[str] = Field(default={}, description="Alerts that it is about; empty takes all.")

    @field_validator("match")
    @classmethod
    def _readable(cls, value: dict[str, str] | list[str]) -> dict[str, str] | list[str]:
        read_match(value)
        return value


@dataclass(frozen=True, slots=True)
class DigestPlan:
    """One digest, as it is used. `days`: of its period; `minute`: of the day."""

    name: str
    to: tuple[str, ...]
    days: Literal[1, 7]
    minute: int
    weekday: int
    where: ZoneInfo
    matchers: tuple[Matcher, ...]

    @classmethod
    def of(cls, name: str, config: DigestConfig) -> Self:
        """From its form."""
        return cls(
            name,
            config.to,
            1 if config.every == "day" else 7,
            clock_minutes(config.at),
            WEEKDAYS.index(config.weekday),
            zone(config.time_zone),
            read_match(config.match),
        )

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether it is about an alert with these labels."""
        return matches(self.matchers, labels)

    def period(self, now_ms: int) -> tuple[int, int]:
        """The last whole period: since <= t < until <= now, milliseconds."""
        now = local_time(now_ms, self.where)
        back = (now.weekday() - self.weekday) % 7 if self.days == 7 else 0
        until = self._moment(now, back)
        if until > now_ms:
            back += self.days
            until = self._moment(now, back)
        return self._moment(now, back + self.days), until

    def _moment(self, now: datetime, days_back: int) -> int:
        day = now.date() - timedelta(days=days_back)
        moment = datetime(day.year, day.month, day.day, self.minute // 60, self.minute % 60, tzinfo=self.where)
        return round(moment.timestamp() * 1000)


def build_digests(configs: Mapping[str, DigestConfig], takers: Mapping[str, bool]) -> tuple[DigestPlan, ...]:
    """Plans by name. `takers`: notifier -> whether it takes digests. Raises ConfigError for one that does not."""
    problems = [
        f"alerts.digests.{name}.to: {notifier!r} takes no digests"
        for name, config in configs.items()
        for notifier in config.to
        if not takers.get(notifier)
    ]
    if problems:
        raise ConfigError(*problems)
    return tuple(DigestPlan.of(name, config) for name, config in configs.items())
