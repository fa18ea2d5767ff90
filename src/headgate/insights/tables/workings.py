"""Tables about Headgate itself: who is told, what comes in, what is kept, which files it writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from headgate.core.times import parse_ms
from headgate.insights.tables.columns import keys
from headgate.insights.tables.table import WINDOW, Asking, Desk, Kind, Material, Pages, Table

__all__ = ["WORKINGS"]

_Rows = Sequence[Mapping[str, Any]]
_ASIDE_PAGE = 200
_TRAIL_PAGE = 1000


def _told(ask: Callable[[Desk], Awaitable[_Rows]]) -> Callable[[Material, Asking], Pages]:
    async def pages(material: Material, _: Asking) -> Pages:
        yield await ask(material.desk)

    return pages


def _named(name: str, ask: Callable[[Desk], Awaitable[Mapping[str, Any]]]) -> Callable[[Desk], Awaitable[_Rows]]:
    """Rows out of a mapping of names."""

    async def rows(desk: Desk) -> _Rows:
        return [{name: key, **value} for key, value in (await ask(desk)).items()]

    return rows


def _status(part: str) -> Callable[[Desk], Awaitable[Mapping[str, Any]]]:
    async def ask(desk: Desk) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await desk.overview())["status"].get(part, {})
        return found

    return ask


def _data(part: str) -> Callable[[Desk], Awaitable[_Rows]]:
    async def ask(desk: Desk) -> _Rows:
        found: _Rows = (await desk.data())[part]
        return found

    return ask


async def _routes(desk: Desk) -> _Rows:
    found = await desk.routing()
    last = {"depth": 0, "match": [], "to": found["default"], "continue": False, "mute": found["mute"]}
    return [*found["routes"], last]


async def _aside(material: Material, _: Asking) -> Pages:
    before: int | None = None
    while found := await material.desk.dead_deliveries(_ASIDE_PAGE, (), before):
        yield found
        before = found[-1]["id"]


async def _trail(material: Material, asked: Asking) -> Pages:
    """Newest first, from the end of the window to its begin."""
    before: int | None = None
    while found := await material.desk.trail(asked.window.since_ms, before, _TRAIL_PAGE):
        yield [one for one in found if (parse_ms(one["at"]) or 0) < asked.window.until_ms]
        before = found[-1]["id"]


_TRAIL = keys(
    ("id", "integer", "Grows."),
    ("at", "time", "When, of several the first."),
    ("who", "text", "A name."),
    ("via", "text", "How that is known."),
    ("peer", "text", "Address that asked."),
    ("action", "text", "A word, or the method of the request."),
    ("about", "text", "Path of the request, or what the word is about."),
    ("status", "integer", "Of the answer."),
    ("times", "integer", "How often within the same few seconds."),
)
_WEBHOOK = keys(
    ("id", "integer", ""),
    ("source", "text", ""),
    ("event_type", "text", ""),
    ("arrived_at", "time", ""),
    ("bytes", "integer", "Of its body."),
    ("reason", "text", ""),
)


def _table(
    name: str,
    title: str,
    doc: str,
    rows: Callable[[Desk], Awaitable[_Rows]],
    *columns: tuple[str, Kind, str],
) -> Table:
    made = keys(*columns)
    return Table(name, title, doc, (), lambda *_: made, _told(rows))


WORKINGS = (
    Table(
        "trail",
        "Who did what",
        "Who changed something, read what is about a person, or exported, newest first; for admins alone.",
        WINDOW,
        lambda *_: _TRAIL,
        _trail,
    ),
    _table(
        "silences",
        "Silences",
        "Silences that hold, that are to come, and that ended.",
        lambda desk: desk.silences(),
        ("id", "integer", ""),
        ("state", "text", "active, pending or expired."),
        ("matchers", "json", "Labels of alerts that it is over."),
        ("starts_at", "time", ""),
        ("ends_at", "time", ""),
        ("author", "text", "Who made it."),
        ("comment", "text", "Why."),
    ),
    _table(
        "routes",
        "Who is told",
        "Routes of alerts from top to bottom; the last row is for what no route takes.",
        _routes,
        ("depth", "integer", "How many others are around it."),
        ("match", "json", "Labels of alerts that it takes; none: all."),
        ("to", "json", "Notifiers; no value where those around it say."),
        ("continue", "flag", "Whether routes below it are asked too."),
        ("mute", "json", "Times in which it is quiet."),
    ),
    Table(
        "webhooks_set_aside",
        "Webhooks set aside",
        "Webhooks that could not be read, or wait for their source, newest first; without their bodies.",
        (),
        lambda *_: _WEBHOOK,
        _aside,
    ),
    _table(
        "sources",
        "Sources",
        "What each source asked, and what it still may.",
        _named("source", _status("sources")),
        ("source", "text", ""),
        ("calls", "integer", "Calls of the API since the start."),
        ("calls_per_hour", "number", "In the last hour."),
        ("budget_left", "number", "Calls that it still may make in this hour."),
        ("waits_until", "time", "Until when it must wait."),
        ("refused", "text", "Why it is refused, where it is."),
        ("last_complete_walk", "time", "When all projects were walked last."),
        ("last_insights", "time", "When Insights were read last."),
    ),
    _table(
        "notifiers",
        "Notifiers",
        "Channels that alerts are told through, and how they are.",
        _named("notifier", _status("notifiers")),
        ("notifier", "text", ""),
        ("state", "text", "ok, retrying or failing."),
        ("waiting", "integer", "Messages that wait."),
        ("lag_seconds", "number", "Age of the oldest that should have gone out."),
        ("dead", "integer", "Given up since it took one."),
        ("failing_since", "time", ""),
        ("last_error", "text", ""),
    ),
    _table(
        "backfills",
        "Backfills",
        "History that was asked for, and how far it is.",
        lambda desk: desk.backfills(),
        ("id", "text", ""),
        ("state", "text", ""),
        ("source", "text", ""),
        ("since", "time", ""),
        ("until", "time", ""),
        ("projects", "json", ""),
        ("share", "number", "How much of it is done, 0 to 1."),
        ("calls", "integer", ""),
        ("observations", "integer", "What it brought."),
        ("seconds_left", "number", ""),
        ("trouble", "text", ""),
        ("waits_for", "text", ""),
        ("problems", "json", ""),
        ("problems_more", "integer", "How many more there are."),
        ("unmatched", "json", "What was asked for and no collected project is of."),
    ),
    _table(
        "parts",
        "What is kept",
        "Parts of the store with their room, how long they are kept, and from when to when they reach.",
        _data("parts"),
        ("part", "text", "`sums` is what is added up besides hours and days, `other` names and cursors."),
        ("bytes", "integer", ""),
        ("kept", "text", "A length as the configuration has it; empty for ever."),
        ("oldest", "time", ""),
        ("newest", "time", ""),
    ),
    _table(
        "collected",
        "What sources have brought",
        "Projects of each source, and from when to when its runs reach.",
        _data("sources"),
        ("source", "text", ""),
        ("projects", "integer", ""),
        ("oldest", "time", "Day of the oldest run."),
        ("newest", "time", "End of the newest run."),
        ("last_complete_walk", "time", ""),
        ("last_insights", "time", ""),
    ),
    _table(
        "plugins",
        "Plugins",
        "Plugins that were found, and where each is used.",
        _data("plugins"),
        ("kind", "text", "source, sink, notifier or detector."),
        ("name", "text", ""),
        ("used", "json", "Names under which it is configured."),
    ),
    _table(
        "reports",
        "Saved reports",
        "Reviews that were saved, newest first.",
        lambda desk: desk.saved_reports(),
        ("report", "text", ""),
        ("file", "text", ""),
        ("until", "time", "End of the time that it reviews."),
        ("bytes", "integer", ""),
    ),
    _table(
        "files",
        "Scheduled files",
        "Exports and reports that are written by a schedule, and how each is.",
        _data("files"),
        ("kind", "text", "export or report."),
        ("name", "text", ""),
        ("state", "text", "ok, waiting or failing."),
        ("last_at", "time", "Up to when all is written."),
        ("next_at", "time", "When it is made, or tried again."),
        ("problem", "text", "Why it could not be made."),
        ("folder", "text", ""),
        ("files", "integer", "How many are kept there."),
        ("bytes", "integer", "Of them together."),
        ("keep", "text", "How many stay, or for how long."),
    ),
)
