"""Scheduled exports: what the section `exports` says, and the files that come of it.

Invariant: a configured export can be asked: its table, words and rhythm were read when the file was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from headgate.alerting.mutetimes import ZoneName, local_time, zone
from headgate.app.chores import Chore, Made
from headgate.app.problems import nearest
from headgate.app.rhythms import Rhythm, by_cron, every
from headgate.app.shelf import Keep, Shelf
from headgate.core.times import MINUTE_MS, format_ms
from headgate.insights.formats import FORMATS, FormatName, export_asked
from headgate.insights.tables import TABLES, Asking, Material, find_table, read_asking
from headgate.insights.tables.table import WINDOW
from headgate.insights.views.refusal import Refused
from headgate.insights.views.window import DEFAULT_WINDOW, read_length
from headgate.plugins import Duration
from headgate.plugins.config import parse_duration

__all__ = ["ExportConfig", "FileName", "KeepText", "export_chores", "read_keep"]

# Any moment will do to see whether words can be read.
_ANY_MS = 1_700_000_000_000
# The word for a window since it was due before.
_PREVIOUS = "previous"
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
        if value not in TABLES:
            raise ValueError(f"no table called {value}{nearest(value, TABLES)}")
        return value

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if (self.at is None) is (self.every is None):
            raise ValueError("say at or every")
        if self.every is not None and self.every < MINUTE_MS:
            raise ValueError("every: at least 1m")
        self.rhythm()
        for name in ("since", "until"):
            if name in self.parameters:
                raise ValueError(f"parameters.{name}: a window ends when it is due; write window")
        try:
            self.asked(_ANY_MS)
        except Refused as exc:
            valid = f"; valid: {', '.join(exc.valid)}" if exc.valid else ""
            raise ValueError(f"parameters: {exc}{valid}") from exc
        return self

    def rhythm(self) -> Rhythm:
        """When it is due. Raises ValueError."""
        return every(self.every) if self.every is not None else by_cron(self.at or "", zone(self.time_zone))

    def asked(self, due_ms: int) -> Asking:
        """Its question, with a window that ends when it is due. Raises Refused."""
        table = find_table(self.table)
        words = {name: (value,) if isinstance(value, str) else value for name, value in self.parameters.items()}
        if not set(WINDOW) <= set(table.takes):
            return read_asking(table, words, now_ms=due_ms)
        whole = words.get("window") == (_PREVIOUS,)
        if whole:
            del words["window"]
        asked = read_asking(table, words | {"until": (format_ms(due_ms),)}, now_ms=due_ms)
        length = read_length(asked.one("window") or DEFAULT_WINDOW)
        begin_ms = self._begin(due_ms, None if whole else length) or max(0, due_ms - length)
        exact = {name: values for name, values in asked.words.items() if name != "window"}
        return read_asking(table, exact | {"since": (format_ms(begin_ms),)}, now_ms=due_ms)

    def _begin(self, due_ms: int, length: int | None) -> int | None:
        """When it was due before, if its window begins there; else None.

        It does where no length is said, and where the length is that of the rhythm as clocks show it: so a day of 23 or
        25 hours is whole, and in one file, and a window of another length is as long as was said.
        """
        before_ms = self.rhythm().last(due_ms - 1)
        return before_ms if length in (None, self._period(due_ms)) else None

    def _period(self, due_ms: int) -> int | None:
        """From the time before to that at which it is due, as clocks would show them that are never changed."""
        if self.at is None:
            return self.every
        usual = by_cron(self.at, zone("UTC"))
        # The last one: what clocks skip, they show later.
        shown_ms = usual.last(due_ms + _offset(due_ms, zone(self.time_zone)))
        before_ms = None if shown_ms is None else usual.last(shown_ms - 1)
        return None if shown_ms is None or before_ms is None else shown_ms - before_ms


def _offset(at_ms: int, where: ZoneInfo) -> int:
    """How far clocks are ahead of UTC, milliseconds."""
    return (local_time(max(0, at_ms), where).utcoffset() or timedelta()) // timedelta(milliseconds=1)


def export_chores(configs: Mapping[str, ExportConfig], base: Path, material: Callable[[], Material]) -> list[Chore]:
    """Every configured export. `base`: where relative directories begin; `material`: of this moment."""
    # Workbooks that are due at the same time are made one after the other.
    turn = asyncio.Lock()
    return [_chore(name, config, base, material, turn) for name, config in configs.items()]


def _chore(name: str, config: ExportConfig, base: Path, material: Callable[[], Material], turn: asyncio.Lock) -> Chore:
    shelf = Shelf(base / config.to, name, FORMATS, read_keep(config.keep))
    form: FormatName = config.format

    async def make(due_ms: int) -> Made:
        asked = config.asked(due_ms)
        since_ms = asked.window.since_ms if asked.table.windowed else None
        async with turn if form == "xlsx" else nullcontext():
            made = await export_asked(material(), asked, form)
        return Made(shelf.file(since_ms, due_ms, form), made.chunks)

    return Chore("export", name, config.rhythm(), shelf, make)
