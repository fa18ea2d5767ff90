"""The sections `exports` and `reports`: files that are due by a rhythm; `exportjobs` and `reportjobs` make them.

Invariant: a configured export can be asked: its table, words and rhythm were read when the file was. Tables are loaded
where there is one, as most commands read the file and need none.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from headgate.alerting.mutetimes import TimeOfDay, ZoneName, clock_minutes, zone
from headgate.app.problems import nearest
from headgate.app.rhythms import Rhythm, by_cron, each_month, each_week, every
from headgate.app.shelf import Keep
from headgate.core.times import MINUTE_MS
from headgate.plugins import Duration
from headgate.plugins.config import parse_duration

__all__ = ["ExportConfig", "FileName", "ReportConfig", "read_keep"]

# Any moment will do to see whether words can be read.
_ANY_MS = 1_700_000_000_000
FileName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,39}$")]
_KEEP_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "examples": ["90d"]}]}


def read_keep(value: int | str) -> Keep:
    """How many files stay, or for how long: 30, or 90d. Raises ValueError."""
    if isinstance(value, int) or value.strip().isdigit():
        if int(value) < 1:
            raise ValueError("keep at least 1 file")
        return Keep(count=int(value))
    age_ms = parse_duration(value)
    if age_ms < MINUTE_MS:
        raise ValueError("keep files for a minute at least")
    return Keep(age_ms=age_ms)


def _readable_keep(value: int | str) -> int | str:
    read_keep(value)
    return value


KeepText = Annotated[int | str, AfterValidator(_readable_keep), WithJsonSchema(_KEEP_SCHEMA)]


class ExportConfig(BaseModel):
    """A table that is written to a directory by a rhythm: `at` or `every`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    table: str = Field(description="Name of a table, as `headgate export --list` shows them.")
    format: Literal["csv", "json", "jsonl", "xlsx"] = Field(default="csv", description="Of the files.")
    parameters: dict[str, str | tuple[str, ...]] = Field(
        default={},
        description="Words of the question, such as {project: gh/acme/web, window: 30d};"
        " `window: previous` begins when it was due before.",
    )
    at: str | None = Field(default=None, description="Cron line, weekdays by name: `0 6 * * mon-fri`.")
    every: Duration | None = Field(default=None, description="Instead of `at`: every so often, such as 1h.")
    time_zone: ZoneName = Field(default="UTC", description="Whose clocks `at` means, such as Europe/Berlin.")
    to: str = Field(min_length=1, description="Directory; relative to this file. Made where it is not there.")
    keep: KeepText = Field(default=30, description="How many files stay, or for how long, such as 90d.")

    @field_validator("table")
    @classmethod
    def _known_table(cls, value: str) -> str:
        from headgate.insights.tables import TABLES

        if value not in TABLES:
            raise ValueError(f"no table called {value}{nearest(value, TABLES)}")
        return value

    @model_validator(mode="after")
    def _usable(self) -> Self:
        from headgate.app.exportjobs import asked_at
        from headgate.insights.views.refusal import Refused

        if (self.at is None) is (self.every is None):
            raise ValueError("say at or every")
        if self.every is not None and self.every < MINUTE_MS:
            raise ValueError("every: at least 1m")
        self.rhythm()
        for name in ("since", "until"):
            if name in self.parameters:
                raise ValueError(f"parameters.{name}: a window ends when it is due; write window")
        try:
            asked_at(self, _ANY_MS)
        except Refused as exc:
            valid = f"; valid: {', '.join(exc.valid)}" if exc.valid else ""
            raise ValueError(f"parameters: {exc}{valid}") from exc
        return self

    def rhythm(self) -> Rhythm:
        """When it is due. Raises ValueError."""
        return every(self.every) if self.every is not None else by_cron(self.at or "", zone(self.time_zone))


class ReportConfig(BaseModel):
    """A review of each week or month, saved to a directory and sent to notifiers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    every: Literal["week", "month"] = Field(default="week", description="Monday to Monday, or calendar month.")
    at: TimeOfDay = Field(default="07:00", description="Time of the Monday, or of the first, at which it is made.")
    time_zone: ZoneName = Field(default="UTC", description="Whose clocks count, such as Europe/Berlin.")
    to: str = Field(min_length=1, description="Directory; relative to this file. Made where it is not there.")
    keep: KeepText = Field(default=60, description="How many files stay, or for how long, such as 400d.")
    mail: tuple[str, ...] = Field(default=(), description="Notifiers that are sent it; each must take digests.")
    projects: tuple[str, ...] = Field(default=(), description="Only these: slugs or patterns such as gh/acme/*.")
    teams: tuple[str, ...] = Field(default=(), description="Only what these teams own.")

    def rhythm(self) -> Rhythm:
        """When it is due."""
        minute, where = clock_minutes(self.at), zone(self.time_zone)
        return each_week(minute, where) if self.every == "week" else each_month(minute, where)
