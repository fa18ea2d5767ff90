"""Scheduled exports: the files that come of the section `exports`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from headgate.alerting.mutetimes import local_time, zone
from headgate.app.chores import Chore, Made
from headgate.app.filesections import ExportConfig, read_keep
from headgate.app.rhythms import by_cron
from headgate.app.shelf import Shelf
from headgate.core.times import format_ms
from headgate.insights.formats import FORMATS, FormatName, export_asked
from headgate.insights.tables import Asking, Material, find_table, read_asking
from headgate.insights.tables.table import WINDOW
from headgate.insights.views.window import DEFAULT_WINDOW, read_length

__all__ = ["asked_at", "export_chores"]

# The word for a window since it was due before.
_PREVIOUS = "previous"


def asked_at(config: ExportConfig, due_ms: int) -> Asking:
    """The question of an export, with a window that ends when it is due. Raises Refused."""
    table = find_table(config.table)
    words = {name: (value,) if isinstance(value, str) else value for name, value in config.parameters.items()}
    if not set(WINDOW) <= set(table.takes):
        return read_asking(table, words, now_ms=due_ms)
    whole = words.get("window") == (_PREVIOUS,)
    if whole:
        del words["window"]
    asked = read_asking(table, words | {"until": (format_ms(due_ms),)}, now_ms=due_ms)
    length = read_length(asked.one("window") or DEFAULT_WINDOW)
    begin_ms = _begin(config, due_ms, None if whole else length) or max(0, due_ms - length)
    exact = {name: values for name, values in asked.words.items() if name != "window"}
    return read_asking(table, exact | {"since": (format_ms(begin_ms),)}, now_ms=due_ms)


def _begin(config: ExportConfig, due_ms: int, length: int | None) -> int | None:
    """When it was due before, if its window begins there; else None.

    It does where no length is said, and where the length is that of the rhythm as clocks show it: so a day of 23 or
    25 hours is whole, and in one file, and a window of another length is as long as was said.
    """
    before_ms = config.rhythm().last(due_ms - 1)
    return before_ms if length in (None, _period(config, due_ms)) else None


def _period(config: ExportConfig, due_ms: int) -> int | None:
    """From the time before to that at which it is due, as clocks would show them that are never changed."""
    if config.at is None:
        return config.every
    usual = by_cron(config.at, zone("UTC"))
    # The last one: what clocks skip, they show later.
    shown_ms = usual.last(due_ms + _offset(due_ms, zone(config.time_zone)))
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
        asked = asked_at(config, due_ms)
        since_ms = asked.window.since_ms if asked.table.windowed else None
        async with turn if form == "xlsx" else nullcontext():
            made = await export_asked(material(), asked, form)
        return Made(shelf.file(since_ms, due_ms, form), made.chunks)

    return Chore("export", name, config.rhythm(), shelf, make)
